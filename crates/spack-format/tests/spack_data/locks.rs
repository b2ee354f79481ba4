//! `spack.lock` files written by Spack 0.21 and 1.1.

use spack_format::concrete::DepTypes;
use spack_format::dag_hash::{HashVerdict, verify};
use spack_format::lockfile::SpackLockfile;

use crate::support;

#[test]
fn every_node_of_every_real_lock_verifies() {
    let Some(fixtures) = support::fixtures("every_node_of_every_real_lock_verifies") else {
        return;
    };
    let mut verified = 0;
    for path in support::locks(&fixtures) {
        let lock = SpackLockfile::parse(&support::read(&path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for node in lock.specs.iter() {
            assert_eq!(
                verify(node),
                HashVerdict::Verified,
                "{}: {node}",
                path.display()
            );
            verified += 1;
        }
    }
    assert!(verified > 500, "only {verified} nodes");
}

#[test]
fn every_node_of_the_demo_verifies() {
    let lock = SpackLockfile::parse(&support::read(support::demo().join(support::DEMO_LOCK)))
        .expect("a lock");
    for node in lock.specs.iter() {
        assert_eq!(verify(node), HashVerdict::Verified, "{node}");
    }
    assert!(lock.specs.len() > 5);
}

#[test]
fn a_changed_node_does_not_verify() {
    let Some(fixtures) = support::fixtures("a_changed_node_does_not_verify") else {
        return;
    };
    let text = support::read(fixtures.join("envs/small/spack.lock"));
    let changed = text.replacen(
        r#""name":"zstd","version":"1.5.7""#,
        r#""name":"zstd","version":"1.5.6""#,
        1,
    );
    assert_ne!(text, changed);
    let lock = SpackLockfile::parse(&changed).expect("still a lock");
    let wrong: Vec<_> = lock
        .specs
        .iter()
        .filter(|node| matches!(verify(node), HashVerdict::Mismatch { .. }))
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(wrong, ["zstd"]);
}

#[test]
fn the_runtime_closure_of_small_is_its_twelve_packages() {
    let Some(fixtures) = support::fixtures("the_runtime_closure_of_small_is_its_twelve_packages")
    else {
        return;
    };
    let lock = SpackLockfile::parse(&support::read(fixtures.join("envs/small/spack.lock")))
        .expect("a lock");
    let closure = lock.runtime_closure();
    let mut names: Vec<_> = closure.packages.iter().map(|it| it.name.as_str()).collect();
    for (index, node) in closure.packages.iter().enumerate() {
        for edge in node.edges_of(DepTypes::RUNTIME) {
            let below = closure.packages.iter().position(|it| it.hash == edge.hash);
            assert!(
                below.is_none_or(|below| below < index),
                "{node} comes before {}",
                edge.name
            );
        }
    }
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "bzip2",
            "file",
            "gcc-runtime",
            "lz4",
            "nano",
            "ncurses",
            "pcre2",
            "readline",
            "sqlite",
            "xz",
            "zlib",
            "zstd"
        ]
    );
    assert!(closure.externals.iter().any(|it| it.name == "glibc"));
    let lock = SpackLockfile::parse(&support::read(fixtures.join("envs/tiny/spack.lock")))
        .expect("a lock");
    assert_eq!(lock.format.number(), 4);
    assert_eq!(lock.specs.len(), 7);
}
