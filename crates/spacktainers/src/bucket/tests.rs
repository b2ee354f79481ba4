//! Against a real S3 server.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::local_cache::LocalCache;
use crate::test_support::moto::{BUCKET, Moto};
use oci_format::Digest;
use tokio::sync::Notify;

const MIB: usize = 1 << 20;

fn access(endpoint: &str) -> BucketAccess {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_S3", endpoint),
    ];
    BucketAccess {
        network: Network::new(Duration::from_secs(10)),
        environment: Arc::new(
            variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ),
        is_offline: false,
    }
}

/// A file of many parts that no two have in common, and what is told of it.
struct Sample {
    folder: tempfile::TempDir,
    cache: LocalCache,
    bytes: Vec<u8>,
    metadata: BTreeMap<String, String>,
}

impl Sample {
    fn new(size: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0u64..)
            .flat_map(|it| (it.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
            .take(size)
            .collect();
        fs::write(folder.path().join("file"), &bytes).unwrap();
        Self {
            cache: LocalCache::open(folder.path().join("cache")).unwrap(),
            folder,
            bytes,
            metadata: BTreeMap::from([("container-checksum".to_owned(), "abc".to_owned())]),
        }
    }

    async fn send(
        &self,
        bucket: &Bucket,
        key: &str,
        on_bytes: OnBytes,
    ) -> Result<u64, BucketError> {
        let path = self.folder.path().join("file");
        let file = UploadFile {
            path: &path,
            size: self.bytes.len() as u64,
            digest: Digest::of(&self.bytes),
            metadata: &self.metadata,
            content_type: "application/octet-stream",
            jobs: NonZeroUsize::new(2).unwrap(),
            on_bytes,
        };
        bucket.upload(key, file, &self.cache).await
    }
}

fn nobody() -> OnBytes {
    Arc::new(|_| {})
}

#[tokio::test]
async fn what_is_sent_comes_back_with_what_it_says_of_itself() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let bucket = Bucket::open(BUCKET, &access(&moto.endpoint)).await.unwrap();
    assert_eq!(bucket.head("none.sif").await.unwrap(), None);
    for size in [0, 1, 8 * MIB, 8 * MIB + 1, 21 * MIB] {
        let sample = Sample::new(size);
        let sent = sample
            .send(&bucket, "folder/a b+c.sif", nobody())
            .await
            .unwrap();
        assert_eq!(sent, size as u64);
        let found = bucket.head("folder/a b+c.sif").await.unwrap().unwrap();
        assert_eq!(found.size, size as u64);
        assert_eq!(found.metadata, sample.metadata, "{size}");
        let digest = Digest::of(&sample.bytes);
        let counted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&counted);
        let on_bytes: OnBytes = Arc::new(move |bytes| {
            count.fetch_add(bytes, Ordering::Relaxed);
        });
        let cache = &sample.cache;
        let download = bucket.download("folder/a b+c.sif", &found, &digest, cache, &on_bytes);
        download.await.unwrap();
        assert_eq!(counted.load(Ordering::Relaxed), size as u64);
        assert!(cache.verified_blob(&digest).unwrap().is_some());
    }
}

/// Counts bytes, and wakes somebody when there are many.
fn watch(limit: u64) -> (OnBytes, Arc<Notify>) {
    let (sum, reached) = (AtomicU64::new(0), Arc::new(Notify::new()));
    let notify = Arc::clone(&reached);
    let on_bytes = move |bytes| {
        if sum.fetch_add(bytes, Ordering::Relaxed) + bytes >= limit {
            notify.notify_one();
        }
    };
    (Arc::new(on_bytes), reached)
}

