//! Manifests, tags, referrers and blobs.

use oci_format::{Descriptor, Digest, ImageIndex, media_type};
use spacktainers::local_cache::LocalCache;
use spacktainers::registry::{
    ManifestKey, RegistryClient, RegistryError, RegistrySettings, Repository, Upload,
};
use std::io::Read as _;
use std::sync::Arc;

use crate::proxy::{Act, Proxy};
use crate::sample::{noise, settings, told};
use crate::server;
use spacktainers::content::Content;

pub(crate) fn repository(address: &str, settings: RegistrySettings) -> Repository {
    let client = RegistryClient::new(settings);
    client
        .open(address, "team/thing", false)
        .expect("an address")
        .writable([])
}

pub(crate) async fn send(repository: &Repository, bytes: &[u8]) -> Result<Digest, RegistryError> {
    let digest = Digest::of(bytes);
    let upload = Upload {
        digest,
        content: &Content::Memory(bytes.into()),
        session: None,
        on_bytes: Arc::new(|_| {}),
    };
    repository.upload(upload).await.map(|()| digest)
}

fn tag(name: &str) -> ManifestKey {
    ManifestKey::Tag(name.to_owned())
}

#[tokio::test]
async fn manifests_are_put_and_got_by_tag_and_by_digest() {
    let Some(server) = server::start() else {
        return;
    };
    let repository = repository(&server.address, settings());
    assert!(
        repository
            .manifest(tag("none"))
            .await
            .expect("asks")
            .is_none()
    );
    assert!(
        repository
            .manifest_head(tag("none"))
            .await
            .expect("asks")
            .is_none()
    );
    let index = ImageIndex::new(Vec::new()).to_json();
    let digest = Digest::of(&index);
    for key in [ManifestKey::Digest(digest), tag("one")] {
        repository
            .put_manifest(key.clone(), media_type::IMAGE_INDEX, index.clone())
            .await
            .expect("puts");
        let found = repository
            .manifest(key.clone())
            .await
            .expect("asks")
            .expect("is there");
        assert_eq!(found.bytes, index);
        assert_eq!(
            found.descriptor,
            Descriptor::of(media_type::IMAGE_INDEX, &index)
        );
        let head = repository
            .manifest_head(key)
            .await
            .expect("asks")
            .expect("is there");
        assert_eq!(head.digest, Some(digest));
        assert_eq!(head.size, Some(index.len() as u64));
    }
}

#[tokio::test]
async fn tags_are_listed_over_all_pages() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let repository = repository(&proxy.address, settings());
    assert!(repository.tags().await.expect("asks").is_empty());
    let index = ImageIndex::new(Vec::new()).to_json();
    for name in ["a", "b", "c"] {
        repository
            .put_manifest(tag(name), media_type::IMAGE_INDEX, index.clone())
            .await
            .expect("puts");
    }
    let mut tags = repository.tags().await.expect("asks");
    tags.sort();
    assert_eq!(tags, ["a", "b", "c"]);
    // The registry's own pages are a thousand tags; two of our own making show the way through.
    let first = br#"{"name":"team/thing","tags":["x"]}"#.to_vec();
    let link = "Link: </v2/team/thing/tags/list?last=x&n=1>; rel=\"next\"\r\n";
    proxy.on("GET", "n=1000", 1, Act::Answer(200, link, first));
    let second = br#"{"name":"team/thing","tags":["y"]}"#.to_vec();
    proxy.on("GET", "last=x", 1, Act::Answer(200, "", second));
    assert_eq!(repository.tags().await.expect("asks"), ["x", "y"]);
    let elsewhere = "Link: <http://192.0.2.1/v2/team/thing/tags/list>; rel=\"next\"\r\n";
    proxy.on(
        "GET",
        "n=1000",
        1,
        Act::Answer(200, elsewhere, br#"{"tags":null}"#.to_vec()),
    );
    assert!(repository.tags().await.expect("stays at home").is_empty());
}

#[tokio::test]
async fn referrers_of_a_registry_without_them_are_under_a_tag() {
    let Some(server) = server::start() else {
        return;
    };
    let repository = repository(&server.address, settings());
    let subject = Digest::of(b"subject");
    assert!(
        repository
            .referrers(&subject)
            .await
            .expect("asks")
            .is_empty()
    );
    let inner = ImageIndex::new(Vec::new()).to_json();
    let key = ManifestKey::Digest(Digest::of(&inner));
    repository
        .put_manifest(key, media_type::IMAGE_INDEX, inner.clone())
        .await
        .expect("puts");
    let referrer = Descriptor::of(media_type::IMAGE_INDEX, &inner);
    let index = ImageIndex::new(vec![referrer.clone()]).to_json();
    let name = format!("sha256-{}", subject.hex());
    repository
        .put_manifest(tag(&name), media_type::IMAGE_INDEX, index)
        .await
        .expect("puts");
    assert_eq!(
        repository.referrers(&subject).await.expect("asks"),
        [referrer]
    );
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_broke() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let repository = repository(&proxy.address, settings());
    let bytes = noise(1, 900_000);
    let digest = send(&repository, &bytes).await.expect("sends");
    let blob = Descriptor::of("a/b", &bytes);
    proxy.seen();
    proxy.on("GET", "/blobs/", 1, Act::CutAnswer(300_000));
    proxy.on("GET", "/blobs/", 1, Act::CutAnswer(100_000));
    let got = repository
        .blob_bytes(&blob, 1 << 20)
        .await
        .expect("in the end");
    assert_eq!(Digest::of(&got), digest);
    let ranges: Vec<_> = proxy
        .seen()
        .iter()
        .map(|it| it.header("range").unwrap_or("all").to_owned())
        .collect();
    assert_eq!(ranges, ["all", "bytes=300000-", "bytes=400000-"]);
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_sends_all_again_and_we_skip() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let repository = repository(&proxy.address, settings());
    let bytes = noise(2, 300_000);
    send(&repository, &bytes).await.expect("sends");
    proxy.on("GET", "/blobs/", 1, Act::CutAnswer(100_000));
    proxy.on("GET", "/blobs/", 1, Act::Answer(200, "", bytes.clone()));
    let blob = Descriptor::of("a/b", &bytes);
    assert_eq!(
        repository
            .blob_bytes(&blob, 1 << 20)
            .await
            .expect("in the end"),
        bytes
    );
}

