//! The command line of bubblewrap.
//!
//! Its arguments are in a file, where neither other users of the machine see them nor a limit cuts them. A shell gives it that
//! file, and the umask, which it hands on.
//!
//! Source: bubblewrap's manual, `bwrap(1)`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::{Machine, Owners};
use super::mount_points::{MountPoints, Mounted};
use super::workspace::Workspace;
use super::{Place, SCRIPT_PATH, SandboxError, Step, pretend};

/// What root keeps: what Docker gives to containers (`moby/moby`, `oci/caps/defaults.go`), less `CAP_MKNOD`, which without
/// Docker's control of devices would open the machine's disks, and `CAP_NET_RAW`, as the network is the machine's.
pub(crate) const CAPABILITIES: [&str; 12] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What of `/proc` acts on the machine itself; Docker makes these read-only too.
pub(crate) const KERNEL_SETTINGS: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// What apt is told where there is but one user: do not become another one for downloads.
const APT_CONFIGURATION: &str = "APT::Sandbox::User \"root\";\n";
const APT_PATH: &str = "/.spacktainers.apt.conf";

/// Opens the files, sets the umask and becomes bubblewrap: `UMASK ARGUMENTS FILTER PROGRAM …`.
const WRAPPER: &str = r#"umask "$1"; exec 8<"$2"; [ -z "$3" ] || exec 9<"$3"; shift 3; exec "$@""#;

/// What a command line is made from.
pub(super) struct Input<'a> {
    pub(super) bubblewrap: &'a Path,
    pub(super) machine: &'a Machine,
    pub(super) workspace: &'a Workspace,
    pub(super) step: &'a Step,
    pub(super) is_writable: bool,
}

/// The command that executes a step; places to mount on are made.
pub(super) fn command(
    input: &Input<'_>,
    mounted: &mut MountPoints<'_>,
) -> Result<Command, SandboxError> {
    let mut arguments = Arguments::default();
    arguments.add([
        "--die-with-parent",
        "--new-session",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
    ]);
    let mut filter = PathBuf::new();
    if input.machine.owners() == Owners::Pretended {
        arguments.add(["--unshare-user", "--uid", "0", "--gid", "0"]);
        if let Some(program) = pretend::filter() {
            filter = input.workspace.put("filter", &program, 0o600)?;
            arguments.add(["--seccomp", "9"]);
        }
    }
    // Of a user namespace of one's own too: there they are about the user's own files.
    arguments.add(["--cap-drop", "ALL"]);
    for capability in CAPABILITIES {
        arguments.add(["--cap-add", capability]);
    }
    let script = match &input.step.place {
        Place::Image(folder) => image(input, folder, &mut arguments, mounted)?,
        Place::Host(folder) => host(input, folder, &mut arguments)?,
    };
    arguments.add(["--clearenv"]);
    let own = std::mem::take(&mut arguments.1);
    arguments.0.extend(own);
    for (name, value) in &input.machine.environment {
        arguments.add(["--setenv", name, value]);
    }
    for (name, value) in &input.step.environment {
        arguments.add(["--setenv", name, value]);
    }
    let program = input.step.command.iter().map(|word| {
        let script = script.as_os_str().to_string_lossy();
        OsString::from(word.replace(SCRIPT_PATH, &script))
    });
    let program: Vec<OsString> = program.collect();
    let has_nul = |word: &OsString| word.as_bytes().contains(&0);
    if arguments.0.iter().chain(&program).any(has_nul) {
        return Err(SandboxError::Nul(input.step.title.clone()));
    }
    let listed = input.workspace.put(
        "arguments",
        &arguments.0.join(OsStr::new("\0")).into_vec(),
        0o600,
    )?;
    let mut command = Command::new("/bin/sh");
    command.env_clear();
    command.args(["-c", WRAPPER, "sh"]);
    command.arg(format!("{:04o}", input.step.umask & 0o777));
    command.args([listed, filter]);
    command.arg(input.bubblewrap);
    command.args(["--args", "8", "--"]).args(program);
    Ok(command)
}

