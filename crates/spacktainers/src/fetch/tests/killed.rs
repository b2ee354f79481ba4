//! A process that is killed in mid-download, and the next one.

use std::process::{Command, Stdio};
use std::time::Duration;

use oci_format::Digest;

use super::super::*;
use super::made::*;
use crate::local_cache::LocalCache;
use crate::mirror::Location;
use crate::test_support::http_server::{Fault, HttpServer};

/// Set in the environment of the process that is to be killed: the cache's directory, and the URL.
const CACHE: &str = "SPACKTAINERS_TEST_KILLED_CACHE";
const URL: &str = "SPACKTAINERS_TEST_KILLED_URL";

/// Does nothing unless started by the test below.
#[tokio::test]
async fn victim() {
    let (Some(cache), Some(url)) = (std::env::var_os(CACHE), std::env::var_os(URL)) else {
        return;
    };
    let mut bench = Bench::new();
    bench.cache = LocalCache::open(std::path::PathBuf::from(cache)).expect("opens");
    let url = url.to_string_lossy().parse().expect("a URL");
    let trust = signed_by(ALPHA_PUB);
    let connected = BuildCache::connect("web", &Location::Http(url), trust, &access(false)).await;
    let mirrors = [connected.unwrap_or_else(|error| panic!("{error}"))];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    fetch_all(&mirrors, [&entry], &bench.context()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_after_a_killed_one_continues_its_download() {
    let (server, bench, specs) = (HttpServer::start().await, Bench::new(), specs());
    let tarball = tarball(1_000_000);
    let mut objects = Objects::default();
    objects.add_v3(named(&specs, "alpha"), &tarball);
    objects.onto(&server);
    // Manifest, spec blob, and a tarball that never ends.
    server.next([Fault::None, Fault::None, Fault::SilenceAfter(600_000)]);
    let mut victim = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", "fetch::tests::killed::victim"])
        .env(CACHE, bench.cache.root())
        .env(URL, server.url().as_str())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts itself");
    let digest = Digest::of(&tarball);
    let partial = bench.cache.root().join("partial").join(digest.hex());
    let written = || std::fs::metadata(&partial).map_or(0, |it| it.len());
    for _ in 0..400 {
        if written() >= 600_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    victim.kill().expect("SIGKILL");
    victim.wait().expect("dies");
    assert_eq!(written(), 600_000, "the part that came is on the disk");
    assert!(bench.cache.blob(&digest).is_none());
    server.next([]);
    let cache = LocalCache::open(bench.cache.root()).expect("opens again");
    let bench = Bench { cache, ..bench };
    let mirrors = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    let fetched = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
        .expect("fetched");
    assert_eq!(bytes(&fetched.content), tarball);
    assert_eq!(fetched.received, 400_000, "only what was missing came");
}
