//! What a target now holds, or why it does not.

use std::io;
use std::path::{Path, PathBuf};

use oci_format::layer::tar::TarWriteError;
use oci_format::{Digest, JsonError};

use super::Target;
use crate::bucket::BucketError;
use crate::local_cache::LocalCacheError;
use crate::registry::RegistryError;
use crate::sif::SifWriteError;

/// What a target now holds, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The target.
    pub target: Target,
    /// The image's digest: of its manifest. What a definition file makes has none.
    pub digest: Option<Digest>,
    /// The manifest's media type.
    pub media_type: String,
    /// Bytes of blobs and manifest that went to the target; what had to be sent twice counts once.
    pub bytes_sent: u64,
    /// Bytes that the target had already, or took from another repository of its own.
    pub bytes_reused: u64,
    /// Blobs that went to the target.
    pub blobs_sent: usize,
    /// Blobs that a registry took from another repository of its own.
    pub blobs_mounted: usize,
    /// Blobs that the target had already.
    pub blobs_reused: usize,
    /// Digest of the image's tree, where a SIF file was written or was there already.
    pub tree: Option<Digest>,
    /// Whether the target held this very image under this name, so that nothing was written.
    pub unchanged: bool,
}

impl Receipt {
    /// A receipt before anything was done.
    pub(super) fn new(target: &Target, image: &crate::image::Image) -> Self {
        Self {
            digest: Some(image.manifest_descriptor.digest),
            media_type: image.manifest_descriptor.media_type.clone(),
            ..Self::nothing(target)
        }
    }

    /// The same for blobs that are not an image yet.
    pub(super) fn nothing(target: &Target) -> Self {
        Self {
            target: target.clone(),
            digest: None,
            media_type: String::new(),
            bytes_sent: 0,
            bytes_reused: 0,
            blobs_sent: 0,
            blobs_mounted: 0,
            blobs_reused: 0,
            tree: None,
            unchanged: false,
        }
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.blobs_sent += 1;
        self.bytes_sent += bytes;
    }

    pub(super) fn mounted(&mut self, bytes: u64) {
        self.blobs_mounted += 1;
        self.bytes_reused += bytes;
    }

    pub(super) fn reused(&mut self, bytes: u64) {
        self.blobs_reused += 1;
        self.bytes_reused += bytes;
    }
}

