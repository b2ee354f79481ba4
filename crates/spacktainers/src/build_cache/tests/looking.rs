//! What is wrong is named, and what is missing is copied.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use spack_format::build_cache::v3;

use super::made::{Stage, catalog, destination, files, hash, trust};
use crate::build_cache::{
    CacheFault, Catalog, Destination, IndexScope, PushOptions, Signing, list, push_all,
    push_installed, sync, update_index, verify,
};
use crate::fetch::{FindFault, Trust};
use crate::mirror::{FileMirror, SharedWriter};
use crate::openpgp::PublicKeys;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

async fn filled(stage: &Stage) -> SharedWriter {
    let mirror = stage.mirror("m");
    let target = destination(&mirror, PushOptions::default());
    let (tree, context) = (stage.tree(), stage.context());
    for result in push_all(&tree, NAMES.map(hash), &target, &context).await {
        result.expect("pushed");
    }
    update_index(&mirror, IndexScope::Pending, &context)
        .await
        .expect("an index");
    mirror
}

fn four() -> Stage {
    Stage::with(&NAMES.map(|name| (name, "1.0", &[][..])))
}

fn manifest(stage: &Stage, name: &str) -> PathBuf {
    let tree = stage.tree();
    let spec = tree.specs().get(&hash(name)).expect("a node");
    stage.path("m").join(v3::spec_manifest_path(spec))
}

/// The blob that a manifest names first: the archive.
fn tarball(stage: &Stage, name: &str) -> PathBuf {
    let text = fs::read_to_string(manifest(stage, name)).expect("reads");
    let text = crate::openpgp::unverified_text(&text).expect("signed");
    let manifest = v3::Manifest::parse(&text).expect("a manifest");
    let record = manifest.tarball().expect("an archive").clone();
    stage.path("m").join(v3::blob_path(&record.checksum))
}

#[tokio::test]
async fn corrupt_missing_unsigned_and_renamed_entries_are_named() {
    let stage = four();
    let mirror = filled(&stage).await;
    let mut bytes = fs::read(tarball(&stage, "a")).expect("reads");
    bytes[100] ^= 1;
    fs::write(tarball(&stage, "a"), bytes).expect("writes");
    fs::remove_file(tarball(&stage, "b")).expect("removes");
    let signed = fs::read_to_string(manifest(&stage, "c")).expect("reads");
    let text = crate::openpgp::unverified_text(&signed).expect("signed");
    fs::write(manifest(&stage, "c"), text).expect("writes");
    fs::write(manifest(&stage, "d"), signed).expect("writes");
    let report = verify(&catalog(&mirror), &trust(), &stage.context()).await;
    let faults = report.expect("a report").faults;
    let [a, b, c, d] = &faults[..] else {
        panic!("{faults:?}");
    };
    assert!(
        matches!(&a.fault, CacheFault::Entry(FindFault::Digest { .. })),
        "{a:?}"
    );
    assert!(matches!(&b.fault, CacheFault::Gone { .. }), "{b:?}");
    assert!(
        matches!(&c.fault, CacheFault::Entry(FindFault::Unsigned { .. })),
        "{c:?}"
    );
    assert!(
        matches!(&d.fault, CacheFault::Entry(FindFault::Renamed { .. })),
        "{d:?}"
    );
    for (fault, name) in faults.iter().zip(NAMES) {
        assert!(manifest(&stage, name).ends_with(&fault.key), "{fault:?}");
    }
}

#[tokio::test]
async fn only_what_is_missing_is_copied_with_its_signature() {
    let stage = four();
    let from = filled(&stage).await;
    let (to, context) = (stage.mirror("copy"), stage.context());
    let first = sync(&catalog(&from), &to, None, &trust(), &context)
        .await
        .expect("a report");
    assert_eq!((first.copied, first.present), (4, 0), "{:?}", first.faults);
    update_index(&to, IndexScope::Pending, &context)
        .await
        .expect("an index");
    let report = verify(&catalog(&to), &trust(), &context)
        .await
        .expect("a report");
    assert_eq!(
        (report.faults.len(), report.unindexed),
        (0, 0),
        "{:?}",
        report.faults
    );
    for (path, bytes) in files(&stage.path("m/v3")) {
        let below = path.strip_prefix(stage.path("m")).expect("below");
        let copied = fs::read(stage.path("copy").join(below)).expect("copied");
        assert!(copied == bytes, "{}", below.display());
    }
    let tree = stage.tree();
    let spec = tree.specs().get(&hash("a")).expect("a node");
    fs::remove_file(stage.path("copy").join(v3::spec_manifest_path(spec))).expect("removes");
    let second = sync(&catalog(&from), &to, None, &trust(), &context)
        .await
        .expect("a report");
    assert_eq!((second.copied, second.present, second.bytes), (1, 3, 0));

    // Of a mirror that cannot be listed the index tells what is in it.
    let indexed = Catalog::Indexed(Arc::new(FileMirror::new(stage.path("m"))));
    let third = sync(&indexed, &stage.mirror("third"), None, &trust(), &context).await;
    assert_eq!(third.expect("a report").copied, 4);
    assert_eq!(list(&indexed).await.expect("a list").len(), 4);
    // What nobody vouches for is not copied.
    let beta = include_bytes!("../../../tests/data/openpgp/beta.pub");
    let others = Trust::Signed(PublicKeys::parse(beta).expect("the test key"));
    let none = sync(
        &catalog(&from),
        &stage.mirror("fourth"),
        None,
        &others,
        &context,
    )
    .await;
    let none = none.expect("a report");
    assert_eq!((none.copied, none.faults.len()), (0, 4));
}

#[tokio::test]
async fn an_index_follows_what_others_push_and_delete() {
    let stage = four();
    let (tree, context, mirror) = (stage.tree(), stage.context(), stage.mirror("m"));
    // As plain Spack pushes: without a mark, and nobody signs.
    let target = Destination::new(
        Arc::clone(&mirror),
        Signing::Unsigned,
        PushOptions::default(),
    );
    for name in ["a", "b"] {
        push_installed(&tree, &hash(name), &target, &context)
            .await
            .expect("pushed");
    }
    fs::remove_dir_all(stage.path("m/.spacktainers/pending")).expect("removes");
    let report = update_index(&mirror, IndexScope::Pending, &context)
        .await
        .expect("an index");
    assert_eq!(
        report.packages, 2,
        "where there is no index, all entries are read"
    );
    push_installed(&tree, &hash("c"), &target, &context)
        .await
        .expect("pushed");
    fs::remove_dir_all(stage.path("m/.spacktainers/pending")).expect("removes");
    fs::remove_file(manifest(&stage, "a")).expect("removes");
    let report = update_index(&mirror, IndexScope::Pending, &context)
        .await
        .expect("an index");
    assert_eq!(
        (report.packages, report.is_written),
        (2, false),
        "nothing is marked"
    );
    let report = update_index(&mirror, IndexScope::All, &context)
        .await
        .expect("an index");
    assert_eq!((report.packages, report.added, report.removed), (2, 1, 1));

    fs::write(
        stage.path("m").join(v3::index_manifest_path(None)),
        "broken",
    )
    .expect("writes");
    let error = update_index(&mirror, IndexScope::All, &context)
        .await
        .expect_err("broken");
    assert!(
        matches!(error.fault, CacheFault::Manifest { .. }),
        "{error:?}"
    );
    let report = update_index(&mirror, IndexScope::Rebuild, &context)
        .await
        .expect("an index");
    assert_eq!((report.packages, report.is_written), (2, true));
}
