//! Build caches in registries: made up, and Spack's own in a real registry.

use std::io;
use std::path::PathBuf;

use oci_format::Digest;
use spack_format::build_cache::oci::tag;
use spack_format::lockfile::SpackLockfile;

use super::super::*;
use super::made::*;
use crate::test_support::docker_registry::DockerRegistry;
use crate::test_support::http_server::{Fault, HttpServer};
use crate::test_support::{fixtures, skipped};

fn host(server: &HttpServer) -> String {
    let url = server.url();
    format!("127.0.0.1:{}", url.port().expect("a port"))
}

#[tokio::test]
async fn a_package_is_an_image_whose_last_layer_is_the_tarball() {
    let (server, bench, specs) = (HttpServer::start().await, Bench::new(), specs());
    let right = tarball(300_000);
    let mut objects = Objects::default();
    objects.add_oci(named(&specs, "alpha"), &right);
    objects.onto(&server);
    let mirrors = [at_registry(&host(&server), "cache", unsigned(), false).await];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    assert_eq!(entry.layout, Layout::Oci);
    assert_eq!(entry.diff_id, Some(Digest::of(b"uncompressed")));
    let origin = entry.origin.clone().expect("a repository");
    assert_eq!(
        (origin.registry, origin.repository),
        (host(&server), "cache".to_owned())
    );
    server.next([Fault::CloseAfter(100_000)]);
    let fetched = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
        .expect("fetched");
    assert_eq!(bytes(&fetched.content), right);
    assert_eq!(fetched.received, 300_000);
    let absent = find(&mirrors, named(&specs, "beta"), &specs, &bench.context()).await;
    assert!(matches!(absent, Ok(Found::Nowhere(_))), "{absent:?}");
    // And without a network.
    server.next([]);
    let offline = [at_registry(&host(&server), "cache", unsigned(), true).await];
    let entry = the_entry(&offline, "alpha", &bench).await;
    let fetched = fetch_all(&offline, [&entry], &bench.context())
        .await
        .remove(0)
        .expect("cached");
    assert_eq!(bytes(&fetched.content), right);
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn images_are_refused_where_signatures_are_wanted() {
    let (server, bench, specs) = (HttpServer::start().await, Bench::new(), specs());
    let mut objects = Objects::default();
    objects.add_oci(named(&specs, "alpha"), b"tarball");
    objects.onto(&server);
    let mirrors = [at_registry(&host(&server), "cache", signed_by(ALPHA_PUB), false).await];
    let error = the_fault(&mirrors, "alpha", &bench).await;
    assert!(
        matches!(error.reason, FindFault::Unsignable),
        "{}",
        error.reason
    );
    assert_eq!(error.kind(), FailureKind::Verification);
}

#[tokio::test]
async fn images_that_are_other_packages_or_none_are_refused() {
    let specs = specs();
    let (alpha, beta) = (named(&specs, "alpha"), named(&specs, "beta"));
    let manifest_key = |spec| format!("v2/cache/manifests/{}", tag(spec));
    let mut right = Objects::default();
    right.add_oci(alpha, b"tarball");
    let mut renamed = right.clone();
    let manifest = renamed.0[&manifest_key(alpha)].clone();
    renamed.0.insert(manifest_key(beta), manifest);
    let mut no_layers = right.clone();
    no_layers.0.insert(
        manifest_key(beta),
        b"{\"config\":{},\"layers\":[]}".to_vec(),
    );
    let mut corrupted = renamed.clone();
    for (key, bytes) in &mut corrupted.0 {
        if key.contains("/blobs/") {
            bytes[0] ^= 1;
        }
    }
    for objects in [renamed, no_layers, corrupted] {
        let (server, bench) = (HttpServer::start().await, Bench::new());
        objects.onto(&server);
        let mirrors = [at_registry(&host(&server), "cache", unsigned(), false).await];
        let error = the_fault(&mirrors, "beta", &bench).await;
        assert_eq!(error.kind(), FailureKind::Verification, "{}", error.reason);
    }
}

#[tokio::test]
async fn a_registry_that_fails_is_an_error_and_not_absence() {
    let (server, bench) = (HttpServer::start().await, Bench::new());
    let mirrors = [at_registry(&host(&server), "cache", unsigned(), false).await];
    server.next([Fault::Status(400)]);
    let error = the_fault(&mirrors, "alpha", &bench).await;
    assert_eq!(error.kind(), FailureKind::Mirror, "{}", error.reason);
}

/// Needs the storage of a registry to which Spack has pushed the environment `small`, as
/// `spack-small`.
#[tokio::test]
async fn every_package_that_spack_pushed_to_a_registry_is_found_and_whole() {
    let Some(fixtures) = fixtures() else { return };
    let Some(data) = std::env::var_os("SPACKTAINERS_SPACK_REGISTRY").map(PathBuf::from) else {
        return skipped("SPACKTAINERS_SPACK_REGISTRY names no registry storage");
    };
    let bench = Bench::new();
    let Some(registry) = DockerRegistry::serve(&data, bench.folder.path()).await else {
        return;
    };
    let lock = std::fs::read_to_string(fixtures.join("envs/small/spack.lock")).expect("a lock");
    let lock = SpackLockfile::parse(&lock).expect("a lock");
    let mirrors = [at_registry(&registry.host, "spack-small", unsigned(), false).await];
    let wanted = lock.runtime_closure().packages;
    let found = find_all(&mirrors, wanted, &lock.specs, &bench.context()).await;
    let entries: Vec<CacheEntry> = found
        .into_iter()
        .map(|result| match result {
            Ok(Found::Here(entry)) => *entry,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(entries.len(), 12);
    let fetched = fetch_all(&mirrors, &entries, &bench.context()).await;
    for (entry, fetched) in entries.iter().zip(fetched) {
        let content = fetched.expect("fetched").content;
        assert_eq!(
            Digest::of(&bytes(&content)),
            entry.tarball.digest,
            "{}",
            entry.package
        );
        let mut tar = oci_format::DigestReader::new(flate2::read::GzDecoder::new(
            content.open(0).expect("opens"),
        ));
        io::copy(&mut tar, &mut io::sink()).expect("gzip");
        assert_eq!(Some(tar.finish().1), entry.diff_id, "{}", entry.package);
    }
}