#[tokio::test]
async fn what_was_cut_off_is_continued() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let sample = Sample::new(40 * MIB);
    let bucket = Bucket::open(BUCKET, &access(&moto.endpoint)).await.unwrap();
    let (on_bytes, reached) = watch(16 * MIB as u64);
    tokio::select! {
        _ = sample.send(&bucket, "big.sif", on_bytes) => panic!("is sent in parts"),
        () = reached.notified() => {}
    }
    let half = bucket.head("big.sif").await.unwrap();
    assert_eq!(half, None, "nothing half-written");
    let sent = sample.send(&bucket, "big.sif", nobody()).await.unwrap();
    // One more may have arrived before it was cut off.
    let left = [24, 16].map(|it| it * MIB as u64);
    assert!(
        left.contains(&sent),
        "two parts of 8 MiB had arrived: {sent}"
    );

    let found = bucket.head("big.sif").await.unwrap().unwrap();
    let digest = Digest::of(&sample.bytes);
    let cache = &sample.cache;
    let (on_bytes, reached) = watch(10 * MIB as u64);
    tokio::select! {
        _ = bucket.download("big.sif", &found, &digest, cache, &on_bytes) => panic!("takes a while"),
        () = reached.notified() => {}
    }
    assert!(cache.blob(&digest).is_none());
    let pieces = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&pieces);
    let on_bytes: OnBytes = Arc::new(move |bytes| told.lock().unwrap().push(bytes));
    let download = bucket.download("big.sif", &found, &digest, cache, &on_bytes);
    download.await.unwrap();
    let pieces = pieces.lock().unwrap();
    assert!(
        pieces[0] >= 8 * MIB as u64,
        "is here already: {}",
        pieces[0]
    );
    assert_eq!(pieces.iter().sum::<u64>(), 40 * MIB as u64);
    assert!(cache.verified_blob(&digest).unwrap().is_some());
}

#[tokio::test]
async fn another_file_under_the_same_key_begins_anew() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let mut sample = Sample::new(20 * MIB);
    let bucket = Bucket::open(BUCKET, &access(&moto.endpoint)).await.unwrap();
    let (on_bytes, reached) = watch(8 * MIB as u64);
    tokio::select! {
        _ = sample.send(&bucket, "big.sif", on_bytes) => panic!("is sent in parts"),
        () = reached.notified() => {}
    }
    sample.bytes.reverse();
    fs::write(sample.folder.path().join("file"), &sample.bytes).unwrap();
    let sent = sample.send(&bucket, "big.sif", nobody()).await.unwrap();
    assert_eq!(sent, 20 * MIB as u64);
    let found = bucket.head("big.sif").await.unwrap().unwrap();
    let digest = Digest::of(&sample.bytes);
    let (cache, on_bytes) = (&sample.cache, nobody());
    let download = bucket.download("big.sif", &found, &digest, cache, &on_bytes);
    download.await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let sample = Sample::new(10);
    let access = access(&moto.endpoint);
    let nowhere = Bucket::open("no-such-bucket", &access).await.unwrap();
    let refused = sample.send(&nowhere, "a.sif", nobody()).await.unwrap_err();
    assert!(matches!(refused, BucketError::NoBucket(_)), "{refused:?}");
    let bucket = Bucket::open(BUCKET, &access).await.unwrap();
    let wrong = bucket.head("a//b").await.unwrap_err();
    assert!(matches!(wrong, BucketError::Key(_)), "{wrong:?}");
    sample.send(&bucket, "a.sif", nobody()).await.unwrap();
    let found = bucket.head("a.sif").await.unwrap().unwrap();
    let other = Digest::of(b"something else");
    let (cache, on_bytes) = (&sample.cache, nobody());
    let download = bucket.download("a.sif", &found, &other, cache, &on_bytes);
    let wrong = download.await.unwrap_err();
    assert!(wrong.is_verification(), "{wrong:?}");
    let offline = BucketAccess {
        is_offline: true,
        ..access
    };
    let refused = Bucket::open(BUCKET, &offline).await.unwrap_err();
    assert!(matches!(refused, BucketError::Offline(_)), "{refused:?}");
}
