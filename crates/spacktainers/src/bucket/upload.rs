//! Files into a bucket, in parts, continued by whoever comes next.
//!
//! ```text
//! local cache, record `s3-upload-1`: which file goes where, the upload's id, the parts that have arrived
//!   the same file again   ─► the parts that are missing, then completed
//!   another one           ─► the old upload is given up, a new one begun
//! ```
//!
//! Source: Amazon S3 API Reference, CreateMultipartUpload, UploadPart, CompleteMultipartUpload.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore as _, PutMultipartOptions, PutOptions};
use oci_format::Digest;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::error::{chain, code};
use super::{Bucket, BucketError, ObjectName};
use crate::local_cache::LocalCache;

/// Bytes of a part, at least. S3 wants 5 MiB of all but the last; memory holds as many as are sent at once.
const PART: u64 = 8 << 20;
/// S3 counts parts up to 10,000.
const MOST_PARTS: u64 = 10_000;
/// The kind of the records of uploads.
const RECORD: &str = "s3-upload-1";

/// Called with bytes that have arrived.
pub type OnBytes = Arc<dyn Fn(u64) + Send + Sync>;

/// A file to send.
#[derive(Clone)]
pub struct UploadFile<'a> {
    /// Where it lies. It must not change until it has been sent.
    pub path: &'a FilePath,
    /// Bytes of it.
    pub size: u64,
    /// Its digest, by which a later run knows it again.
    pub digest: Digest,
    /// What the object is to say of itself.
    pub metadata: &'a BTreeMap<String, String>,
    /// What kind of file it is.
    pub content_type: &'static str,
    /// Parts that are sent at once.
    pub jobs: NonZeroUsize,
    /// Called with bytes that have arrived; those of earlier runs are among them.
    pub on_bytes: OnBytes,
}

/// An upload on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    /// Of the file.
    digest: Digest,
    /// Of the metadata: parts belong to an upload that has its own.
    metadata: Digest,
    /// The server's name for the upload.
    upload: String,
    /// Bytes of a part.
    part: u64,
    /// The server's names for parts that have arrived.
    parts: Vec<Option<String>>,
}

impl Bucket {
    /// Sends a file. Gives the bytes that had to be sent: fewer than the file has, where an earlier run sent some.
    ///
    /// # Errors
    /// When the file cannot be read, or the bucket does not take it. What has arrived is remembered in `cache`, and sending
    /// the same file again goes on from there.
    pub async fn upload(
        &self,
        key: &str,
        file: UploadFile<'_>,
        cache: &LocalCache,
    ) -> Result<u64, BucketError> {
        let (path, object) = self.object(key)?;
        if file.size <= PART {
            let failed = BucketError::failed("write", &object);
            let bytes = read(file.path.to_owned(), 0, file.size, &object).await?;
            let options = PutOptions {
                attributes: file.attributes(),
                ..PutOptions::default()
            };
            let put = self.store.put_opts(&path, bytes.into(), options).await;
            put.map_err(failed)?;
            (file.on_bytes)(file.size);
            return Ok(file.size);
        }
        let mut fresh = false;
        loop {
            let progress = self.begin(&path, &object, &file, cache).await?;
            let was_begun_before = progress.parts.iter().any(Option::is_some);
            match self.go_on(&path, &object, &file, progress, cache).await {
                Ok(sent) => return Ok(sent),
                // The server has forgotten the upload: buckets are often set to clean up after some days.
                Err(Fault::Forgotten) if was_begun_before && !fresh => {
                    forget(cache, &object);
                    fresh = true;
                }
                Err(Fault::Forgotten) => return Err(BucketError::Overwritten(object)),
                Err(Fault::Other(error)) => return Err(error),
            }
        }
    }

