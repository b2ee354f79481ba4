//! Mirrors: where build caches lie.
//!
//! ```text
//! url, endpoint ──► Location ──connect──► Source ─┬─► Objects      FileMirror, Retrying(HttpMirror)
//! what was written  what it is                    ├─► Repository   of a registry: crate::registry
//!                                                 └─► Offline
//! ```
//!
//! Start at [`Mirror`], which is what later stages use of all but registries: objects addressed by
//! keys, read whole when small and as streams from any offset when large. [`connect`] makes one from a
//! [`Location`]. A bucket of S3 is an [`HttpMirror`] whose URLs are signed.
//!
//! Guaranteed, and tested for every implementation by one suite:
//! - an absent object is `None`; an error never means absence, nor the other way round;
//! - `get` never holds more than the limit it was given;
//! - a stream gives exactly the bytes of one object, or ends in an error. Where a connection breaks,
//!   [`Retrying`] goes on at the offset reached, and notices when the object changed meanwhile;
//! - no error text holds a credential or a signed URL.
//!
//! Mirrors that are written as well are [`WriteMirror`]s; [`connect_writer`] makes one.
//!
//! What the bytes mean, and whether they are the right ones, is for [`crate::fetch`] to say.

mod aws;
mod aws_profile;
mod connect;
mod error;
mod file;
mod folder_writer;
mod http;
mod location;
mod retry;
mod retrying;
mod s3;
mod s3_writer;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use aws::AwsError;
pub use connect::{Access, Source, connect};
pub use error::{MirrorError, MirrorFault};
pub use file::FileMirror;
pub use folder_writer::FolderWriter;
pub use http::{HttpMirror, Network};
pub use location::{Location, LocationError};
pub use retry::RetryPolicy;
pub use retrying::Retrying;
pub(crate) use s3::{bucket_client, chain};
pub use s3_writer::S3Writer;
pub use write::{
    OnBytes, PruneMirror, Put, SharedWriter, Versioned, When, WriteError, WriteFault, WriteMirror,
    WriteTarget, connect_writer,
};

/// Objects addressed by keys such as `v3/manifests/spec/zlib/zlib-1.3.1-….spec.manifest.json`.
#[async_trait]
pub trait Mirror: Send + Sync {
    /// Where it is, for people; without credentials.
    fn url(&self) -> &str;

    /// Reads a small object whole.
    ///
    /// # Errors
    /// When it cannot be known whether there is one, or it cannot be read, or it is longer than
    /// `limit` bytes.
    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorError>;

    /// Opens an object of any size for reading, from `start` if the mirror is able to.
    ///
    /// # Errors
    /// When it cannot be known whether there is one, or it cannot be opened.
    async fn open(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorError>;

    /// The file that an object is, for mirrors that are folders of this machine, whether it exists
    /// or not.
    fn local_path(&self, key: &str) -> Option<PathBuf> {
        let _ = key;
        None
    }
}

/// A mirror that several parts hold.
pub type SharedMirror = Arc<dyn Mirror>;

/// Where to begin reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// Bytes to skip.
    pub offset: u64,
    /// The version of the object that the bytes before `offset` came from, if known: of another
    /// version, the bytes from the beginning are wanted.
    pub version: Option<String>,
}

impl Start {
    /// From `offset` of whatever version.
    #[must_use]
    pub fn at(offset: u64) -> Self {
        Self {
            offset,
            version: None,
        }
    }
}

/// An object being read.
pub struct Download {
    /// Where `body` begins: what was asked for, or 0 when the mirror cannot begin elsewhere.
    pub offset: u64,
    /// Bytes of the whole object, when the mirror says so.
    pub total: Option<u64>,
    /// What identifies this version of the object (a strong HTTP entity tag), when there is such.
    pub version: Option<String>,
    /// The bytes from `offset` to the end.
    pub body: BoxStream<'static, Result<Bytes, MirrorError>>,
}

/// Whether a key is a plain relative path: parts of it come from locks, which are not trusted to
/// leave the mirror's folder.
fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && !key.contains(['\0', '\\'])
        && key
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}
