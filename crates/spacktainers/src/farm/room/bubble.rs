//! bubblewrap's arguments for a build, and a script that says the same.
//!
//! Source: bubblewrap's manual, `bwrap(1)`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::RoomError;
use super::root::make_place;
use crate::farm::capsule::quoted;
use crate::sandbox::{CAPABILITIES, KERNEL_SETTINGS};
use crate::spack::SpackError;
use crate::unpack::inside;

/// Whom builds run as where the image does not know the caller.
const USER: &str = "builder";

/// Makes sandboxes over one root.
#[derive(Debug)]
pub(super) struct Bubble {
    program: PathBuf,
    root: PathBuf,
    is_root: bool,
}

/// Files and folders of this machine that are shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    entries: Vec<(&'static str, PathBuf, String)>,
}

impl Shown {
    pub(super) fn read_only(&mut self, from: &Path, to: &str) {
        self.entries
            .push(("--ro-bind", from.to_owned(), to.to_owned()));
    }

    pub(super) fn writable(&mut self, from: &Path, to: &str) {
        self.entries
            .push(("--bind", from.to_owned(), to.to_owned()));
    }
}

/// A file or folder of this build alone.
#[derive(Debug)]
pub(super) struct Own<'a> {
    pub(super) from: &'a Path,
    pub(super) to: &'a str,
    /// Its name in a capsule.
    pub(super) name: &'a str,
    pub(super) is_writable: bool,
}

/// What a sandbox is made of.
pub(super) struct Parts<'a> {
    pub(super) shown: &'a Shown,
    pub(super) own: &'a [Own<'a>],
    pub(super) has_network: bool,
    pub(super) program: &'a [OsString],
}

/// Whether sandboxes can be made here at all.
pub(super) fn probe(program: &Path) -> Result<(), RoomError> {
    let output = Command::new(program)
        .args(["--unshare-pid", "--unshare-net", "--ro-bind", "/", "/"])
        .args(["--proc", "/proc", "--dev", "/dev", "true"])
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| RoomError::Refused(error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(RoomError::Refused(said.trim().replace('\n', "; ")))
        }
    }
}

