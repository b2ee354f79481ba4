//! Why an image cannot be written.

use std::io;

/// Why an image cannot be written (further).
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What was to become a file's content could not be read.
    #[error("cannot read the content of a file")]
    Input(#[source] io::Error),
    /// The image could not be written.
    #[error("cannot write the image")]
    Output(#[source] io::Error),
    /// A compression thread could not be started, or its compressor not be set up.
    #[error("cannot start compressing")]
    Start(#[source] io::Error),
    /// A compression thread ended before its work was done.
    #[error("a compression thread ended early")]
    Stopped,
    /// A block size that the format does not have.
    #[error("{size} bytes are no block size: powers of two from 4096 to 1048576 are")]
    BlockSize {
        /// What was asked for.
        size: u32,
    },
    /// A compression level that does not exist.
    #[error("{compressor} has no level {level}: its levels are 1 to {highest}")]
    Level {
        /// The compressor's name.
        compressor: &'static str,
        /// What was asked for.
        level: u8,
        /// The highest level.
        highest: u8,
    },
    /// More than the format can count.
    #[error("more than {limit} {what} do not fit in a squashfs image")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many can be.
        limit: u64,
    },
    /// The tree names a file that this writer never got.
    #[error("the tree has a file whose content was not given to this writer")]
    UnknownContent,
}
