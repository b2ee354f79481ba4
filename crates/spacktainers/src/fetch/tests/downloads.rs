//! Many tarballs at once, and what is told about them.

use super::super::*;
use super::made::*;
use crate::event::{Event, Outcome};
use crate::test_support::http_server::{Fault, HttpServer};

async fn three(server: &HttpServer, bench: &Bench) -> (Vec<BuildCache>, Vec<CacheEntry>) {
    let specs = specs();
    let mut objects = Objects::default();
    for (name, size) in [("alpha", 300_000), ("beta", 200_000), ("gamma", 100_000)] {
        objects.add_v3(named(&specs, name), &tarball(size));
    }
    objects.onto(server);
    let mirrors = vec![at_server(server, signed_by(ALPHA_PUB), false).await];
    let mut entries = Vec::new();
    for name in ["alpha", "beta", "gamma"] {
        entries.push(the_entry(&mirrors, name, bench).await);
    }
    (mirrors, entries)
}

#[tokio::test]
async fn results_come_in_order_and_every_byte_is_told() {
    let (server, bench) = (HttpServer::start().await, Bench::new());
    let (mirrors, entries) = three(&server, &bench).await;
    bench.told.take();
    // The first is slow, and so ends last.
    server.next([Fault::Slow(10)]);
    let fetched = fetch_all(&mirrors, &entries, &bench.context()).await;
    let sizes: Vec<_> = fetched
        .iter()
        .map(|it| it.as_ref().expect("fetched").content.len())
        .collect();
    assert_eq!(sizes, [300_000, 200_000, 100_000]);
    let (mut advanced, mut done) = (0, 0);
    for event in bench.told.take() {
        match event {
            Event::Advanced { bytes, .. } => advanced += bytes,
            Event::Finished { outcome, .. } => {
                assert_eq!(outcome, Outcome::Done);
                done += 1;
            }
            Event::Started { total, .. } => assert!(total.is_some()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((advanced, done), (600_000, 3));
    // Again: nothing is asked for.
    server.next([]);
    let fetched = fetch_all(&mirrors, &entries, &bench.context()).await;
    assert!(
        fetched
            .iter()
            .all(|it| it.as_ref().expect("cached").received == 0)
    );
    assert_eq!(server.requests(), 0);
    let reused = |event: &Event| {
        matches!(
            event,
            Event::Finished {
                outcome: Outcome::Reused,
                ..
            }
        )
    };
    assert_eq!(
        bench
            .told
            .take()
            .iter()
            .filter(|event| reused(event))
            .count(),
        3
    );
}

#[tokio::test]
async fn one_that_fails_does_not_stop_the_others() {
    let (server, bench) = (HttpServer::start().await, Bench::new());
    let (mirrors, entries) = three(&server, &bench).await;
    server.put(&blob_key(&tarball(200_000)), b"wrong");
    let fetched = fetch_all(&mirrors, &entries, &bench.context()).await;
    let fine: Vec<_> = fetched.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [true, false, true]);
}

#[tokio::test]
async fn one_blob_wanted_many_times_comes_once() {
    let (server, bench) = (HttpServer::start().await, Bench::new());
    let (mirrors, entries) = three(&server, &bench).await;
    server.next([Fault::Slow(5)]);
    let same = [
        &entries[0],
        &entries[0],
        &entries[0],
        &entries[0],
        &entries[0],
    ];
    let fetched = fetch_all(&mirrors, same, &bench.context()).await;
    assert!(fetched.iter().all(Result::is_ok));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn spec_blobs_and_tarballs_come_over_the_network_once() {
    let (server, bench) = (HttpServer::start().await, Bench::new());
    let (mirrors, entries) = three(&server, &bench).await;
    fetch_all(&mirrors, &entries, &bench.context()).await;
    server.next([]);
    for name in ["alpha", "beta", "gamma"] {
        the_entry(&mirrors, name, &bench).await;
    }
    assert_eq!(
        server.requests(),
        3,
        "only the manifests are asked for again"
    );
}
