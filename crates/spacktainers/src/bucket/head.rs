//! What an object says of itself.

use std::collections::BTreeMap;

use object_store::{Attribute, GetOptions, ObjectStore as _};

use super::{Bucket, BucketError};

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Bytes of it.
    pub size: u64,
    /// Tells this content from any other under the same key.
    pub etag: Option<String>,
    /// When it was written, Unix seconds.
    pub modified: u64,
    /// User metadata: `x-amz-meta-…`, names without that prefix and in lower case.
    pub metadata: BTreeMap<String, String>,
}

impl Bucket {
    /// Asks what is there; nothing when there is no such object.
    ///
    /// # Errors
    /// When the bucket does not answer, refuses, or does not exist.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, BucketError> {
        let (path, object) = self.object(key)?;
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let result = match self.store.get_opts(&path, options).await {
            Ok(result) => result,
            Err(error) => {
                return match BucketError::failed("look at", &object)(error) {
                    // A HEAD has no body: that there is no bucket, only what follows will tell.
                    BucketError::Missing(_) => Ok(None),
                    error => Err(error),
                };
            }
        };
        let metadata = result
            .attributes
            .iter()
            .filter_map(|(attribute, value)| match attribute {
                Attribute::Metadata(name) => Some((name.to_ascii_lowercase(), value.to_string())),
                _ => None,
            })
            .collect();
        Ok(Some(ObjectFacts {
            size: result.meta.size,
            etag: result.meta.e_tag,
            modified: u64::try_from(result.meta.last_modified.timestamp()).unwrap_or(0),
            metadata,
        }))
    }
}
