//! Metadata: streams of small records, cut into blocks of 8 KiB that are compressed one by one.
//!
//! ```text
//! header (u16: size, or'ed with 0x8000 when stored) │ block │ header │ block │ …
//! ```
//!
//! A record's place is known when it is pushed as *number of its block, offset in it*. Where in the file
//! that block begins is known only when all blocks before it have been compressed; see [`Stream::drain`].

use crate::squashfs::layout::{METADATA_BLOCK, METADATA_STORED};

use super::WriteError;
use super::pool::Pool;

/// Where a record begins in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    block: u32,
    offset: u16,
}

/// Takes the finished bytes of a stream.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), WriteError> + 'a;

/// One stream. The pool is shared: only one stream may have blocks in it at a time, which is what
/// draining before turning to another one is for.
#[derive(Default)]
pub(super) struct Stream {
    buffer: Vec<u8>,
    submitted: u32,
    /// Where each compressed block begins, from the beginning of the stream.
    starts: Vec<u64>,
    end: u64,
}

impl Stream {
    /// Where the next record will be.
    pub(super) fn place(&self) -> Place {
        // A full block is submitted at once, so the offset is below 8192.
        Place {
            block: self.submitted,
            offset: self.buffer.len() as u16,
        }
    }

    /// Appends a record.
    pub(super) fn push(
        &mut self,
        mut record: &[u8],
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) -> Result<(), WriteError> {
        while !record.is_empty() {
            let (now, later) =
                record.split_at(record.len().min(METADATA_BLOCK - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            record = later;
            if self.buffer.len() == METADATA_BLOCK {
                self.submit(pool)?;
                while pool.in_flight() > METADATA_QUEUE {
                    self.write_next(pool, sink)?;
                }
            }
        }
        Ok(())
    }

    /// Waits until all whole blocks are compressed: then every place pushed so far can be resolved, for
    /// the unfinished block begins where the last one ended.
    pub(super) fn drain(&mut self, pool: &mut Pool, sink: &mut Sink<'_>) -> Result<(), WriteError> {
        while pool.in_flight() > 0 {
            self.write_next(pool, sink)?;
        }
        Ok(())
    }

    /// Ends the stream.
    pub(super) fn finish(
        &mut self,
        pool: &mut Pool,
        sink: &mut Sink<'_>,
    ) -> Result<(), WriteError> {
        if !self.buffer.is_empty() {
            self.submit(pool)?;
        }
        self.drain(pool, sink)
    }

    /// Where a place's block begins in the compressed stream. Needs [`Stream::drain`] first.
    pub(super) fn start_of(&self, place: Place) -> Result<u32, WriteError> {
        let start = self
            .starts
            .get(place.block as usize)
            .copied()
            .unwrap_or(self.end);
        // Directories have 32 bits for it.
        let limit = u32::MAX.into();
        u32::try_from(start).map_err(|_| WriteError::TooMany {
            what: "bytes of metadata",
            limit,
        })
    }

    /// A place as inodes and tables refer to it. Needs [`Stream::drain`] first.
    pub(super) fn reference(&self, place: Place) -> Result<u64, WriteError> {
        Ok(u64::from(self.start_of(place)?) << 16 | u64::from(place.offset))
    }

    /// Where all blocks begin.
    pub(super) fn starts(&self) -> &[u64] {
        &self.starts
    }

    fn submit(&mut self, pool: &mut Pool) -> Result<(), WriteError> {
        let block = std::mem::replace(&mut self.buffer, Vec::with_capacity(METADATA_BLOCK));
        let length = block.len();
        self.submitted = self.submitted.checked_add(1).ok_or(WriteError::TooMany {
            what: "metadata blocks",
            limit: u32::MAX.into(),
        })?;
        pool.submit(block, length, false)
    }

    fn write_next(&mut self, pool: &mut Pool, sink: &mut Sink<'_>) -> Result<(), WriteError> {
        let packed = pool.next()?;
        // At most 8192 bytes.
        let size = packed.bytes.len() as u16;
        let header = if packed.stored {
            size | METADATA_STORED
        } else {
            size
        };
        sink(&header.to_le_bytes())?;
        sink(&packed.bytes)?;
        self.starts.push(self.end);
        self.end += 2 + u64::from(size);
        Ok(())
    }
}

impl Place {
    /// Offset in the decompressed block.
    pub(super) fn offset(self) -> u16 {
        self.offset
    }
}

/// Metadata blocks that may be compressed at one time; together they are as large as a few data blocks.
const METADATA_QUEUE: usize = 256;
