//! Uploads through a registry and a network that fail.

use std::time::{Duration, Instant};

use oci_format::Digest;
use spacktainers::registry::{Mount, RegistryError, Repository, Upload};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{repository, send};
use crate::proxy::{Act, Proxy, Seen};
use crate::sample::{noise, settings, told};
use crate::server::{self, Server};
use spacktainers::content::Content;

struct Stage {
    _server: Server,
    proxy: Proxy,
    repository: Repository,
    bytes: Vec<u8>,
}

/// A registry behind a proxy, and a blob to send in chunks of 64 KiB once something has failed.
async fn stage() -> Option<Stage> {
    let server = server::start()?;
    let proxy = Proxy::before(&server.address).await;
    let mut settings = settings();
    settings.chunk = 64 << 10;
    let repository = repository(&proxy.address, settings);
    Some(Stage {
        _server: server,
        proxy,
        repository,
        bytes: noise(9, 300_000),
    })
}

impl Stage {
    async fn send(&self) -> Result<Digest, RegistryError> {
        send(&self.repository, &self.bytes).await
    }

    /// The address of a new session, asked for without our client.
    async fn begin(&self) -> String {
        let request = "POST /v2/team/thing/blobs/uploads/ HTTP/1.1\r\n\
             Content-Length: 0\r\nConnection: close\r\n";
        let mut stream = TcpStream::connect(&self.proxy.address)
            .await
            .expect("connects");
        let host = format!("Host: {}\r\n\r\n", self.proxy.address);
        stream
            .write_all((request.to_owned() + &host).as_bytes())
            .await
            .expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        self.proxy.seen();
        let location = answer
            .lines()
            .find_map(|line| line.strip_prefix("Location: "));
        location.expect("a location").to_owned()
    }

    async fn is_there(&self) -> bool {
        let head = self.repository.blob_head(&Digest::of(&self.bytes)).await;
        head.expect("asks") == Some(Some(self.bytes.len() as u64))
    }
}

fn lines(seen: &[Seen]) -> Vec<String> {
    seen.iter()
        .map(|it| format!("{} {}", it.method, it.status))
        .collect()
}

#[tokio::test]
async fn without_faults_a_blob_is_two_requests() {
    let Some(stage) = stage().await else { return };
    stage.send().await.expect("sends");
    assert_eq!(lines(&stage.proxy.seen()), ["POST 202", "PUT 201"]);
    assert!(stage.is_there().await);
    send(&stage.repository, b"")
        .await
        .expect("nothing can be sent too");
}

#[tokio::test]
async fn errors_that_pass_are_tried_again() {
    let Some(stage) = stage().await else { return };
    stage
        .proxy
        .on("POST", "/uploads/", 2, Act::Answer(500, "", Vec::new()));
    stage
        .proxy
        .on("PUT", "/uploads/", 1, Act::Answer(503, "", Vec::new()));
    stage.send().await.expect("in the end");
    assert!(stage.is_there().await);
}

#[tokio::test]
async fn errors_that_stay_are_told_with_the_registrys_own_words() {
    let Some(stage) = stage().await else { return };
    let body = br#"{"errors":[{"code":"DENIED","message":"quota\nexceeded"}]}"#;
    stage
        .proxy
        .on("PUT", "/uploads/", 1, Act::Answer(403, "", body.to_vec()));
    let error = stage.send().await.expect_err("refused");
    let text = told(&error);
    assert!(
        text.ends_with("the registry answered 403 Forbidden: DENIED: quota exceeded"),
        "{text}"
    );
    assert!(
        !text.contains("_state"),
        "a session's state is nobody's business: {text}"
    );
    let last = stage.proxy.seen().pop().expect("a request");
    assert_eq!(last.method, "DELETE", "the session is given back");
    stage
        .proxy
        .on("POST", "/uploads/", 99, Act::Answer(500, "", Vec::new()));
    let error = stage.send().await.expect_err("gives up");
    assert!(told(&error).contains("500"), "{error}");
    assert_eq!(stage.proxy.seen().len(), 4, "four tries were allowed");
}