#[tokio::test]
async fn a_blob_for_the_cache_is_continued_by_the_next_run() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let mut impatient = settings();
    impatient.retry.tries = 1;
    let repository = repository(&proxy.address, impatient);
    let bytes = noise(3, 800_000);
    send(&repository, &bytes).await.expect("sends");
    let blob = Descriptor::of("a/b", &bytes);
    let directory = tempfile::tempdir().expect("temporary directory");
    let cache = LocalCache::open(directory.path()).expect("a cache");
    proxy.on("GET", "/blobs/", 1, Act::CutAnswer(500_000));
    proxy.seen();
    repository
        .blob_to_cache(&blob, &cache, |_| {})
        .await
        .expect_err("breaks off");
    assert!(cache.blob(&blob.digest).is_none());
    let content = repository
        .blob_to_cache(&blob, &cache, |_| {})
        .await
        .expect("goes on");
    let mut read = Vec::new();
    content
        .open(0)
        .expect("opens")
        .read_to_end(&mut read)
        .expect("reads");
    assert_eq!(read, bytes);
    let ranges: Vec<_> = proxy
        .seen()
        .iter()
        .map(|it| it.header("range").unwrap_or("all").to_owned())
        .collect();
    assert_eq!(ranges, ["all", "bytes=500000-"]);
    repository
        .blob_to_cache(&blob, &cache, |_| {})
        .await
        .expect("is here");
    assert!(
        proxy.seen().is_empty(),
        "what is in the cache is not asked for"
    );
}

#[tokio::test]
async fn wrong_and_overlong_bytes_are_refused() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let repository = repository(&proxy.address, settings());
    let blob = Descriptor::of("a/b", b"right");
    proxy.on("GET", "/blobs/", 1, Act::Answer(200, "", b"wrong".to_vec()));
    let error = repository.blob_bytes(&blob, 100).await.expect_err("wrong");
    assert!(error.is_verification(), "{error}");
    proxy.on(
        "GET",
        "/blobs/",
        9,
        Act::Answer(200, "", b"much too long".to_vec()),
    );
    let error = repository
        .blob_bytes(&blob, 100)
        .await
        .expect_err("too long");
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    let index = ImageIndex::new(Vec::new()).to_json();
    proxy.on(
        "GET",
        "/manifests/",
        1,
        Act::Answer(200, "", b"{}".to_vec()),
    );
    let key = ManifestKey::Digest(Digest::of(&index));
    let error = repository
        .manifest(key)
        .await
        .expect_err("another manifest");
    assert!(error.is_verification(), "{error}");
    let huge = vec![b' '; (4 << 20) + 1];
    proxy.on("GET", "/manifests/", 1, Act::Answer(200, "", huge));
    let error = repository
        .manifest(tag("huge"))
        .await
        .expect_err("too large");
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn redirects_to_storage_are_followed_without_our_credentials() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let storage = Proxy::before(&server.address).await;
    let repository = repository(&proxy.address, settings());
    let blob = Descriptor::of("a/b", b"stored elsewhere");
    let location = format!(
        "Location: http://{}/bucket/key?signature=x\r\n",
        storage.address
    );
    proxy.on(
        "GET",
        "/blobs/",
        1,
        Act::Answer(307, location.leak(), Vec::new()),
    );
    storage.on(
        "GET",
        "/bucket/key",
        1,
        Act::Answer(200, "", b"stored elsewhere".to_vec()),
    );
    let bytes = repository.blob_bytes(&blob, 100).await.expect("follows");
    assert_eq!(bytes, b"stored elsewhere");
    let seen = storage.seen();
    assert_eq!(seen[0].path, "/bucket/key?signature=x");
    assert_eq!(seen[0].header("authorization"), None);
    let circle = format!(
        "Location: http://{}/v2/team/thing/blobs/{}\r\n",
        proxy.address, blob.digest
    );
    proxy.on(
        "GET",
        "/blobs/",
        99,
        Act::Answer(307, circle.leak(), Vec::new()),
    );
    let error = repository
        .blob_bytes(&blob, 100)
        .await
        .expect_err("a circle");
    assert!(told(&error).contains("circles"), "{error}");
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_given_up() {
    let Some(server) = server::start() else {
        return;
    };
    let proxy = Proxy::before(&server.address).await;
    let mut impatient = settings();
    impatient.retry.tries = 2;
    impatient.stall = std::time::Duration::from_millis(100);
    let repository = repository(&proxy.address, impatient);
    proxy.on("GET", "/manifests/", 2, Act::Hang);
    let error = repository.manifest(tag("x")).await.expect_err("hangs");
    assert!(matches!(error, RegistryError::Stalled { .. }), "{error}");
    assert_eq!(proxy.seen().len(), 2);
    drop(server);
    let error = repository
        .manifest(tag("x"))
        .await
        .expect_err("nobody there");
    assert!(
        told(&error).starts_with("cannot reach `http://127.0.0.1:"),
        "{error}"
    );
}
