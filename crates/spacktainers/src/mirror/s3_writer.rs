//! Writing a mirror that is a bucket of S3.
//!
//! Small objects are written in one request, with `If-None-Match: *` or `If-Match` where they have several writers; blobs
//! above [`ONE_REQUEST`] in parts, which become an object when the last request, and no earlier one, succeeds.

use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use oci_format::{Digest, DigestReader};

use super::write::{
    OnBytes, PruneMirror, Put, Versioned, When, WriteError, WriteFault, WriteMirror,
};
use super::{Download, Mirror, MirrorError, MirrorFault, SharedMirror, Start, is_plain};
use crate::content::Content;

/// Bytes that are sent in one request.
const ONE_REQUEST: u64 = 32 << 20;
/// Bytes of a part. S3 takes at most 10,000 parts of an object: 160 GB.
const PART: usize = 16 << 20;
/// Parts that are under way at once.
const PARTS_AT_ONCE: usize = 4;

/// A bucket that is written.
pub struct S3Writer {
    /// Reading is what other mirrors do, too.
    reader: SharedMirror,
    client: Arc<AmazonS3>,
    /// Within the bucket; empty, or ending in `/`.
    prefix: String,
    label: String,
}

impl S3Writer {
    pub(super) fn new(
        reader: SharedMirror,
        client: Arc<AmazonS3>,
        prefix: String,
        label: String,
    ) -> Self {
        Self {
            reader,
            client,
            prefix,
            label,
        }
    }

    fn path(&self, key: &str) -> Option<Path> {
        if !is_plain(key) {
            return None;
        }
        Path::parse(format!("{}{key}", self.prefix)).ok()
    }

    fn writable_path(&self, key: &str) -> Result<Path, WriteError> {
        self.path(key)
            .ok_or_else(|| self.write_error(key, WriteFault::Key))
    }

    fn readable_path(&self, key: &str) -> Result<Path, MirrorError> {
        self.path(key)
            .ok_or_else(|| self.read_error(key, MirrorFault::Key))
    }

    fn write_error(&self, key: &str, fault: WriteFault) -> WriteError {
        WriteError {
            mirror: self.label.clone(),
            key: key.to_owned(),
            fault: Box::new(fault),
        }
    }

    fn read_error(&self, key: &str, fault: MirrorFault) -> MirrorError {
        MirrorError {
            mirror: self.label.clone(),
            key: key.to_owned(),
            fault: Box::new(fault),
        }
    }

    /// Sends a large blob in parts.
    async fn put_parts(
        &self,
        path: &Path,
        content: &Content,
        digest: &Digest,
        on_bytes: OnBytes<'_>,
    ) -> Result<(), WriteFault> {
        let mut upload = self.client.put_multipart(path).await.map_err(write_fault)?;
        let sent = send_parts(&mut *upload, content, digest, on_bytes).await;
        if let Err(fault) = sent {
            // Parts of an upload that is given up cost money until somebody says so.
            let _ = upload.abort().await;
            return Err(fault);
        }
        upload.complete().await.map_err(write_fault)?;
        Ok(())
    }
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    content: &Content,
    digest: &Digest,
    on_bytes: OnBytes<'_>,
) -> Result<(), WriteFault> {
    let mut reader = Some(DigestReader::new(
        content
            .open(0)
            .map_err(|source| unreadable(digest, source))?,
    ));
    let mut under_way = FuturesUnordered::new();
    loop {
        let Some(mut open) = reader.take() else { break };
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::with_capacity(PART);
            let read = (&mut open).take(PART as u64).read_to_end(&mut part);
            (open, read.map(|_| part))
        });
        let (open, part) = read
            .await
            .map_err(|error| WriteFault::Server(Box::new(error)))?;
        let part = part.map_err(|source| unreadable(digest, source))?;
        if part.is_empty() {
            let (_, actual, _) = open.finish();
            if actual != *digest {
                return Err(WriteFault::Changed {
                    expected: *digest,
                    actual,
                });
            }
            break;
        }
        reader = Some(open);
        let count = part.len() as u64;
        let sending = upload.put_part(PutPayload::from(part));
        under_way.push(async move { sending.await.map(|()| count) });
        while under_way.len() >= PARTS_AT_ONCE
            && let Some(sent) = under_way.next().await
        {
            on_bytes(sent.map_err(write_fault)?);
        }
    }
    while let Some(sent) = under_way.next().await {
        on_bytes(sent.map_err(write_fault)?);
    }
    Ok(())
}

fn unreadable(digest: &Digest, source: std::io::Error) -> WriteFault {
    WriteFault::Source {
        digest: *digest,
        source,
    }
}

#[async_trait]
impl Mirror for S3Writer {
    fn url(&self) -> &str {
        &self.label
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        self.reader.get(key, limit).await
    }

