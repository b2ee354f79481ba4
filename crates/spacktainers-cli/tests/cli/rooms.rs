//! Packages that are built in a sandbox, and their sources fetched ahead: with real Spack.
//!
//! Variables as in [`crate::spack`]. The sandbox is the project's own builder with few packages, of the Debian that this
//! machine's apt knows.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_format::Digest;
use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;

use crate::spack::{Yard, count, started};
use crate::support::{Ran, has, skipped};

/// Says what a build sees, and compiles a program.
const NATIVE: &str = r##"
import os

from spack_repo.builtin.build_systems.generic import Package
from spack.package import *


class TestNative(Package):
    """Is compiled."""

    homepage = "https://example.invalid"
    url = "https://example.invalid/test-native-1.0.tar.gz"
    version("1.0", sha256="@CHECKSUM@")

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
        Executable("/usr/bin/gcc")("-o", join_path(prefix.bin, "test-native"), "native.c")
        with open(join_path(prefix, "seen"), "w") as f:
            f.write("network: %s\n" % open("/proc/net/dev").read())
            f.write("home: %s\n" % os.environ.get("HOME"))
            f.write("stage: %s\n" % os.getcwd())
            f.write("token: %s\n" % os.environ.get("TEST_TOKEN"))
            f.write("host: %s\n" % os.path.exists("@HOST@"))
            f.write("release: %s\n" % open("/etc/os-release").read())
"##;

/// Cannot be fetched.
const GONE: &str = r##"
from spack_repo.builtin.build_systems.generic import Package
from spack.package import *


class TestGone(Package):
    """Has no source anywhere."""

    homepage = "https://example.invalid"
    url = "https://example.invalid/test-gone-1.0.tar.gz"
    version("1.0", sha256="1111111111111111111111111111111111111111111111111111111111111111")

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
"##;

const NEEDS_GONE: &str = r##"
from spack_repo.builtin.build_systems.generic import Package
from spack.package import *


class TestNeedsGone(Package):
    """Needs what has no source."""

    homepage = "https://example.invalid"
    has_code = False
    version("1.0")
    depends_on("test-gone", type="run")

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
"##;

/// A yard whose builds are in a sandbox, with a mirror of sources.
fn yard() -> Option<Yard> {
    if !Path::new("/etc/apt").is_dir() || !has("bwrap") {
        skipped("a builder needs the configuration of apt, and bubblewrap");
        return None;
    }
    let yard = Yard::new()?;
    let settings = yard.stage.read("spacktainers.toml")
        + "[base.debian]\nsuite = \"bookworm\"\n\
           [base.builder]\npackages = [\"gcc\", \"libc6-dev\", \"python3\", \"patch\", \"file\", \"bzip2\", \"xz-utils\", \"gnupg\", \"git\", \"unzip\", \"zstd\"]\n\
           [[source_mirror]]\nname = \"sources\"\nurl = \"sources\"\n";
    // What a user without root has: an install root that only root could make.
    let store = yard.stage.path("store").display().to_string();
    let settings = settings.replace(&store, "/opt/spacktainers-test/software");
    yard.stage.write("spacktainers.toml", &settings);

    let source = source();
    let checksum = Digest::of(&source).hex();
    let folder = format!("sources/_source-cache/archive/{}", &checksum[..2]);
    fs::create_dir_all(yard.stage.path(&folder)).expect("a folder");
    let file = yard.stage.path(&format!("{folder}/{checksum}.tar.gz"));
    fs::write(file, source).expect("written");
    let native = NATIVE.replace("@CHECKSUM@", &checksum).replace(
        "@HOST@",
        &yard.stage.path("spacktainers.toml").display().to_string(),
    );
    for (name, text) in [
        ("test_native", native.as_str()),
        ("test_gone", GONE),
        ("test_needs_gone", NEEDS_GONE),
    ] {
        let file = format!("recipes/spack_repo/tests/packages/{name}/package.py");
        yard.stage.write(&file, text);
    }
    // Choosing packages takes a while; the same were chosen by whichever test came first.
    let _ = fs::copy(yard.cache.join(BUILDER), yard.stage.path(BUILDER));
    Some(yard)
}

/// What a builder's packages are kept in.
const BUILDER: &str = "builder.amd64.lock";

/// Keeps the packages that were chosen for the next test.
fn keep_builder(yard: &Yard) {
    fs::copy(yard.stage.path(BUILDER), yard.cache.join(BUILDER)).expect("they were chosen");
}

/// A source archive.
fn source() -> Vec<u8> {
    let text: &[u8] = b"#include <gnu/libc-version.h>\n#include <stdio.h>\n\
                 int main(void) { printf(\"native on glibc %s\\n\", gnu_get_libc_version()); return 0; }\n";
    let entry = Entry::file("test-native-1.0/native.c", 0o644, 0, text.len() as u64);
    let mut tar = TarWriter::new(GzEncoder::new(Vec::new(), Compression::new(6)));
    tar.append_bytes(&entry, text).expect("packed");
    let gzip = tar.finish().expect("packed");
    gzip.finish().expect("packed")
}

