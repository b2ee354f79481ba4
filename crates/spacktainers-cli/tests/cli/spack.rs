//! Definitions that nobody has solved, and packages that nobody has built: with real Spack.
//!
//! `SPACKTAINERS_TEST_SPACK` names a checkout of Spack 1.1 or later, `SPACKTAINERS_TEST_RECIPES` the folder of the
//! `builtin` recipes (which ours are built with); `SPACK_PYTHON` a Python that can import clingo, where the system's cannot.
//! The recipes here fetch nothing and compile nothing, so a build takes a second.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::{Ran, Stage, repository, skipped};

/// Spack's caches are made once, and one test at a time looks for what is left running.
static SPACK: Mutex<()> = Mutex::new(());

const LIBRARY: &str = r##"
from spack_repo.builtin.build_systems.generic import Package
from spack.package import *


class TestLibrary(Package):
    """Is needed by others."""

    homepage = "https://example.invalid"
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
        with open(join_path(prefix.lib, "data"), "w") as f:
            f.write("data\n")
"##;

const TOOL: &str = r##"
import os
import time

from spack_repo.builtin.build_systems.generic import Package
from spack.package import *


class TestTool(Package):
    """Says at run time where things are."""

    homepage = "https://example.invalid"
    has_code = False
    version("1.0")
    depends_on("test-library", type=("build", "link"))

    def install(self, spec, prefix):
        time.sleep(3)
        mkdirp(prefix.bin)
        with open(join_path(prefix.bin, "test-tool"), "w") as f:
            f.write("#!/bin/sh\necho tool\n")
        set_executable(join_path(prefix.bin, "test-tool"))

    def setup_run_environment(self, env):
        env.set("TEST_TOOL", join_path(self.prefix.bin, "test-tool"))
        if os.path.isfile(join_path(self.prefix.bin, "test-tool")):
            env.append_flags("TEST_FLAGS", "--there")
        env.prepend_path("TEST_DATA", self.spec["test-library"].prefix.lib)
"##;

const BROKEN: &str = r##"
import os

from spack_repo.builtin.build_systems.generic import Package
from spack.package import *


class TestBroken(Package):
    """Does not build."""

    homepage = "https://example.invalid"
    has_code = False
    version("1.0")
    depends_on("test-library", type=("build", "link"))

    def install(self, spec, prefix):
        with open("build.sh", "w") as f:
            f.write("echo 'x.c:3:1: error: no such thing'; echo token=$TEST_TOKEN; exit 1\n")
        print("what the build sees:", sorted(os.environ.items()))
        Executable("sh")("build.sh")
"##;

const DEPENDENT: &str = r##"
from spack_repo.builtin.build_systems.generic import Package
from spack.package import *


class TestDependent(Package):
    """Needs what does not build."""

    homepage = "https://example.invalid"
    has_code = False
    version("1.0")
    depends_on("test-broken", type="run")

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
"##;