/// Why a target does not hold the image.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The registry of the target.
    #[error("cannot publish to `{target}`")]
    Registry {
        /// The target.
        target: Box<Target>,
        /// Why.
        source: Box<RegistryError>,
    },
    /// The bucket of the target.
    #[error("cannot publish to `{target}`")]
    Bucket {
        /// The target.
        target: Box<Target>,
        /// Why.
        source: Box<BucketError>,
    },
    /// A definition file makes SIF files, and the target takes images.
    #[error(
        "a definition file makes SIF files, and `{0}` takes images: use sif:FILE, s3://BUCKET/KEY.sif or oras://HOST/REPO:TAG"
    )]
    OnlySif(Box<Target>),
    /// Layers in zstd for a target that takes none.
    #[error(
        "`{0}` takes no layers in zstd: Docker's archives know gzip and bare tars; use oci-archive:FILE, or `[layers] compression = \"gzip\"`"
    )]
    Zstd(Box<Target>),
    /// The local cache, in whose folder SIF files are written before they are sent.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// A layer that is only in a registry so far, and the target lacks it.
    #[error("cannot fetch layer {digest} ({title}) for `{target}`")]
    Fetch {
        /// The target.
        target: Box<Target>,
        /// The layer.
        digest: Digest,
        /// What it holds.
        title: String,
        /// Why.
        source: Box<RegistryError>,
    },
    /// A file that cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: `write`, `rename`, …
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no room left, or a quota is used up.
    #[error("no space left for `{}`: free some, or publish to another file system", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The bytes on this machine are not what their digest says.
    #[error(
        "the bytes of {expected} ({title}) on this machine have changed: they are now {actual}; run again to fetch them anew"
    )]
    Changed {
        /// What it holds.
        title: String,
        /// The digest wanted.
        expected: Digest,
        /// The digest of what was read.
        actual: Digest,
    },
    /// A blob on this machine that cannot be read.
    #[error("cannot read the bytes of {digest} ({title})")]
    Read {
        /// The blob.
        digest: Digest,
        /// What it holds.
        title: String,
        /// Why.
        source: io::Error,
    },
    /// An archive that cannot be written.
    #[error("cannot write `{}`", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: TarWriteError,
    },
    /// A directory that holds something else.
    #[error("`{}` holds files and is not an image layout: give another directory, or empty it", .0.display())]
    NotALayout(PathBuf),
    /// A layout that somebody else wrote, and that we do not understand.
    #[error("`{}`", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: JsonError,
    },
    /// A file system that cannot be made of the layers.
    #[error("cannot write `{}`", path.display())]
    Sif {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<SifWriteError>,
    },
    /// A layer that Amazon's registry does not take.
    #[error(
        "`{target}` takes layers of at most 52,000 MiB, and {title} has {} MiB: a higher `[layers] budget` puts less into one layer",
        size >> 20
    )]
    TooBig {
        /// The target.
        target: Box<Target>,
        /// What the layer holds.
        title: String,
        /// Bytes of it.
        size: u64,
    },
    /// Something is to be attached to an image in a place that has no room for it.
    #[error(
        "nothing can be attached to an image in `{0}`: registries and image layouts alone keep what is about an image"
    )]
    NoAttachments(Box<Target>),
    /// What was attached is not there, or not as it was attached.
    #[error("`{target}` does not hold {digest}, which is attached to the image ({what})")]
    NotAttached {
        /// Where it was attached.
        target: Box<Target>,
        /// The manifest, or the blob of it.
        digest: Digest,
        /// What it is: the artifact's type.
        what: String,
    },
    /// A thread of ours ended in the middle.
    #[error("writing `{0}` was interrupted")]
    Interrupted(Box<Target>),
}

impl PublishError {
    /// Whether bytes were wrong, rather than a target unable or unwilling: exit code 5, not 4.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::NotAttached { .. } => true,
            Self::Sif { source, .. } => source.is_verification(),
            Self::Bucket { source, .. } => source.is_verification(),
            Self::Registry { source, .. } | Self::Fetch { source, .. } => source.is_verification(),
            _ => false,
        }
    }

    /// Turns what a registry refused into ours; for `map_err`.
    pub(super) fn registry(target: &Target) -> impl Fn(RegistryError) -> Self {
        move |source| Self::Registry {
            target: Box::new(target.clone()),
            source: Box::new(source),
        }
    }

    /// Turns what a bucket refused into ours; for `map_err`.
    pub(super) fn bucket(target: &Target) -> impl Fn(BucketError) -> Self {
        move |source| Self::Bucket {
            target: Box::new(target.clone()),
            source: Box::new(source),
        }
    }

    /// The blob whose bytes on this machine were found to be wrong.
    pub(super) fn damaged(&self) -> Option<&Digest> {
        match self {
            Self::Changed { expected, .. } => Some(expected),
            Self::Registry { source, .. } => match &**source {
                RegistryError::Changed { expected, .. } => Some(expected),
                _ => None,
            },
            _ => None,
        }
    }

    /// Turns what hinders a file system into ours.
    pub(super) fn sif(path: &Path, source: SifWriteError) -> Self {
        let path = path.to_owned();
        if source.is_full() {
            let source = io::Error::new(io::ErrorKind::StorageFull, source);
            return Self::Full { path, source };
        }
        Self::Sif {
            path,
            source: Box::new(source),
        }
    }

    /// Turns an I/O error of `action` on `path` into ours; for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path, source },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}
