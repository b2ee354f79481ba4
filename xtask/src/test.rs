//! Everything that must pass, on a machine that has only Rust and a package manager.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::tool::{self, cargo, run as run_command, say, which};

/// How long each parser is fuzzed: enough to find what a change has just broken.
const FUZZ_SECONDS: u32 = 3;

/// Whether missing programs may be installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// By apt and pip, where they are there and may be used.
    Yes,
    /// Tests that need what is missing say SKIPPED.
    No,
}

/// Programs that tests drive, with the Debian package of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("podman", "podman"),
    ("buildah", "buildah"),
    ("runc", "runc"),
    ("bwrap", "bubblewrap"),
    ("gpg", "gnupg"),
    ("mmdebstrap", "mmdebstrap"),
    ("unsquashfs", "squashfs-tools"),
    ("tar2sqfs", "squashfs-tools-ng"),
    ("squashfuse", "squashfuse"),
    ("setfattr", "attr"),
    ("busybox", "busybox-static"),
    ("rsync", "rsync"),
    ("npm", "npm"),
    ("git", "git"),
    ("openssl", "openssl"),
    ("gdb", "gdb"),
    ("curl", "curl"),
    ("make", "make"),
    ("sbatch", "slurm-client"),
    ("slurmctld", "slurmctld"),
    ("slurmd", "slurmd"),
    ("cc", "gcc"),
    ("g++", "g++"),
    ("python3", "python3"),
];

/// Installs, then runs all tests, the rules among them. The test runner has the last word.
pub(crate) fn run(install: Install) -> Result<()> {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    let (mut apptainer, mut python) = (None, None);
    if install == Install::Yes {
        install_programs()?;
        if let Some(folder) = install_moto()? {
            python = install_validators(&folder);
            let mut folders = vec![folder];
            folders.extend(std::env::split_paths(&path));
            path = std::env::join_paths(folders)?;
        }
        install_ci_tools();
        apptainer = crate::apptainer::install();
    }
    // Before the tests: their runner has the last word.
    lint()?;
    crate::fuzz::run_targets(FUZZ_SECONDS, &[])?;
    let mut tests = cargo();
    tests
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .env("PATH", &path);
    if let Some(python) = python {
        tests.env("SPACKTAINERS_PYTHON", python);
    }
    if let Some((program, share)) = apptainer {
        tests
            .env("SPACKTAINERS_APPTAINER", program)
            .env("SPACKTAINERS_APPTAINER_SHARE", share);
    }
    run_command(&mut tests)
}

/// Formatting and lints, where the toolchain has the programs.
fn lint() -> Result<()> {
    let has = |name: &str| {
        let asked = cargo().args([name, "--version"]).output();
        let found = asked.is_ok_and(|it| it.status.success());
        if !found {
            say(&format!("SKIPPED: this toolchain has no cargo {name}"));
        }
        found
    };
    if has("fmt") {
        run_command(cargo().args(["fmt", "--all", "--check"]))?;
    }
    if has("clippy") {
        run_command(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "--deny=warnings",
        ]))?;
    }
    Ok(())
}

fn install_programs() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| which(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if which("apt-get").is_none() {
        say(&format!(
            "no apt-get here; tests that need these will be SKIPPED: {}",
            missing.join(", ")
        ));
        return Ok(());
    }
    let root = which("id")
        .and_then(|id| Command::new(id).arg("-u").output().ok())
        .is_some_and(|output| output.stdout == b"0\n");
    let apt = || {
        let mut command = if root {
            Command::new("apt-get")
        } else {
            Command::new("sudo")
        };
        if !root {
            command.args(["-n", "apt-get"]);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run_command(apt().args(["update", "-q"]))
        .and_then(|()| {
            run_command(
                apt()
                    .args(["install", "-y", "-q", "--no-install-recommends"])
                    .args(&missing),
            )
        })
        .or_else(|error| {
            say(&format!(
                "{error:#}; tests that need these will be SKIPPED: {}",
                missing.join(", ")
            ));
            Ok(())
        })
}

/// An S3 server from PyPI, in an environment of its own below `target/`.
fn install_moto() -> Result<Option<PathBuf>> {
    if which("moto_server").is_some() {
        return Ok(None);
    }
    let environment = tool::root().join("target/test-tools/moto");
    let bin = environment.join("bin");
    if bin.join("moto_server").is_file() {
        return Ok(Some(bin));
    }
    let Some(python) = which("python3") else {
        say("no python3 here: tests that need an S3 server will be SKIPPED");
        return Ok(None);
    };
    let made =
        run_command(Command::new(python).args(["-m", "venv"]).arg(&environment)).and_then(|()| {
            run_command(Command::new(bin.join("pip")).args([
                "install",
                "--quiet",
                "moto[server,s3]",
            ]))
        });
    match made.context("cannot install an S3 server") {
        Ok(()) => Ok(Some(bin)),
        Err(error) => {
            say(&format!("{error:#}: tests that need one will be SKIPPED"));
            Ok(None)
        }
    }
}

/// What judges bills of materials, into the environment whose programs are in `bin`: its interpreter.
fn install_validators(bin: &Path) -> Option<PathBuf> {
    let python = bin.join("python3");
    let has = |module: &str| {
        let import = format!("import {module}");
        let asked = Command::new(&python).args(["-c", &import]).output();
        asked.is_ok_and(|it| it.status.success())
    };
    if has("spdx_tools") && has("jsonschema") && has("cyclonedx") {
        return Some(python);
    }
    let made = run_command(Command::new(bin.join("pip")).args([
        "install",
        "--quiet",
        "spdx-tools",
        "cyclonedx-python-lib[json-validation]",
    ]));
    match made.context("cannot install validators of bills of materials") {
        Ok(()) => Some(python),
        Err(error) => {
            say(&format!("{error:#}: tests that need them will be SKIPPED"));
            None
        }
    }
}

/// What runs and reads pipelines, with the releases that Debian's node can run.
const CI_TOOLS: &[&str] = &["gitlab-ci-local@4.60.0", "@actions/workflow-parser@0.3.61"];

/// Installs them into a folder of their own below `target/`, where the tests look.
fn install_ci_tools() {
    let folder = tool::root().join("target/test-tools/npm");
    if folder.join("node_modules/gitlab-ci-local").is_dir() {
        return;
    }
    let Some(npm) = which("npm") else {
        say("no npm here: tests that run pipelines will be SKIPPED");
        return;
    };
    let made = std::fs::create_dir_all(&folder)
        .map_err(anyhow::Error::from)
        .and_then(|()| {
            let mut command = Command::new(npm);
            command.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]);
            run_command(command.arg(&folder).args(CI_TOOLS))
        });
    if let Err(error) = made {
        say(&format!(
            "{error:#}: tests that run pipelines will be SKIPPED"
        ));
    }
}
