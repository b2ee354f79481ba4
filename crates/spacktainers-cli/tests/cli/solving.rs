//! Definitions without a `spack.lock`: packages are chosen from what the mirrors hold.

use std::collections::BTreeSet;
use std::fs;

use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use crate::support::Stage;

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
