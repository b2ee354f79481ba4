//! Compression of layers: which one it is, and reading through it.
//!
//! What a stream is, its first bytes tell; media types are what somebody wrote down about it.
//!
//! Sources: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.2; OCI image specification,
//! `layer.md`, "`+gzip` Media Types".

use std::io::{self, BufReader, Chain, Cursor, Read, Take};

use crate::media_type;

/// Compressed bytes taken from the source at a time.
const BUFFER: usize = 128 * 1024;
/// What an xz stream may make its reader hold; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 128 << 20;
/// The longest magic that is looked for.
const MAGIC: usize = 6;

/// How a tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, of one or several members.
    Gzip,
    /// Zstandard, of one or several frames.
    Zstd,
    /// xz: in root file system archives and Debian packages, never in a layer.
    Xz,
}

impl Compression {
    /// What the first bytes of a stream tell: six are enough, fewer are a stream shorter than any magic.
    #[must_use]
    pub fn detect(first: &[u8]) -> Self {
        if first.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable_frame(first) {
            Self::Zstd
        } else if first.starts_with(b"\xfd7zXZ\0") {
            Self::Xz
        } else {
            Self::Plain
        }
    }

    /// What a layer's media type says; `None` when it is no layer's, or says too little (Spack's
    /// manifests name the compression in a field of its own).
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            media_type::LAYER_TAR | media_type::DOCKER_LAYER => Some(Self::Plain),
            media_type::LAYER_TAR_GZIP | media_type::DOCKER_LAYER_GZIP => Some(Self::Gzip),
            media_type::LAYER_TAR_ZSTD => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The media type of a layer so compressed; `None` where no image may have such a layer.
    #[must_use]
    pub fn layer_media_type(self) -> Option<&'static str> {
        match self {
            Self::Plain => Some(media_type::LAYER_TAR),
            Self::Gzip => Some(media_type::LAYER_TAR_GZIP),
            Self::Zstd => Some(media_type::LAYER_TAR_ZSTD),
            Self::Xz => None,
        }
    }
}

/// zstd's frames without content, which pzstd and seekable archives begin with.
fn is_skippable_frame(first: &[u8]) -> bool {
    matches!(first, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Why a stream is not decompressed further. Travels inside [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than {limit} bytes come out of the compressed stream; nothing of that size is expected here"
)]
pub struct TooBig {
    /// Bytes that were allowed.
    pub limit: u64,
}

/// Reads the decompressed bytes of a stream, whatever its compression.
pub struct Decoder<R: Read> {
    kind: Kind<R>,
    compression: Compression,
    limit: u64,
    left: u64,
}

type Source<R> = Chain<Take<Cursor<[u8; MAGIC]>>, R>;

enum Kind<R: Read> {
    Plain(Source<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<Source<R>>>>),
    Zstd(zstd::Decoder<'static, BufReader<Source<R>>>),
    Xz(Box<liblzma::bufread::XzDecoder<BufReader<Source<R>>>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `source` and decompresses accordingly. Reading fails with
    /// [`TooBig`] after `limit` bytes: nobody can fill a disk or wait for ever on a small blob.
    ///
    /// # Errors
    /// When the source cannot be read or a decoder cannot be made.
    pub fn new(mut source: R, limit: u64) -> io::Result<Self> {
        let mut first = [0; MAGIC];
        let mut count = 0;
        while count < MAGIC {
            match source.read(&mut first[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let compression = Compression::detect(&first[..count]);
        let source = Cursor::new(first).take(count as u64).chain(source);
        let buffered = |source| BufReader::with_capacity(BUFFER, source);
        let kind = match compression {
            Compression::Plain => Kind::Plain(source),
            Compression::Gzip => Kind::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(
                buffered(source),
            ))),
            Compression::Zstd => Kind::Zstd(zstd::Decoder::with_buffer(buffered(source))?),
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    XZ_MEMORY,
                    liblzma::stream::CONCATENATED,
                )?;
                Kind::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(
                    buffered(source),
                    stream,
                )))
            }
        };
        Ok(Self {
            kind,
            compression,
            limit,
            left: limit,
        })
    }

    /// What the stream was found to be.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The source. It has been read to its end when the decompressed stream has.
    pub fn into_inner(self) -> R {
        let source = match self.kind {
            Kind::Plain(source) => source,
            Kind::Gzip(decoder) => decoder.into_inner().into_inner(),
            Kind::Zstd(decoder) => decoder.finish().into_inner(),
            Kind::Xz(decoder) => decoder.into_inner().into_inner(),
        };
        source.into_inner().1
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.kind {
            Kind::Plain(source) => source.read(buffer)?,
            Kind::Gzip(decoder) => decoder.read(buffer)?,
            Kind::Zstd(decoder) => decoder.read(buffer)?,
            Kind::Xz(decoder) => decoder.read(buffer)?,
        };
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    TooBig { limit: self.limit },
                ));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"a tar would be here";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn read(stream: &[u8], limit: u64) -> io::Result<(Vec<u8>, Compression)> {
        let mut decoder = Decoder::new(stream, limit)?;
        let mut out = Vec::new();
        decoder.read_to_end(&mut out)?;
        let compression = decoder.compression();
        assert!(
            decoder.into_inner().is_empty(),
            "the source is read to its end"
        );
        Ok((out, compression))
    }

    #[test]
    fn every_compression_is_told_by_its_magic_and_read() {
        let zstd = zstd::encode_all(TEXT, 3).expect("memory");
        let streams = [
            (TEXT.to_vec(), Compression::Plain),
            (gzip(TEXT), Compression::Gzip),
            (zstd, Compression::Zstd),
            (xz(TEXT), Compression::Xz),
        ];
        for (stream, compression) in streams {
            let found = read(&stream, 100).expect("a good stream");
            assert_eq!(found, (TEXT.to_vec(), compression));
        }
        assert_eq!(read(b"", 0).expect("nothing").1, Compression::Plain);
    }

    #[test]
    fn all_members_of_a_stream_are_read() {
        let twice = [TEXT, TEXT].concat();
        let zstd = zstd::encode_all(TEXT, 3).expect("memory");
        for one in [gzip(TEXT), zstd, xz(TEXT)] {
            assert_eq!(
                read(&[&one[..], &one].concat(), 100)
                    .expect("two members")
                    .0,
                twice
            );
        }
    }

    #[test]
    fn what_grows_beyond_its_limit_is_an_error() {
        let bomb = gzip(&vec![0; 1 << 20]);
        let error = read(&bomb, 1000).expect_err("1 MiB");
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<TooBig>());
        assert_eq!(inner, Some(&TooBig { limit: 1000 }));
        assert!(read(&bomb, 1 << 20).is_ok(), "the limit itself is allowed");
    }

    #[test]
    fn cut_off_streams_are_errors() {
        let zstd = zstd::encode_all(TEXT, 3).expect("memory");
        for whole in [gzip(TEXT), zstd, xz(TEXT)] {
            assert!(read(&whole[..whole.len() - 3], 100).is_err());
        }
    }

    #[test]
    fn garbage_after_a_member_is_an_error() {
        let mut stream = gzip(TEXT);
        stream.extend_from_slice(b"garbage");
        assert!(read(&stream, 100).is_err());
    }

    #[test]
    fn media_types_and_compressions_agree() {
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            let media_type = compression.layer_media_type().expect("a layer may be so");
            assert_eq!(Compression::of_media_type(media_type), Some(compression));
        }
        assert_eq!(Compression::Xz.layer_media_type(), None);
        assert_eq!(Compression::of_media_type(media_type::IMAGE_CONFIG), None);
    }
}
