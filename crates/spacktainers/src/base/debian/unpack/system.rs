//! What base packages' scripts make on a new system: folders, default files, links.

use std::io::Write;

use super::super::super::locked::LockedDebian;
use super::dpkg_state::Installed;
use super::tree::{Tree, TreeError};
use super::{accounts, alternatives, certificates, pam};

/// What was noticed while the system was completed.
#[derive(Debug, Default)]
pub(super) struct Completed {
    /// `var/lib/dpkg/diversions`
    pub(super) diversions: String,
}

/// The group `mail`, `utmp`, `staff`; fixed by base-passwd.
const MAIL_GID: u64 = 8;
const UTMP_GID: u64 = 43;

/// Makes everything but dpkg's own records.
pub(super) fn complete<W: Write>(
    tree: &mut Tree<W>,
    packages: &[Installed],
    locked: &LockedDebian,
) -> Result<Completed, TreeError> {
    let names: Vec<&str> = packages.iter().map(Installed::name).collect();
    let has = |name: &str| names.contains(&name);
    let mut completed = Completed::default();
    if let Some(package) = packages
        .iter()
        .find(|package| package.name() == "base-files")
    {
        let script = package.control.text("postinst").unwrap_or_default();
        base_files(tree, &locked.origin, &script)?;
    }
    accounts::write(tree, &names)?;
    copy(
        tree,
        "usr/share/libc-bin/nsswitch.conf",
        "etc/nsswitch.conf",
        0o644,
    )?;
    copy(tree, "usr/share/readline/inputrc", "etc/inputrc", 0o644)?;
    if has("debianutils") {
        shells(tree)?;
    }
    if has("dash") {
        // Not every release's dash ships the link itself; and it claims the name from bash.
        tree.symlink("usr/bin/sh", "dash")?;
        completed
            .diversions
            .push_str("/usr/share/man/man1/sh.1.gz\n/usr/share/man/man1/sh.distrib.1.gz\ndash\n");
        completed
            .diversions
            .push_str("/bin/sh\n/bin/sh.distrib\ndash\n");
    } else if has("bash") {
        tree.symlink("usr/bin/sh", "bash")?;
    }
    if let Some(tzdata) = packages.iter().find(|package| package.name() == "tzdata") {
        tree.symlink("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")?;
        // Debian 13 keeps the file only where it is already.
        let script = tzdata.control.text("postinst").unwrap_or_default();
        if !script.contains("test -f \"$DPKG_ROOT/etc/timezone\"") {
            tree.file("etc/timezone", 0o644, b"Etc/UTC\n")?;
        }
    }
    if has("libpam-runtime") {
        pam::write(tree)?;
    }
    if has("libpam-modules") {
        tree.file("etc/security/opasswd", 0o600, b"")?;
        tree.file("etc/environment", 0o644, b"")?;
    }
    if has("login") {
        tree.file("var/log/faillog", 0o644, b"")?;
    }
    for name in &names {
        if let Some(version) = name
            .strip_prefix("python3.")
            .and_then(|rest| rest.strip_suffix("-minimal"))
        {
            tree.directory(
                &format!("usr/local/lib/python3.{version}/dist-packages"),
                0o755,
                0,
            )?;
            tree.file(
                &format!("var/lib/python/python3.{version}_installed"),
                0o644,
                b"",
            )?;
        }
    }
    if has("python3") {
        tree.file(
            "etc/python3/debian_config",
            0o644,
            b"[DEFAULT]\nbyte-compile = standard\n",
        )?;
    }
    if has("openssl") {
        tree.symlink("usr/lib/ssl", "/etc/ssl")?;
    }
    if has("ca-certificates") {
        certificates::write(tree)?;
    }
    let offers: Vec<alternatives::Offer> = packages
        .iter()
        .filter_map(|package| package.control.text("postinst"))
        .flat_map(|script| alternatives::offers(&script).offers)
        .collect();
    alternatives::write(tree, &offers)?;
    network(tree)?;
    if !locked.apt_sources.is_empty() {
        let text = locked.apt_sources.join("\n") + "\n";
        tree.file("etc/apt/sources.list", 0o644, text.as_bytes())?;
    }
    Ok(completed)
}