/// A project with recipes of its own, whose mirror is empty.
pub(crate) struct Yard {
    pub(crate) stage: Stage,
    pub(crate) cache: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Yard {
    pub(crate) fn new() -> Option<Self> {
        let variable = |name: &str| {
            let found = std::env::var_os(name).map(PathBuf::from);
            if found.is_none() {
                skipped(&format!("{name} names no Spack"));
            }
            found
        };
        let spack = variable("SPACKTAINERS_TEST_SPACK")?;
        let recipes = variable("SPACKTAINERS_TEST_RECIPES")?;
        let alone = SPACK.lock().unwrap_or_else(PoisonError::into_inner);
        let yard = Self {
            stage: Stage::empty(),
            cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("spack"),
            _alone: alone,
        };
        let keys = repository().join("crates/spacktainers/tests/data/openpgp");
        for key in ["alpha.pub", "alpha.secret"] {
            let text = fs::read_to_string(keys.join(key)).expect("a key");
            yard.stage.write(&format!("keys/{key}"), &text);
        }
        fs::create_dir_all(yard.stage.path("mirror")).expect("a folder");
        let settings = format!(
            "[[mirror]]\nname = \"ours\"\nurl = \"mirror\"\nkeys = [\"keys/alpha.pub\"]\npush = true\n\
             [install]\nroot = \"{}\"\npadded_length = 96\n[arch.amd64]\nbase = \"scratch\"\ntarget = \"x86_64\"\n\
             [spack]\nroot = \"{}\"\nsigning_key = \"keys/alpha.secret\"\n\
             [[spack.repo]]\nname = \"builtin\"\npath = \"{}\"\n",
            yard.stage.path("store").display(),
            spack.display(),
            recipes.display(),
        );
        yard.stage.write("spacktainers.toml", &settings);
        yard.stage.write(
            "recipes/spack_repo/tests/repo.yaml",
            "repo:\n  namespace: tests\n  api: v2.2\n",
        );
        for (name, text) in [
            ("test_library", LIBRARY),
            ("test_tool", TOOL),
            ("test_broken", BROKEN),
            ("test_dependent", DEPENDENT),
        ] {
            let file = format!("recipes/spack_repo/tests/packages/{name}/package.py");
            yard.stage.write(&file, text);
        }
        Some(yard)
    }

    pub(crate) fn define(&self, name: &str, specs: &str) {
        self.stage.write(
            &format!("container_definitions/amd64/{name}/spack.yaml"),
            &format!("spack:\n  specs: [{specs}]\n  repos:\n    tests: ../../../recipes/spack_repo/tests\n"),
        );
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command(args);
        command.env("SPACKTAINERS_CACHE", &self.cache);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("the program runs"))
    }

    /// What a container's lock says.
    fn lock(&self, name: &str) -> String {
        let file = format!("container_definitions/amd64/{name}/container.lock");
        self.stage.read(&file)
    }

    /// Waits until nothing that works for us is left.
    #[track_caller]
    pub(crate) fn is_quiet(&self) {
        let work = self.cache.join("spack/work").display().to_string();
        let is_ours = |entry: &fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&work)
        };
        for _ in 0..100 {
            let mut processes = fs::read_dir("/proc").expect("processes").flatten();
            if !processes.any(|entry| is_ours(&entry)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("something still runs in {work}");
    }
}

/// Labels of the tasks that began, of a run with `--json`.
pub(crate) fn started(stdout: &str) -> Vec<String> {
    let label = |line: &str| {
        let event: Json = serde_json::from_str(line).ok()?;
        (event["event"] == "started").then(|| event["label"].as_str().map(str::to_owned))?
    };
    stdout.lines().filter_map(label).collect()
}

pub(crate) fn count(labels: &[String], begin: &str) -> usize {
    labels
        .iter()
        .filter(|label| label.starts_with(begin))
        .count()
}

