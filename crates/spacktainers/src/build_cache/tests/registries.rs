//! What pushes to registries leave behind: in a real `docker-registry`, and in one that counts requests.

use std::collections::BTreeSet;
use std::fs;

use futures::future::join_all;
use oci_format::Digest;
use oci_format::manifest::ImageManifest;
use serde_json::Value;
use spack_format::build_cache::oci::{INDEX_TAG, tag};

use super::made::{Stage, hash, trust};
use crate::build_cache::{CacheFault, Existing, IndexScope, PushOptions, Pushed, RegistryCache};
use crate::fetch::{FindFault, Trust};
use crate::openpgp::PublicKeys;
use crate::registry::{ManifestKey, RegistryClient, RegistrySettings, Repository};
use crate::test_support::docker_registry::DockerRegistry;
use crate::test_support::http_server::HttpServer;

const WRITERS: usize = 50;

fn repository(host: &str) -> Repository {
    let client = RegistryClient::new(RegistrySettings::default());
    let opened = client.open(host, "cache", true).expect("an address");
    opened.writable([])
}

/// One of several processes: nothing is shared but the registry.
fn cache(host: &str, options: PushOptions) -> RegistryCache {
    RegistryCache::new(repository(host), options)
}

async fn registry(stage: &Stage) -> Option<DockerRegistry> {
    DockerRegistry::serve(&stage.path("data"), &stage.path("")).await
}

fn unsigned() -> Trust {
    Trust::Unsigned(PublicKeys::default())
}

async fn manifest(host: &str, tag: &str) -> ImageManifest {
    let key = ManifestKey::Tag(tag.to_owned());
    let found = repository(host).manifest(key).await.expect("an answer");
    ImageManifest::parse(&found.expect("an image").bytes).expect("a manifest")
}

