//! Indices of build caches, and databases of stores.

use std::collections::{BTreeMap, HashSet};

use spack_format::build_cache::{v2, v3};
use spack_format::dag_hash::{HashVerdict, verify};
use spack_format::database::{BuildCacheIndex, StoreIndex};
use spack_format::lockfile::SpackLockfile;
use spack_format::prefix::{InstallTree, LayoutGeneration, Projections};

use crate::support;

#[test]
fn every_node_of_a_real_index_verifies() {
    let Some(fixtures) = support::fixtures("every_node_of_a_real_index_verifies") else {
        return;
    };
    let mirror = fixtures.join("caches/small-v3");
    let manifest = v3::Manifest::parse(&support::read(mirror.join(v3::index_manifest_path(None))))
        .expect("a manifest");
    let blob = v3::blob_path(&manifest.index().expect("an index").checksum);
    let tiny = fixtures.join("caches/tiny-v2").join(v2::INDEX_PATH);
    for (path, binaries, records) in [(mirror.join(blob), 12, 19), (tiny, 5, 7)] {
        let index = BuildCacheIndex::parse(&support::read(&path)).expect("an index");
        assert_eq!(
            index
                .records
                .values()
                .filter(|it| it.in_build_cache)
                .count(),
            binaries
        );
        assert_eq!(index.records.len(), records);
        assert!(index.available().count() >= binaries);
        for record in index.records.values() {
            assert_eq!(
                verify(&record.spec),
                HashVerdict::Verified,
                "{}",
                record.spec
            );
        }
    }
}

/// Version, and records by hash without times.
fn records(text: &str) -> (String, BTreeMap<String, serde_json::Value>) {
    let mut value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let version = value["database"]["version"]
        .as_str()
        .expect("a version")
        .to_owned();
    let installs = value["database"]["installs"]
        .as_object_mut()
        .expect("installs");
    let records = installs.iter_mut().map(|(hash, record)| {
        assert!(record["installation_time"].is_f64());
        record["installation_time"].take();
        (hash.clone(), record.take())
    });
    (version, records.collect())
}

#[test]
fn the_database_is_the_one_that_spack_writes() {
    let test = "the_database_is_the_one_that_spack_writes";
    let (Some(fixtures), Some(references)) = (support::fixtures(test), support::references(test))
    else {
        return;
    };
    let cases = [
        (
            "small",
            fixtures.join("envs/small/spack.lock"),
            "/opt/software",
            "8",
        ),
        (
            "tiny",
            fixtures.join("envs/tiny/spack.lock"),
            "/opt/spack-sw",
            "7",
        ),
        (
            "demo",
            support::demo().join(support::DEMO_LOCK),
            "/opt/software",
            "8",
        ),
    ];
    for (name, lock, root, version) in cases {
        let lock = SpackLockfile::parse(&support::read(lock)).expect("a lock");
        let generation = LayoutGeneration::of_lockfile_version(lock.version);
        let tree = InstallTree::new(root, Some(128), Projections::default_of(generation), None)
            .expect("a tree");
        let closure = lock.runtime_closure();
        let text = StoreIndex {
            specs: &lock.specs,
            installed: &closure.packages.iter().map(|it| it.hash).collect(),
            explicit: &lock.root_hashes().collect::<HashSet<_>>(),
            prefix: &|spec| tree.prefix(spec, &lock.specs, &|_, _| false).ok(),
            installation_time: 1_700_000_000,
        }
        .to_text()
        .expect("an index");
        let reference = support::read(references.join(format!("{name}-index.json")));
        let (ours, theirs) = (records(&text), records(&reference));
        assert_eq!(ours.0, version);
        assert_eq!(ours, theirs, "{name}");
    }
}