/// A file of a package that lies in the yard's image layout is not looked for there, but in what the farm keeps.
fn seen(yard: &Yard) -> String {
    let mut open = vec![yard.cache.join("spack/stores")];
    let mut newest: Option<(std::time::SystemTime, PathBuf)> = None;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                open.push(path);
            } else if path.ends_with("seen") {
                let time = entry
                    .metadata()
                    .and_then(|it| it.modified())
                    .expect("a time");
                if newest.as_ref().is_none_or(|(known, _)| *known < time) {
                    newest = Some((time, path));
                }
            }
        }
    }
    let (_, path) = newest.expect("it was built");
    fs::read_to_string(path).expect("text")
}

#[test]
fn a_package_is_built_in_the_image_and_becomes_part_of_another_one() {
    let Some(yard) = yard() else { return };
    yard.define("native", "test-native, test-tool");
    let args = [
        "build",
        "native",
        "--to",
        "oci:{name}:x",
        "--build",
        "--json",
    ];
    let args = [&args[..], &["--allow-missing-libraries", "--jobs", "2"]].concat();
    // Killed as soon as something is being built.
    let mut command = yard.command(&args);
    command.env("TEST_TOKEN", "canary-6174");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        if line
            .expect("text")
            .contains("\"label\":\"building test-tool")
        {
            break;
        }
    }
    child.kill().expect("it runs");
    let _ = child.wait();
    yard.is_quiet();

    let mut command = yard.command(&args);
    command.env("TEST_TOKEN", "canary-6174");
    let ran = Ran::of(command.output().expect("it runs")).ends(0);
    keep_builder(&yard);
    let labels = started(&ran.stdout);
    assert_eq!(count(&labels, "building test-library"), 0, "{labels:?}");
    assert_eq!(count(&labels, "building test-tool"), 1, "{labels:?}");
    assert!(yard.stage.path("native/index.json").is_file());
    let seen = seen(&yard);
    for text in [
        "home: /spacktainers/home",
        "stage: /spacktainers/stage/",
        "token: None",
        "host: False",
        "bookworm",
    ] {
        assert!(seen.contains(text), "`{text}` is not in\n{seen}");
    }
    assert!(
        !seen.contains("eth"),
        "no network but its own loop:\n{seen}"
    );
    assert!(
        !Path::new("/opt/spacktainers-test").exists(),
        "the install root is there for builds alone"
    );
    let ran = yard.run(&args).ends(0);
    assert_eq!(count(&started(&ran.stdout), "building"), 0, "all is there");
}

#[test]
fn a_source_that_cannot_be_had_is_known_before_anything_is_built() {
    let Some(yard) = yard() else { return };
    yard.define("good", "test-library");
    yard.define("bad", "test-needs-gone");
    let args = [
        "build",
        "good",
        "bad",
        "--to",
        "oci:{name}:x",
        "--build",
        "--no-sandbox",
        "--json",
    ];
    let settings = yard.stage.read("spacktainers.toml");
    let store = yard.stage.path("store").display().to_string();
    yard.stage.write(
        "spacktainers.toml",
        &settings.replace("/opt/spacktainers-test/software", &store),
    );
    let ran = yard.run(&args).ends(3);
    let labels = started(&ran.stdout);
    assert_eq!(count(&labels, "building test-gone"), 0, "{labels:?}");
    assert_eq!(count(&labels, "building test-library"), 1, "{labels:?}");
    for text in [
        "https://example.invalid/test-gone-1.0.tar.gz",
        "1111111111111111",
        "not built: test-needs-gone@1.0",
    ] {
        assert!(
            ran.stderr.contains(text),
            "`{text}` is not in\n{}",
            ran.stderr
        );
    }
    assert!(yard.stage.path("good/index.json").is_file());
}

#[test]
fn a_failed_build_can_be_repeated_and_looked_at_in_its_sandbox() {
    let Some(yard) = yard() else { return };
    yard.define("bad", "test-broken");
    let ran = yard
        .run(&["build", "bad", "--to", "oci:{name}:x", "--build"])
        .ends(3);
    keep_builder(&yard);
    let (_, rest) = ran
        .stderr
        .split_once("spacktainers replay ")
        .expect("a capsule");
    let capsule = PathBuf::from(rest.split('`').next().expect("its folder"));
    let script = capsule.join("reproduce.sh");
    let output = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.arg(&script).args(arguments).stdin(Stdio::null());
        let output = command.output().expect("a shell");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let again = output(&[]);
    assert!(again.contains("no such thing"), "{again}");
    let inside = output(&["/bin/sh", "-c", "pwd; cat /etc/os-release"]);
    assert!(inside.contains("/spacktainers/home"), "{inside}");
    assert!(inside.contains("bookworm"), "{inside}");
}

#[test]
fn without_bubblewrap_it_is_said_what_to_install() {
    let Some(yard) = yard() else { return };
    yard.define("one", "test-library");
    yard.run(&["lock", "one", "--with", "spack"]);
    let folder = yard.stage.path("bin");
    fs::create_dir_all(&folder).expect("a folder");
    for program in ["git", "sh", "cat", "gpg", "python3", "gpg-agent"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        if let Some(found) = found {
            std::os::unix::fs::symlink(found, folder.join(program)).expect("a link");
        }
    }
    let mut command = yard.command(&["build", "one", "--to", "oci:{name}:x", "--build"]);
    command.env("PATH", &folder);
    let ran = Ran::of(command.output().expect("it runs")).ends(2);
    ran.says("bubblewrap").says("--no-sandbox");
}
