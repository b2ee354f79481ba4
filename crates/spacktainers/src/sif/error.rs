//! Why there is no file.

use std::io;

use oci_format::layer::merge::MergeError;
use oci_format::layer::merge::digest::TreeDigestError;
use oci_format::layer::tar::TarError;
use sif_format::sif::SifError;
use sif_format::singularity::SingularityError;
use sif_format::squashfs::{TreeError, WriteError};

/// Why there is no SIF file or file system.
#[derive(Debug, thiserror::Error)]
pub enum SifWriteError {
    /// The bytes of a layer cannot be opened.
    #[error("cannot open layer {number}")]
    Open {
        /// Counted from 1, lowest first.
        number: usize,
        /// Why.
        source: io::Error,
    },
    /// A layer is not a tar that can be read.
    #[error("layer {number} cannot be read")]
    Layer {
        /// Counted from 1, lowest first.
        number: usize,
        /// What is wrong with it.
        source: TarError,
    },
    /// A layer is not what the image says it is.
    #[error(
        "layer {number} does not have the digest that the image's manifest or config gives it: fetch the image again"
    )]
    Digest {
        /// Counted from 1, lowest first.
        number: usize,
    },
    /// A layer was changed between two readings.
    #[error("layer {number} changed while it was read: run again")]
    Changed {
        /// Counted from 1, lowest first.
        number: usize,
    },
    /// The layers do not make a tree.
    #[error("the layers do not fit together")]
    Merge(#[from] MergeError),
    /// The image config, or files of the image, cannot be used.
    #[error(transparent)]
    Metadata(#[from] SingularityError),
    /// The file system cannot hold something.
    #[error("`{path}` cannot be in the file system")]
    Tree {
        /// The path in the image.
        path: String,
        /// Why not.
        source: TreeError,
    },
    /// The file system cannot be written.
    #[error("the file system cannot be written")]
    Squashfs(#[from] WriteError),
    /// The SIF file cannot be written.
    #[error("the SIF file cannot be written")]
    Sif(#[from] SifError),
    /// The tree has no digest.
    #[error("the tree has no digest")]
    TreeDigest(#[from] TreeDigestError),
}

impl SifWriteError {
    /// The same about the layer whose content could not be read.
    pub(super) fn of_layer(self, number: usize) -> Self {
        match self {
            Self::Open { source, .. } => Self::Open { number, source },
            other => other,
        }
    }

    /// Whether bytes are not what their digest says.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        matches!(
            self,
            Self::Digest { .. } | Self::Layer { .. } | Self::Changed { .. } | Self::Merge(_)
        )
    }

    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge
            )
        };
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            if error.downcast_ref::<io::Error>().is_some_and(full) {
                return true;
            }
            source = error.source();
        }
        false
    }
}
