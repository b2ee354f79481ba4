//! Why an image cannot be read.

use std::io;

use crate::squashfs::compressor::Compressor;

/// Why an image cannot be read (further). Places are bytes from the beginning of the image.
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
    /// A decompressor could not be set up.
    #[error("cannot set up the decompressor")]
    Decompressor(#[source] io::Error),
    /// The super block contradicts itself.
    #[error("the super block is wrong: {reason}")]
    SuperBlock {
        /// How.
        reason: &'static str,
    },
    /// The end of the image is missing.
    #[error("the image is cut off: it should have {expected} bytes and has {length}")]
    CutOff {
        /// Bytes that the super block speaks of.
        expected: u64,
        /// Bytes that are there.
        length: u64,
    },
    /// Something refers to a place where that cannot be.
    #[error("the image is damaged: {what} at byte {place} is not inside its part of the image")]
    Outside {
        /// What should be there.
        what: &'static str,
        /// Where.
        place: u64,
    },
    /// A compressed block is not one, or not of the size it must have.
    #[error("the image is damaged: the block at byte {place} {reason}")]
    Block {
        /// Where it begins.
        place: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An inode that cannot be.
    #[error("the image is damaged: inode {number} {reason}")]
    Inode {
        /// The number it has or should have.
        number: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A table has no entry of that number.
    #[error("the image is damaged: there is no {what} number {index}")]
    Missing {
        /// Entry of which table.
        what: &'static str,
        /// Which one.
        index: u64,
    },
    /// The walk comes to a directory for the second time, or to a path that is too long.
    #[error("cannot walk on at `{}`: {reason}", .path.escape_ascii())]
    Walk {
        /// Where.
        path: Vec<u8>,
        /// Why.
        reason: &'static str,
    },
    /// The caller asks an inode for what only other kinds have.
    #[error("inode {number} is not a {expected}")]
    Kind {
        /// The inode.
        number: u32,
        /// What it should be.
        expected: &'static str,
    },
}

impl From<ReadError> for io::Error {
    /// For [`io::Read`] on top of an image: what failed below stays as it was.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Input(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}
