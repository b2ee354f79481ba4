//! Build caches that Spack made.

use std::fs;
use std::path::Path;

use oci_format::Digest;
use spack_format::lockfile::SpackLockfile;

use super::super::*;
use super::made::{Bench, at_folder, bytes, signed_by};
use crate::test_support::fixtures;

async fn check(fixtures: &Path, environment: &str, cache: &str, layout: Layout) -> usize {
    let bench = Bench::new();
    let lock = fs::read_to_string(fixtures.join("envs").join(environment).join("spack.lock"));
    let lock = SpackLockfile::parse(&lock.expect("a lock")).expect("a lock");
    let key = fs::read(fixtures.join("caches/signing-key.pub")).expect("a key");
    let mirrors = [at_folder(&fixtures.join("caches").join(cache), signed_by(&key)).await];
    let wanted = lock.runtime_closure().packages;
    let found = find_all(&mirrors, wanted.clone(), &lock.specs, &bench.context()).await;
    let entries: Vec<CacheEntry> = found
        .into_iter()
        .map(|result| match result {
            Ok(Found::Here(entry)) => *entry,
            other => panic!("{other:?}"),
        })
        .collect();
    let fetched = fetch_all(&mirrors, &entries, &bench.context()).await;
    for ((entry, spec), fetched) in entries.iter().zip(&wanted).zip(fetched) {
        assert_eq!((entry.hash, entry.layout), (spec.hash, layout));
        assert!(matches!(entry.signature, SignatureState::Signed { .. }));
        let content = fetched.expect("there").content;
        assert_eq!(
            Digest::of(&bytes(&content)),
            entry.tarball.digest,
            "{}",
            entry.package
        );
    }
    assert_eq!(bench.told.warnings(), Vec::<String>::new());
    entries.len()
}

#[tokio::test]
async fn every_package_of_spacks_caches_is_found_and_whole() {
    let Some(fixtures) = fixtures() else { return };
    assert_eq!(check(&fixtures, "small", "small-v3", Layout::V3).await, 12);
    assert_eq!(check(&fixtures, "tiny", "tiny-v2", Layout::V2(1)).await, 5);
}
