//! What can go wrong when a build cache is written or looked through.

use oci_format::Digest;
use spack_format::build_cache::v3::ManifestError;
use spack_format::build_cache::{
    BinaryDistributionError, FingerprintError, KeyIndexError, SpecFileError,
};
use spack_format::database::DatabaseError;

use super::archive::ArchiveError;
use crate::fetch::{FailureKind, FindFault};
use crate::install_tree::InstallTreeError;
use crate::layer::ScanError;
use crate::local_cache::LocalCacheError;
use crate::mirror::{MirrorError, WriteError, WriteFault};
use crate::openpgp::SignError;
use crate::registry::RegistryError;

/// Something could not be done to a package or to a build cache.
#[derive(Debug, thiserror::Error)]
#[error("{subject}")]
pub struct CacheError {
    /// What was to be done, for people: `zlib@1.3.1/v2xkvre to s3://bucket`.
    pub subject: String,
    /// Why it could not be done.
    #[source]
    pub fault: CacheFault,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CacheFault {
    /// The package cannot be read from its install tree.
    #[error(transparent)]
    Tree(#[from] InstallTreeError),
    /// The package cannot be archived.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The mirror could not be read.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The mirror could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The registry failed, or was not believed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The local cache failed.
    #[error(transparent)]
    Local(#[from] LocalCacheError),
    /// Nothing can be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The spec file cannot be written into a build cache.
    #[error("the package's spec file cannot be used")]
    SpecFile(#[from] SpecFileError),
    /// An entry is not what it should be.
    #[error(transparent)]
    Entry(#[from] FindFault),
    /// The index is no index.
    #[error("`{key}` is not an index: `cache index --rebuild` makes a new one")]
    Index {
        /// The blob.
        key: String,
        /// What is wrong.
        source: DatabaseError,
    },
    /// A manifest that is none.
    #[error("`{key}` is not a manifest")]
    Manifest {
        /// The object.
        key: String,
        /// What is wrong.
        source: ManifestError,
    },
    /// A manifest names a blob that is not there.
    #[error("`{key}` names {digest}, which is not there")]
    Gone {
        /// The manifest.
        key: String,
        /// The blob.
        digest: Digest,
    },
    /// An entry that the index names is not there.
    #[error("`{key}` is not there")]
    Absent {
        /// The manifest.
        key: String,
    },
    /// An archive that cannot be used.
    #[error("the archive of `{key}` cannot be used")]
    Scan {
        /// The entry.
        key: String,
        /// Why not.
        source: ScanError,
    },
    /// An archive of another compression than Spack writes.
    #[error("the archive of `{key}` is not compressed with gzip, as those of Spack are")]
    NotGzip {
        /// The entry.
        key: String,
    },
    /// What Spack recorded in an archive cannot be read.
    #[error("`.spack/binary_distribution` of `{key}` cannot be read")]
    BinaryDistribution {
        /// The entry.
        key: String,
        /// Why not.
        source: BinaryDistributionError,
    },
    /// An image that is none.
    #[error("`{tag}` is not an image")]
    Image {
        /// The tag.
        tag: String,
        /// What is wrong.
        source: oci_format::JsonError,
    },
    /// The list of keys is none.
    #[error("`{key}` is not a list of keys")]
    Keys {
        /// The blob.
        key: String,
        /// What is wrong.
        source: KeyIndexError,
    },
    /// The key has no fingerprint that a build cache knows.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// Others kept on writing the same object.
    #[error(
        "`{key}` changed each of the {attempts} times that it was to be written: try again when fewer are writing"
    )]
    Contended {
        /// The object.
        key: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// There is no list of entries.
    #[error("the mirror cannot be listed and has no index, so nobody knows what is in it")]
    NoList,
    /// A thread ended before its work was done.
    #[error("the work was abandoned")]
    Abandoned,
}

impl CacheError {
    pub(super) fn about(subject: impl Into<String>) -> impl FnOnce(CacheFault) -> Self {
        let subject = subject.into();
        move |fault| Self { subject, fault }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match &self.fault {
            CacheFault::Mirror(_) | CacheFault::Contended { .. } | CacheFault::NoList => {
                FailureKind::Mirror
            }
            CacheFault::Registry(RegistryError::Changed { .. } | RegistryError::Read { .. }) => {
                FailureKind::Local
            }
            CacheFault::Registry(error) if error.is_verification() => FailureKind::Verification,
            CacheFault::Registry(_) => FailureKind::Mirror,
            CacheFault::Write(error) => match &*error.fault {
                WriteFault::Changed { .. } | WriteFault::Source { .. } => FailureKind::Local,
                _ => FailureKind::Mirror,
            },
            CacheFault::Entry(_)
            | CacheFault::Index { .. }
            | CacheFault::Manifest { .. }
            | CacheFault::Gone { .. }
            | CacheFault::Absent { .. }
            | CacheFault::Scan { .. }
            | CacheFault::NotGzip { .. }
            | CacheFault::BinaryDistribution { .. }
            | CacheFault::Image { .. }
            | CacheFault::Keys { .. } => FailureKind::Verification,
            CacheFault::Tree(_)
            | CacheFault::Archive(_)
            | CacheFault::Local(_)
            | CacheFault::Sign(_)
            | CacheFault::SpecFile(_)
            | CacheFault::Fingerprint(_)
            | CacheFault::Abandoned => FailureKind::Local,
        }
    }
}
