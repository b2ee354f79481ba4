//! The site layer: what depends on the *set* of packages and not on one of them.
//!
//! ```text
//! opt/._view/<hash>/…                 the view: links into the packages' prefixes
//! opt/view -> /opt/._view/<hash>
//! etc/profile.d/spacktainers.sh       the environment, for login shells that reset it
//! etc/ld.so.conf.d/zz-spacktainers.conf
//! <store>/.spack-db/index.json        so that `spack find` and `spack load` work for who brings Spack
//! <root>/bin/sbang                    runs scripts whose `#!` line is too long for the kernel
//! opt/spacktainers/spack.{yaml,lock}  what was asked for and decided
//! ```
//!
//! It is the last layer and a small one: package layers never depend on it. Start at [`SiteLayer`]; [`profile`] and
//! [`SBANG`] are the texts.
//!
//! Folders above these files are not written: where the base has them, its modes stay.

mod compose;
mod profile;

use std::collections::BTreeMap;
use std::io;

use flate2::write::GzEncoder;
use oci_format::layer::Entry;
use oci_format::layer::tar::{TarWriteError, TarWriter};
use oci_format::{Descriptor, Digest, DigestWriter, media_type};

use crate::content::Content;
use crate::image::{LayerContent, RecordedLayer};

pub use compose::{ComposeError, SitePackage, SiteParts, compose};
pub use profile::profile;

/// Where the environment's files lie in an image.
pub const ENVIRONMENT_FOLDER: &str = "opt/spacktainers";

/// The script for login shells.
pub const PROFILE: &str = "etc/profile.d/spacktainers.sh";

/// The linker's drop-in. It sorts behind all others: it may add libraries and never replaces the base's own.
pub const LINKER_DROP_IN: &str = "etc/ld.so.conf.d/zz-spacktainers.conf";

/// Runs a script whose interpreter's path is longer than the kernel takes in a `#!` line (127 bytes before Linux 5.1, 255
/// since).
///
/// Spack puts `#!/bin/sh <root>/bin/sbang` before such a line when it installs, and brings this program itself: it is in no
/// package. Source: `lib/spack/spack/hooks/sbang.py` in Spack, for the forms of the second line.
pub const SBANG: &str = include_str!("sbang.sh");

/// What the site layer will hold: paths without a leading slash.
#[derive(Debug, Clone, Default)]
pub struct SiteLayer {
    nodes: BTreeMap<Vec<u8>, Node>,
}

#[derive(Debug, Clone)]
enum Node {
    Directory,
    File { mode: u32, bytes: Vec<u8> },
    Symlink(Vec<u8>),
}

/// Why the site layer cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// A path or target that no tar can hold.
    #[error("the site layer cannot be written")]
    Tar(#[from] TarWriteError),
    /// Compression failed.
    #[error("the site layer cannot be compressed")]
    Compress(#[from] io::Error),
}

impl SiteLayer {
    /// Puts a directory with mode 0755.
    pub fn directory(&mut self, path: impl Into<Vec<u8>>) {
        self.nodes.insert(path.into(), Node::Directory);
    }

    /// Puts a file.
    pub fn file(&mut self, path: impl Into<Vec<u8>>, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.nodes.insert(
            path.into(),
            Node::File {
                mode,
                bytes: bytes.into(),
            },
        );
    }

    /// Puts a symbolic link.
    pub fn symlink(&mut self, path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) {
        self.nodes.insert(path.into(), Node::Symlink(target.into()));
    }

    /// The symbolic links of the layer, for whoever has to follow them.
    pub fn links(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Symlink(target) => Some((path.as_slice(), target.as_slice())),
            _ => None,
        })
    }

    /// The layer: the same nodes give the same bytes.
    ///
    /// # Errors
    /// When a path is one that no tar can hold.
    pub fn finish(self) -> Result<RecordedLayer, SiteError> {
        let gzip = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        let mut tar = TarWriter::new(DigestWriter::new(gzip));
        for (path, node) in &self.nodes {
            match node {
                Node::Directory => {
                    tar.append_bytes(&Entry::directory(path.as_slice(), 0o755, 0), b"")?
                }
                Node::Symlink(target) => {
                    tar.append_bytes(&Entry::symlink(path.as_slice(), target.as_slice(), 0), b"")?;
                }
                Node::File { mode, bytes } => {
                    tar.append_bytes(
                        &Entry::file(path.as_slice(), *mode, 0, bytes.len() as u64),
                        bytes,
                    )?;
                }
            }
        }
        let (gzip, diff_id, _) = tar.finish()?.finish();
        let bytes = gzip.finish()?;
        Ok(RecordedLayer {
            descriptor: Descriptor::new(
                media_type::LAYER_TAR_GZIP,
                Digest::of(&bytes),
                bytes.len() as u64,
            ),
            diff_id,
            content: LayerContent::Here(Content::Memory(bytes.into())),
            origins: Vec::new(),
            title: "view and environment".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
