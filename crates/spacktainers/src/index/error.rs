//! What can go wrong with an index.

use std::io;

use oci_format::Digest;
use spack_format::build_cache::v3::ManifestError;
use spack_format::database::DatabaseError;

use crate::fetch::FindFault;
use crate::local_cache::LocalCacheError;
use crate::mirror::MirrorError;
use crate::registry::RegistryError;

/// The index of a mirror could not be had.
#[derive(Debug, thiserror::Error)]
#[error("the index of {mirror}")]
pub struct IndexError {
    /// The mirror's URL.
    pub mirror: String,
    /// Why not.
    #[source]
    pub fault: IndexFault,
}

/// Why an index could not be had.
#[derive(Debug, thiserror::Error)]
pub enum IndexFault {
    /// The mirror failed.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A small object of it could not be read.
    #[error(transparent)]
    Find(#[from] FindFault),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// A file of this machine failed.
    #[error("the index cannot be kept on this machine")]
    Io(#[from] io::Error),
    /// A manifest of an index that is none.
    #[error("`{key}` names no index")]
    Manifest {
        /// What should.
        key: String,
        /// Why not.
        source: ManifestError,
    },
    /// An image of an index that is none.
    #[error("the image `index.spack` names no index")]
    Image,
    /// An index that its manifest names and the mirror does not have.
    #[error(
        "`{key}` is not there although the manifest names it: update the index with `spack buildcache update-index`"
    )]
    Gone {
        /// The blob.
        key: String,
    },
    /// Other bytes than the mirror says.
    #[error("`{key}` has the digest {actual}, and should have {expected}: is it being written?")]
    Digest {
        /// The index.
        key: String,
        /// As the mirror says.
        expected: Digest,
        /// As it is.
        actual: Digest,
    },
    /// Longer than any index is.
    #[error("`{key}` has more than {limit} bytes")]
    TooLong {
        /// The index.
        key: String,
        /// The most that is read.
        limit: u64,
    },
    /// The text is no index.
    #[error("it cannot be read")]
    Database(#[from] DatabaseError),
    /// More than the compact form can count.
    #[error("it has more records than can be counted")]
    TooMany,
    /// What was remembered is damaged.
    #[error("what is remembered of it is damaged")]
    Damaged,
    /// A thread ended before its work was done.
    #[error("the work was abandoned")]
    Abandoned,
}
