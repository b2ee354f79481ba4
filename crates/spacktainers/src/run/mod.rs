//! Running a command in an unpacked image, with whatever sandbox the machine has.
//!
//! In this order: bubblewrap (needs no root where user namespaces are allowed), `chroot` (needs root).
//! Both share the host's network and, on purpose, nothing of its environment. Under bubblewrap the image is
//! read-only but for `/tmp`, `/var/tmp`, `/run` and `/root`, which are empty and forgotten at the end; under chroot
//! it is not.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Why nothing could be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither bubblewrap nor the right to use chroot.
    #[error(
        "no sandbox on this machine can run an image: install bubblewrap (the program `bwrap`), or run as root"
    )]
    NoSandbox,
    /// The image names no command and none was given.
    #[error(
        "the image has no entrypoint and no command: say what to run, as in `run NAME -- bash`"
    )]
    NoCommand,
    /// The sandbox did not start.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// The sandbox's program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A way to run something below another root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// The program `bwrap`.
    Bubblewrap(PathBuf),
    /// The program `chroot`, as root.
    Chroot(PathBuf),
}

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The unpacked root file system.
    pub root: PathBuf,
    /// `K=V`, from the image's config.
    pub env: Vec<String>,
    /// From the image's config; `/` if it has none.
    pub working_dir: String,
    /// Program and arguments.
    pub command: Vec<OsString>,
}

/// The sandbox to use, found on the given search path.
///
/// # Errors
/// When there is none.
pub fn sandbox(search_path: &[PathBuf], is_root: bool) -> Result<Sandbox, RunError> {
    let find = |program: &str| {
        search_path
            .iter()
            .map(|it| it.join(program))
            .find(|it| it.is_file())
    };
    if let Some(program) = find("bwrap") {
        return Ok(Sandbox::Bubblewrap(program));
    }
    match find("chroot") {
        Some(program) if is_root => Ok(Sandbox::Chroot(program)),
        _ => Err(RunError::NoSandbox),
    }
}

/// The command that runs `invocation` in `sandbox`.
#[must_use]
pub fn command(sandbox: &Sandbox, invocation: &Invocation) -> Command {
    let dir = if invocation.working_dir.is_empty() {
        "/"
    } else {
        &invocation.working_dir
    };
    match sandbox {
        Sandbox::Bubblewrap(program) => {
            let mut command = Command::new(program);
            // Read-only: what runs must not change the image that the next command sees.
            command.arg("--ro-bind").arg(&invocation.root).arg("/");
            command.args([
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "--unshare-pid",
                "--die-with-parent",
            ]);
            for folder in ["tmp", "var/tmp", "run", "root"] {
                if invocation.root.join(folder).is_dir() {
                    command.arg("--tmpfs").arg(format!("/{folder}"));
                }
            }
            for file in ["etc/resolv.conf", "etc/hosts"] {
                // A mount needs a place to mount on.
                if invocation.root.join(file).is_file() {
                    let file = format!("/{file}");
                    command.args(["--ro-bind-try", &file, &file]);
                }
            }
            command.args(["--chdir", dir, "--clearenv"]);
            for (name, value) in invocation.env.iter().filter_map(|it| it.split_once('=')) {
                command.args(["--setenv", name, value]);
            }
            command.arg("--").args(&invocation.command);
            command
        }
        Sandbox::Chroot(program) => {
            let mut command = Command::new(program);
            command.env_clear();
            command.envs(invocation.env.iter().filter_map(|it| it.split_once('=')));
            // `--userspec` and `--skip-chdir` are not everywhere; `env -C` inside needs coreutils 8.28 in the image.
            command.arg(&invocation.root);
            if dir != "/" {
                command.args(["env", "-C", dir]);
            }
            command.args(&invocation.command);
            command
        }
    }
}

/// Replaces this process by the command; returns only if that fails.
#[must_use]
pub fn replace_process(mut command: Command) -> RunError {
    let source = command.exec();
    RunError::Start {
        program: PathBuf::from(command.get_program()),
        source,
    }
}