#[tokio::test]
async fn an_image_has_the_layers_of_what_it_needs_and_its_own_last() {
    let stage = Stage::with(&[
        ("lib", "1.0", &[]),
        ("mid", "1.1", &["lib"]),
        ("app", "2.0", &["lib", "mid"]),
    ]);
    let Some(registry) = registry(&stage).await else {
        return;
    };
    let (tree, context) = (stage.tree(), stage.context());
    let ours = cache(&registry.host, PushOptions::default());
    // Dependents first: the order does not matter. What was pushed by somebody else is found.
    let lib = cache(&registry.host, PushOptions::default())
        .push_installed(&tree, &hash("lib"), &context)
        .await;
    assert!(matches!(lib, Ok(Pushed::Written { .. })), "{lib:?}");
    let pushed = ours.push_all(&tree, [hash("app"), hash("mid")], &context);
    for pushed in pushed.await {
        assert!(matches!(pushed, Ok(Pushed::Written { .. })), "{pushed:?}");
    }
    let tag_of = |name: &str| tag(tree.specs().get(&hash(name)).expect("a node"));
    let image = manifest(&registry.host, &tag_of("app")).await;
    let mut expected = Vec::new();
    for name in ["lib", "mid", "app"] {
        let own = manifest(&registry.host, &tag_of(name)).await;
        expected.push(own.layers.last().expect("a layer").digest);
    }
    let layers: Vec<Digest> = image.layers.iter().map(|it| it.digest).collect();
    assert_eq!(layers, expected);
    let repository = repository(&registry.host);
    let config = repository.blob_bytes(&image.config, 1 << 20);
    let config: Value = serde_json::from_slice(&config.await.expect("a config")).expect("a config");
    assert_eq!(
        config["rootfs"]["diff_ids"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(config["architecture"], "amd64");
    let own = stage.prefix("app", "2.0").join("bin").display().to_string();
    let environment = config["config"]["Env"].to_string();
    assert!(
        environment.contains(&format!("PATH={own}:")),
        "{environment}"
    );

    let report = ours.update_index(IndexScope::Pending, &context).await;
    let report = report.expect("an index");
    assert_eq!(
        (report.packages, report.added, report.is_written),
        (3, 3, true)
    );
    let report = ours.update_index(IndexScope::All, &context).await;
    assert!(!report.expect("an index").is_written);
    let listed = ours.list().await.expect("a list");
    let named: Vec<_> = listed.iter().map(|it| (&*it.name, it.is_indexed)).collect();
    assert_eq!(named, [("app", true), ("lib", true), ("mid", true)]);
    let report = ours.verify(&unsigned(), &context).await.expect("a report");
    assert_eq!((report.entries, report.unindexed), (3, 0));
    assert!(report.faults.is_empty() && report.bytes > 0, "{report:?}");
    let report = ours.verify(&trust(), &context).await.expect("a report");
    let is_unsignable =
        |fault: &CacheFault| matches!(fault, CacheFault::Entry(FindFault::Unsignable));
    assert!(report.faults.len() == 3 && report.faults.iter().all(|it| is_unsignable(&it.fault)));
}

#[tokio::test]
async fn the_first_content_of_a_hash_stays_unless_replaced() {
    let stage = Stage::with(&[("app", "2.0", &[])]);
    let Some(registry) = registry(&stage).await else {
        return;
    };
    let (tree, context, app) = (stage.tree(), stage.context(), hash("app"));
    let ours = cache(&registry.host, PushOptions::default());
    let first = ours
        .push_installed(&tree, &app, &context)
        .await
        .expect("pushed");
    let Pushed::Written { tarball: first, .. } = first else {
        panic!("{first:?}");
    };
    let name = tag(tree.specs().get(&app).expect("a node"));
    fs::write(stage.prefix("app", "2.0").join("bin/app"), "another build").expect("writes");
    let again = ours.push_installed(&tree, &app, &context).await;
    let again = again.expect("no failure");
    assert!(
        matches!(again, Pushed::Refused { theirs, .. } if theirs == Some(first)),
        "{again:?}"
    );
    let keep = PushOptions {
        existing: Existing::Keep,
        ..PushOptions::default()
    };
    let kept = cache(&registry.host, keep);
    let kept = kept.push_installed(&tree, &app, &context).await;
    assert_eq!(kept.expect("pushed"), Pushed::Present);
    let there = manifest(&registry.host, &name).await;
    assert_eq!(there.layers.last().expect("a layer").digest, first);

    // One who had found nothing before the first one wrote.
    let late = ours
        .write_again(&tree, app, &context)
        .await
        .expect("pushed");
    let Pushed::Refused {
        ours: other,
        theirs,
    } = late
    else {
        panic!("{late:?}");
    };
    assert_eq!(theirs, Some(first));
    assert_eq!(manifest(&registry.host, &name).await, there);

    let replace = PushOptions {
        existing: Existing::Replace,
        ..PushOptions::default()
    };
    let theirs = cache(&registry.host, replace);
    let pushed = theirs.push_installed(&tree, &app, &context).await;
    assert!(
        matches!(pushed, Ok(Pushed::Written { tarball, .. }) if tarball == other),
        "{pushed:?}"
    );
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    let names: Vec<String> = (0..WRITERS).map(|it| format!("w{it}")).collect();
    let mut packages: Vec<(&str, &str, &[&str])> = names
        .iter()
        .map(|it| (it.as_str(), "1.0", &[][..]))
        .collect();
    packages.push(("shared", "1.0", &[]));
    let stage = Stage::with(&packages);
    let Some(registry) = registry(&stage).await else {
        return;
    };
    let (tree, context) = (stage.tree(), stage.context());
    let jobs = names.iter().map(|name| {
        let (tree, context, host) = (&tree, &context, &registry.host);
        async move {
            let ours = cache(host, PushOptions::default());
            let all = [hash(name), hash("shared")];
            for pushed in ours.push_all(tree, all, context).await {
                assert!(
                    matches!(pushed, Ok(Pushed::Written { .. } | Pushed::Present)),
                    "{pushed:?}"
                );
            }
            let index = ours.update_index(IndexScope::Pending, context).await;
            index.expect("an index");
        }
    });
    join_all(jobs).await;
    let ours = cache(&registry.host, PushOptions::default());
    let listed = ours.list().await.expect("a list");
    let indexed = listed.iter().filter(|it| it.is_indexed);
    let indexed: BTreeSet<&str> = indexed.map(|it| it.name.as_str()).collect();
    let mut expected: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    expected.insert("shared");
    assert_eq!(indexed, expected);
    let report = ours.verify(&unsigned(), &context).await.expect("a report");
    assert!(
        report.faults.is_empty() && report.unindexed == 0,
        "{report:?}"
    );
}

#[tokio::test]
async fn an_index_takes_out_what_is_gone_and_is_made_anew_when_asked_for() {
    let stage = Stage::with(&[("lib", "1.0", &[]), ("app", "2.0", &["lib"])]);
    let Some(registry) = registry(&stage).await else {
        return;
    };
    let (tree, context) = (stage.tree(), stage.context());
    let ours = cache(&registry.host, PushOptions::default());
    ours.push_all(&tree, [hash("lib"), hash("app")], &context)
        .await;
    ours.update_index(IndexScope::All, &context)
        .await
        .expect("an index");
    let name = tag(tree.specs().get(&hash("lib")).expect("a node"));
    let folder = "data/docker/registry/v2/repositories/cache/_manifests/tags";
    fs::remove_dir_all(stage.path(folder).join(name)).expect("a tag");
    let report = ours.update_index(IndexScope::Pending, &context).await;
    assert_eq!(
        report.expect("an index").packages,
        2,
        "nothing is taken out"
    );
    let report = ours.update_index(IndexScope::All, &context).await;
    let report = report.expect("an index");
    assert_eq!((report.packages, report.removed), (1, 1));

    // Not an index: said so, and made anew when asked for.
    let app = tag(tree.specs().get(&hash("app")).expect("a node"));
    let key = ManifestKey::Tag(INDEX_TAG.to_owned());
    let wrong = manifest(&registry.host, &app).await;
    let media_type = wrong.media_type.clone().expect("a type");
    let repository = repository(&registry.host);
    let written = repository.put_manifest(key, &media_type, wrong.to_json());
    written.await.expect("written");
    let error = ours.update_index(IndexScope::All, &context).await;
    let error = error.expect_err("it is none");
    assert!(matches!(error.fault, CacheFault::Index { .. }), "{error:?}");
    let report = ours.update_index(IndexScope::Rebuild, &context).await;
    assert_eq!(report.expect("an index").packages, 1);
}

#[tokio::test]
async fn what_is_there_and_kept_costs_one_request() {
    let stage = Stage::with(&[("app", "2.0", &[])]);
    let (server, tree, context) = (HttpServer::start().await, stage.tree(), stage.context());
    let name = tag(tree.specs().get(&hash("app")).expect("a node"));
    server.put(&format!("v2/cache/manifests/{name}"), b"{}");
    let host = format!("127.0.0.1:{}", server.url().port().expect("a port"));
    let keep = PushOptions {
        existing: Existing::Keep,
        ..PushOptions::default()
    };
    let pushed = cache(&host, keep)
        .push_installed(&tree, &hash("app"), &context)
        .await;
    assert_eq!(pushed.expect("pushed"), Pushed::Present);
    assert_eq!(server.requests(), 1);
}