#[test]
fn an_unsolved_definition_is_solved_once_and_what_is_missing_is_built_once() {
    let Some(yard) = Yard::new() else { return };
    yard.define("one", "test-tool");
    yard.define("two", "test-tool, test-library");
    let targets = ["--to", "oci:{name}:x"];
    let build =
        |more: &[&'static str]| [["build", "one", "two"].as_slice(), &targets, more].concat();
    yard.run(&build(&[])).ends(3).says("are in no mirror");
    // There is no `[base.debian]` to make a builder of.
    let ran = yard.run(&build(&["--build"])).ends(2);
    ran.says("[base.debian]").says("--no-sandbox");
    let ran = yard.run(&["lock", "--with", "spack", "--json"]);
    assert_eq!(
        count(&started(&ran.stdout), "solving"),
        0,
        "it was solved before"
    );

    // Killed as soon as the first package is in the mirror, while the second is built.
    let build = build(&["--build", "--no-sandbox", "--json", "--jobs", "2"]);
    let mut child = yard
        .command(&build)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut heard = String::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let line = line.expect("text");
        heard.push_str(&line);
        heard.push('\n');
        if line.contains("\"label\":\"building test-tool") {
            break;
        }
    }
    child.kill().expect("it runs");
    let _ = child.wait();
    yard.is_quiet();
    assert_eq!(
        count(&started(&heard), "building test-library"),
        1,
        "{heard}"
    );

    let ran = yard.run(&build).ends(0);
    let labels = started(&ran.stdout);
    assert_eq!(count(&labels, "building test-library"), 0, "{labels:?}");
    assert_eq!(count(&labels, "building test-tool"), 1, "{labels:?}");
    let ran = yard.run(&build).ends(0);
    assert_eq!(count(&started(&ran.stdout), "building"), 0, "all is there");

    // On another machine, what a mirror has is laid down without Spack, and the rest is built on it.
    for gone in ["store", "mirror/v3/manifests/spec/test-tool"] {
        fs::remove_dir_all(yard.stage.path(gone)).expect("it is there");
    }
    for name in ["one", "two"] {
        let file = format!("container_definitions/amd64/{name}/container.lock");
        fs::remove_file(yard.stage.path(&file)).expect("it is there");
    }
    let ran = yard.run(&build).ends(0);
    let labels = started(&ran.stdout);
    assert_eq!(count(&labels, "building test-library"), 0, "{labels:?}");
    assert_eq!(count(&labels, "laying down"), 0, "{labels:?}");
    assert_eq!(count(&labels, "building test-tool"), 1, "{labels:?}");

    let lock = yard.lock("one");
    for text in [
        "TEST_TOOL = \"/opt/view/bin/test-tool\"",
        "TEST_FLAGS = \"--there\"",
        "TEST_DATA = \"/opt/view/lib\"",
        "recipes, asked with Spack",
        "signed_by = ",
    ] {
        assert!(lock.contains(text), "`{text}` is not in\n{lock}");
    }
    // Without Spack, the lock stays as it is.
    let settings = yard.stage.read("spacktainers.toml");
    let (without, _) = settings.split_once("[spack]").expect("a section");
    yard.stage.write("spacktainers.toml", without);
    yard.run(&["lock", "one", "--update-base"]).ends(0);
    assert_eq!(yard.lock("one"), lock);
}

#[test]
fn a_failure_stops_only_what_depends_on_it_and_leaves_a_capsule_without_secrets() {
    let Some(yard) = Yard::new() else { return };
    yard.define("good", "test-library");
    yard.define("bad", "test-dependent");
    let args = [
        "build",
        "good",
        "bad",
        "--to",
        "oci:{name}:x",
        "--build",
        "--no-sandbox",
    ];
    let mut command = yard.command(&args);
    command.env("TEST_TOKEN", "canary-6174");
    let ran = Ran::of(command.output().expect("it runs")).ends(3);
    for text in [
        "of its log: x.c:3:1: error: no such thing",
        "not built: test-dependent@1.0",
        "bad (amd64) was not built",
    ] {
        assert!(
            ran.stderr.contains(text),
            "`{text}` is not in\n{}",
            ran.stderr
        );
    }
    assert!(yard.stage.path("good/index.json").is_file());
    let (_, rest) = ran
        .stderr
        .split_once("spacktainers replay ")
        .expect("a capsule");
    let capsule = PathBuf::from(rest.split('`').next().expect("its folder"));
    let mut open = vec![capsule.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let text = fs::read_to_string(entry.path()).expect("text");
                assert!(!text.contains("canary"), "{}", entry.path().display());
            }
        }
    }
    let shown = yard
        .run(&["replay", &capsule.display().to_string()])
        .ends(0);
    assert!(
        shown.stdout.contains("x.c:3:1: error: no such thing"),
        "{}",
        shown.stdout
    );
    let again = Command::new("sh")
        .arg(capsule.join("reproduce.sh"))
        .output()
        .expect("a shell");
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr).into_owned()
        + &String::from_utf8_lossy(&again.stdout);
    assert!(said.contains("no such thing"), "{said}");
}

#[test]
fn what_spack_refuses_is_told_in_its_words() {
    let Some(yard) = Yard::new() else { return };
    yard.define("odd", "no-such-package-anywhere");
    let ran = yard.run(&["lock", "odd", "--with", "spack"]).ends(2);
    let ran = ran.says("solving odd (amd64) failed");
    assert!(
        ran.stderr.contains("no-such-package-anywhere"),
        "{}",
        ran.stderr
    );
    let lock = "container_definitions/amd64/odd/spack.lock";
    assert!(!yard.stage.path(lock).exists());
}