    async fn open(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorError> {
        self.reader.open(key, start).await
    }
}

#[async_trait]
impl WriteMirror for S3Writer {
    async fn read(&self, key: &str, limit: u64) -> Result<Option<Versioned>, MirrorError> {
        let path = self.readable_path(key)?;
        let found = match self.client.get(&path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.read_error(key, read_fault(error))),
        };
        if found.meta.size > limit {
            return Err(self.read_error(key, MirrorFault::TooLarge { limit }));
        }
        // Without a tag nothing can be replaced under a condition; what is sent then matches nothing.
        let version = found.meta.e_tag.clone().unwrap_or_default();
        let bytes = found.bytes().await;
        let bytes = bytes.map_err(|error| self.read_error(key, read_fault(error)))?;
        Ok(Some(Versioned {
            bytes: bytes.to_vec(),
            version,
        }))
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, MirrorError> {
        let path = self.readable_path(key)?;
        match self.client.head(&path).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.read_error(key, read_fault(error))),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, MirrorError> {
        let path = self.readable_path(folder.trim_end_matches('/'))?;
        let mut found = self.client.list(Some(&path));
        let mut keys = Vec::new();
        while let Some(object) = found.next().await {
            let object = object.map_err(|error| self.read_error(folder, read_fault(error)))?;
            if let Some(key) = object.location.as_ref().strip_prefix(&self.prefix) {
                keys.push(key.to_owned());
            }
        }
        keys.sort();
        Ok(keys)
    }

    async fn put(&self, key: &str, bytes: Bytes, when: &When) -> Result<Put, WriteError> {
        let path = self.writable_path(key)?;
        let mode = match when {
            When::Always => PutMode::Overwrite,
            When::Absent => PutMode::Create,
            When::Version(version) => PutMode::Update(UpdateVersion {
                e_tag: Some(version.clone()),
                version: None,
            }),
        };
        let options = PutOptions::from(mode);
        match self.client.put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(Put::Written),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(Put::Refused),
            // `If-Match` on what is gone by now.
            Err(object_store::Error::NotFound { .. }) if matches!(when, When::Version(_)) => {
                Ok(Put::Refused)
            }
            Err(error) => Err(self.write_error(key, write_fault(error))),
        }
    }

    async fn put_blob(
        &self,
        key: &str,
        content: &Content,
        digest: &Digest,
        on_bytes: OnBytes<'_>,
    ) -> Result<(), WriteError> {
        let path = self.writable_path(key)?;
        let size = content.len();
        let sent = if size > ONE_REQUEST {
            self.put_parts(&path, content, digest, on_bytes).await
        } else {
            match whole(content, digest).await {
                Ok(bytes) => match self.client.put(&path, bytes.into()).await {
                    Ok(_) => {
                        on_bytes(size);
                        Ok(())
                    }
                    Err(error) => Err(write_fault(error)),
                },
                Err(fault) => Err(fault),
            }
        };
        sent.map_err(|fault| self.write_error(key, fault))
    }
}

#[async_trait]
impl PruneMirror for S3Writer {
    async fn delete(&self, key: &str) -> Result<(), WriteError> {
        let path = self.writable_path(key)?;
        match self.client.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.write_error(key, write_fault(error))),
        }
    }
}

/// All bytes of a blob that is not large, if they are the right ones.
async fn whole(content: &Content, digest: &Digest) -> Result<Bytes, WriteFault> {
    let (content, digest) = (content.clone(), *digest);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        content
            .open(0)
            .and_then(|mut reader| reader.read_to_end(&mut bytes))
            .map_err(|source| unreadable(&digest, source))?;
        match Digest::of(&bytes) {
            actual if actual == digest => Ok(Bytes::from(bytes)),
            actual => Err(WriteFault::Changed {
                expected: digest,
                actual,
            }),
        }
    });
    read.await
        .unwrap_or_else(|error| Err(WriteFault::Server(Box::new(error))))
}

fn write_fault(error: object_store::Error) -> WriteFault {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { source, .. } | E::Unauthenticated { source, .. } => {
            WriteFault::Denied(source)
        }
        E::NotFound { .. } => WriteFault::NoBucket,
        E::NotImplemented { .. } | E::NotSupported { .. } => {
            WriteFault::NoConditions(Box::new(error))
        }
        error => WriteFault::Server(Box::new(error)),
    }
}

fn read_fault(error: object_store::Error) -> MirrorFault {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } => MirrorFault::Denied {
            status: 403,
            said: String::new(),
        },
        E::Unauthenticated { .. } => MirrorFault::Denied {
            status: 401,
            said: String::new(),
        },
        E::NotFound { .. } => MirrorFault::NoBucket,
        error => MirrorFault::Interrupted(Box::new(error)),
    }
}
