//! What every mirror promises, whatever it is made of.

use std::fs;
use std::sync::Arc;

use futures::TryStreamExt;

use super::super::*;
use crate::registry::{RegistryClient, RegistrySettings};
use crate::test_support::http_server::HttpServer;

/// What the mirror under test must hold.
pub(super) const OBJECTS: &[(&str, &[u8])] = &[
    ("v3/layout.json", b"{\"signing\": \"gpg\"}"),
    ("blobs/sha256/ab/abc", &[7; 300_000]),
    ("v3/manifests/spec/gtk+/gtk+-3.24~x @1 %2.json", b"odd name"),
    ("empty", b""),
];

pub(super) async fn read(download: Download) -> Result<Vec<u8>, MirrorError> {
    let chunks: Vec<_> = download.body.try_collect().await?;
    Ok(chunks.concat())
}

pub(super) async fn behaves_like_a_mirror(mirror: &dyn Mirror) {
    for (key, bytes) in OBJECTS {
        let length = bytes.len() as u64;
        let whole = mirror.get(key, length).await.expect(key);
        assert_eq!(
            whole.as_deref(),
            Some(*bytes),
            "{key} is read whole, up to the limit"
        );
        if length > 0 {
            let error = mirror
                .get(key, length - 1)
                .await
                .expect_err("one byte too many");
            assert!(
                matches!(*error.fault, MirrorFault::TooLarge { .. }),
                "{error}"
            );
            assert!(!error.is_transient());
        }
        let download = mirror
            .open(key, &Start::default())
            .await
            .expect(key)
            .expect("present");
        assert_eq!((download.offset, download.total), (0, Some(length)));
        assert_eq!(read(download).await.expect(key), *bytes);
    }
    let (key, bytes) = OBJECTS[1];
    for offset in [1, 1000, bytes.len() as u64 - 1] {
        let download = mirror
            .open(key, &Start::at(offset))
            .await
            .expect(key)
            .expect("present");
        assert_eq!(download.total, Some(bytes.len() as u64));
        let skipped = usize::try_from(download.offset).expect("small");
        assert!(
            skipped == 0 || skipped as u64 == offset,
            "from there or from the beginning"
        );
        assert_eq!(read(download).await.expect(key), &bytes[skipped..]);
    }
    // A stale part may be as long as the object, or longer.
    for offset in [bytes.len() as u64, bytes.len() as u64 + 5] {
        let download = mirror
            .open(key, &Start::at(offset))
            .await
            .expect(key)
            .expect("present");
        let skipped = usize::try_from(download.offset).expect("small");
        assert_eq!(read(download).await.expect(key), &bytes[skipped..]);
    }
    for absent in [
        "absent",
        "v3/absent/deep/inside",
        "v3",
        "empty/below-a-file",
    ] {
        assert_eq!(
            mirror.get(absent, 10).await.expect(absent),
            None,
            "{absent} is no object"
        );
        let opened = mirror.open(absent, &Start::default()).await.expect(absent);
        assert!(opened.is_none(), "{absent} is no object");
    }
    for outside in [
        "../secret",
        "/etc/passwd",
        "v3/../../x",
        "",
        "a//b",
        "./a",
        "a\0b",
    ] {
        let error = mirror.get(outside, 10).await.expect_err(outside);
        assert!(matches!(*error.fault, MirrorFault::Key), "{error}");
        mirror
            .open(outside, &Start::default())
            .await
            .map(|_| ())
            .expect_err(outside);
        assert_eq!(mirror.local_path(outside), None);
    }
}

#[tokio::test]
async fn a_folder_behaves_like_a_mirror() {
    let folder = tempfile::tempdir().expect("folder");
    for (key, bytes) in OBJECTS {
        let path = folder.path().join(key);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("makes");
        fs::write(path, bytes).expect("writes");
    }
    let mirror = FileMirror::new(folder.path());
    behaves_like_a_mirror(&mirror).await;
    behaves_like_a_mirror(&Retrying::new(Arc::new(mirror), RetryPolicy::default())).await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error_and_not_an_empty_mirror() {
    let mirror = FileMirror::new("/nonexistent/mirror");
    let error = mirror
        .get("v3/layout.json", 10)
        .await
        .expect_err("no folder");
    assert!(
        matches!(*error.fault, MirrorFault::NoFolder { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_web_server_behaves_like_a_mirror() {
    let server = HttpServer::start().await;
    for (key, bytes) in OBJECTS {
        server.put(key, bytes);
    }
    let network = Network::new(std::time::Duration::from_secs(10));
    let mirror = HttpMirror::new(&network, server.url());
    behaves_like_a_mirror(&mirror).await;
    behaves_like_a_mirror(&Retrying::new(Arc::new(mirror), RetryPolicy::default())).await;
}

#[tokio::test]
async fn a_web_server_without_ranges_behaves_like_a_mirror() {
    let server = HttpServer::start().await;
    server.refuse_ranges();
    for (key, bytes) in OBJECTS {
        server.put(key, bytes);
    }
    let network = Network::new(std::time::Duration::from_secs(10));
    behaves_like_a_mirror(&HttpMirror::new(&network, server.url())).await;
}

#[tokio::test]
async fn mirrors_are_made_from_their_locations() {
    let folder = tempfile::tempdir().expect("folder");
    let access = Access {
        network: Network::new(std::time::Duration::from_secs(5)),
        registries: RegistryClient::new(RegistrySettings::default()),
        is_offline: true,
        retry: RetryPolicy::default(),
        environment: Arc::default(),
    };
    let local = Location::Folder(folder.path().to_owned());
    connect(&local, &access).await.expect("on this machine");
    let remote: url::Url = "https://user:secret@example.org/cache?token=secret"
        .parse()
        .expect("a URL");
    let remote = Location::Http(remote);
    assert_eq!(remote.to_string(), "https://example.org/cache");
    let source = connect(&remote, &access).await.expect("nothing is asked");
    assert!(matches!(source, Source::Offline));
}
