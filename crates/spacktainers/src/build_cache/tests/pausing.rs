//! A mirror that takes its time, counts what it is asked, and dies.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use oci_format::Digest;

use crate::content::Content;
use crate::mirror::{
    Download, Mirror, MirrorError, OnBytes, PruneMirror, Put, SharedWriter, Start, Versioned, When,
    WriteError, WriteFault, WriteMirror,
};

pub(super) struct Pausing {
    inner: SharedWriter,
    /// The longest pause before and after each request: milliseconds.
    pause: u64,
    /// How many more writes are done before all fail.
    writes_left: AtomicI64,
    pub(super) requests: AtomicUsize,
}

impl Pausing {
    pub(super) fn new(inner: &SharedWriter, pause: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            pause,
            writes_left: AtomicI64::new(i64::MAX),
            requests: AtomicUsize::new(0),
        })
    }

    pub(super) fn dying_after(inner: &SharedWriter, writes: i64) -> Arc<Self> {
        let this = Self::new(inner, 0);
        this.writes_left.store(writes, Ordering::Relaxed);
        this
    }

    async fn pause(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.pause > 0 {
            let some = RandomState::new().hash_one(()) % self.pause;
            tokio::time::sleep(Duration::from_millis(some)).await;
        }
    }

    async fn before_write(&self, key: &str) -> Result<(), WriteError> {
        self.pause().await;
        if self.writes_left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        Err(WriteError {
            mirror: self.inner.url().to_owned(),
            key: key.to_owned(),
            fault: Box::new(WriteFault::Server("killed".into())),
        })
    }
}

#[async_trait]
impl Mirror for Pausing {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        self.pause().await;
        self.inner.get(key, limit).await
    }

    async fn open(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorError> {
        self.pause().await;
        self.inner.open(key, start).await
    }
}

#[async_trait]
impl WriteMirror for Pausing {
    async fn read(&self, key: &str, limit: u64) -> Result<Option<Versioned>, MirrorError> {
        let read = self.inner.read(key, limit).await;
        self.pause().await;
        read
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, MirrorError> {
        let size = self.inner.size(key).await;
        self.pause().await;
        size
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, MirrorError> {
        let list = self.inner.list(folder).await;
        self.pause().await;
        list
    }

    async fn put(&self, key: &str, bytes: Bytes, when: &When) -> Result<Put, WriteError> {
        self.before_write(key).await?;
        let put = self.inner.put(key, bytes, when).await;
        self.pause().await;
        put
    }

    async fn put_blob(
        &self,
        key: &str,
        content: &Content,
        digest: &Digest,
        on_bytes: OnBytes<'_>,
    ) -> Result<(), WriteError> {
        self.before_write(key).await?;
        self.inner.put_blob(key, content, digest, on_bytes).await
    }
}

#[async_trait]
impl PruneMirror for Pausing {
    async fn delete(&self, key: &str) -> Result<(), WriteError> {
        self.before_write(key).await?;
        self.inner.delete(key).await
    }
}
