//! Maintainer scripts: which need not run, and which we do not know.
//!
//! No script is run: it would need root, the architecture's own machine, and trust. Of each postinst we
//! say one of three things:
//! - it is known: what it would do is done by [`super::system`] and its sisters, or has no place in
//!   an image ([`KNOWN`]);
//! - it is trivial: what is left of it, without what debhelper adds and without calls that we do ourselves
//!   (alternatives) or that matter only when upgrading, is nothing;
//! - it is unknown: the package is named in a warning.

use super::alternatives::{self, joined_lines};

/// Packages whose postinst was read for the releases bullseye to trixie and jammy to noble.
/// A final `*` stands for any ending.
const KNOWN: [&str; 62] = [
    // Done: folders, default files, accounts, shells, links, certificates, PAM, alternatives.
    "apt",
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debianutils",
    "libc-bin",
    "libpam-modules",
    "libpam-runtime",
    "login",
    "login.defs",
    "passwd",
    "python3",
    "readline-common",
    "tzdata",
    "python3.*-minimal",
    "libpython3.*-minimal",
    "openssl",
    "libibverbs1",
    "dbus-system-bus-common",
    "gcc",
    "cpp",
    "mawk",
    "tar",
    "util-linux",
    "less",
    "nano",
    // Done in part: the account is made; a setuid or setgid bit that only a running system needs is not set.
    "dbus",
    "dbus-daemon",
    "openssh-client",
    "uuid-runtime",
    // Nothing to do on a new system: restarting services, cleaning up after old versions.
    "libc6",
    "libpam0g",
    "dpkg",
    "e2fsprogs",
    "debconf",
    "debian-archive-keyring",
    "ubuntu-keyring",
    "init-system-helpers",
    "libgcrypt20",
    "gzip",
    "libselinux1",
    "libgssapi-krb5-2",
    "perl",
    "perl-base",
    "sudo",
    "usrmerge",
    "usr-is-merged",
    "procps",
    "mount",
    "sysvinit-utils",
    // Only speed up a long-lived system: byte code, caches, initial RAM disks.
    "python3-minimal",
    "python3.*",
    "man-db",
    "dmsetup",
    "libdevmapper1.02.1",
    "mime-support",
    "shared-mime-info",
    "fontconfig",
    "fontconfig-config",
];

/// Parts that debhelper adds, by its programs' names, which an image does not need: services do not run
/// in it, library and icon caches are only caches, the rest concerns upgrades.
const NEEDLESS_HELPERS: [&str; 26] = [
    "dh_installalternatives",
    "dh_installdeb",
    "dh_installdebconf",
    "dh_installinfo",
    "dh_installinit",
    "dh_installmenu",
    "dh_installsystemd",
    "dh_installsystemduser",
    "dh_installsysusers",
    "dh_installtmpfiles",
    "dh_installmime",
    "dh_installcatalogs",
    "dh_installwm",
    "dh_installxfonts",
    "dh_installgsettings",
    "dh_installcron",
    "dh_installlogrotate",
    "dh_makeshlibs",
    "dh_icons",
    "dh_python3",
    "dh_python2",
    "dh_apparmor",
    "dh_systemd_enable",
    "dh_systemd_start",
    "dh_ucf",
    "dh_usrlocal",
];

/// Whether the package is to be named in a warning.
pub(super) fn is_unknown(package: &str, postinst: &str) -> bool {
    !is_known(package) && !is_trivial(postinst)
}

fn is_known(package: &str) -> bool {
    KNOWN.iter().any(|known| match known.split_once('*') {
        None => *known == package,
        Some((start, end)) => {
            package.len() >= start.len() + end.len()
                && package.starts_with(start)
                && package.ends_with(end)
        }
    })
}

