//! Layers into a directory: the root file system of an image, for a sandbox to run.
//!
//! ```text
//! layers, lowest first ──► [`Root`]: one entry after the other, whiteouts applied
//! ```
//!
//! Building and publishing never unpack anything; only running does. Nothing is written outside the directory,
//! whatever the layers say: every parent is resolved inside the root as the kernel would inside a container
//! ([`inside`]), never through the host's own symbolic links.
//!
//! Source: OCI image specification, `layer.md`, "Applying changesets".

pub(crate) mod inside;
mod root;

use std::io;
use std::path::{Path, PathBuf};

use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::{Limits, Policy, TarError, TarReader};

use crate::content::Content;
use crate::sif::members::{TreeReadError, each_member, open_tree};
use root::Root;
use sif_format::squashfs::ReadError;

/// Why an image could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A layer is not a readable tar stream.
    #[error("layer {number} cannot be read")]
    Layer {
        /// Counted from 1, lowest first.
        number: usize,
        /// What is wrong with the stream.
        source: TarError,
    },
    /// A SIF file or squashfs is not one that can be read.
    #[error(transparent)]
    Tree(#[from] TreeReadError),
    /// The file system in a file is broken.
    #[error("the file system cannot be read")]
    Squashfs(#[from] ReadError),
    /// The directory or a file in it cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A chain of symbolic links in the image that has no end.
    #[error("`{0}` leads through too many symbolic links")]
    LinkLoop(String),
    /// The bytes of a layer cannot be opened.
    #[error("cannot open layer {number}")]
    Open {
        /// Counted from 1, lowest first.
        number: usize,
        /// Why.
        source: io::Error,
    },
}

/// Bytes that one layer may decompress to: 1 TiB. A bound against archives that are bombs; no disk of a node that
/// runs containers holds more.
const LAYER_LIMIT: u64 = 1 << 40;

/// What was left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Device nodes: making them needs privileges, and every runtime brings its own `/dev`.
    pub devices_skipped: u64,
}

/// Applies `layers`, lowest first, to the empty or missing directory `destination`.
///
/// Owners are kept when `keep_owners` (which needs root); otherwise all belongs to the caller.
///
/// # Errors
/// When a layer is broken or hostile, or the directory cannot be written. What was written so far stays:
/// unpack into a temporary name and rename.
pub fn unpack(
    layers: &[Content],
    destination: &Path,
    keep_owners: bool,
) -> Result<Unpacked, UnpackError> {
    let mut root = Root::create(destination, keep_owners)?;
    for (index, layer) in layers.iter().enumerate() {
        let number = index + 1;
        let bytes = layer
            .open(0)
            .map_err(|source| UnpackError::Open { number, source })?;
        let tar = Decoder::new(bytes, LAYER_LIMIT)
            .map_err(|source| UnpackError::Open { number, source })?;
        root.begin_layer();
        let mut reader = TarReader::with_policy(tar, Policy::Lenient, Limits::default());
        while let Some(mut member) = reader
            .next_member()
            .map_err(|source| UnpackError::Layer { number, source })?
        {
            let entry = member.entry.clone();
            root.apply(&entry, &mut member)?;
        }
    }
    root.finish()
}

/// Unpacks the root file system of a SIF file, or a squashfs, into the empty or missing directory `destination`.
///
/// # Errors
/// When the file is broken, or the directory cannot be written.
pub fn unpack_file(
    file: &Path,
    destination: &Path,
    keep_owners: bool,
) -> Result<Unpacked, UnpackError> {
    let image = open_tree(file)?;
    let mut root = Root::create(destination, keep_owners)?;
    root.begin_layer();
    each_member(&image, |entry, mut content| -> Result<(), UnpackError> {
        root.apply(entry, &mut content)
    })?;
    root.finish()
}

#[cfg(test)]
mod tests;
