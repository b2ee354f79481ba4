//! What can go wrong between a lock and a blob.

use std::io;

use oci_format::Digest;
use spack_format::build_cache::oci::OciEntryError;
use spack_format::build_cache::v3::ManifestError;
use spack_format::build_cache::{SpecFileError, v3};
use spack_format::dag_hash::DagHash;

use crate::local_cache::LocalCacheError;
use crate::mirror::MirrorError;
use crate::openpgp::SignatureError;
use crate::registry::RegistryError;

/// What kind of failure this is, for exit codes and for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A mirror refused or failed.
    Mirror,
    /// What the mirror has is not what it should be: signature, digest, size or content.
    Verification,
    /// This machine: its disk is full, or a folder cannot be written.
    Local,
}

/// A package could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("{package} in {mirror}")]
pub struct FindError {
    /// The package, for people.
    pub package: String,
    /// The mirror's URL.
    pub mirror: String,
    /// Why not.
    #[source]
    pub reason: FindFault,
}

/// Why a package could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum FindFault {
    /// The mirror failed.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// Nobody vouches for it.
    #[error("`{key}` is not signed: sign it, or say `signed = false` for this mirror")]
    Unsigned {
        /// What should be signed.
        key: String,
    },
    /// What a registry holds cannot be signed in a way that Spack knows.
    #[error(
        "packages in registries are not signed: say `signed = false` for this mirror to accept that"
    )]
    Unsignable,
    /// The signature is worth nothing.
    #[error("the signature of `{key}` is not accepted")]
    Signature {
        /// What is signed.
        key: String,
        /// Why not.
        source: SignatureError,
    },
    /// Not UTF-8.
    #[error("`{key}` is not a text")]
    NotText {
        /// What should be one.
        key: String,
    },
    /// A manifest that is none.
    #[error("`{key}` is not a spec manifest")]
    Manifest {
        /// What should be one.
        key: String,
        /// Why not.
        source: ManifestError,
    },
    /// A blob in a compression that is not understood.
    #[error("a blob is compressed by `{name}`, which is not supported")]
    Compression {
        /// As the manifest has it.
        name: String,
    },
    /// A spec file that is none.
    #[error("`{key}` is not a spec file")]
    SpecFile {
        /// What should be one.
        key: String,
        /// Why not.
        source: Box<SpecFileError>,
    },
    /// A spec file that cannot be decompressed.
    #[error("cannot decompress `{key}`")]
    Decompress {
        /// The blob.
        key: String,
        /// Why.
        source: io::Error,
    },
    /// An image that is no package.
    #[error("image `{tag}` is not a package")]
    Image {
        /// Its tag.
        tag: String,
        /// Why not.
        source: Box<OciEntryError>,
    },
    /// A blob that is longer or shorter than the manifest says.
    #[error("`{key}` has {actual} bytes, its manifest says {expected}")]
    Size {
        /// The blob.
        key: String,
        /// As the manifest says.
        expected: u64,
        /// As it is.
        actual: u64,
    },
    /// A blob with other bytes than the manifest says.
    #[error("`{key}` has the digest {actual}, its manifest says {expected}")]
    Digest {
        /// The blob.
        key: String,
        /// As the manifest says.
        expected: Digest,
        /// As it is.
        actual: Digest,
    },
    /// An entry of another package under this package's name.
    #[error(
        "`{key}` is of package /{found}, not of the one it is named after: it was renamed or tampered with"
    )]
    Renamed {
        /// The manifest or spec file.
        key: String,
        /// The package it is of.
        found: DagHash,
    },
    /// A layout 2 spec file that does not say what its tarball's checksum is.
    #[error("`{key}` names no checksum for its tarball")]
    NoChecksum {
        /// The spec file.
        key: String,
    },
    /// A server that does not say how long an object is.
    #[error("the mirror does not say how long `{key}` is")]
    NoSize {
        /// The object.
        key: String,
    },
    /// A thread ended before its work was done.
    #[error("the work was abandoned")]
    Abandoned,
    /// A layout 0 archive without a tarball in it.
    #[error("`{key}` is not an archive with a tarball in it")]
    Nested {
        /// The archive.
        key: String,
        /// What is wrong, when reading failed.
        source: io::Error,
    },
}

impl FindError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match &self.reason {
            FindFault::Mirror(_) | FindFault::NoSize { .. } => FailureKind::Mirror,
            FindFault::Registry(error) => of_registry(error),
            FindFault::Cache(error) => of_cache(error),
            FindFault::Abandoned => FailureKind::Local,
            _ => FailureKind::Verification,
        }
    }
}

/// A tarball could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{package} from {mirror}")]
pub struct FetchError {
    /// The package, for people.
    pub package: String,
    /// The mirror's URL.
    pub mirror: String,
    /// Why not.
    #[source]
    pub reason: FetchFault,
}

/// Why a tarball could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// The mirror failed.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The local cache failed, or did not get the bytes that were promised.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// The mirror names a blob that it does not have.
    #[error("`{key}` is not there although the mirror names it: push the package again")]
    Gone {
        /// The blob.
        key: String,
    },
    /// A blob that is longer or shorter than the manifest says.
    #[error("`{key}` has {actual} bytes, its manifest says {expected}: push the package again")]
    Size {
        /// The blob.
        key: String,
        /// As the manifest says.
        expected: u64,
        /// As it is.
        actual: u64,
    },
    /// It is not in the local cache, and no network is to be used.
    #[error("offline: the tarball is not on this machine")]
    Offline,
    /// A file of a mirror that is a folder cannot be read.
    #[error("cannot read `{key}`")]
    Read {
        /// The object.
        key: String,
        /// Why.
        source: io::Error,
    },
    /// A thread ended before its work was done.
    #[error("the work was abandoned")]
    Abandoned,
}

impl FetchError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match &self.reason {
            FetchFault::Mirror(_) | FetchFault::Gone { .. } | FetchFault::Offline => {
                FailureKind::Mirror
            }
            FetchFault::Registry(error) => of_registry(error),
            FetchFault::Cache(error) => of_cache(error),
            FetchFault::Size { .. } => FailureKind::Verification,
            FetchFault::Read { .. } | FetchFault::Abandoned => FailureKind::Local,
        }
    }
}

fn of_cache(error: &LocalCacheError) -> FailureKind {
    match error {
        LocalCacheError::Digest { .. } | LocalCacheError::Size { .. } => FailureKind::Verification,
        LocalCacheError::Source { .. } => FailureKind::Mirror,
        LocalCacheError::Io { .. } | LocalCacheError::Full { .. } => FailureKind::Local,
    }
}

fn of_registry(error: &RegistryError) -> FailureKind {
    match error {
        RegistryError::Cache(error) => of_cache(error),
        error if error.is_verification() => FailureKind::Verification,
        _ => FailureKind::Mirror,
    }
}

/// The name of a compression that we do not know, or nothing.
pub(super) fn unknown_compression(compression: &v3::Compression) -> Option<FindFault> {
    match compression {
        v3::Compression::Other(name) if name != "zstd" => Some(FindFault::Compression {
            name: name.chars().take(40).collect(),
        }),
        _ => None,
    }
}
