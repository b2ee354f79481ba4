//! Servers that are slow, overwhelmed, broken or lying.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::*;
use super::suite::read;
use crate::test_support::http_server::{Fault, HttpServer};

const KEY: &str = "blobs/sha256/ab/abc";

fn bytes() -> Vec<u8> {
    (0..1_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Quick retries, and little patience with silence.
fn mirror(server: &HttpServer) -> Retrying {
    let network = Network::new(Duration::from_millis(500));
    let policy = RetryPolicy {
        attempts: 4,
        base: Duration::from_millis(5),
        longest: Duration::from_millis(20),
    };
    Retrying::new(Arc::new(HttpMirror::new(&network, server.url())), policy)
}

async fn whole(mirror: &dyn Mirror) -> Result<Vec<u8>, MirrorError> {
    let download = mirror.open(KEY, &Start::default()).await?;
    read(download.expect("present")).await
}

#[tokio::test]
async fn passing_errors_of_the_server_are_asked_through() {
    let server = HttpServer::start().await;
    server.put(KEY, &bytes());
    let mirror = mirror(&server);
    for status in [500, 502, 503, 504, 429, 408] {
        server.next([Fault::Status(status), Fault::Status(status)]);
        assert_eq!(
            mirror
                .get(KEY, 2_000_000)
                .await
                .expect("third time")
                .as_deref(),
            Some(&bytes()[..])
        );
        assert_eq!(server.requests(), 3);
        server.next([Fault::Status(status)]);
        assert_eq!(whole(&mirror).await.expect("second time"), bytes());
        assert_eq!(server.requests(), 2);
    }
}

#[tokio::test]
async fn a_server_that_stays_broken_is_given_up_and_reported() {
    let server = HttpServer::start().await;
    server.next(vec![Fault::Status(503); 10]);
    let error = mirror(&server).get(KEY, 10).await.expect_err("never works");
    assert!(
        matches!(*error.fault, MirrorFault::Status { status: 503, .. }),
        "{error}"
    );
    assert_eq!(server.requests(), 4);
}

#[tokio::test]
async fn lasting_errors_are_not_asked_again() {
    let server = HttpServer::start().await;
    let mirror = mirror(&server);
    for status in [400, 401, 403, 501] {
        server.next([Fault::Status(status)]);
        let error = mirror.get(KEY, 10).await.expect_err("refused");
        assert!(!error.is_transient(), "{error}");
        assert_eq!(server.requests(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_the_server_says_about_waiting_is_heeded() {
    let server = HttpServer::start().await;
    server.put(KEY, b"x");
    server.next([Fault::RetryAfter(429, 1)]);
    let start = Instant::now();
    mirror(&server).get(KEY, 10).await.expect("after a second");
    assert!(start.elapsed() >= Duration::from_secs(1));
    server.next([Fault::RetryAfter(503, 100_000)]);
    let error = mirror(&server)
        .get(KEY, 10)
        .await
        .expect_err("nobody waits a day");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(100_000)));
}

#[tokio::test]
async fn a_connection_closed_halfway_is_continued_by_range() {
    let server = HttpServer::start().await;
    server.put(KEY, &bytes());
    server.next([Fault::CloseAfter(400_000), Fault::CloseAfter(300_000)]);
    assert_eq!(
        whole(&mirror(&server)).await.expect("in three parts"),
        bytes()
    );
    assert_eq!(server.requests(), 3);
    let sent = server.sent();
    assert!(
        sent < 1_400_000,
        "continued, not begun again: {sent} bytes were sent"
    );
}

#[tokio::test]
async fn a_server_without_ranges_is_read_again_and_what_is_known_is_skipped() {
    let server = HttpServer::start().await;
    server.refuse_ranges();
    server.put(KEY, &bytes());
    server.next([Fault::CloseAfter(400_000)]);
    assert_eq!(
        whole(&mirror(&server)).await.expect("in two parts"),
        bytes()
    );
}

#[tokio::test]
async fn an_object_replaced_halfway_is_never_mixed() {
    let server = HttpServer::start().await;
    server.put(KEY, &bytes());
    server.next([Fault::ReplaceAfter(400_000)]);
    let error = whole(&mirror(&server))
        .await
        .expect_err("two halves of two objects");
    assert!(matches!(*error.fault, MirrorFault::Changed), "{error}");
}

#[tokio::test]
async fn a_length_that_is_not_true_is_an_error() {
    let server = HttpServer::start().await;
    server.put(KEY, &bytes());
    server.next(vec![Fault::PromiseMore(10); 10]);
    let error = whole(&mirror(&server))
        .await
        .expect_err("bytes that never come");
    assert!(
        matches!(*error.fault, MirrorFault::Interrupted(_)),
        "{error}"
    );
    server.next(vec![Fault::PromiseMore(10); 10]);
    mirror(&server)
        .get(KEY, 2_000_000)
        .await
        .expect_err("bytes that never come");
}

#[tokio::test]
async fn silence_is_not_waited_for_for_ever() {
    let server = HttpServer::start().await;
    server.put(KEY, &bytes());
    server.next([Fault::Silence, Fault::SilenceAfter(100_000)]);
    let start = Instant::now();
    assert_eq!(whole(&mirror(&server)).await.expect("third time"), bytes());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nobody_listening_is_an_error_that_may_pass() {
    let server = HttpServer::start().await;
    let mirror = mirror(&server);
    server.stop().await;
    let error = mirror.get(KEY, 10).await.expect_err("nobody there");
    assert!(
        matches!(*error.fault, MirrorFault::Unreachable(_)),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_bucket_is_not_an_absent_object() {
    let server = HttpServer::start().await;
    server.next([Fault::Page(404, "<Error><Code>NoSuchBucket</Code></Error>")]);
    let error = mirror(&server).get(KEY, 10).await.expect_err("no bucket");
    assert!(matches!(*error.fault, MirrorFault::NoBucket), "{error}");
    server.next([Fault::Page(
        403,
        "<Error><Code>InvalidAccessKeyId</Code></Error>",
    )]);
    let error = mirror(&server).get(KEY, 10).await.expect_err("wrong key");
    assert!(!error.may_mean_absent(), "{error}");
    server.next([Fault::Page(403, "<Error><Code>AccessDenied</Code></Error>")]);
    let error = mirror(&server).get(KEY, 10).await.expect_err("forbidden");
    assert!(error.may_mean_absent(), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_but_not_in_circles() {
    let server = HttpServer::start().await;
    server.put(KEY, b"x");
    let there = server.url().join(KEY).expect("a URL").to_string();
    server.next([Fault::Redirect(there.clone())]);
    assert_eq!(
        mirror(&server)
            .get(KEY, 10)
            .await
            .expect("there")
            .as_deref(),
        Some(&b"x"[..])
    );
    server.next(vec![Fault::Redirect(there); 30]);
    let error = mirror(&server).get(KEY, 10).await.expect_err("a circle");
    assert!(matches!(*error.fault, MirrorFault::Redirect(_)), "{error}");
}
