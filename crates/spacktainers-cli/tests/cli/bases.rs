//! The images that a project makes to build on: `base build`.
//!
//! `SPACKTAINERS_TEST_WHEEL` names a wheel of clingo for Debian 12's Python, with which Spack in the builder solves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ran, Stage, has, skipped};

/// A project on the Debian that this machine's apt knows; nothing where it knows none.
fn stage(settings: &str) -> Option<Stage> {
    if !Path::new("/etc/apt").is_dir() {
        skipped("a Debian base needs the configuration of apt");
        return None;
    }
    let stage = Stage::empty();
    fs::create_dir_all(stage.path("container_definitions")).expect("a folder");
    stage.write(
        "spacktainers.toml",
        &format!("[base.debian]\nsuite = \"bookworm\"\n{settings}"),
    );
    Some(stage)
}

fn base(stage: &Stage, args: &[&str]) -> Ran {
    stage.run(&[&["base", "build", "--arch", "amd64", "--json"], args].concat())
}

/// Runs a program in an image of a layout; nothing where there is no podman that can.
fn podman(stage: &Stage, layout: &str, options: &[&str], command: &[&str]) -> Option<String> {
    if !has("podman") {
        return None;
    }
    let storage = |name: &str| stage.path(name).display().to_string();
    let image = format!("oci:{}", stage.path(layout).display());
    let run = |arguments: &[&str]| {
        Command::new("podman")
            .args(["--root", &storage("graph"), "--runroot", &storage("run")])
            .args(["--storage-driver", "vfs"])
            .args(arguments)
            .output()
            .expect("podman runs")
    };
    let pulled = run(&["pull", "--quiet", &image]);
    if !pulled.status.success() {
        skipped(&String::from_utf8_lossy(&pulled.stderr));
        return None;
    }
    let id = String::from_utf8_lossy(&pulled.stdout).trim().to_owned();
    let mut line = vec!["run", "--rm", "--network", "none"];
    line.extend([
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1000:1000",
    ]);
    if has("runc") {
        line.splice(0..0, ["--runtime", "runc"]);
    }
    line.extend(options);
    line.push(&id);
    line.extend(command);
    let ran = run(&line);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let complained = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}\n{complained}");
    Some(said)
}

#[test]
fn a_runtime_is_the_same_each_time_and_runs() {
    let Some(stage) = stage("[base.runtime]\npackages = [\"libgomp1\", \"libgfortran5\"]\n") else {
        return;
    };
    let made = base(&stage, &["runtime", "--to", "oci:{name}:x"])
        .ends(0)
        .json();
    assert_eq!(made["state"], "built");
    assert!(stage.path("runtime.amd64.lock").is_file());
    let again = base(&stage, &["runtime", "--to", "oci:{name}:x"])
        .ends(0)
        .json();
    assert_eq!(again["state"], "up to date");
    assert_eq!(again["digest"], made["digest"]);
    // On another machine, which has nothing but the lock.
    fs::remove_dir_all(stage.path("local")).expect("it is there");
    let elsewhere = base(&stage, &["runtime", "--to", "oci:other:x", "--force"])
        .ends(0)
        .json();
    assert_eq!(elsewhere["state"], "built");
    assert_eq!(elsewhere["digest"], made["digest"]);
    // Other packages are another image.
    let settings = stage
        .read("spacktainers.toml")
        .replace(", \"libgfortran5\"", "");
    stage.write("spacktainers.toml", &settings);
    let other = base(&stage, &["runtime", "--to", "oci:{name}:x"])
        .ends(0)
        .json();
    assert_eq!(other["state"], "built");
    assert_ne!(other["inputs_digest"], made["inputs_digest"]);

    let said = podman(&stage, "other", &[], &["ls", "/usr/lib/x86_64-linux-gnu"]);
    if let Some(said) = said {
        assert!(said.contains("libgfortran.so.5"), "{said}");
    }
}

#[test]
fn a_builder_without_spack_or_debian_says_what_is_missing() {
    let Some(stage) = stage("") else { return };
    let mut command = stage.command(&["base", "build", "builder"]);
    command.env_remove("SPACK_ROOT");
    Ran::of(command.output().expect("runs"))
        .ends(2)
        .says("[spack]");
    stage.write("spacktainers.toml", "");
    base(&stage, &["runtime"]).ends(2).says("[base.debian]");
    stage.write("runtime.amd64.lock", "version = 7\n");
    stage.write("spacktainers.toml", "[base.debian]\nsuite = \"bookworm\"\n");
    base(&stage, &["runtime"])
        .ends(2)
        .says("runtime.amd64.lock");
}

#[test]
fn spack_installs_in_a_builder() {
    let variable = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        if found.is_none() {
            skipped(&format!("{name} names nothing"));
        }
        found
    };
    let (Some(spack), Some(recipes), Some(wheel)) = (
        variable("SPACKTAINERS_TEST_SPACK"),
        variable("SPACKTAINERS_TEST_RECIPES"),
        variable("SPACKTAINERS_TEST_WHEEL"),
    ) else {
        return;
    };
    let settings = format!(
        "[base.builder]\nwheels = [\"{}\"]\n[spack]\nroot = \"{}\"\n\
         [[spack.repo]]\nname = \"builtin\"\npath = \"{}\"\n\
         [install]\nroot = \"/opt/software\"\npadded_length = 128\n[arch.amd64]\ntarget = \"x86_64\"\n\
         [[mirror]]\nname = \"far\"\nurl = \"https://mirror.example/cache\"\nkeys = [\"alpha.pub\"]\n",
        wheel.display(),
        spack.display(),
        recipes.display(),
    );
    let Some(stage) = stage(&settings) else {
        return;
    };
    let key = crate::support::repository().join("crates/spacktainers/tests/data/openpgp/alpha.pub");
    fs::copy(key, stage.path("alpha.pub")).expect("a key");
    let to = ["builder", "--to", "oci:builder:x"];
    let made = base(&stage, &to).ends(0).json();
    assert_eq!(made["layers"], 3);
    let again = base(&stage, &to).ends(0).json();
    assert_eq!(again["state"], "up to date");
    assert!(made["inputs"]["org.spacktainers.spack.commit"].is_string());

    let script = "spack config get config | grep padded_length; spack gpg list; spack mirror list; \
                  spack spec gmake";
    // What the image itself starts is `spack`.
    let options = ["--entrypoint", "/usr/local/bin/spack-env"];
    let Some(said) = podman(&stage, "builder", &options, &["bash", "-c", script]) else {
        return;
    };
    for text in ["padded_length: 128", "far", "gmake@", "%c=gcc@12", "alpha"] {
        assert!(said.contains(text), "`{text}` is not in\n{said}");
    }
}
