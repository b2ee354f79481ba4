//! The compressors that the format has numbers for.
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h`, "definitions for compression types".

use std::fmt;

/// What the blocks of an image are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compressor {
    /// zlib streams, whatever the name says. Every reader knows it.
    Gzip,
    /// The old LZMA format; Linux never had it.
    Lzma,
    /// LZO.
    Lzo,
    /// Whole .xz streams with CRC-32.
    Xz,
    /// LZ4.
    Lz4,
    /// Zstandard frames; Linux since 4.14.
    Zstd,
}

impl Compressor {
    const ALL: [Self; 6] = [
        Self::Gzip,
        Self::Lzma,
        Self::Lzo,
        Self::Xz,
        Self::Lz4,
        Self::Zstd,
    ];

    pub(super) fn id(self) -> u16 {
        match self {
            Self::Gzip => 1,
            Self::Lzma => 2,
            Self::Lzo => 3,
            Self::Xz => 4,
            Self::Lz4 => 5,
            Self::Zstd => 6,
        }
    }

    pub(super) fn from_id(id: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|compressor| compressor.id() == id)
    }

    /// As `mksquashfs -comp` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Lzma => "lzma",
            Self::Lzo => "lzo",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
