//! Files into a bucket, in parts, continued by whoever comes next.
//!
//! ```text
//! local cache, record `s3-upload-1`: which file goes where, the upload's id, the parts that have arrived
//!   the same file again   ─► the parts that are missing, then completed
//!   another one           ─► the old upload is given up, a new one begun
//!
//! upload ─┬─ stage    all parts: they lie in the bucket, and readers see what they saw before
//!         └─ commit   one request: the object is the new one
//! ```
//!
//! `upload` sends a small file in one PUT instead; `stage` does not, so that a bucket that refuses says so there.
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
use super::request::PartSource;
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

/// A file that lies in the bucket, and whose object does not show it yet.
pub struct StagedUpload {
    path: Path,
    object: ObjectName,
    upload: String,
    parts: Vec<PartId>,
    sent: u64,
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
        if file.size <= PART {
            let (path, object) = self.object(key)?;
            let bytes = read(file.path.to_owned(), 0, file.size, &object).await?;
            let options = PutOptions {
                attributes: file.attributes(),
                ..PutOptions::default()
            };
            let put = self.store.put_opts(&path, bytes.into(), options).await;
            put.map_err(BucketError::failed("write", &object))?;
            (file.on_bytes)(file.size);
            return Ok(file.size);
        }
        let staged = self.stage(key, &file, cache).await?;
        match self.commit(staged, cache).await {
            // Forgotten between two requests, or long ago: once more from the beginning.
            Err(BucketError::Overwritten(_)) => {
                let staged = self.stage(key, &file, cache).await?;
                self.commit(staged, cache).await
            }
            outcome => outcome,
        }
    }

    /// Brings all of a file to the bucket but for the last request, which [`Bucket::commit`] sends: until then readers see
    /// what they saw before. What is never committed is given up by the next upload to the key.
    ///
    /// # Errors
    /// As [`Bucket::upload`].
    pub async fn stage(
        &self,
        key: &str,
        file: &UploadFile<'_>,
        cache: &LocalCache,
    ) -> Result<StagedUpload, BucketError> {
        self.stage_from(key, file, None, cache).await
    }

    /// The same, but the bytes come from an object of the same service, which copies them itself: nothing is read here, and
    /// `file` only says what they are.
    ///
    /// # Errors
    /// As [`Bucket::upload`].
    pub async fn stage_copy(
        &self,
        key: &str,
        file: &UploadFile<'_>,
        from: &ObjectName,
        cache: &LocalCache,
    ) -> Result<StagedUpload, BucketError> {
        self.stage_from(key, file, Some(from), cache).await
    }

    async fn stage_from(
        &self,
        key: &str,
        file: &UploadFile<'_>,
        from: Option<&ObjectName>,
        cache: &LocalCache,
    ) -> Result<StagedUpload, BucketError> {
        let (path, object) = self.object(key)?;
        let mut fresh = false;
        loop {
            let progress = self.begin(&path, &object, file, cache).await?;
            let was_begun_before = progress.parts.iter().any(Option::is_some);
            match self
                .go_on(&path, &object, file, from, progress, cache)
                .await
            {
                Ok((sent, upload, parts)) => {
                    return Ok(StagedUpload {
                        path,
                        object,
                        upload,
                        parts,
                        sent,
                    });
                }
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

    /// Makes the object what was staged. Gives the bytes that had to be sent in all.
    ///
    /// # Errors
    /// When the bucket refuses, or has forgotten the parts.
    pub async fn commit(
        &self,
        staged: StagedUpload,
        cache: &LocalCache,
    ) -> Result<u64, BucketError> {
        let StagedUpload {
            path,
            object,
            upload,
            parts,
            sent,
        } = staged;
        let completed = self.store.complete_multipart(&path, &upload, parts).await;
        match completed.map_err(|error| Fault::of(error, &object)) {
            Ok(_) => {
                forget(cache, &object);
                Ok(sent)
            }
            Err(Fault::Forgotten) => {
                forget(cache, &object);
                Err(BucketError::Overwritten(object))
            }
            Err(Fault::Other(error)) => Err(error),
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
        let count = usize::try_from(file.size.div_ceil(part).max(1)).unwrap_or(usize::MAX);
        let metadata = Digest::of(format!("{:?}", file.metadata).as_bytes());
        if let Some(known) = known(cache, object) {
            if known.digest == file.digest
                && known.metadata == metadata
                && known.part == part
                && known.parts.len() == count
            {
                return Ok(self.with_arrived(path, object, file, known).await);
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

    /// The same with parts that have arrived without an earlier run's living to hear of it. Where the bucket does not tell,
    /// they are sent again.
    async fn with_arrived(
        &self,
        path: &Path,
        object: &ObjectName,
        file: &UploadFile<'_>,
        mut progress: Progress,
    ) -> Progress {
        if progress.parts.iter().all(Option::is_some) {
            return progress;
        }
        let there = self.parts(path, object, &progress.upload).await;
        for part in there.unwrap_or_default() {
            let offset = (part.number - 1).checked_mul(progress.part);
            let left = offset.and_then(|it| file.size.checked_sub(it));
            let place = usize::try_from(part.number - 1).ok();
            let place = place.and_then(|it| progress.parts.get_mut(it));
            if let (Some(left), Some(place @ None)) = (left, place)
                && part.size == left.min(progress.part)
            {
                *place = Some(part.etag);
            }
        }
        progress
    }

    async fn go_on(
        &self,
        path: &Path,
        object: &ObjectName,
        file: &UploadFile<'_>,
        from: Option<&ObjectName>,
        progress: Progress,
        cache: &LocalCache,
    ) -> Result<(u64, String, Vec<PartId>), Fault> {
        let (upload, part) = (progress.upload.clone(), progress.part);
        let length = |index: u64| part.min(file.size - index * part);
        let mut missing = Vec::new();
        for (index, known) in (0u64..).zip(&progress.parts) {
            match known {
                Some(_) => (file.on_bytes)(length(index)),
                None => missing.push(index),
            }
        }
        let is_one = progress.parts.len() == 1;
        let progress = Mutex::new(progress);
        let sent: u64 = stream::iter(missing)
            .map(async |index| {
                let length = length(index);
                let number = usize::try_from(index).unwrap_or(usize::MAX);
                let offset = index * part;
                let etag = if let Some(from) = from {
                    let source = PartSource {
                        object: from,
                        range: (!is_one).then(|| (offset, offset + length.saturating_sub(1))),
                    };
                    self.copy_part(path, object, &upload, index + 1, source)
                        .await?
                } else {
                    let bytes = read(file.path.to_owned(), offset, length, object).await?;
                    let put = self.store.put_part(path, &upload, number, bytes.into());
                    put.await
                        .map_err(|error| Fault::of(error, object))?
                        .content_id
                };
                let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(place) = progress.parts.get_mut(number) {
                    *place = Some(etag);
                }
                remember(cache, object, &progress);
                (file.on_bytes)(length);
                Ok::<u64, Fault>(if from.is_some() { 0 } else { length })
            })
            .buffer_unordered(file.jobs.get())
            .try_fold(0, async |sum, length| Ok(sum + length))
            .await?;
        let progress = progress
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let parts = progress.parts.into_iter().flatten();
        let parts: Vec<PartId> = parts.map(|content_id| PartId { content_id }).collect();
        Ok((sent, upload, parts))
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
