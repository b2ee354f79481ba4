//! Bytes that can be read again: what layers and configs are made of until somebody wants them.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes in memory or in (a part of) a file, readable any number of times from any offset.
///
/// A content is described by a digest elsewhere; whoever sends it hashes it again on the way,
/// because a file can change between planning and sending.
#[derive(Debug, Clone)]
pub enum Content {
    /// Small things: configs, manifests, site layers.
    Memory(Arc<[u8]>),
    /// `len` bytes of a file, from `offset`.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Bytes to skip at its beginning.
        offset: u64,
        /// Bytes that count.
        len: u64,
    },
}

impl Content {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads from `skip` bytes after the beginning to the end.
    ///
    /// # Errors
    /// When the file cannot be opened or is shorter than it was.
    pub fn open(&self, skip: u64) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Memory(bytes) => {
                let mut cursor = Cursor::new(Arc::clone(bytes));
                cursor.set_position(skip.min(bytes.len() as u64));
                Ok(Box::new(cursor))
            }
            Self::File { path, offset, len } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset + skip.min(*len)))?;
                Ok(Box::new(file.take(len.saturating_sub(skip))))
            }
        }
    }
}