/// Whether nothing that matters is left of a script.
fn is_trivial(script: &str) -> bool {
    if script.starts_with("#!")
        && !script
            .lines()
            .next()
            .is_some_and(|first| first.contains("sh"))
    {
        return false;
    }
    let mut helper = None;
    let mut skipped_ifs = 0_usize;
    for line in joined_lines(script) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("# Automatically added by ") {
            let name = rest.split(['/', ' ']).next().unwrap_or_default();
            if !NEEDLESS_HELPERS.contains(&name) {
                return false;
            }
            helper = Some(());
        } else if line.starts_with("# End automatically added") {
            helper = None;
        } else if helper.is_some() || line.is_empty() || line.starts_with('#') {
        } else if skipped_ifs > 0 {
            skipped_ifs += usize::from(opens_if(line));
            skipped_ifs -=
                usize::from(line == "fi" || line.ends_with("; fi") || line.starts_with("fi "));
        } else if opens_if(line) && is_only_for_upgrades(line) {
            skipped_ifs = usize::from(!line.ends_with("fi"));
        } else if !is_needless(line) {
            return false;
        }
    }
    // Offers that could not be read are lines that would have to run.
    !alternatives::offers(script).has_unreadable
}

fn opens_if(line: &str) -> bool {
    line.starts_with("if ")
}

/// On a new system the second argument, the version before, is empty.
fn is_only_for_upgrades(line: &str) -> bool {
    let says = |text: &str| line.contains(text);
    let has_or = says("||");
    !has_or
        && (says("-n \"$2\"")
            || says("\"$2\" lt-nl")
            || says("\"$2\" le-nl")
            || says("! -z \"$2\""))
}

/// A line of structure, a message, or a call that has no effect on a new system.
fn is_needless(line: &str) -> bool {
    let line = line.trim_end_matches(';').trim();
    let first = line.split_whitespace().next().unwrap_or_default();
    match first {
        // What is left of `;;`.
        "" => true,
        "set"
        | "exit"
        | "echo"
        | "esac"
        | "fi"
        | "else"
        | "then"
        | "}"
        | "true"
        | ":"
        | "umask"
        | "db_version"
        | "db_stop"
        | "dpkg-maintscript-helper"
        | "ldconfig"
        | "shift"
        | "case" => true,
        "if" | "elif" => line.contains("$1") && !line.contains("$("),
        "." => line.contains("confmodule"),
        "update-alternatives" => line.contains("--install") || line.contains("--remove"),
        // The labels of a case, alone on their line.
        _ => {
            let label = line.trim_start_matches('(').trim_end_matches(";;").trim();
            label.strip_suffix(')').is_some_and(|label| {
                label.bytes().all(|b| {
                    b.is_ascii_lowercase() || matches!(b, b'-' | b'|' | b'*' | b' ' | b'"')
                })
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debhelper_adds_is_trivial() {
        let script = "#!/bin/sh\nset -e\n# Automatically added by dh_installsystemd/13.11.4\n\
            deb-systemd-helper enable x.timer\n# End automatically added section\n\
            case \"$1\" in\n  configure|abort-remove)\n    ;;\n  *)\n    echo unknown >&2\n    exit 1\n    ;;\nesac\nexit 0\n";
        assert!(!is_unknown("some-package", script));
        assert!(is_unknown(
            "some-package",
            &script.replace("dh_installsystemd", "dh_unheard_of")
        ));
        assert!(is_unknown(
            "some-package",
            &script.replace("    ;;\n  *)", "    mkdir /x\n    ;;\n  *)")
        ));
    }

    #[test]
    fn what_is_for_upgrades_only_is_trivial() {
        let script = "#!/bin/sh\nif [ \"$1\" = configure ] && [ -n \"$2\" ]; then\n  if true; then\n    rm -f /x\n  fi\n  rm /y\nfi\n";
        assert!(!is_unknown("some-package", script));
        assert!(is_unknown(
            "some-package",
            &script.replace("-n \"$2\"", "-z \"$2\"")
        ));
        assert!(is_unknown("some-package", &(script.to_owned() + "rm /z\n")));
    }

    #[test]
    fn alternatives_that_can_be_read_are_trivial() {
        assert!(!is_unknown(
            "p",
            "#!/bin/sh\nupdate-alternatives --install /usr/bin/x x /usr/bin/y 5\n"
        ));
        assert!(is_unknown(
            "p",
            "#!/bin/sh\nupdate-alternatives --install $X x /usr/bin/y 5\n"
        ));
    }

    #[test]
    fn known_names_may_end_in_anything() {
        assert!(
            is_known("python3.11-minimal") && is_known("libpython3.13-minimal") && is_known("bash")
        );
        assert!(!is_known("python2.7") && !is_known("bash-completion"));
    }

    #[test]
    fn scripts_in_other_languages_are_unknown() {
        assert!(is_unknown("p", "#!/usr/bin/perl\n"));
    }
}
