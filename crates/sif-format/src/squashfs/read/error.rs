//! Why an image cannot be read.
use crate::squashfs::compressor::Compressor;
use std::io;

/// Why an image cannot be read (further).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("cannot read the image")]
    Input(#[source] io::Error),
    /// It does not begin as squashfs images do.
    #[error("not a squashfs image")]
    NotSquashfs,
    /// A version that nothing writes any more.
    #[error("squashfs version {major}.{minor} is not supported: 4.0 is")]
    Version {
        /// First number.
        major: u16,
        /// Second number.
        minor: u16,
    },
    /// A compressor that the format has no number for.
    #[error("the image is compressed with an unknown method, number {id}")]
    UnknownCompressor {
        /// Its number.
        id: u16,
    },
    /// A compressor that this reader does not have.
    #[error("images compressed with {compressor} cannot be read: gzip, xz and zstd can")]
    UnsupportedCompressor {
        /// Which one.
        compressor: Compressor,
    },
    /// The super block contradicts itself.
    #[error("the super block is wrong: {reason}")]
    SuperBlock {
        /// How.
        reason: &'static str,
    },
}
