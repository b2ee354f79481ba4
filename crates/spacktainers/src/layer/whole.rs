//! Archives that are in memory: verified, and decompressed in one piece, which takes half the time of doing so in pieces.
//!
//! ```text
//! size, room ──► compressed bytes ──► digest is right? ──► tar        or nothing: the archive is to be read as a stream
//! ```
//!
//! All memory that this takes comes out of one [`Room`], however many threads ask for some.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem;
use oci_format::Digest;

use super::ScanError;
use crate::content::Content;

/// What a gzip member ends in: CRC-32 and length of what was compressed. RFC 1952, 2.3.1.
const TRAILER: usize = 8;

/// Memory that archives may take, in bytes, for all threads together.
pub(crate) struct Room {
    left: AtomicU64,
}

/// Some of a [`Room`], until it is dropped.
struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    /// So many bytes.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU64::new(bytes),
        })
    }

    fn take(self: &Arc<Self>, bytes: u64) -> Option<Taken> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let room = Arc::clone(self);
        taken.ok().map(|_| Taken { room, bytes })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// The tar of an archive whose digest is right.
pub(crate) struct WholeTar {
    bytes: Vec<u8>,
    _room: Taken,
}

impl WholeTar {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The tar of an archive that should have this digest and size. Nothing, where it is to be read as a stream: it is not gzip,
/// or several members of gzip, or broken, or there is no room for it.
///
/// # Errors
/// When it cannot be read, or its bytes are not the promised ones.
pub(crate) fn whole_tar(
    content: &Content,
    digest: &Digest,
    size: u64,
    room: &Arc<Room>,
) -> Result<Option<WholeTar>, ScanError> {
    let Some(_packed) = room.take(size) else {
        return Ok(None);
    };
    let packed = read(content, size).map_err(ScanError::Read)?;
    let (actual, actual_size) = (Digest::of(&packed), packed.len() as u64);
    if actual != *digest || actual_size != size {
        return Err(ScanError::Digest {
            expected: *digest,
            expected_size: size,
            actual,
            actual_size,
        });
    }
    // Of what is longer than 4 GiB it is the rest, and does not fit.
    let Some(length) = packed.last_chunk().copied().map(u32::from_le_bytes) else {
        return Ok(None);
    };
    let Some(taken) = room.take(length.into()) else {
        return Ok(None);
    };
    let tar = decompress(&packed, usize::try_from(length).unwrap_or(0));
    Ok(tar.map(|bytes| WholeTar {
        bytes,
        _room: taken,
    }))
}

/// At most one byte more than promised.
fn read(content: &Content, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let mut stream = content.open(0)?.take(size.saturating_add(1));
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What `packed` is if it is one member of gzip that gives `length` bytes.
fn decompress(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut tar = vec![0; length];
    let done = libdeflater::Decompressor::new().gzip_decompress(packed, &mut tar);
    if done != Ok(length) {
        return None;
    }
    // The decoder stops behind the first member and does not say where that is. Its trailer is known by now: where the
    // first bytes like it are the last ones, nothing is behind it.
    let (crc, rest) = (libdeflater::crc32(&tar), u32::try_from(length).ok()?);
    let mut trailer = [0; TRAILER];
    trailer[..4].copy_from_slice(&crc.to_le_bytes());
    trailer[4..].copy_from_slice(&rest.to_le_bytes());
    (memmem::find(packed, &trailer)? + TRAILER == packed.len()).then_some(tar)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("memory");
        gzip.finish().expect("memory")
    }

    fn whole(packed: &[u8], room: &Arc<Room>) -> Option<Vec<u8>> {
        let content = Content::Memory(packed.into());
        let tar = whole_tar(&content, &Digest::of(packed), packed.len() as u64, room);
        tar.expect("the right digest").map(|it| it.bytes().to_vec())
    }

    #[test]
    fn one_member_of_gzip_is_taken_and_anything_else_is_left_to_streams() {
        let room = Room::new(10_000);
        let text = b"a tar".repeat(100);
        let one = gzip(&text);
        assert_eq!(whole(&one, &room), Some(text.clone()));
        let twice = [one.clone(), one.clone()].concat();
        let garbage = [&one[..], b"garbage"].concat();
        let padded = [&one[..], &one[one.len() - TRAILER..]].concat();
        for other in [&b""[..], b"abc", &text, &twice, &garbage, &padded] {
            assert_eq!(whole(other, &room), None);
        }
        assert_eq!(
            room.left.load(Ordering::Relaxed),
            10_000,
            "all is given back"
        );
    }

    #[test]
    fn there_is_no_more_than_there_is_room_for() {
        let (text, room) = (vec![7; 5000], Room::new(9000));
        let packed = gzip(&text);
        let content = Content::Memory(packed.as_slice().into());
        let (digest, size) = (Digest::of(&packed), packed.len() as u64);
        let open = || whole_tar(&content, &digest, size, &room).expect("the right digest");
        let first = open();
        assert!(first.is_some() && open().is_none());
        drop(first);
        assert!(open().is_some());
        // A length that is only claimed.
        let mut bomb = packed.clone();
        let end = bomb.len() - 4;
        bomb[end..].fill(0xff);
        assert_eq!(whole(&bomb, &room), None);
    }

    #[test]
    fn other_bytes_than_promised_are_refused_before_they_are_decompressed() {
        let packed = gzip(b"a tar");
        let content = Content::Memory(packed.as_slice().into());
        for (digest, size) in [
            (Digest::of(b"x"), packed.len() as u64),
            (Digest::of(&packed), packed.len() as u64 - 1),
        ] {
            let answer = whole_tar(&content, &digest, size, &Room::new(10_000));
            assert!(matches!(answer, Err(ScanError::Digest { .. })));
        }
    }
}