    /// The upload of an earlier run, or a new one.
    async fn begin(
        &self,
        path: &Path,
        object: &ObjectName,
        file: &UploadFile<'_>,
        cache: &LocalCache,
    ) -> Result<Progress, BucketError> {
        let part = PART.max(file.size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20));
        let count = usize::try_from(file.size.div_ceil(part)).unwrap_or(usize::MAX);
        let metadata = Digest::of(format!("{:?}", file.metadata).as_bytes());
        if let Some(known) = known(cache, object) {
            if known.digest == file.digest
                && known.metadata == metadata
                && known.part == part
                && known.parts.len() == count
            {
                return Ok(known);
            }
            // Else its parts would lie in the bucket, and be paid for, until somebody cleans up.
            let _ = self.store.abort_multipart(path, &known.upload).await;
        }
        let options = PutMultipartOptions {
            attributes: file.attributes(),
            ..PutMultipartOptions::default()
        };
        let begun = self.store.create_multipart_opts(path, options).await;
        let progress = Progress {
            digest: file.digest,
            metadata,
            upload: begun.map_err(BucketError::failed("write", object))?,
            part,
            parts: vec![None; count],
        };
        remember(cache, object, &progress);
        Ok(progress)
    }

    async fn go_on(
        &self,
        path: &Path,
        object: &ObjectName,
        file: &UploadFile<'_>,
        progress: Progress,
        cache: &LocalCache,
    ) -> Result<u64, Fault> {
        let (upload, part) = (progress.upload.clone(), progress.part);
        let length = |index: u64| part.min(file.size - index * part);
        let mut missing = Vec::new();
        for (index, known) in (0u64..).zip(&progress.parts) {
            match known {
                Some(_) => (file.on_bytes)(length(index)),
                None => missing.push(index),
            }
        }
        let progress = Mutex::new(progress);
        let sent: u64 = stream::iter(missing)
            .map(async |index| {
                let length = length(index);
                let bytes = read(file.path.to_owned(), index * part, length, object).await?;
                let number = usize::try_from(index).unwrap_or(usize::MAX);
                let put = self.store.put_part(path, &upload, number, bytes.into());
                let id = put.await.map_err(|error| Fault::of(error, object))?;
                let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(place) = progress.parts.get_mut(number) {
                    *place = Some(id.content_id);
                }
                remember(cache, object, &progress);
                (file.on_bytes)(length);
                Ok::<u64, Fault>(length)
            })
            .buffer_unordered(file.jobs.get())
            .try_fold(0, async |sum, length| Ok(sum + length))
            .await?;
        let progress = progress
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let parts = progress.parts.into_iter().flatten();
        let parts: Vec<PartId> = parts.map(|content_id| PartId { content_id }).collect();
        let completed = self.store.complete_multipart(path, &upload, parts).await;
        completed.map_err(|error| Fault::of(error, object))?;
        forget(cache, object);
        Ok(sent)
    }
}

impl UploadFile<'_> {
    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        for (name, value) in self.metadata {
            attributes.insert(
                Attribute::Metadata(name.clone().into()),
                value.clone().into(),
            );
        }
        attributes.insert(Attribute::ContentType, self.content_type.into());
        attributes
    }
}

enum Fault {
    /// There is no such upload.
    Forgotten,
    Other(BucketError),
}

impl From<BucketError> for Fault {
    fn from(error: BucketError) -> Self {
        Self::Other(error)
    }
}

impl Fault {
    fn of(error: object_store::Error, object: &ObjectName) -> Self {
        match code(&chain(&error)) {
            "NoSuchUpload" | "InvalidPart" => Self::Forgotten,
            _ => Self::Other(BucketError::failed("write", object)(error)),
        }
    }
}

fn known(cache: &LocalCache, object: &ObjectName) -> Option<Progress> {
    serde_json::from_slice(&cache.record(RECORD, &object.to_string())?).ok()
}

/// Failing to is no reason to stop: then all is sent again, should this run be killed.
fn remember(cache: &LocalCache, object: &ObjectName, progress: &Progress) {
    let bytes = serde_json::to_vec(progress).unwrap_or_default();
    let _ = cache.put_record(RECORD, &object.to_string(), &bytes);
}

fn forget(cache: &LocalCache, object: &ObjectName) {
    let _ = cache.forget_record(RECORD, &object.to_string());
}

/// A piece of a file.
async fn read(
    path: std::path::PathBuf,
    offset: u64,
    length: u64,
    object: &ObjectName,
) -> Result<Vec<u8>, BucketError> {
    let read = spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let done = File::open(&path)
            .and_then(|file| file.read_exact_at(&mut bytes, offset))
            .map_err(|error: io::Error| BucketError::file("read", &path)(error));
        done.map(|()| bytes)
    });
    read.await
        .unwrap_or_else(|_| Err(BucketError::Interrupted(object.clone())))
}
