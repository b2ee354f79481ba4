//! Real locks: each package once, behind what it needs, and only what is missing.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use spack_format::concrete::DepTypes;
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use super::super::*;
use super::made::Numbers;
use crate::base::BaseArchitecture;
use crate::test_support::fixtures;

/// The demo's lock, and those of real containers where they are there.
fn locks() -> Vec<SpackLockfile> {
    let demo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let mut files = vec![demo.join("container_definitions/amd64/spike/spack.lock")];
    for folder in fixtures()
        .into_iter()
        .flat_map(|it| std::fs::read_dir(it.join("locks")))
    {
        files.extend(folder.flatten().map(|it| it.path().join("spack.lock")));
    }
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file)
            .ok()
            .and_then(|it| SpackLockfile::parse(&it).ok())
    };
    files.iter().filter_map(read).collect()
}

#[test]
fn what_is_missing_of_real_locks_is_built_once_and_in_order() {
    let locks = locks();
    let held: Vec<Vec<DagHash>> = locks
        .iter()
        .map(|lock| {
            lock.runtime_closure()
                .packages
                .iter()
                .map(|it| it.hash)
                .collect()
        })
        .collect();
    let wanted: Vec<Wanted<'_>> = locks
        .iter()
        .zip(&held)
        .map(|(lock, held)| Wanted {
            name: "x",
            architecture: BaseArchitecture::Amd64,
            packages: Some((&lock.specs, held)),
            is_solved: true,
            why: Some("there is no image yet"),
        })
        .collect();
    let mut numbers = Numbers(5);
    for share in [0, 2, 7, 10] {
        let there: HashSet<DagHash> = locks
            .iter()
            .flat_map(|lock| lock.specs.iter())
            .filter(|_| numbers.below(10) < share)
            .map(|it| it.hash)
            .collect();
        let work = Work::missing(&wanted, |hash| there.contains(hash), |_| None);
        let places: BTreeMap<DagHash, usize> = work
            .packages
            .iter()
            .enumerate()
            .map(|(index, it)| (it.hash, index))
            .collect();
        assert_eq!(places.len(), work.packages.len(), "each package once");
        let mut below: Vec<HashSet<usize>> = Vec::new();
        for (index, package) in work.packages.iter().enumerate() {
            assert!(!there.contains(&package.hash));
            let mut all: HashSet<usize> = package.after.iter().copied().collect();
            package.after.iter().for_each(|it| all.extend(&below[*it]));
            let lock = locks
                .iter()
                .find(|it| it.specs.get(&package.hash).is_some())
                .expect("a lock");
            let spec = lock.specs.get(&package.hash).expect("a package");
            for edge in spec.edges_of(DepTypes::RUNTIME | DepTypes::BUILD) {
                if let Some(place) = places.get(&edge.hash) {
                    assert!(
                        *place < index && all.contains(place),
                        "{} before {}",
                        edge.name,
                        package.name
                    );
                }
            }
            below.push(all);
        }
        for (container, held) in work.containers.iter().zip(&held) {
            let missing = held.iter().filter(|it| places.contains_key(it)).count();
            assert_eq!(container.after.len(), missing);
        }
        let limits = System::Gitlab.limits(&crate::project::CiSettings::default());
        let graph = pack(&work.tasks(), &limits);
        super::packing::check(&graph, &work.tasks(), &limits);
        let end = makespan(&graph, &work.tasks(), limits.overhead, None);
        // These plans take less than an hour: beside that, the starts of a few jobs behind each other are much.
        let most = bound(&work.tasks(), &limits) * 115 / 100 + 8 * limits.overhead;
        assert!(end <= most, "{end} s of {most} s");
    }
}

#[test]
fn what_is_up_to_date_needs_nothing() {
    let locks = locks();
    let wanted = [Wanted {
        name: "x",
        architecture: BaseArchitecture::Amd64,
        packages: Some((&locks[0].specs, &[])),
        is_solved: true,
        why: None,
    }];
    assert!(Work::missing(&wanted, |_| false, |_| None).is_empty());
}