/// The image is the root. Says where the script is.
fn image(
    input: &Input<'_>,
    folder: &str,
    arguments: &mut Arguments,
    mounted: &mut MountPoints<'_>,
) -> Result<PathBuf, SandboxError> {
    let (workspace, step) = (input.workspace, input.step);
    let how = if input.is_writable {
        "--bind"
    } else {
        "--ro-bind"
    };
    arguments.mount(how, workspace.root(), Path::new("/"));
    let proc = mounted.place("/proc", Mounted::Directory)?;
    arguments.processes(&proc, input.machine.owners());
    let dev = mounted.place("/dev", Mounted::Directory)?;
    arguments.add([OsStr::new("--dev"), dev.as_os_str()]);
    let sys = mounted.place("/sys", Mounted::Directory)?;
    arguments.mount("--ro-bind", Path::new("/sys"), &sys);
    for (number, path) in step.forgotten.iter().enumerate() {
        let empty = workspace.empty_folder(&format!("forgotten-{number}"))?;
        arguments.mount("--bind", &empty, &mounted.place(path, Mounted::Directory)?);
    }
    for (path, of_machine) in [
        ("/etc/resolv.conf", &input.machine.resolver),
        ("/etc/hosts", &input.machine.hosts),
    ] {
        let Ok(text) = std::fs::read(of_machine) else {
            continue;
        };
        let copy = workspace.put(path.rsplit('/').next().unwrap_or(path), &text, 0o644)?;
        arguments.mount("--bind", &copy, &mounted.place(path, Mounted::File)?);
    }
    if input.machine.owners() == Owners::Pretended && workspace.root().join("etc/apt").is_dir() {
        let file = workspace.put("apt.conf", APT_CONFIGURATION.as_bytes(), 0o644)?;
        arguments.mount("--ro-bind", &file, &mounted.place(APT_PATH, Mounted::File)?);
        arguments.environment("APT_CONFIG", OsStr::new(APT_PATH));
    }
    let mut at = PathBuf::new();
    if let Some(script) = &step.script {
        let file = workspace.put("script", script.text.as_bytes(), 0o755)?;
        at.push(&script.path);
        arguments.mount(
            "--ro-bind",
            &file,
            &mounted.place(&script.path, Mounted::File)?,
        );
    }
    arguments.add(["--chdir", folder]);
    Ok(at)
}

/// The machine is the root, and cannot be changed. Says where the script is.
fn host(
    input: &Input<'_>,
    folder: &Path,
    arguments: &mut Arguments,
) -> Result<PathBuf, SandboxError> {
    let (workspace, step) = (input.workspace, input.step);
    arguments.mount("--ro-bind", Path::new("/"), Path::new("/"));
    // Whoever may speak to the daemons whose sockets are here can do as they please.
    arguments.add(["--tmpfs", "/run", "--dev", "/dev"]);
    if std::fs::symlink_metadata("/var/run").is_ok_and(|it| it.is_dir()) {
        arguments.add(["--tmpfs", "/var/run"]);
    }
    arguments.processes(Path::new("/proc"), input.machine.owners());
    if let Ok(real) = std::fs::canonicalize(&input.machine.resolver)
        && real.starts_with("/run")
        && let Ok(text) = std::fs::read(&real)
    {
        let copy = workspace.put("resolv.conf", &text, 0o644)?;
        arguments.mount("--ro-bind", &copy, &real);
    }
    let temporary = workspace.empty_folder("tmp")?;
    arguments.mount("--bind", &temporary, &temporary);
    arguments.environment("TMPDIR", temporary.as_os_str());
    arguments.mount("--bind", workspace.root(), workspace.root());
    for name in &step.root_variables {
        arguments.environment(name, workspace.root().as_os_str());
    }
    let mut at = PathBuf::new();
    if let Some(script) = &step.script {
        at = workspace.put("script", script.text.as_bytes(), 0o755)?;
        arguments.mount("--ro-bind", &at, &at);
    }
    arguments.add([OsStr::new("--chdir"), folder.as_os_str()]);
    Ok(at)
}

/// Arguments in the order in which bubblewrap acts on them; variables come after the environment was cleared.
#[derive(Default)]
struct Arguments(Vec<OsString>, Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, words: [impl AsRef<OsStr>; N]) {
        self.0.extend(words.map(|it| it.as_ref().to_owned()));
    }

    fn mount(&mut self, how: &str, source: &Path, target: &Path) {
        self.add([OsStr::new(how), source.as_os_str(), target.as_os_str()]);
    }

    /// A fresh `/proc`. Settings of the kernel belong to user 0 of the machine, whatever else that user may not do.
    fn processes(&mut self, place: &Path, owners: Owners) {
        self.add([OsStr::new("--proc"), place.as_os_str()]);
        if owners == Owners::Kept {
            for name in KERNEL_SETTINGS {
                let source = Path::new("/proc").join(name);
                self.mount("--ro-bind-try", &source, &place.join(name));
            }
        }
    }

    fn environment(&mut self, name: &str, value: &OsStr) {
        self.1
            .extend(["--setenv".into(), name.into(), value.to_owned()]);
    }
}
