//! How package layers that are written here are compressed.
//!
//! The same tar gives the same bytes: gzip without a name or time, zstd on one thread without a dictionary. Both depend on the
//! library that compresses, so its version is part of [`Compress::key`].

use std::io::{self, Write};

use flate2::write::GzEncoder;
use oci_format::media_type;
use serde::{Deserialize, Serialize};

/// A compression with its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compress {
    /// gzip, which every tool reads.
    Gzip(u32),
    /// zstd: OCI images only, since image-spec 1.1.
    Zstd(i32),
}

/// gzip's own default: the cache's archives have it too.
const GZIP_LEVEL: u32 = 6;

/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

impl Default for Compress {
    fn default() -> Self {
        Self::Gzip(GZIP_LEVEL)
    }
}

impl Compress {
    /// Levels of gzip.
    pub const GZIP_LEVELS: std::ops::RangeInclusive<i64> = 1..=9;

    /// Levels of zstd. Those above 19 make readers hold windows of more than 8 MiB, which not all of them do.
    pub const ZSTD_LEVELS: std::ops::RangeInclusive<i64> = 1..=19;

    /// `gzip` or `zstd`, with a level or the program's own default. Nothing for other words and levels.
    #[must_use]
    pub fn parse(name: &str, level: Option<i64>) -> Option<Self> {
        match name {
            "gzip" => {
                let level = level.unwrap_or(i64::from(GZIP_LEVEL));
                let level = Some(level).filter(|it| Self::GZIP_LEVELS.contains(it))?;
                Some(Self::Gzip(u32::try_from(level).ok()?))
            }
            "zstd" => {
                let level = level.unwrap_or(i64::from(ZSTD_LEVEL));
                let level = Some(level).filter(|it| Self::ZSTD_LEVELS.contains(it))?;
                Some(Self::Zstd(i32::try_from(level).ok()?))
            }
            _ => None,
        }
    }

    /// `gzip` or `zstd`: as package records name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        }
    }

    /// The media type of layers.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Gzip(_) => media_type::LAYER_TAR_GZIP,
            Self::Zstd(_) => media_type::LAYER_TAR_ZSTD,
        }
    }

    /// All that decides the bytes of a compressed tar besides the tar.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Self::Gzip(level) => format!("gzip {level}"),
            Self::Zstd(level) => format!("zstd {level} {}", zstd::zstd_safe::version_number()),
        }
    }

    /// As people write it: `zstd 3`.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::Gzip(level) => format!("gzip {level}"),
            Self::Zstd(level) => format!("zstd {level}"),
        }
    }

    /// Begins to compress into `inner`.
    pub(super) fn encoder<W: Write>(self, inner: W) -> io::Result<Encoder<W>> {
        Ok(match self {
            // Writes neither a name nor a time.
            Self::Gzip(level) => {
                Encoder::Gzip(GzEncoder::new(inner, flate2::Compression::new(level)))
            }
            Self::Zstd(level) => Encoder::Zstd(zstd::Encoder::new(inner, level)?),
        })
    }
}

/// Compresses what is written into it.
pub(super) enum Encoder<W: Write> {
    Gzip(GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Ends the stream.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
