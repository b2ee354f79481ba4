//! What a push costs, in requests to real servers, with few entries there and with many; and what is read of an index.

use std::fs;

use bytes::Bytes;
use futures::{StreamExt, stream};
use spack_format::build_cache::v3;

use super::made::{Stage, destination, hash};
use crate::build_cache::{
    Existing, IndexScope, PushOptions, Pushed, RegistryCache, push_installed, update_index,
};
use crate::fetch::{BuildCache, Trust};
use crate::index;
use crate::mirror::{Location, When, WriteTarget, connect_writer};
use crate::openpgp::PublicKeys;
use crate::registry::{RegistryClient, RegistrySettings};
use crate::test_support::counting::Counting;
use crate::test_support::docker_registry::DockerRegistry;
use crate::test_support::moto::{BUCKET, KEYS, Moto, access};

fn cache(host: &str, name: &str, existing: Existing) -> RegistryCache {
    let client = RegistryClient::new(RegistrySettings::default());
    let opened = client.open(host, name, true).expect("an address");
    let options = PushOptions {
        existing,
        ..PushOptions::default()
    };
    RegistryCache::new(opened.writable([]), options)
}

#[tokio::test]
async fn a_push_costs_the_same_whatever_is_in_the_registry() {
    let stage = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let Some(registry) = DockerRegistry::serve(&stage.path("data"), &stage.path("")).await else {
        return;
    };
    let proxy = Counting::before(&registry.host).await;
    let (tree, context) = (stage.tree(), stage.context());
    let mut costs = Vec::new();
    for (name, entries) in [("few", 10), ("many", 10_000)] {
        let tags = format!("data/docker/registry/v2/repositories/{name}/_manifests/tags");
        for number in 0..entries {
            let tag = format!("other-{number}-{}.spack", hash(&format!("n{number}")));
            fs::create_dir_all(stage.path(&tags).join(tag)).expect("makes");
        }
        for existing in [Existing::Keep, Existing::Keep, Existing::Compare] {
            // A client of its own each time: it asks once how to log in.
            let ours = cache(&proxy.host, name, existing);
            let before = proxy.requests();
            for pushed in ours
                .push_all(&tree, [hash("lib"), hash("app")], &context)
                .await
            {
                pushed.expect("pushed");
            }
            costs.push(proxy.requests() - before);
        }
    }
    assert_eq!(costs[..3], costs[3..], "requests");
    assert!(
        costs[0] > costs[1] && costs[1] <= 3 && costs[2] <= 3,
        "{costs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_costs_the_same_whatever_is_in_the_bucket() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let stage = Stage::with(&[("app", "2.0", &[])]);
    let (tree, context) = (stage.tree(), stage.context());
    let proxy = Counting::before(moto.endpoint.trim_start_matches("http://")).await;
    let endpoint = format!("http://{}", proxy.host);
    let mut costs = Vec::new();
    // More than a listing has on one page.
    for (name, entries) in [("few", 10), ("many", 1_100)] {
        let direct = moto.writer(name).await;
        let put = |number: u32| {
            let hash = hash(&format!("n{number}"));
            let key = format!("v3/manifests/spec/other/other-{number}-{hash}.spec.manifest.json");
            let direct = &direct;
            async move {
                let text = Bytes::from_static(b"{}");
                direct.put(&key, text, &When::Always).await.expect("put")
            }
        };
        let puts = stream::iter((0..entries).map(put)).buffer_unordered(16);
        let count = puts.count().await;
        let listed = direct.list(v3::SPEC_MANIFESTS_FOLDER).await;
        assert_eq!(listed.expect("a list").len(), count);
        let url = format!("s3://{BUCKET}/{name}");
        let location = Location::parse(&url, Some(&endpoint), "/".as_ref()).expect("s3");
        let Ok(WriteTarget::Objects(writer)) = connect_writer(&location, &access(&KEYS)).await
        else {
            panic!("a bucket can be written");
        };
        for _ in 0..2 {
            let target = destination(&writer, PushOptions::default());
            let before = proxy.requests();
            let pushed = push_installed(&tree, &hash("app"), &target, &context).await;
            assert!(matches!(
                pushed,
                Ok(Pushed::Written { .. } | Pushed::Present)
            ));
            costs.push(proxy.requests() - before);
        }
    }
    assert_eq!(costs[..2], costs[2..], "requests");
    assert_eq!(costs[1], 1, "what is there is one request: {costs:?}");
}

/// What is known of the mirror, and whether that is what was pushed.
async fn known(mirror: &BuildCache, stage: &Stage, names: &[&str]) -> Result<(), String> {
    let specs = index::load(std::slice::from_ref(mirror), &stage.context()).await;
    let specs = specs.map_err(|error| format!("{:?}", error.fault))?;
    let mut cached: Vec<&str> = specs
        .iter()
        .filter(|(_, spec)| spec.in_build_cache)
        .map(|(_, spec)| specs.text(spec.name))
        .collect();
    cached.sort_unstable();
    assert_eq!(cached, names);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_in_a_bucket_is_read_as_it_is_at_the_moment() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let stage = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let (tree, context) = (stage.tree(), stage.context());
    let proxy = Counting::before(moto.endpoint.trim_start_matches("http://")).await;
    let endpoint = format!("http://{}", proxy.host);
    let url = format!("s3://{BUCKET}/read");
    let location = Location::parse(&url, Some(&endpoint), "/".as_ref()).expect("s3");
    let trust = Trust::Unsigned(PublicKeys::default());
    let mirror = BuildCache::connect("m", &location, trust, &access(&KEYS)).await;
    let mirror = mirror.expect("a bucket");
    let writer = moto.writer("read").await;
    known(&mirror, &stage, &[]).await.expect("no index is none");
    let target = destination(&writer, PushOptions::default());
    for (name, all) in [("lib", &["lib"][..]), ("app", &["app", "lib"])] {
        let pushed = push_installed(&tree, &hash(name), &target, &context).await;
        pushed.expect("pushed");
        let index = update_index(&writer, IndexScope::Pending, &context).await;
        index.expect("an index");
        known(&mirror, &stage, all).await.expect("an index");
    }
    // What is known is not fetched again: two small requests are left.
    let before = proxy.requests();
    known(&mirror, &stage, &["app", "lib"])
        .await
        .expect("known");
    assert!(
        proxy.requests() - before <= 3,
        "{}",
        proxy.requests() - before
    );

    // Cut off, and gone: said, and not taken for an empty one.
    let key = v3::index_manifest_path(None);
    let manifest = writer.get(&key, 10_000).await.expect("reads");
    let manifest = String::from_utf8(manifest.expect("there")).expect("a text");
    let manifest = v3::Manifest::parse(&manifest).expect("a manifest");
    let blob = v3::blob_path(&manifest.index().expect("an index").checksum);
    let other = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let whole = writer.get(&blob, 1 << 20).await.expect("reads");
    let half = whole.map(|it| it[..it.len() / 2].to_vec()).expect("there");
    let cut = writer.put(&blob, Bytes::from(half), &When::Always).await;
    cut.expect("put");
    let error = known(&mirror, &other, &[]).await.expect_err("cut off");
    assert!(error.contains("Digest"), "{error}");
    writer.delete(&blob).await.expect("deleted");
    let error = known(&mirror, &other, &[]).await.expect_err("gone");
    assert!(error.contains("Gone"), "{error}");
    known(&mirror, &stage, &["app", "lib"])
        .await
        .expect("known");
}

#[tokio::test]
async fn an_index_in_a_registry_is_read_as_it_is_at_the_moment() {
    let stage = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let Some(registry) = DockerRegistry::serve(&stage.path("data"), &stage.path("")).await else {
        return;
    };
    let (tree, context) = (stage.tree(), stage.context());
    let url = format!("oci+http://{}/cache", registry.host);
    let location = Location::parse(&url, None, "/".as_ref()).expect("a registry");
    let trust = Trust::Unsigned(PublicKeys::default());
    let mirror = BuildCache::connect("m", &location, trust, &access(&[])).await;
    let mirror = mirror.expect("a registry");
    known(&mirror, &stage, &[]).await.expect("no index is none");
    let ours = cache(&registry.host, "cache", Existing::Compare);
    for (name, all) in [("lib", &["lib"][..]), ("app", &["app", "lib"])] {
        let pushed = ours.push_installed(&tree, &hash(name), &context).await;
        pushed.expect("pushed");
        let index = ours.update_index(IndexScope::Pending, &context).await;
        index.expect("an index");
        known(&mirror, &stage, all).await.expect("an index");
    }
    // A blob that is cut off.
    let blobs = stage.path("data/docker/registry/v2/blobs/sha256");
    for (path, bytes) in super::made::files(&blobs) {
        if bytes.starts_with(b"{\"database\"") {
            fs::write(path, &bytes[..bytes.len() / 2]).expect("writes");
        }
    }
    let other = Stage::with(&[("lib", "1.0", &[])]);
    let error = known(&mirror, &other, &[]).await.expect_err("cut off");
    assert!(!error.is_empty());
    known(&mirror, &stage, &["app", "lib"])
        .await
        .expect("known");
}
