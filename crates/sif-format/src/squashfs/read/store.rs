//! The bytes of an image, block by block.
//!
//! ```text
//! file:   … │ image: begin … end (bytes used) │ padding …
//!                 │
//!                 ├─ metadata(place)   8 KiB at most, kept (4 MiB in all)
//!                 ├─ fragment(place)   one block at most, kept (4 blocks)
//!                 └─ data(place)       one block, into the caller's buffer
//! ```
//!
//! All that is read goes through [`Store::read`], which stays inside the image.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::squashfs::layout::{BLOCK_STORED, METADATA_BLOCK, METADATA_STORED};
use crate::squashfs::super_block::SuperBlock;

use super::ReadError;
use super::cache::Cache;
use super::decoder::Decoder;

/// Half of the metadata blocks that are kept.
const METADATA_KEPT: usize = 256;
/// Half of the fragment blocks that are kept. Neighbours in a directory mostly have the same one.
const FRAGMENTS_KEPT: usize = 2;
/// Bytes of a metadata block's header.
const HEADER: usize = 2;

/// A metadata block.
pub(super) struct Metadata {
    /// Decompressed; never empty.
    pub(super) bytes: Vec<u8>,
    /// Where the next block begins.
    pub(super) next: u64,
}

/// The image as bytes.
pub(super) struct Store<R> {
    reader: R,
    begin: u64,
    end: u64,
    block_size: usize,
    decoder: Decoder,
    packed: Vec<u8>,
    metadata: Cache<Metadata>,
    fragments: Cache<Vec<u8>>,
}

impl<R: Read + Seek> Store<R> {
    /// The image begins at `begin` in the file of `reader`.
    pub(super) fn new(reader: R, begin: u64, super_block: &SuperBlock) -> Result<Self, ReadError> {
        Ok(Self {
            reader,
            begin,
            end: super_block.bytes_used,
            // At most 1 MiB.
            block_size: super_block.block_size as usize,
            decoder: Decoder::new(super_block.compressor)?,
            packed: Vec::new(),
            metadata: Cache::new(METADATA_KEPT),
            fragments: Cache::new(FRAGMENTS_KEPT),
        })
    }

    pub(super) fn into_reader(self) -> R {
        self.reader
    }

    /// Fills `buffer` with what stands at `place`.
    pub(super) fn read(
        &mut self,
        place: u64,
        buffer: &mut [u8],
        what: &'static str,
    ) -> Result<(), ReadError> {
        let end = place.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.end) {
            return Err(ReadError::Outside { what, place });
        }
        read_at(&mut self.reader, self.begin, place, buffer)
    }

    /// The metadata block that begins at `place`.
    pub(super) fn metadata(&mut self, place: u64) -> Result<Arc<Metadata>, ReadError> {
        if let Some(block) = self.metadata.get(place) {
            return Ok(block);
        }
        let wrong = |reason| ReadError::Block { place, reason };
        // The header and what follows at once: the block ends at most 8 KiB further on.
        let left = self.end.saturating_sub(place);
        let length = usize::try_from(left)
            .map_or(HEADER + METADATA_BLOCK, |l| l.min(HEADER + METADATA_BLOCK));
        let mut packed = std::mem::take(&mut self.packed);
        packed.resize(length.max(HEADER), 0);
        self.read(place, &mut packed, "a metadata block")?;
        let Some((&[low, high], rest)) = packed.split_first_chunk::<HEADER>() else {
            return Err(wrong("has no header"));
        };
        let header = u16::from_le_bytes([low, high]);
        let size = usize::from(header & !METADATA_STORED);
        let body = rest
            .get(..size)
            .filter(|body| !body.is_empty() && body.len() <= METADATA_BLOCK)
            .ok_or(wrong("has a size that metadata cannot have"))?;
        let bytes = if header & METADATA_STORED != 0 {
            body.to_vec()
        } else {
            let mut bytes = vec![0; METADATA_BLOCK];
            let length = self.decoder.decode(body, &mut bytes);
            let length = length.filter(|length| *length > 0);
            bytes.truncate(length.ok_or(wrong("cannot be decompressed"))?);
            bytes
        };
        let next = place.saturating_add((HEADER + size) as u64);
        self.packed = packed;
        let block = Arc::new(Metadata { bytes, next });
        self.metadata.put(place, Arc::clone(&block));
        Ok(block)
    }

    /// Decompresses the data block at `place` into `block`, which it fills exactly.
    pub(super) fn data(
        &mut self,
        place: u64,
        size_field: u32,
        block: &mut [u8],
    ) -> Result<(), ReadError> {
        let length = self.unpack(place, size_field, block)?;
        if length != block.len() {
            let reason = "is shorter than its file says";
            return Err(ReadError::Block { place, reason });
        }
        Ok(())
    }

    /// The fragment block at `place`.
    pub(super) fn fragment(
        &mut self,
        place: u64,
        size_field: u32,
    ) -> Result<Arc<Vec<u8>>, ReadError> {
        if let Some(block) = self.fragments.get(place) {
            return Ok(block);
        }
        let mut block = vec![0; self.block_size];
        let length = self.unpack(place, size_field, &mut block)?;
        block.truncate(length);
        let block = Arc::new(block);
        self.fragments.put(place, Arc::clone(&block));
        Ok(block)
    }

    /// Decompresses a block into `room` and says how much of it is used.
    fn unpack(&mut self, place: u64, size_field: u32, room: &mut [u8]) -> Result<usize, ReadError> {
        let what = "a block of content";
        // What does not shrink is stored, so no block is larger than a block.
        let size = usize::try_from(size_field & !BLOCK_STORED).unwrap_or(usize::MAX);
        if size == 0 || size > self.block_size {
            let reason = "has a size that no block can have";
            return Err(ReadError::Block { place, reason });
        }
        if size_field & BLOCK_STORED != 0 {
            let stored = room.get_mut(..size).ok_or(ReadError::Block {
                place,
                reason: "is longer than its file says",
            })?;
            self.read(place, stored, what)?;
            return Ok(size);
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.resize(size, 0);
        self.read(place, &mut packed, what)?;
        let length = self.decoder.decode(&packed, room);
        self.packed = packed;
        let reason = "cannot be decompressed, or not into the size it should have";
        length.ok_or(ReadError::Block { place, reason })
    }
}

/// Fills `buffer` with what stands at `place` of the image that begins at `begin`.
pub(super) fn read_at(
    reader: &mut (impl Read + Seek),
    begin: u64,
    place: u64,
    buffer: &mut [u8],
) -> Result<(), ReadError> {
    let position = begin
        .checked_add(place)
        .ok_or_else(|| ReadError::Input(io::ErrorKind::UnexpectedEof.into()))?;
    reader
        .seek(SeekFrom::Start(position))
        .and_then(|_| reader.read_exact(buffer))
        .map_err(ReadError::Input)
}
