//! What is copied to registries, out of them, and between them.

use oci_format::manifest::ImageManifest;
use spack_format::build_cache::oci::tag;

use super::made::{Stage, catalog, destination, files, hash, trust};
use crate::build_cache::{
    CacheFault, IndexScope, PushOptions, RegistryCache, SyncReport, push_all, update_index, verify,
};
use crate::fetch::{FindFault, Trust};
use crate::openpgp::PublicKeys;
use crate::registry::{ManifestKey, RegistryClient, RegistrySettings, Repository};
use crate::test_support::docker_registry::DockerRegistry;

const NAMES: [&str; 3] = ["lib", "mid", "app"];

fn stage() -> Stage {
    Stage::with(&[
        ("lib", "1.0", &[]),
        ("mid", "1.1", &["lib"]),
        ("app", "2.0", &["lib", "mid"]),
    ])
}

fn repository(host: &str, name: &str) -> Repository {
    let client = RegistryClient::new(RegistrySettings::default());
    let opened = client.open(host, name, true).expect("an address");
    opened.writable([])
}

fn cache(host: &str, name: &str) -> RegistryCache {
    RegistryCache::new(repository(host, name), PushOptions::default())
}

fn unsigned() -> Trust {
    Trust::Unsigned(PublicKeys::default())
}

async fn images(stage: &Stage, host: &str, name: &str) -> Vec<ImageManifest> {
    let tree = stage.tree();
    let mut images = Vec::new();
    for package in NAMES {
        let tag = tag(tree.specs().get(&hash(package)).expect("a node"));
        let found = repository(host, name).manifest(ManifestKey::Tag(tag)).await;
        let found = found.expect("an answer").expect("an image");
        images.push(ImageManifest::parse(&found.bytes).expect("a manifest"));
    }
    images
}

fn counts(report: &SyncReport) -> (usize, usize, usize) {
    (report.copied, report.present, report.faults.len())
}

#[tokio::test]
async fn entries_become_the_images_that_a_push_makes_and_images_become_entries() {
    let stage = stage();
    let Some(registry) = DockerRegistry::serve(&stage.path("data"), &stage.path("")).await else {
        return;
    };
    let (tree, context, host) = (stage.tree(), stage.context(), &registry.host);
    let mirror = stage.mirror("m");
    let target = destination(&mirror, PushOptions::default());
    for pushed in push_all(&tree, NAMES.map(hash), &target, &context).await {
        pushed.expect("pushed");
    }
    for pushed in cache(host, "pushed")
        .push_all(&tree, NAMES.map(hash), &context)
        .await
    {
        pushed.expect("pushed");
    }

    // What nobody vouches for is not copied.
    let there = cache(host, "copied");
    let beta = include_bytes!("../../../tests/data/openpgp/beta.pub");
    let others = Trust::Signed(PublicKeys::parse(beta).expect("the test key"));
    let none = there.copy_from(&catalog(&mirror), &others, &context).await;
    assert_eq!(counts(&none.expect("a report")), (0, 0, 3));
    let first = there.copy_from(&catalog(&mirror), &trust(), &context).await;
    let first = first.expect("a report");
    assert_eq!(counts(&first), (3, 0, 0), "{:?}", first.faults);
    assert_eq!(
        images(&stage, host, "copied").await,
        images(&stage, host, "pushed").await
    );
    let again = cache(host, "copied");
    let again = again.copy_from(&catalog(&mirror), &trust(), &context).await;
    assert_eq!(counts(&again.expect("a report")), (0, 3, 0));
    let report = there.update_index(IndexScope::Pending, &context).await;
    assert_eq!(report.expect("an index").packages, 3);
    let report = there.verify(&unsigned(), &context).await.expect("a report");
    assert!(
        report.faults.is_empty() && report.unindexed == 0,
        "{report:?}"
    );
    // One of them is gone: only that one is copied, with the layers of those that are there.
    let name = tag(tree.specs().get(&hash("app")).expect("a node"));
    let folder = "data/docker/registry/v2/repositories/copied/_manifests/tags";
    std::fs::remove_dir_all(stage.path(folder).join(name)).expect("a tag");
    let third = cache(host, "copied");
    let third = third.copy_from(&catalog(&mirror), &trust(), &context).await;
    assert_eq!(counts(&third.expect("a report")), (1, 2, 0));
    let layers = |images: Vec<ImageManifest>| images.into_iter().map(|it| it.layers);
    assert!(
        layers(images(&stage, host, "copied").await)
            .eq(layers(images(&stage, host, "pushed").await))
    );

    // Back again, signed.
    let back = stage.mirror("back");
    let signed = destination(&back, PushOptions::default());
    let error = there.copy_to(&signed, &trust(), &context).await;
    let error = error.expect_err("images are not signed");
    assert!(matches!(
        error.fault,
        CacheFault::Entry(FindFault::Unsignable)
    ));
    for expected in [(3, 0, 0), (0, 3, 0)] {
        let report = there.copy_to(&signed, &unsigned(), &context).await;
        let report = report.expect("a report");
        assert_eq!(counts(&report), expected, "{:?}", report.faults);
    }
    let index = update_index(&back, IndexScope::Pending, &context).await;
    assert_eq!(index.expect("an index").packages, 3);
    let report = verify(&catalog(&back), &trust(), &context).await;
    let report = report.expect("a report");
    assert!(
        report.faults.is_empty() && report.unindexed == 0,
        "{report:?}"
    );
    for (path, bytes) in files(&stage.path("m/blobs")) {
        let below = path.strip_prefix(stage.path("m")).expect("below");
        let copied = std::fs::read(stage.path("back").join(below)).expect("the same blob");
        assert!(copied == bytes, "{}", below.display());
    }
    assert_eq!(
        files(&stage.path("local/blobs")).len(),
        NAMES.len(),
        "only what was pushed to a registry from here is kept"
    );
}

#[tokio::test]
async fn images_are_copied_between_registries_as_they_are() {
    let stage = stage();
    let Some(registry) = DockerRegistry::serve(&stage.path("data"), &stage.path("")).await else {
        return;
    };
    let (tree, context, host) = (stage.tree(), stage.context(), &registry.host);
    let from = cache(host, "from");
    for pushed in from.push_all(&tree, NAMES.map(hash), &context).await {
        pushed.expect("pushed");
    }
    let to = cache(host, "to");
    for expected in [(3, 0, 0), (0, 3, 0)] {
        let report = from.copy_to_registry(&to, &unsigned(), &context).await;
        let report = report.expect("a report");
        assert_eq!(counts(&report), expected, "{:?}", report.faults);
    }
    assert_eq!(
        images(&stage, host, "to").await,
        images(&stage, host, "from").await
    );
    to.update_index(IndexScope::Pending, &context)
        .await
        .expect("an index");
    let report = to.verify(&unsigned(), &context).await.expect("a report");
    assert_eq!((report.entries, report.unindexed), (3, 0));
    assert!(report.faults.is_empty(), "{report:?}");
}