#[tokio::test]
async fn a_registry_that_asks_for_patience_gets_it() {
    let Some(stage) = stage().await else { return };
    let start = Instant::now();
    stage.proxy.on(
        "POST",
        "/uploads/",
        1,
        Act::Answer(429, "Retry-After: 1\r\n", Vec::new()),
    );
    stage.proxy.on(
        "PUT",
        "/uploads/",
        1,
        Act::Answer(429, "Retry-After: 1\r\n", Vec::new()),
    );
    stage.send().await.expect("in the end");
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert!(stage.is_there().await);
    stage.proxy.on(
        "GET",
        "/tags/",
        1,
        Act::Answer(429, "Retry-After: 3600\r\n", Vec::new()),
    );
    let error = stage
        .repository
        .tags()
        .await
        .expect_err("an hour is too long");
    assert!(
        told(&error).ends_with("the registry asks to wait 3600 seconds"),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_closes_halfway_costs_a_question_and_not_the_upload() {
    let Some(stage) = stage().await else { return };
    stage
        .proxy
        .on("PUT", "/uploads/", 1, Act::BreakRequest(150_000));
    stage.send().await.expect("in the end");
    assert!(stage.is_there().await);
    let seen = stage.proxy.seen();
    let asked = seen
        .iter()
        .find(|it| it.method == "GET" && it.path.contains("/uploads/"));
    assert!(
        asked.is_some(),
        "the offset is asked for: {:?}",
        lines(&seen)
    );
    // Every chunk begins where the one before it ended.
    let ranges: Vec<_> = seen
        .iter()
        .filter_map(|it| it.header("content-range"))
        .collect();
    assert!(!ranges.is_empty());
    for pair in ranges.windows(2) {
        let end: u64 = pair[0]
            .split_once('-')
            .expect("a range")
            .1
            .parse()
            .expect("a number");
        let start: u64 = pair[1]
            .split_once('-')
            .expect("a range")
            .0
            .parse()
            .expect("a number");
        assert_eq!(start, end + 1);
    }
}

#[tokio::test]
async fn a_session_goes_on_at_the_offset_that_the_registry_tells() {
    let Some(stage) = stage().await else { return };
    // The first request fails before a byte is taken; then chunks, of which the third breaks.
    stage
        .proxy
        .on("PUT", "/uploads/", 1, Act::Answer(500, "", Vec::new()));
    stage.proxy.on("PATCH", "/uploads/", 2, Act::Pass);
    stage
        .proxy
        .on("PATCH", "/uploads/", 1, Act::Answer(500, "", Vec::new()));
    stage.send().await.expect("in the end");
    assert!(stage.is_there().await);
    let seen = stage.proxy.seen();
    let ranges: Vec<_> = seen
        .iter()
        .filter_map(|it| it.header("content-range"))
        .collect();
    assert_eq!(
        ranges,
        [
            "0-65535",
            "65536-131071",
            "131072-196607", // answered with 500, nothing taken
            "131072-196607",
            "196608-262143",
            "262144-299999"
        ]
    );
    assert_eq!(
        seen.iter().filter(|it| it.method == "POST").count(),
        1,
        "one session throughout"
    );
}

#[tokio::test]
async fn a_lost_answer_is_found_out_by_asking_for_the_blob() {
    let Some(stage) = stage().await else { return };
    stage.proxy.on("PUT", "/uploads/", 1, Act::LoseAnswer);
    stage.send().await.expect("is there after all");
    let seen = stage.proxy.seen();
    assert_eq!(lines(&seen).last().map(String::as_str), Some("HEAD 200"));
    assert_eq!(
        seen.iter().filter(|it| it.method == "PUT").count(),
        1,
        "nothing is sent twice"
    );
}

#[tokio::test]
async fn an_offset_that_the_registry_refuses_leads_to_a_question_or_a_new_session() {
    let Some(stage) = stage().await else { return };
    stage
        .proxy
        .on("PUT", "/uploads/", 1, Act::Answer(500, "", Vec::new()));
    stage.proxy.on(
        "PATCH",
        "/uploads/",
        1,
        Act::Answer(416, "Range: 0-9\r\n", Vec::new()),
    );
    stage.send().await.expect("in the end");
    assert!(stage.is_there().await);
    stage.proxy.forget_rules();
    let seen = stage.proxy.seen();
    assert!(
        seen.iter()
            .any(|it| it.method == "GET" && it.path.contains("/uploads/"))
    );
    // A registry that has forgotten the session altogether.
    let other = noise(10, 100_000);
    stage
        .proxy
        .on("PUT", "/uploads/", 1, Act::Answer(404, "", Vec::new()));
    stage
        .proxy
        .on("GET", "/uploads/", 1, Act::Answer(404, "", Vec::new()));
    send(&stage.repository, &other)
        .await
        .expect("in a new session");
    let seen = stage.proxy.seen();
    assert_eq!(seen.iter().filter(|it| it.method == "POST").count(), 2);
}

#[tokio::test]
async fn a_registry_that_never_gets_further_is_given_up() {
    let Some(stage) = stage().await else { return };
    stage
        .proxy
        .on("PUT", "/uploads/", 99, Act::BreakRequest(1000));
    stage
        .proxy
        .on("PATCH", "/uploads/", 99, Act::BreakRequest(1000));
    let error = stage.send().await.expect_err("gives up");
    assert!(matches!(error, RegistryError::Connection { .. }), "{error}");
    let tries = stage
        .proxy
        .seen()
        .iter()
        .filter(|it| matches!(&*it.method, "PUT" | "PATCH"))
        .count();
    assert!(tries <= 8, "{tries} tries");
}

#[tokio::test]
async fn a_registry_that_wants_big_chunks_gets_them() {
    let Some(stage) = stage().await else { return };
    // The opening's answer is the proxy's own, with the address of a session made before.
    let location = stage.begin().await;
    let answer = format!("Location: {location}\r\nOCI-Chunk-Min-Length: 131072\r\n");
    stage.proxy.on(
        "POST",
        "/uploads/",
        1,
        Act::Answer(202, answer.leak(), Vec::new()),
    );
    stage
        .proxy
        .on("PUT", "/uploads/", 1, Act::Answer(500, "", Vec::new()));
    stage.send().await.expect("in the end");
    let seen = stage.proxy.seen();
    let ranges: Vec<_> = seen
        .iter()
        .filter_map(|it| it.header("content-range"))
        .collect();
    assert_eq!(ranges, ["0-131071", "131072-262143", "262144-299999"]);
    assert!(stage.is_there().await);
}

#[tokio::test]
async fn a_mount_answered_with_202_is_an_upload_in_that_session() {
    let Some(stage) = stage().await else { return };
    let digest = stage.send().await.expect("sends");
    let elsewhere = repository_at(&stage, "other/place");
    assert!(matches!(
        elsewhere.mount(&digest, "team/thing").await,
        Ok(Mount::Mounted)
    ));
    let third = repository_at(&stage, "third/place");
    stage.proxy.seen();
    stage.proxy.on("POST", "mount=", 1, Act::DropQuery);
    let Ok(Mount::Session(session)) = third.mount(&digest, "team/thing").await else {
        panic!("the proxy took the wish away");
    };
    let upload = Upload {
        digest,
        content: &Content::Memory(stage.bytes.clone().into()),
        session: Some(session),
        on_bytes: Arc::new(|_| {}),
    };
    third.upload(upload).await.expect("sends");
    assert_eq!(
        lines(&stage.proxy.seen()),
        ["POST 202", "PUT 201"],
        "no second session"
    );
    stage
        .proxy
        .on("POST", "mount=", 1, Act::Answer(405, "", Vec::new()));
    assert!(matches!(
        third.mount(&digest, "team/thing").await,
        Ok(Mount::Refused)
    ));
}

fn repository_at(stage: &Stage, name: &str) -> Repository {
    let client = spacktainers::registry::RegistryClient::new(settings());
    let repository = client.open(&stage.proxy.address, name, false);
    repository.expect("an address").writable(["team/thing"])
}

#[tokio::test]
async fn bytes_that_have_changed_are_never_completed() {
    let Some(stage) = stage().await else { return };
    let upload = Upload {
        digest: Digest::of(b"what was promised"),
        content: &Content::Memory(stage.bytes.clone().into()),
        session: None,
        on_bytes: Arc::new(|_| {}),
    };
    let error = stage.repository.upload(upload).await.expect_err("changed");
    assert!(matches!(error, RegistryError::Changed { .. }), "{error}");
    let seen = lines(&stage.proxy.seen());
    // A registry that still cleans up after the broken PUT may have forgotten the session already: both answers say
    // that nothing is left of it.
    let given_back = ["DELETE 204", "DELETE 404"];
    assert_eq!(seen.len(), 3, "once: {seen:?}");
    assert_eq!(seen[..2], ["POST 202", "PUT 0"]);
    assert!(
        given_back.contains(&seen[2].as_str()),
        "the session is given back: {seen:?}"
    );
}
