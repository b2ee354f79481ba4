//! How the writer compresses one block.

use std::io;

use crate::squashfs::compressor::Compressor;

use super::WriteError;

/// How blocks are compressed. A block that does not shrink is stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// zlib streams by libdeflate, at one of its levels: 1 to 12. Readable everywhere.
    Gzip {
        /// Each level is slower and smaller than the one before. See [`Compression::GZIP`].
        level: u8,
    },
    /// Zstandard at one of its levels: 1 to 22.
    Zstd {
        /// Each level is slower and smaller than the one before. See [`Compression::ZSTD`].
        level: u8,
    },
}

impl Compression {
    /// The default for images that have to run everywhere.
    pub const GZIP: Self = Self::Gzip { level: 9 };
    /// The default where Linux is 4.14 or later: level 3, a quarter of gzip's time.
    pub const ZSTD: Self = Self::Zstd { level: 3 };

    /// Which compressor that is.
    #[must_use]
    pub fn compressor(self) -> Compressor {
        match self {
            Self::Gzip { .. } => Compressor::Gzip,
            Self::Zstd { .. } => Compressor::Zstd,
        }
    }

    /// The options to note in the image. For gzip there are none to note: the numbers would be those of
    /// zlib's own compressor, and readers want none. zstd's level may be left out when it is 15, which
    /// is what mksquashfs means by silence.
    ///
    /// Source: squashfs-tools, `zstd_wrapper.h`, `struct zstd_comp_opts`.
    pub(super) fn options(self) -> Option<[u8; 4]> {
        match self {
            Self::Gzip { .. } | Self::Zstd { level: 15 } => None,
            Self::Zstd { level } => Some(u32::from(level).to_le_bytes()),
        }
    }

    pub(super) fn check(self) -> Result<(), WriteError> {
        let (level, highest) = match self {
            Self::Gzip { level } => (level, 12),
            Self::Zstd { level } => (level, 22),
        };
        if (1..=highest).contains(&level) {
            return Ok(());
        }
        Err(WriteError::Level {
            compressor: self.compressor().name(),
            level,
            highest,
        })
    }
}

/// A compressor with its working memory; every thread has its own.
pub(super) struct Encoder {
    kind: Kind,
    buffer: Vec<u8>,
}

enum Kind {
    Gzip(libdeflater::Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Encoder {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        let kind = match compression {
            Compression::Gzip { level } => {
                let level = libdeflater::CompressionLvl::new(i32::from(level))
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
                Kind::Gzip(libdeflater::Compressor::new(level))
            }
            // No worker threads inside zstd, no checksum and one frame per block: what comes out
            // depends on the block, the level and the version of the library alone.
            Compression::Zstd { level } => {
                Kind::Zstd(zstd::bulk::Compressor::new(i32::from(level))?)
            }
        };
        Ok(Self {
            kind,
            buffer: Vec::new(),
        })
    }

    /// The compressed block, or `None` when it would not be smaller.
    pub(super) fn encode(&mut self, block: &[u8]) -> Option<&[u8]> {
        let length = match &mut self.kind {
            Kind::Gzip(compressor) => {
                // Less room than the input: what does not fit is not wanted.
                let room = block.len().checked_sub(1)?;
                if self.buffer.len() < room {
                    self.buffer.resize(room, 0);
                }
                compressor
                    .zlib_compress(block, self.buffer.get_mut(..room)?)
                    .ok()?
            }
            Kind::Zstd(compressor) => {
                // With room for the worst case zstd skips its checks for space.
                self.buffer.clear();
                self.buffer
                    .reserve(zstd::zstd_safe::compress_bound(block.len()));
                compressor
                    .compress_to_buffer(block, &mut self.buffer)
                    .ok()?
            }
        };
        (length < block.len()).then(|| self.buffer.get(..length))?
    }
}
