//! Tarballs that are not what their manifest says, and networks that fail.

use super::super::*;
use super::made::*;
use crate::local_cache::LocalCacheError;
use crate::test_support::http_server::{Fault, HttpServer};

/// A server with the package `alpha`, whose tarball is then replaced.
async fn server_with(tarball: &[u8], instead: &[u8]) -> HttpServer {
    let (server, specs) = (HttpServer::start().await, specs());
    let mut objects = Objects::default();
    objects.add_v3(named(&specs, "alpha"), tarball);
    objects.0.insert(blob_key(tarball), instead.to_vec());
    objects.onto(&server);
    server
}

async fn fetched(server: &HttpServer, bench: &Bench) -> Result<Fetched, FetchError> {
    let mirrors = [at_server(server, signed_by(ALPHA_PUB), false).await];
    let entry = the_entry(&mirrors, "alpha", bench).await;
    fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
}

#[tokio::test]
async fn truncated_oversized_and_corrupted_tarballs_are_refused_and_not_kept() {
    let right = tarball(200_000);
    let digest = oci_format::Digest::of(&right);
    let mut corrupted = right.clone();
    corrupted[100_000] ^= 1;
    let oversized = tarball(200_001);
    for wrong in [&right[..199_999], &oversized, &corrupted, &[]] {
        let bench = Bench::new();
        let server = server_with(&right, wrong).await;
        let error = fetched(&server, &bench).await.expect_err("wrong bytes");
        assert_eq!(error.kind(), FailureKind::Verification, "{}", error.reason);
        assert!(bench.cache.blob(&digest).is_none());
        // The mirror is repaired, and nothing of the wrong bytes is in the way.
        server.put(&blob_key(&right), &right);
        assert_eq!(
            bytes(&fetched(&server, &bench).await.expect("right").content),
            right
        );
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_cut_off() {
    let (right, bench) = (tarball(200_000), Bench::new());
    let server = server_with(&right, &tarball(3_000_000)).await;
    server.hide_length();
    let error = fetched(&server, &bench).await.expect_err("too long");
    let is_size = matches!(error.reason, FetchFault::Cache(LocalCacheError::Size { actual, .. })
        if actual < 1_000_000);
    assert!(is_size, "{}", error.reason);
    assert_eq!(error.kind(), FailureKind::Verification);
}

#[tokio::test]
async fn a_body_that_ends_cleanly_but_early_is_asked_for_again() {
    let (right, bench) = (tarball(200_000), Bench::new());
    let server = server_with(&right, &right).await;
    server.hide_length();
    let mirrors = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    server.next([Fault::CloseAfter(50_000), Fault::CloseAfter(50_000)]);
    let result = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0);
    assert_eq!(bytes(&result.expect("third time").content), right);
}

#[tokio::test]
async fn a_tarball_that_is_gone_says_so() {
    let (right, bench) = (tarball(1000), Bench::new());
    let server = server_with(&right, &right).await;
    let mirrors = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    server.remove(&blob_key(&right));
    let error = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
        .expect_err("gone");
    assert!(
        matches!(error.reason, FetchFault::Gone { .. }),
        "{}",
        error.reason
    );
    assert_eq!(error.kind(), FailureKind::Mirror);
}

#[tokio::test]
async fn broken_connections_are_continued_and_kept_for_the_next_run() {
    let (right, bench) = (tarball(1_000_000), Bench::new());
    let server = server_with(&right, &right).await;
    let mirrors = [at_server(&server, signed_by(ALPHA_PUB), false).await];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    // More faults than retries: this run fails, with a part of the bytes on the disk.
    server.next([
        Fault::CloseAfter(300_000),
        Fault::Status(500),
        Fault::Status(500),
        Fault::Status(500),
    ]);
    let error = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
        .expect_err("broken");
    assert_eq!(error.kind(), FailureKind::Mirror, "{}", error.reason);
    server.next([Fault::Status(503), Fault::CloseAfter(200_000)]);
    let result = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
        .expect("continued");
    assert_eq!(bytes(&result.content), right);
    assert!(
        result.received < 800_000,
        "{} bytes, although a part was here",
        result.received
    );
}

#[tokio::test]
async fn a_part_of_other_bytes_is_thrown_away_and_fetched_again() {
    let (right, bench) = (tarball(100_000), Bench::new());
    let server = server_with(&right, &right).await;
    let digest = oci_format::Digest::of(&right);
    let Ok(crate::local_cache::Claim::Mine(mut partial)) = bench.cache.claim(&digest, 100_000)
    else {
        panic!("nobody else has it");
    };
    partial.append(&[7; 50_000]).expect("appends");
    drop(partial);
    assert_eq!(
        bytes(&fetched(&server, &bench).await.expect("second time").content),
        right
    );
}

#[tokio::test]
async fn files_of_a_folder_must_be_there_and_of_the_right_length() {
    let (bench, specs) = (Bench::new(), specs());
    let folder = bench.folder.path().join("mirror");
    let mut objects = Objects::default();
    objects.add_v3(named(&specs, "alpha"), b"tarball");
    objects.into_folder(&folder);
    let mirrors = [at_folder(&folder, signed_by(ALPHA_PUB)).await];
    let entry = the_entry(&mirrors, "alpha", &bench).await;
    let path = folder.join(blob_key(b"tarball"));
    std::fs::write(&path, b"tarball, but longer").expect("writes");
    let error = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
        .expect_err("longer");
    assert!(
        matches!(error.reason, FetchFault::Size { .. }),
        "{}",
        error.reason
    );
    std::fs::remove_file(&path).expect("removes");
    let error = fetch_all(&mirrors, [&entry], &bench.context())
        .await
        .remove(0)
        .expect_err("gone");
    assert!(
        matches!(error.reason, FetchFault::Gone { .. }),
        "{}",
        error.reason
    );
}
