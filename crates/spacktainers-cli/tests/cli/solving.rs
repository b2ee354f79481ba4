//! Definitions without a `spack.lock`: packages are chosen from what the mirrors hold.

use std::collections::BTreeSet;
use std::fs;

use oci_format::layer::Entry;
use oci_format::layer::tar::TarWriter;
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use crate::support::{SETTINGS, Stage};

const LOCK: &str = "container_definitions/amd64/spike/spack.lock";

fn roots(stage: &Stage) -> BTreeSet<(String, DagHash)> {
    let lock = SpackLockfile::parse(&stage.read(LOCK)).expect("a lock");
    let roots = lock.roots.into_iter();
    roots.map(|it| (it.spec, it.hash)).collect()
}

/// The demo, without Spack's decision.
fn unsolved() -> Stage {
    let stage = Stage::demo();
    fs::remove_file(stage.path(LOCK)).expect("a lock");
    stage
}

#[test]
fn the_lock_is_the_one_that_spack_made() {
    let spack = roots(&Stage::demo());
    let stage = unsolved();
    let ran = stage.run(&["lock", "spike", "--explain"]).ends(0);
    assert!(
        ran.stdout.contains("1 of 1 in the caches fit"),
        "{}",
        ran.stdout
    );
    assert_eq!(roots(&stage), spack);
    stage.run(&["lock", "--check"]).ends(0);
    // The index is remembered, and the choice the same.
    let text = stage.read(LOCK);
    stage
        .run(&["lock", "spike", "--update", "--offline"])
        .ends(0);
    assert_eq!(stage.read(LOCK), text);
}

/// A base with a C library that nothing was built for; or, without the library, with none.
fn base(stage: &Stage, libc: Option<&str>) {
    let mut tar = TarWriter::new(Vec::new());
    for path in ["bin/sh"].into_iter().chain(libc) {
        let entry = Entry::file(path, 0o755, 0, 3);
        tar.append_bytes(&entry, b"elf").expect("memory");
    }
    fs::write(stage.path("base.tar"), tar.finish().expect("memory")).expect("a file");
    let settings = SETTINGS.replace("scratch", "rootfs:base.tar");
    stage.write("spacktainers.toml", &settings);
}

#[test]
fn the_c_library_is_that_of_the_base() {
    let stage = unsolved();
    base(&stage, Some("lib/ld-musl-x86_64.so.1"));
    stage.run(&["lock", "spike"]).ends(3).says(
        "which is glibc 2.36; the base image rootfs:base.tar asks for musl, which is its own",
    );
    assert!(!stage.path(LOCK).exists());
    base(&stage, None);
    let ran = stage.run(&["lock", "spike", "--json"]).ends(0);
    assert!(ran.stdout.contains("\"libc\":null"), "{}", ran.stdout);
    // A base that is not there is the business of who makes the image; choosing goes on.
    fs::remove_file(stage.path(LOCK)).expect("a lock");
    base(&stage, Some("lib/ld-musl-x86_64.so.1"));
    stage.write(
        "spacktainers.toml",
        &SETTINGS.replace("scratch", "docker://127.0.0.1:1/no:where"),
    );
    stage
        .run(&["lock", "spike", "--update-base", "--offline"])
        .says("the C library of the base image is not known");
    assert!(stage.path(LOCK).exists());
}

#[test]
fn environments_that_are_included_come_along() {
    let stage = unsolved();
    let own = "container_definitions/amd64/other";
    let asks = |include: &str| {
        let text = format!("spack:\n  specs: [libspike]\n  include_concrete: [{include}]\n");
        stage.write(&format!("{own}/spack.yaml"), &text);
    };
    asks("../spike");
    stage
        .run(&["lock", "other"])
        .ends(2)
        .says("`../spike`, which is included, has no `spack.lock` that can be read")
        .says("other/spack.yaml:3");
    stage.run(&["lock", "spike", "--solve-only"]).ends(0);
    let container = stage.path("container_definitions/amd64/spike/container.lock");
    assert!(!container.exists(), "it was only solved");
    asks("../spike");
    stage.run(&["lock", "other"]).ends(0);
    let lock = SpackLockfile::parse(&stage.read(&format!("{own}/spack.lock"))).expect("a lock");
    let [included] = lock.included.as_slice() else {
        panic!("one environment: {:?}", lock.included)
    };
    let spike = SpackLockfile::parse(&stage.read(LOCK)).expect("a lock");
    assert_eq!(included.roots, spike.roots);
    assert!(included.path.starts_with('/') && included.path.ends_with("amd64/spike"));
    // What is included is in the image, and another choice there makes another image here.
    let container = stage.read(&format!("{own}/container.lock"));
    assert!(container.contains("name = \"spike\""), "{container}");
    stage.run(&["lock", "--check", "other"]).ends(0);
    stage.write(LOCK, &stage.read(LOCK).replacen("}}", "}} ", 1));
    stage.run(&["lock", "--check", "other"]).ends(2);
}

#[test]
fn building_chooses_first() {
    let spack = roots(&Stage::demo());
    let stage = unsolved();
    stage.run(&["build", "spike", "--locked"]).ends(2);
    assert!(!stage.path(LOCK).exists(), "--locked decides nothing");
    stage.build("oci:out").ends(0);
    assert_eq!(roots(&stage), spack);
}

#[test]
fn what_excluded_the_nearest_is_told_and_nothing_is_written() {
    let stage = unsolved();
    let text = stage.read(stage.definition());
    let text = text.replace(
        "require: target=x86_64_v3",
        "conflict: ['target=x86_64_v3']",
    );
    let line = 1 + text
        .lines()
        .take_while(|it| !it.contains("conflict"))
        .count();
    stage.write(stage.definition(), &text);
    stage
        .run(&["lock", "spike"])
        .ends(3)
        .says("the build caches hold nothing for")
        .says(&format!(
            "packages:all:conflict at container_definitions/amd64/spike/spack.yaml:{line}"
        ));
    assert!(!stage.path(LOCK).exists());
    stage.write(stage.definition(), "spack:\n  specs: [no-such-package]\n");
    stage
        .run(&["lock", "spike"])
        .ends(3)
        .says("no such package");
}

#[test]
fn what_is_missing_is_told_with_what_is_in_the_way() {
    let stage = Stage::demo();
    let there = ["cache", "why-miss", "spike@1:", "--json"];
    let told = stage.run(&there).ends(0).json();
    assert!(told["found"].is_string(), "{told}");
    let ran = stage.run(&["cache", "why-miss", "spike@2:"]).ends(3);
    assert!(
        ran.stderr.contains("has the version 1.0.0"),
        "{}",
        ran.stderr
    );
    let told = stage
        .run(&["cache", "why-miss", "spike@2:", "--json"])
        .ends(3)
        .json();
    assert_eq!(told["considered"], 1);
    stage
        .run(&["cache", "why-miss", "spkie"])
        .ends(3)
        .says("did you mean `spike`?");
    stage.run(&["cache", "why-miss", "spike@@"]).ends(2);
}
