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

    /// Decompresses `packed`, which is not empty, into `room` and says how much of it is used; `None`
    /// when it is no such block or does not fit.
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(compressor: Compressor, bytes: &[u8]) -> Vec<u8> {
        match compressor {
            Compressor::Zstd => zstd::bulk::compress(bytes, 1).expect("zstd"),
            Compressor::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes).expect("xz");
                encoder.finish().expect("xz")
            }
            _ => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).expect("zlib");
                encoder.finish().expect("zlib")
            }
        }
    }

    #[test]
    fn blocks_never_grow_above_their_room() {
        let bytes = vec![b'x'; 1 << 20];
        for compressor in [Compressor::Gzip, Compressor::Xz, Compressor::Zstd] {
            let mut decoder = Decoder::new(compressor).expect("a decoder");
            let packed = packed(compressor, &bytes);
            let mut room = vec![0; bytes.len()];
            for cut in [1, packed.len() / 2, packed.len() - 1] {
                let part = &packed[..cut];
                assert_eq!(decoder.decode(part, &mut room), None, "{compressor}, {cut}");
            }
            for short in [0, 8192, bytes.len() - 1] {
                let result = decoder.decode(&packed, &mut room[..short]);
                assert_eq!(result, None, "{compressor} into {short}");
            }
            // After failures, all is well again.
            assert_eq!(decoder.decode(&packed, &mut room), Some(bytes.len()));
            assert_eq!(room, bytes);
        }
    }
}
