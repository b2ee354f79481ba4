//! Objects of S3 buckets that we write: SIF files, which people on clusters fetch.
//!
//! ```text
//! file ─► upload.rs    in parts, several at a time; what arrived is remembered, and a later run sends the rest
//!         request.rs   which parts a bucket has; parts that it takes from another object of its own accord
//!         head.rs      size and metadata: what an object was made from
//! file ◄─ download.rs  continued where it broke off, verified, then renamed into place
//! ```
//!
//! Start at [`Bucket::open`]. Reading build caches from buckets is [`crate::mirror`]'s business; both find credentials in
//! the same places.
//!
//! Guaranteed:
//! - an object appears whole or not at all, with its metadata: a bucket keeps the old one until all parts have arrived;
//! - what was sent is not sent again, also by another process after `kill -9`, as long as the local cache is the same;
//! - no error text holds a credential.

mod download;
mod error;
mod head;
mod request;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use object_store::aws::AmazonS3;
use object_store::path::Path;

use crate::mirror::{Network, bucket_client};

pub use error::BucketError;
pub use head::ObjectFacts;
pub use upload::{OnBytes, StagedUpload, UploadFile};

/// What buckets are opened with.
#[derive(Debug, Clone)]
pub struct BucketAccess {
    /// Asked for an instance's credentials where there are no others.
    pub network: Network,
    /// The program's environment: the AWS tools' variables and `HOME` are looked for in it.
    pub environment: Arc<BTreeMap<String, String>>,
    /// Whether no bucket may be asked.
    pub is_offline: bool,
}

/// An object, by bucket and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The bucket.
    pub bucket: String,
    /// The key: a path without a slash at either end.
    pub key: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// A bucket that can be read and written.
#[derive(Debug, Clone)]
pub struct Bucket {
    name: String,
    store: Arc<AmazonS3>,
    network: Network,
}

impl Bucket {
    /// Gets ready to ask the bucket. Nothing is sent before the first object is wanted, but for credentials of a cloud
    /// instance.
    ///
    /// # Errors
    /// When no network is to be used, or there are no credentials.
    pub async fn open(name: &str, access: &BucketAccess) -> Result<Self, BucketError> {
        if access.is_offline {
            return Err(BucketError::Offline(name.to_owned()));
        }
        let client = bucket_client(&access.network, name, &access.environment).await?;
        Ok(Self {
            name: name.to_owned(),
            network: access.network.clone(),
            store: Arc::new(client.ok_or_else(|| BucketError::NoCredentials(name.to_owned()))?),
        })
    }

    fn object(&self, key: &str) -> Result<(Path, ObjectName), BucketError> {
        let name = ObjectName {
            bucket: self.name.clone(),
            key: key.to_owned(),
        };
        match Path::parse(key) {
            Ok(path) => Ok((path, name)),
            Err(_) => Err(BucketError::Key(name)),
        }
    }
}