impl Bubble {
    pub(super) fn new(program: PathBuf, root: PathBuf, is_root: bool) -> Self {
        Self {
            program,
            root,
            is_root,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The name of whom builds run as.
    pub(super) fn user(&self) -> &'static str {
        if self.is_root { "root" } else { USER }
    }

    /// `/etc/passwd` and `/etc/group` that know the caller, if those of the image do not: programs ask for their user's
    /// name.
    pub(super) fn accounts(&self) -> Option<(String, String)> {
        if self.is_root {
            return None;
        }
        let (uid, gid) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        let text = |name: &str| {
            let path = inside::resolve(&self.root, name.as_bytes()).ok()?;
            fs::read_to_string(path).ok()
        };
        let passwd = text("etc/passwd").unwrap_or_default();
        let group = text("etc/group").unwrap_or_default();
        Some((
            with_account(
                &passwd,
                uid,
                &format!("{USER}:x:{uid}:{gid}::{}:/bin/sh", super::HOME),
            ),
            with_account(&group, gid, &format!("{USER}:x:{gid}:")),
        ))
    }

    /// The command that runs a program in a sandbox. What it mounts on is made.
    pub(super) fn line(&self, parts: &Parts<'_>) -> Result<Vec<OsString>, SpackError> {
        for (_, from, to) in &parts.shown.entries {
            self.make_place(to, from.is_dir())?;
        }
        for own in parts.own {
            self.make_place(own.to, own.from.is_dir())?;
        }
        for to in ["/proc", "/dev", "/sys"] {
            self.make_place(to, true)?;
        }
        let mut line: Vec<OsString> = vec![self.program.clone().into()];
        line.push("--new-session".into());
        line.extend(self.options(parts, &|own| own.from.to_owned().into()));
        line.push("--".into());
        line.extend(parts.program.iter().cloned());
        Ok(line)
    }

    /// A script for a capsule that runs its arguments in the same sandbox, or the program if there are none. `$here` is the
    /// capsule's folder.
    pub(super) fn script(&self, parts: &Parts<'_>, variables: &BTreeMap<String, String>) -> String {
        let mut text = String::from("mkdir -p \"$here/home\" \"$here/tmp\"\n");
        text.push_str("if [ $# -eq 0 ]; then\n  set --");
        for word in parts.program {
            text.push_str(&format!(" {}", quoted(&word.to_string_lossy())));
        }
        text.push_str(" --keep-stage\nfi\nexec env -i");
        for (name, value) in variables {
            text.push_str(&format!(" \\\n  {name}={}", quoted(value)));
        }
        text.push_str(&format!(
            " \\\n  {}",
            quoted(&self.program.to_string_lossy())
        ));
        let mark = |own: &Own<'_>| OsString::from(format!("\0{}", own.name));
        for word in self.options(parts, &mark) {
            let word = word.to_string_lossy();
            match word.strip_prefix('\0') {
                Some(name) => text.push_str(&format!(" \"$here/{name}\"")),
                None if word.starts_with("--") => text.push_str(&format!(" \\\n  {word}")),
                None => text.push_str(&format!(" {}", quoted(&word))),
            }
        }
        text.push_str(" \\\n  -- \"$@\"\n");
        text
    }

    /// Runs a program of the image that changes nothing and needs nothing.
    pub(super) fn ask(&self, script: &str, arguments: &[String]) -> Option<String> {
        for to in ["/proc", "/dev"] {
            self.make_place(to, true).ok()?;
        }
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", super::PATH);
        command.args(["--die-with-parent", "--unshare-pid", "--unshare-net"]);
        command.arg("--ro-bind").arg(&self.root).arg("/");
        command.args(["--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--"]);
        command
            .args(["/bin/sh", "-c", script, "sh"])
            .args(arguments);
        let output = command.stdin(Stdio::null()).output().ok()?;
        let is_success = output.status.success();
        is_success.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn options(
        &self,
        parts: &Parts<'_>,
        own_folder: &dyn Fn(&Own<'_>) -> OsString,
    ) -> Vec<OsString> {
        let mut options = Options::default();
        options.add([
            "--die-with-parent",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
        ]);
        if !parts.has_network {
            options.add(["--unshare-net"]);
        }
        if self.is_root {
            options.add(["--cap-drop", "ALL"]);
            for capability in CAPABILITIES {
                options.add(["--cap-add", capability]);
            }
        }
        options.mount("--ro-bind", self.root.as_os_str(), "/");
        options.add(["--proc", "/proc", "--dev", "/dev"]);
        if self.is_root {
            for name in KERNEL_SETTINGS {
                let place = format!("/proc/{name}");
                options.mount("--ro-bind-try", OsStr::new(&place), &place);
            }
        }
        options.mount("--ro-bind-try", OsStr::new("/sys"), "/sys");
        // Before what may lie below `/tmp`, such as the install root of a test.
        for own in parts.own {
            let how = if own.is_writable {
                "--bind"
            } else {
                "--ro-bind"
            };
            options.mount(how, &own_folder(own), own.to);
        }
        for (how, from, to) in &parts.shown.entries {
            options.mount(how, from.as_os_str(), to);
        }
        options.add(["--chdir", super::HOME]);
        options.0
    }

    /// Makes a place to mount on, in the image.
    fn make_place(&self, path: &str, is_folder: bool) -> Result<(), SpackError> {
        let below = path.trim_start_matches('/').as_bytes();
        let doing = "make a place to mount on,";
        let place = inside::resolve(&self.root, below).map_err(|error| {
            SpackError::io(doing, Path::new(path))(std::io::Error::other(error))
        })?;
        make_place(&place, is_folder).map_err(SpackError::io(doing, &place))
    }
}

#[derive(Default)]
struct Options(Vec<OsString>);

impl Options {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn mount(&mut self, how: &str, from: &OsStr, to: &str) {
        self.0.extend([how.into(), from.to_owned(), to.into()]);
    }
}

/// A list of accounts with one more, unless its number is there.
fn with_account(list: &str, number: u32, line: &str) -> String {
    let number = number.to_string();
    let is_there = |line: &str| line.split(':').nth(2) == Some(&number);
    if list.lines().any(is_there) {
        return list.to_owned();
    }
    let end = if list.is_empty() || list.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{list}{end}{line}\n")
}

/// Whether something is in the image.
pub(super) fn has(root: &Path, path: &str) -> bool {
    let below = OsStr::new(path.trim_start_matches('/')).as_bytes();
    inside::resolve(root, below).is_ok_and(|place| place.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_added_once() {
        let list = "root:x:0:0:root:/root:/bin/bash\n";
        let with = with_account(list, 1000, "builder:x:1000:1000::/h:/bin/sh");
        assert_eq!(with, format!("{list}builder:x:1000:1000::/h:/bin/sh\n"));
        assert_eq!(with_account(&with, 1000, "other:x:1000:"), with);
        assert_eq!(with_account(list, 0, "other:x:0:"), list);
        assert_eq!(with_account("a:x:1:", 2, "b:x:2:"), "a:x:1:\nb:x:2:\n");
    }

    #[test]
    fn a_script_has_every_word_of_the_sandbox() {
        let bubble = Bubble::new("/usr/bin/bwrap".into(), "/cache/it's/root".into(), false);
        let mut shown = Shown::default();
        shown.read_only(Path::new("/spack"), "/spacktainers/spack");
        let own = [Own {
            from: Path::new("/orders/environment"),
            to: "/spacktainers/environment",
            name: "environment",
            is_writable: true,
        }];
        let program = ["spack", "install", "/abc"].map(OsString::from);
        let parts = Parts {
            shown: &shown,
            own: &own,
            has_network: false,
            program: &program,
        };
        let variables = BTreeMap::from([("HOME".to_owned(), "/h".to_owned())]);
        let script = bubble.script(&parts, &variables);
        for text in [
            "set -- 'spack' 'install' '/abc' --keep-stage",
            "exec env -i",
            "HOME='/h'",
            "--unshare-net",
            "--ro-bind '/cache/it'\\''s/root' '/'",
            "--bind \"$here/environment\" '/spacktainers/environment'",
            "--ro-bind '/spack' '/spacktainers/spack'",
            "-- \"$@\"",
        ] {
            assert!(script.contains(text), "`{text}` is not in\n{script}");
        }
        assert!(!script.contains("/orders/environment"), "{script}");
    }
}
