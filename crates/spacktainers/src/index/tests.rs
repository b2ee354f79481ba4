//! Indices of real and made-up mirrors.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use spack_format::database::BuildCacheIndex;

use super::*;
use crate::event::Silent;
use crate::fetch::Trust;
use crate::local_cache::LocalCache;
use crate::mirror::{Access, Location, Network, RetryPolicy};
use crate::openpgp::PublicKeys;
use crate::registry::{RegistryClient, RegistrySettings};
use crate::test_support::fixtures;
use crate::test_support::http_server::HttpServer;

async fn mirror(url: &str, is_offline: bool) -> BuildCache {
    let access = Access {
        network: Network::new(Duration::from_secs(10)),
        registries: RegistryClient::new(RegistrySettings::default()),
        is_offline,
        retry: RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        },
        environment: Arc::default(),
    };
    let location = Location::parse(url, None, Path::new("/")).expect("a location");
    BuildCache::connect(
        "test",
        &location,
        Trust::Unsigned(PublicKeys::default()),
        &access,
    )
    .await
    .expect("a mirror")
}

async fn loaded(mirrors: &[BuildCache], cache: &LocalCache) -> Result<KnownSpecs, IndexError> {
    let context = Context {
        cache,
        reporter: &Silent,
        jobs: NonZeroUsize::MIN,
        now: SystemTime::now(),
    };
    load(mirrors, &context).await
}

fn same(known: &KnownSpecs, index: &BuildCacheIndex) {
    let recorded = known.iter().filter(|(_, it)| it.is_recorded).count();
    assert_eq!(recorded, index.records.len());
    for (hash, record) in &index.records {
        let id = known.find(hash).expect("the spec");
        let spec = known.get(id);
        assert_eq!(known.text(spec.name), record.spec.name);
        assert_eq!(known.text(spec.version), record.spec.version);
        assert_eq!(spec.in_build_cache, record.in_build_cache);
        assert_eq!(spec.is_external, record.spec.is_external());
        let edges = known.edges(id).iter().map(|edge| {
            let virtuals = known.text(edge.virtuals).to_owned();
            (known.get(edge.child).hash, edge.deptypes, virtuals)
        });
        let mut expected: Vec<_> = record.spec.edges.iter().collect();
        expected.sort_by_key(|it| (&it.name, it.deptypes, &it.virtuals));
        let expected = expected
            .into_iter()
            .map(|it| (it.hash, it.deptypes, it.virtuals.join(",")));
        assert!(edges.eq(expected), "edges of {}", record.spec);
        assert_eq!(known.read(id).expect("its text"), record.spec);
    }
}

#[tokio::test]
async fn real_indices_of_both_layouts_are_read_and_remembered() {
    let Some(fixtures) = fixtures() else { return };
    for (name, key) in [
        ("small-v3", None),
        ("tiny-v2", Some("build_cache/index.json")),
    ] {
        let folder = fixtures.join("caches").join(name);
        let text = key.map_or_else(|| index_of(&folder), |key| folder.join(key));
        let index = BuildCacheIndex::parse(&fs::read_to_string(text).expect("an index"));
        let index = index.expect("an index");
        let home = tempfile::tempdir().expect("a folder");
        let cache = LocalCache::open(home.path()).expect("a cache");
        let mirrors = [mirror(&format!("file://{}", folder.display()), false).await];
        same(&loaded(&mirrors, &cache).await.expect("specs"), &index);
        same(&loaded(&mirrors, &cache).await.expect("specs"), &index);
    }
}

/// The index blob of a folder of layout 3.
fn index_of(folder: &Path) -> std::path::PathBuf {
    use spack_format::build_cache::v3;
    let manifest = fs::read_to_string(folder.join(v3::index_manifest_path(None)));
    let manifest = v3::Manifest::parse(&manifest.expect("a manifest")).expect("a manifest");
    folder.join(v3::blob_path(&manifest.index().expect("an index").checksum))
}

const NODE: &str = r#"{"name":"alpha","version":"1.0","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64"},"namespace":"builtin","parameters":{"build_system":"generic","shared":true},"dependencies":[{"name":"gone","hash":"gggggggggggggggggggggggggggggggg","parameters":{"deptypes":["build"],"virtuals":[]}}],"hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;

fn database(version: &str) -> String {
    format!(
        r#"{{"database":{{"version":"{version}","installs":{{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":{{"spec":{NODE},"ref_count":0,"in_buildcache":true}}}}}}}}"#
    )
}

#[tokio::test]
async fn over_the_network_an_index_comes_once_and_stays_for_days_without_one() {
    let text = database("8");
    let digest = oci_format::Digest::of(text.as_bytes());
    let server = HttpServer::start().await;
    server.put("build_cache/index.json", text.as_bytes());
    server.put("build_cache/index.json.hash", digest.hex().as_bytes());
    let home = tempfile::tempdir().expect("a folder");
    let cache = LocalCache::open(home.path()).expect("a cache");
    let url = server.url().to_string();
    let online = [mirror(&url, false).await];
    let known = loaded(&online, &cache).await.expect("specs");
    assert_eq!(known.len(), 2, "alpha, and a place for what it needs");
    let gone = known.find(&"g".repeat(32).parse().expect("a hash"));
    assert!(!known.get(gone.expect("a place")).is_recorded);
    let sent = server.sent();
    loaded(&online, &cache).await.expect("specs");
    assert!(server.sent() - sent < text.len(), "only the checksum");
    let offline = [mirror(&url, true).await];
    let known = loaded(&offline, &cache).await.expect("specs");
    assert_eq!(known.len(), 2);
}

#[tokio::test]
async fn a_folder_without_an_index_holds_nothing_and_a_bad_index_is_told() {
    let home = tempfile::tempdir().expect("a folder");
    let cache = LocalCache::open(home.path().join("cache")).expect("a cache");
    let folder = home.path().join("mirror");
    fs::create_dir_all(folder.join("build_cache")).expect("a folder");
    let mirrors = [mirror(&format!("file://{}", folder.display()), false).await];
    assert!(loaded(&mirrors, &cache).await.expect("specs").is_empty());
    fs::write(folder.join("build_cache/index.json"), database("99")).expect("a file");
    let error = loaded(&mirrors, &cache).await.expect_err("version 99");
    assert!(matches!(error.fault, IndexFault::Database(_)), "{error:?}");
}
