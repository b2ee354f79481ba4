//! Files out of the cache, and against a real S3 server.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::bucket::UploadFile;
use crate::event::Silent;
use crate::mirror::Network;
use crate::registry::RegistrySettings;
use crate::test_support::moto::{BUCKET, Moto};

struct Setup {
    moto: Moto,
    folder: tempfile::TempDir,
    context: PullContext,
}

impl Setup {
    async fn new() -> Option<Self> {
        let moto = Moto::start().await?;
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_S3", &*moto.endpoint),
        ];
        let environment: BTreeMap<_, _> = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let context = PullContext {
            registry: RegistryClient::new(RegistrySettings::default()),
            buckets: BucketAccess {
                network: Network::new(Duration::from_secs(10)),
                environment: Arc::new(environment),
                is_offline: false,
            },
            cache: LocalCache::open(folder.path().join("cache")).unwrap(),
            reporter: Arc::new(Silent),
            is_forced: false,
        };
        Some(Self {
            moto,
            folder,
            context,
        })
    }

    /// Puts an object there, as we do.
    async fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.folder.path().join("sent");
        fs::write(&path, bytes).unwrap();
        let facts = SifFacts {
            file: Some(Digest::of(bytes)),
            ..SifFacts::default()
        };
        let bucket = Bucket::open(BUCKET, &self.context.buckets).await.unwrap();
        let file = UploadFile {
            path: &path,
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            metadata: &facts.to_metadata(),
            content_type: "application/octet-stream",
            jobs: NonZeroUsize::MIN,
            on_bytes: Arc::new(|_| {}),
        };
        bucket.upload(key, file, &self.context.cache).await.unwrap();
    }

    async fn pull(&self, key: &str, file: &Path) -> Result<Pulled, PullError> {
        let object = ObjectName {
            bucket: BUCKET.to_owned(),
            key: key.to_owned(),
        };
        pull(&PullSource::Object(object), file, &self.context).await
    }
}

#[tokio::test]
async fn a_file_is_fetched_when_it_is_another_one() {
    let Some(setup) = Setup::new().await else {
        return;
    };
    let file = setup.folder.path().join("below/here.sif");
    let missing = setup.pull("a.sif", &file).await.unwrap_err();
    assert!(matches!(missing, PullError::Missing(_)), "{missing:?}");
    assert!(!file.exists());
    setup.put("a.sif", b"first").await;
    assert!(!setup.pull("a.sif", &file).await.unwrap().unchanged);
    assert_eq!(fs::read(&file).unwrap(), b"first");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o700, 0o700, "can be started: {mode:o}");
    let digest = Digest::of(b"first");
    assert!(
        setup.context.cache.blob(&digest).is_none(),
        "is not here twice"
    );
    assert!(setup.pull("a.sif", &file).await.unwrap().unchanged);
    // Another content of the same size, on either side.
    fs::write(&file, b"wrong").unwrap();
    assert!(!setup.pull("a.sif", &file).await.unwrap().unchanged);
    setup.put("a.sif", b"other").await;
    assert!(!setup.pull("a.sif", &file).await.unwrap().unchanged);
    assert_eq!(fs::read(&file).unwrap(), b"other");
    let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn an_object_that_says_nothing_is_known_by_its_time() {
    let Some(setup) = Setup::new().await else {
        return;
    };
    let url = format!("{}/{BUCKET}/plain.sif", setup.moto.endpoint);
    let client = reqwest::Client::new();
    let put = client.put(&url).body("plain").send().await.unwrap();
    assert!(put.status().is_success(), "{put:?}");
    let file = setup.folder.path().join("plain.sif");
    assert_eq!(setup.pull("plain.sif", &file).await.unwrap().digest, None);
    assert_eq!(fs::read(&file).unwrap(), b"plain");
    assert!(setup.pull("plain.sif", &file).await.unwrap().unchanged);
}

#[test]
fn a_blob_is_copied_where_it_cannot_be_moved() {
    let shm = Path::new("/dev/shm");
    let Ok(elsewhere) = tempfile::tempdir_in(shm) else {
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: no second file system at {}",
            shm.display()
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cache = LocalCache::open(folder.path()).unwrap();
    let digest = Digest::of(b"blob");
    cache.insert(&digest, 4, &b"blob"[..]).unwrap();
    let file = elsewhere.path().join("file");
    place::place(&cache, &digest, &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"blob");
    assert!(cache.blob(&digest).is_none());
}
