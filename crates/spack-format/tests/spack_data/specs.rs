//! What real Spack says of specs, and what this crate does.

use std::collections::HashMap;
use std::io::Write as _;

use spack_format::lockfile::SpackLockfile;
use spack_format::spec::replay::Replay;

use crate::support;

/// The share of answers that must be Spack's.
const AGREEMENT: f64 = 0.995;

fn check(replay: &Replay) {
    let mut out = std::io::stderr();
    for (kind, tally) in &replay.tallies {
        let _ = writeln!(out, "{kind}: {} of {}", tally.agree, tally.total);
    }
    for it in &replay.differences {
        let _ = writeln!(
            out,
            "line {}, {}: {}\n  Spack: {}\n  here:  {}",
            it.line, it.kind, it.question, it.expected, it.found
        );
    }
    for (kind, tally) in &replay.tallies {
        assert!(tally.share() >= AGREEMENT, "{kind}");
    }
}

#[test]
fn abstract_specs_are_what_spack_says() {
    let Some(fixtures) = support::fixtures("abstract_specs_are_what_spack_says") else {
        return;
    };
    let mut replay = Replay::new();
    let rows = support::read(fixtures.join("specs/abstract.jsonl"));
    replay.abstract_rows(&rows).expect("rows");
    assert_eq!(replay.tallies.len(), 4);
    check(&replay);
}

#[test]
fn concrete_specs_satisfy_what_spack_says() {
    let Some(fixtures) = support::fixtures("concrete_specs_satisfy_what_spack_says") else {
        return;
    };
    let mut locks = HashMap::new();
    for name in ["locks/hpc", "envs/small"] {
        let text = support::read(fixtures.join(name).join("spack.lock"));
        let lock = SpackLockfile::parse(&text).expect("a lock");
        locks.insert(name.to_owned(), lock.specs);
    }
    let mut replay = Replay::new();
    let rows = support::read(fixtures.join("specs/concrete-satisfies.jsonl"));
    replay.concrete_rows(&rows, &locks).expect("rows");
    check(&replay);
}