/// base-files' postinst.
fn base_files<W: Write>(tree: &mut Tree<W>, origin: &str, script: &str) -> Result<(), TreeError> {
    tree.symlink(
        "etc/dpkg/origins/default",
        if origin == "ubuntu" {
            "ubuntu"
        } else {
            "debian"
        },
    )?;
    tree.directory("root", 0o700, 0)?;
    for (from, to) in [
        ("dot.profile", "root/.profile"),
        ("dot.bashrc", "root/.bashrc"),
        ("profile", "etc/profile"),
        ("motd", "etc/motd"),
        ("info.dir", "usr/share/info/dir"),
    ] {
        copy(tree, &format!("usr/share/base-files/{from}"), to, 0o644)?;
    }
    for folder in ["mnt", "srv", "opt", "etc/opt", "var/opt", "media"] {
        tree.directory(folder, 0o755, 0)?;
    }
    tree.directory("tmp", 0o1777, 0)?;
    tree.directory("var/tmp", 0o1777, 0)?;
    tree.directory("run/lock", 0o1777, 0)?;
    tree.directory("var/mail", 0o2775, MAIL_GID)?;
    tree.symlink("var/spool/mail", "../mail")?;
    tree.symlink("var/run", "/run")?;
    tree.symlink("var/lock", "/run/lock")?;
    // Which folders below /usr/local there are depends on the release.
    for line in script.lines() {
        if let Some(folder) = line.trim().strip_prefix("install_local_dir /usr/local/")
            && folder
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'/')
        {
            tree.directory(&format!("usr/local/{folder}"), 0o755, 0)?;
        }
    }
    tree.symlink("usr/local/man", "share/man")?;
    for (log, mode) in [("wtmp", 0o664), ("btmp", 0o660), ("lastlog", 0o664)] {
        tree.owned_file(&format!("var/log/{log}"), mode, UTMP_GID, b"")?;
    }
    Ok(())
}

/// `/etc/shells`, as update-shells makes it: each shell by both of its names.
fn shells<W: Write>(tree: &mut Tree<W>) -> Result<(), TreeError> {
    let Some(base) = tree.kept("usr/share/debianutils/shells") else {
        return Ok(());
    };
    let mut text = String::from_utf8_lossy(base).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (_, bytes) in tree.kept_below("usr/share/debianutils/shells.d") {
        lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
    }
    let mut shells: Vec<String> = Vec::new();
    for line in lines {
        let shell = line.split('#').next().unwrap_or_default().trim();
        if !shell.starts_with('/') {
            continue;
        }
        let real = match shell.strip_prefix("/bin/") {
            Some(name) => format!("/usr/bin/{name}"),
            None => shell.to_owned(),
        };
        for name in [shell.to_owned(), real] {
            if !shells.contains(&name) {
                shells.push(name);
            }
        }
    }
    for shell in &shells {
        if !text.lines().any(|line| line == shell) {
            text.push_str(&format!("{shell}\n"));
        }
    }
    let state: String = shells.into_iter().map(|shell| shell + "\n").collect();
    tree.file("etc/shells", 0o644, text.as_bytes())?;
    tree.file("var/lib/shells.state", 0o644, state.as_bytes())
}

/// Files that runtimes mount their own over; some of them need the place to be there.
fn network<W: Write>(tree: &mut Tree<W>) -> Result<(), TreeError> {
    tree.file("etc/resolv.conf", 0o644, b"")?;
    tree.file("etc/hostname", 0o644, b"localhost\n")?;
    tree.file(
        "etc/hosts",
        0o644,
        b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    )
}

/// Copies a kept file to a place where nothing is.
fn copy<W: Write>(tree: &mut Tree<W>, from: &str, to: &str, mode: u32) -> Result<(), TreeError> {
    match tree.kept(from).map(<[u8]>::to_vec) {
        Some(bytes) => tree.file(to, mode, &bytes),
        None => Ok(()),
    }
}
