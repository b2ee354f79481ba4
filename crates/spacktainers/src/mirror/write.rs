//! Mirrors that can be written.
//!
//! ```text
//! Location ──connect_writer──► WriteTarget ─┬─► Objects      FolderWriter, S3Writer   dyn WriteMirror
//!                                           └─► Repository   of a registry: crate::registry
//! ```
//!
//! Two kinds of objects are written, and each has a rule of its own:
//! - **blobs**, named by their content: whoever writes one writes the same bytes, so nobody needs to be asked
//!   ([`WriteMirror::put_blob`]);
//! - **small objects** that have one name and may have several writers: a [`When`] says what must be there for the write
//!   to happen, and the mirror decides in one step ([`WriteMirror::put`]).
//!
//! An object is there as a whole or not at all, whatever happens to who writes it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use oci_format::Digest;

use super::folder_writer::FolderWriter;
use super::s3::{folder, writing_client};
use super::s3_writer::S3Writer;
use super::{Access, AwsError, Location, Mirror, MirrorError, Source, aws, connect};
use crate::content::Content;
use crate::registry::{RegistryError, Repository};

/// A mirror whose objects can be listed and written.
#[async_trait]
pub trait WriteMirror: Mirror {
    /// Reads a small object whole, with what identifies this version of it.
    ///
    /// # Errors
    /// When it cannot be known whether there is one, or it cannot be read, or it is longer than `limit` bytes.
    async fn read(&self, key: &str, limit: u64) -> Result<Option<Versioned>, MirrorError>;

    /// How many bytes an object has; nothing where there is none.
    ///
    /// # Errors
    /// When that cannot be known.
    async fn size(&self, key: &str) -> Result<Option<u64>, MirrorError>;

    /// The keys of all objects below a folder, in order; none where there is no such folder.
    ///
    /// # Errors
    /// When the mirror cannot or will not tell.
    async fn list(&self, folder: &str) -> Result<Vec<String>, MirrorError>;

    /// Writes a small object if `when` holds at that moment.
    ///
    /// A mirror may say [`Put::Refused`] of a write that it did: when the answer was lost and the write repeated. Who must
    /// know reads the object.
    ///
    /// # Errors
    /// When the mirror cannot or will not take it.
    async fn put(&self, key: &str, bytes: Bytes, when: &When) -> Result<Put, WriteError>;

    /// Writes an object of any size that is named by its content. `on_bytes` hears of bytes as they leave.
    ///
    /// # Errors
    /// When the mirror cannot or will not take it, or the bytes on this machine are not what their digest says.
    async fn put_blob(
        &self,
        key: &str,
        content: &Content,
        digest: &Digest,
        on_bytes: OnBytes<'_>,
    ) -> Result<(), WriteError>;
}

/// A mirror whose objects can be deleted. Apart from [`WriteMirror`], so that what only adds cannot delete.
#[async_trait]
pub trait PruneMirror: WriteMirror {
    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// When the mirror cannot or will not do it.
    async fn delete(&self, key: &str) -> Result<(), WriteError>;
}

/// A mirror that several parts write to.
pub type SharedWriter = Arc<dyn PruneMirror>;

/// Hears how many bytes have left.
pub type OnBytes<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// A small object as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What identifies this version of it.
    pub version: String,
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Anything or nothing.
    Always,
    /// Nothing: the first writer wins.
    Absent,
    /// This version: nobody has written in between.
    Version(String),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is done.
    Written,
    /// It is not, because something else was there.
    Refused,
}

/// Where entries of a build cache are written.
#[derive(Clone)]
pub enum WriteTarget {
    /// Objects with keys.
    Objects(SharedWriter),
    /// Images with tags, in a registry.
    Repository(Repository),
}

/// A mirror could not be written.
#[derive(Debug, thiserror::Error)]
#[error("mirror {mirror}: {}", what(key))]
pub struct WriteError {
    /// Which mirror: its URL without credentials.
    pub mirror: String,
    /// What was to be written; empty when it was not about one object.
    pub key: String,
    /// Why it could not be written.
    #[source]
    pub fault: Box<WriteFault>,
}

/// Why a mirror could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteFault {
    /// A web server.
    #[error("a web server can only be read: push to the folder, bucket or registry behind it")]
    ReadOnly,
    /// No network is to be used, and the mirror is not on this machine.
    #[error("it is not on this machine, and `--offline` was given")]
    Offline,
    /// A bucket without anything to show to it.
    #[error(
        "there are no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    )]
    NoCredentials,
    /// Not allowed to write.
    #[error("access denied: may these credentials write there?")]
    Denied(#[source] Box<dyn Error + Send + Sync>),
    /// The bucket does not exist.
    #[error("there is no such bucket: check the mirror's `url` and `endpoint`")]
    NoBucket,
    /// The server knows no conditional writes.
    #[error(
        "the server does not know conditional writes (If-Match, If-None-Match), which keep writers apart"
    )]
    NoConditions(#[source] Box<dyn Error + Send + Sync>),
    /// The server failed or refused in another way.
    #[error("the server did not take it")]
    Server(#[source] Box<dyn Error + Send + Sync>),
    /// A file or folder that cannot be written.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key that would leave the mirror.
    #[error("a name that cannot be part of a build cache")]
    Key,
    /// What was to be sent is not what its digest says.
    #[error(
        "the bytes of {expected} on this machine have changed: they are now {actual}; run again to write them anew"
    )]
    Changed {
        /// The digest wanted.
        expected: Digest,
        /// The digest of what was read.
        actual: Digest,
    },
    /// What was to be sent cannot be read.
    #[error("cannot read the bytes of {digest}")]
    Source {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// A registry, which has errors of its own.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Credentials for S3.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The mirror could not be read first.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
}

fn what(key: &str) -> String {
    if key.is_empty() {
        "cannot be written".to_owned()
    } else {
        format!("cannot write `{key}`")
    }
}

/// A mirror that can be written.
///
/// # Errors
/// When it is of a kind that cannot be written, or there are no credentials for it. Nothing is tried before something
/// is to be written.
pub async fn connect_writer(
    location: &Location,
    access: &Access,
) -> Result<WriteTarget, WriteError> {
    let label = location.to_string();
    let error = |fault| WriteError {
        mirror: label.clone(),
        key: String::new(),
        fault: Box::new(fault),
    };
    if access.is_offline && !location.is_local() {
        return Err(error(WriteFault::Offline));
    }
    match location {
        Location::Folder(path) => Ok(WriteTarget::Objects(Arc::new(FolderWriter::new(path)))),
        Location::Http(_) => Err(error(WriteFault::ReadOnly)),
        Location::Registry(origin) => {
            let repository = access.registries.origin(origin);
            let repository = repository.map_err(|fault| error(fault.into()))?;
            Ok(WriteTarget::Repository(repository.writable([])))
        }
        Location::S3 {
            bucket,
            prefix,
            endpoint,
        } => {
            let reader = match connect(location, access).await {
                Ok(Source::Objects(reader)) => reader,
                Ok(_) => return Err(error(WriteFault::Offline)),
                Err(fault) => return Err(error(fault.into())),
            };
            let aws = aws::settings(&access.environment).map_err(|fault| error(fault.into()))?;
            let client = writing_client(&access.network, bucket, endpoint.as_deref(), aws).await;
            let client = client.map_err(|fault| error(fault.into()))?;
            let client = client.ok_or_else(|| error(WriteFault::NoCredentials))?;
            let (client, prefix) = (Arc::new(client), folder(prefix));
            Ok(WriteTarget::Objects(Arc::new(S3Writer::new(
                reader, client, prefix, label,
            ))))
        }
    }
}
