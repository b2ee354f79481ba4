//! Decisions about the demo's real lock.

use spack_format::lockfile::SpackLockfile;

use super::*;

fn lock() -> SpackLockfile {
    let text = include_str!("../../../../demo/container_definitions/amd64/spike/spack.lock");
    SpackLockfile::parse(text).expect("the demo's lock")
}

fn wanted(texts: &[&str]) -> Vec<Wanted> {
    texts
        .iter()
        .map(|text| Wanted {
            text: (*text).to_owned(),
            canonical: (*text).to_owned(),
        })
        .collect()
}

/// The lock's own roots, in another order than the lock's.
fn roots(lock: &SpackLockfile) -> Vec<Wanted> {
    let mut texts: Vec<&str> = lock.roots.iter().map(|root| root.spec.as_str()).collect();
    texts.sort_unstable_by(|a, b| b.cmp(a));
    wanted(&texts)
}

#[test]
fn roots_come_in_the_definitions_order_and_dependencies_first() {
    let lock = lock();
    let wanted = roots(&lock);
    let decided = decide(&wanted, &lock, None, &|_, _| true).expect("fits");
    let first = lock
        .roots
        .iter()
        .find(|root| root.spec == wanted[0].text)
        .expect("a root");
    assert_eq!(decided.roots[0], first.hash);
    assert_eq!(
        decided.version(&lock.specs),
        lock.specs.get(&first.hash).map(|spec| spec.version.clone())
    );
    let place = |hash| {
        decided
            .packages
            .iter()
            .position(|package| package.hash == hash)
    };
    for package in &decided.packages {
        assert!(!package.is_external());
        for edge in package.edges.iter().filter(|edge| {
            edge.deptypes
                .intersects(spack_format::concrete::DepTypes::RUNTIME)
        }) {
            if let Some(dependency) = place(edge.hash) {
                assert!(
                    Some(dependency) < place(package.hash),
                    "{} before {}",
                    edge.name,
                    package.name
                );
            }
        }
    }
    assert!(
        decided
            .packages
            .iter()
            .all(|package| package.name != "compiler-wrapper"),
        "build dependencies stay out"
    );
}

#[test]
fn what_is_asked_for_and_what_is_locked_are_compared_both_ways() {
    let lock = lock();
    let mut wanted = roots(&lock);
    let dropped = wanted.remove(0).text;
    wanted.extend(super::tests::wanted(&["hdf5@1.14"]));
    let mismatches = decide(&wanted, &lock, None, &|_, _| true).expect_err("does not fit");
    assert_eq!(
        mismatches,
        [
            Mismatch::NotLocked("hdf5@1.14".into()),
            Mismatch::NotWanted(dropped)
        ]
    );
}

#[test]
fn a_required_target_is_required_of_every_package() {
    let lock = lock();
    let mismatches = decide(&roots(&lock), &lock, Some("x86_64_v4"), &|_, constraint| {
        !constraint.starts_with("target=")
    })
    .expect_err("does not fit");
    let decided = decide(&roots(&lock), &lock, None, &|_, _| true).expect("fits");
    assert_eq!(mismatches.len(), decided.packages.len());
    assert!(matches!(&mismatches[0], Mismatch::Target { required, .. } if required == "x86_64_v4"));
}

#[test]
fn a_lock_that_was_changed_by_hand_is_found_out() {
    let text = include_str!("../../../../demo/container_definitions/amd64/spike/spack.lock");
    let changed = text.replacen(
        "\"build_system\":\"generic\"",
        "\"build_system\":\"makefile\"",
        1,
    );
    let changed = if changed == text {
        text.replacen(
            "\"build_system\":\"makefile\"",
            "\"build_system\":\"generic\"",
            1,
        )
    } else {
        changed
    };
    assert_ne!(changed, text);
    let lock = SpackLockfile::parse(&changed).expect("still a lock");
    let mismatches = decide(&roots(&lock), &lock, None, &|_, _| true).expect_err("does not fit");
    assert!(
        matches!(mismatches.as_slice(), [Mismatch::Hash { .. }]),
        "{mismatches:?}"
    );
}
