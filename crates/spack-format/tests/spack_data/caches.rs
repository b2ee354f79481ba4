//! Build caches written by Spack 0.21 and 1.1.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use spack_format::build_cache::clearsign::{self, Envelope};
use spack_format::build_cache::{
    BinaryDistribution, METADATA_PATH, SpecFile, parse_key_index, v2, v3,
};
use spack_format::dag_hash::{DagHash, HashVerdict, verify};
use spack_format::lockfile::SpackLockfile;
use spack_format::prefix::{InstallTree, LayoutGeneration, Projections};

use crate::support;

/// The text of `.spack/binary_distribution` and the prefix in a tarball.
fn binary_distribution(tarball: &Path) -> (String, String) {
    let file =
        std::fs::File::open(tarball).unwrap_or_else(|it| panic!("{}: {it}", tarball.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        if let Some(prefix) = path.strip_suffix(METADATA_PATH) {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            return (text, format!("/{}", prefix.trim_end_matches('/')));
        }
    }
    panic!("{} has no {METADATA_PATH}", tarball.display());
}

fn gunzip(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("gzip of text");
    text
}

fn signed_payload(path: &Path) -> String {
    let text = support::read(path);
    let envelope = clearsign::split(&text).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    let Envelope::Signed(signed) = envelope else {
        panic!("{} is not signed", path.display())
    };
    assert_eq!(signed.hash_names, ["SHA512"]);
    signed.payload
}

/// The prefixes that each tarball records are those that an install tree of its root computes.
fn check_prefixes(
    lock: &SpackLockfile,
    root: &str,
    tarballs: &BTreeMap<DagHash, std::path::PathBuf>,
) {
    let generation = LayoutGeneration::of_lockfile_version(lock.version);
    let tree = InstallTree::new(root, Some(128), Projections::default_of(generation), None)
        .expect("an install tree");
    let prefix = |hash: &DagHash| {
        let spec = lock.specs.get(hash).expect("a node of the lock");
        tree.prefix(spec, &lock.specs, &|_, _| false)
            .expect("a prefix")
    };
    for (hash, tarball) in tarballs {
        let (text, found_at) = binary_distribution(tarball);
        let read = BinaryDistribution::parse(&text).expect("a binary_distribution");
        assert_eq!(read.build_path, tree.root());
        assert_eq!(
            read.sbang_install_path.as_deref(),
            Some(tree.sbang_path().as_str())
        );
        assert_eq!(read.prefix(), prefix(hash));
        assert_eq!(found_at, prefix(hash));
        assert!(read.hash_to_prefix.contains_key(hash));
        for (hash, recorded) in &read.hash_to_prefix {
            assert_eq!(*recorded, prefix(hash));
        }
        assert!(read.hardlinks_deduped);
    }
}

/// All that is checked of a layout 3 cache that holds the packages of a lock.
fn check_layout_3(mirror: &Path, lock: &SpackLockfile) {
    let mut tarballs = BTreeMap::new();
    for spec in lock.runtime_closure().packages {
        let text = signed_payload(&mirror.join(v3::spec_manifest_path(spec)));
        let manifest = v3::Manifest::parse(&text).expect("a manifest");
        assert_eq!(
            manifest.to_text(),
            text.trim_end(),
            "written as Spack writes it"
        );
        let record = manifest.spec_file().expect("a spec file");
        let blob = mirror.join(v3::blob_path(&record.checksum));
        assert_eq!(
            blob.metadata().map(|it| it.len()).ok(),
            Some(record.content_length)
        );
        let file = SpecFile::parse(&gunzip(&blob)).expect("a spec file");
        assert_eq!(file.root, spec.hash);
        assert_eq!(file.layout_version, Some(2));
        for node in file.specs.iter() {
            assert_eq!(verify(node), HashVerdict::Verified, "{node}");
            assert_eq!(Some(node), lock.specs.get(&node.hash));
        }
        let record = manifest.tarball().expect("a tarball");
        tarballs.insert(spec.hash, mirror.join(v3::blob_path(&record.checksum)));
    }
    check_prefixes(lock, "/opt/software", &tarballs);
    assert_eq!(support::read(mirror.join(v3::LAYOUT_PATH)), v3::LAYOUT_TEXT);
}

#[test]
fn the_cache_of_the_demo_is_found_and_read_from_its_lock() {
    let demo = support::demo();
    let lock = SpackLockfile::parse(&support::read(demo.join(support::DEMO_LOCK))).expect("a lock");
    assert_eq!(lock.runtime_closure().packages.len(), 5);
    check_layout_3(&demo.join("cache"), &lock);
}

#[test]
fn a_layout_3_cache_is_found_and_read_from_its_lock() {
    let Some(fixtures) = support::fixtures("a_layout_3_cache_is_found_and_read_from_its_lock")
    else {
        return;
    };
    let mirror = fixtures.join("caches/small-v3");
    let lock = SpackLockfile::parse(&support::read(fixtures.join("envs/small/spack.lock")))
        .expect("a lock");
    assert_eq!(lock.runtime_closure().packages.len(), 12);
    check_layout_3(&mirror, &lock);

    let keys = v3::Manifest::parse(&support::read(mirror.join(v3::KEYS_MANIFEST_PATH)))
        .expect("a manifest");
    let list = mirror.join(v3::blob_path(&keys.key_index().expect("a list").checksum));
    let keys = parse_key_index(&support::read(list)).expect("keys");
    let manifest =
        v3::Manifest::parse(&support::read(mirror.join(v3::key_manifest_path(&keys[0]))))
            .expect("a manifest");
    let key = support::read(mirror.join(v3::blob_path(&manifest.key().expect("a key").checksum)));
    assert!(key.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"));
}

#[test]
fn a_layout_2_cache_is_found_and_read_from_its_lock() {
    let Some(fixtures) = support::fixtures("a_layout_2_cache_is_found_and_read_from_its_lock")
    else {
        return;
    };
    let mirror = fixtures.join("caches/tiny-v2");
    let lock = SpackLockfile::parse(&support::read(fixtures.join("envs/tiny/spack.lock")))
        .expect("a lock");
    let mut tarballs = BTreeMap::new();
    for spec in lock.runtime_closure().packages {
        let paths = v2::candidates(spec, &lock.specs).remove(0);
        let file = SpecFile::parse(&signed_payload(&mirror.join(&paths.signed_spec)))
            .expect("a spec file");
        assert_eq!(file.root, spec.hash);
        assert_eq!(file.layout_version, Some(1));
        assert!(file.tarball_checksum.is_some());
        for node in file.specs.iter() {
            assert_eq!(verify(node), HashVerdict::Verified, "{node}");
        }
        tarballs.insert(spec.hash, mirror.join(&paths.tarball));
    }
    assert_eq!(tarballs.len(), 5);
    check_prefixes(&lock, "/opt/spack-sw", &tarballs);
    let keys = parse_key_index(&support::read(mirror.join(v2::KEY_INDEX_PATH))).expect("keys");
    assert!(mirror.join(v2::key_path(&keys[0])).is_file());
}
