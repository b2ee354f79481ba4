//! Reading records that may go on in the next metadata block.

use std::cell::RefCell;
use std::io::{Read, Seek};
use std::sync::Arc;

use crate::squashfs::layout::METADATA_BLOCK;

use super::ReadError;
use super::store::{Metadata, Store};

/// A part of the image that is one stream of metadata.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub(super) start: u64,
    /// No block of the stream begins here or after.
    pub(super) end: u64,
    /// What it consists of, for messages.
    pub(super) what: &'static str,
}

impl Region {
    /// More decompressed bytes than the stream can have: blocks take three bytes at least.
    pub(super) fn capacity(&self) -> u64 {
        let bytes = self.end.saturating_sub(self.start);
        (bytes / 3)
            .saturating_add(1)
            .saturating_mul(METADATA_BLOCK as u64)
    }
}

/// A place in a stream that was reached by reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    block: u64,
    at: usize,
}

/// A place in a stream, and the way on from there.
pub(super) struct Cursor<'a, R> {
    store: &'a RefCell<Store<R>>,
    region: Region,
    place: u64,
    block: Arc<Metadata>,
    at: usize,
}

impl<'a, R: Read + Seek> Cursor<'a, R> {
    /// Begins at a reference: `block` bytes from the stream's beginning, and `offset` in what is there.
    pub(super) fn new(
        store: &'a RefCell<Store<R>>,
        region: Region,
        block: u64,
        offset: u16,
    ) -> Result<Self, ReadError> {
        let place = region.start.saturating_add(block);
        let cursor = Self::at(store, region, place, usize::from(offset))?;
        if cursor.at >= cursor.block.bytes.len() {
            let what = region.what;
            return Err(ReadError::Outside { what, place });
        }
        Ok(cursor)
    }

    /// Begins where another cursor was.
    pub(super) fn resume(
        store: &'a RefCell<Store<R>>,
        region: Region,
        mark: Mark,
    ) -> Result<Self, ReadError> {
        Self::at(store, region, mark.block, mark.at)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            block: self.place,
            at: self.at,
        }
    }

    fn at(
        store: &'a RefCell<Store<R>>,
        region: Region,
        place: u64,
        at: usize,
    ) -> Result<Self, ReadError> {
        let block = load(store, region, place)?;
        Ok(Self {
            store,
            region,
            place,
            block,
            at,
        })
    }

    /// Fills `buffer`.
    pub(super) fn read(&mut self, mut buffer: &mut [u8]) -> Result<(), ReadError> {
        while !buffer.is_empty() {
            let rest = self.block.bytes.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                let next = self.block.next;
                self.block = load(self.store, self.region, next)?;
                self.place = next;
                self.at = 0;
                continue;
            }
            let length = rest.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(rest.get(..length).unwrap_or_default());
            self.at += length;
            buffer = later;
        }
        Ok(())
    }

    /// The next `length` bytes. The caller has checked the length against a limit of the format.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, ReadError> {
        self.array().map(i16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadError> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut array = [0; N];
        self.read(&mut array)?;
        Ok(array)
    }
}

fn load<R: Read + Seek>(
    store: &RefCell<Store<R>>,
    region: Region,
    place: u64,
) -> Result<Arc<Metadata>, ReadError> {
    if !(region.start..region.end).contains(&place) {
        let what = region.what;
        return Err(ReadError::Outside { what, place });
    }
    store.borrow_mut().metadata(place)
}
