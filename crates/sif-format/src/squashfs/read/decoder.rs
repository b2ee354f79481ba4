//! How the reader decompresses one block. The room is fixed beforehand, so no block can grow above it.

use liblzma::stream::{Action, Status, Stream};

use crate::squashfs::compressor::Compressor;

use super::ReadError;

/// What an .xz decoder may allocate. Dictionaries are at most as large as blocks: 1 MiB.
const XZ_MEMORY: u64 = 16 << 20;

/// A decompressor with its working memory.
pub(super) enum Decoder {
    Gzip(libdeflater::Decompressor),
    Xz,
    Zstd(zstd::bulk::Decompressor<'static>),
}

impl Decoder {
    pub(super) fn new(compressor: Compressor) -> Result<Self, ReadError> {
        Ok(match compressor {
            Compressor::Gzip => Self::Gzip(libdeflater::Decompressor::new()),
            Compressor::Xz => Self::Xz,
            Compressor::Zstd => {
                Self::Zstd(zstd::bulk::Decompressor::new().map_err(ReadError::Decompressor)?)
            }
            Compressor::Lzma | Compressor::Lzo | Compressor::Lz4 => {
                return Err(ReadError::UnsupportedCompressor { compressor });
            }
        })
    }

    /// Decompresses into `room` and says how much of it is used; `None` when `packed` is no such
    /// block or does not fit.
    pub(super) fn decode(&mut self, packed: &[u8], room: &mut [u8]) -> Option<usize> {
        match self {
            Self::Gzip(decompressor) => decompressor.zlib_decompress(packed, room).ok(),
            Self::Zstd(decompressor) => decompressor.decompress_to_buffer(packed, room).ok(),
            Self::Xz => {
                let mut stream = Stream::new_stream_decoder(XZ_MEMORY, 0).ok()?;
                let status = stream.process(packed, room, Action::Finish).ok()?;
                let length = usize::try_from(stream.total_out()).ok()?;
                (status == Status::StreamEnd).then_some(length)
            }
        }
    }
}
