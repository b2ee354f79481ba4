//! The content of a file, block by block.
//!
//! ```text
//! block sizes:  4711 │ 0 │ 1 << 24 | 131072 │ …       then: a piece of a fragment block
//!               compressed, hole, stored
//! ```

use std::io::{self, Read, Seek};

use crate::squashfs::layout::BLOCK_STORED;

use super::cursor::Cursor;
use super::inode::FilePart;
use super::{Image, ReadError};

/// A piece of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that are stored.
    Bytes(&'a [u8]),
    /// This many zeros that are not stored.
    Hole(u64),
}

/// Reads a file from its beginning to its end: as a stream of bytes, or piece by piece for those who
/// want to know where the holes are. Needs the memory of one block.
pub struct FileReader<'a, R> {
    image: &'a Image<R>,
    number: u32,
    part: FilePart,
    /// Where the next block's size stands; none before the first.
    sizes: Option<Cursor<'a, R>>,
    /// Blocks, and bytes, that have not been read.
    blocks_left: u64,
    left: u64,
    /// Where the next stored block is.
    place: u64,
    /// What was read, how much of it has been given, and zeros to give after that.
    block: Vec<u8>,
    given: usize,
    zeros: u64,
}

/// What was found at the reader's place.
enum Found {
    Block,
    Hole(u64),
    End,
}

impl<'a, R: Read + Seek> FileReader<'a, R> {
    pub(super) fn new(image: &'a Image<R>, number: u32, part: FilePart) -> Self {
        Self {
            image,
            number,
            part,
            sizes: None,
            blocks_left: part.blocks,
            left: part.size,
            place: part.start,
            block: Vec::new(),
            given: 0,
            zeros: 0,
        }
    }

    /// The next piece, or none at the end of the file. Neighbouring holes may come as several.
    ///
    /// # Errors
    /// When the image cannot be read or is damaged.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, ReadError> {
        if self.zeros > 0 {
            return Ok(Some(Piece::Hole(std::mem::take(&mut self.zeros))));
        }
        if self.given >= self.block.len() {
            match self.advance()? {
                Found::Block => {}
                Found::Hole(length) => return Ok(Some(Piece::Hole(length))),
                Found::End => return Ok(None),
            }
        }
        let begin = std::mem::replace(&mut self.given, self.block.len());
        Ok(self.block.get(begin..).map(Piece::Bytes))
    }

    /// Reads the next block into the buffer. After an error there is nothing more.
    fn advance(&mut self) -> Result<Found, ReadError> {
        self.block.clear();
        self.given = 0;
        let found = self.read_on();
        if found.is_err() {
            self.block.clear();
            self.left = 0;
            self.blocks_left = 0;
        }
        found
    }

    fn read_on(&mut self) -> Result<Found, ReadError> {
        if self.left == 0 {
            return Ok(Found::End);
        }
        let block_size = u64::from(self.image.super_block.block_size);
        let length = self.left.min(block_size);
        self.left -= length;
        if self.blocks_left == 0 {
            return self.read_tail(length);
        }
        self.blocks_left -= 1;
        let size_field = self.next_size()?;
        if size_field == 0 {
            return Ok(Found::Hole(length));
        }
        // At most a block size: 1 MiB.
        self.block.resize(length as usize, 0);
        let mut store = self.image.store.borrow_mut();
        store.data(self.place, size_field, &mut self.block)?;
        let stored = u64::from(size_field & !BLOCK_STORED);
        self.place = self.place.saturating_add(stored);
        Ok(Found::Block)
    }

    fn next_size(&mut self) -> Result<u32, ReadError> {
        if let Some(sizes) = &mut self.sizes {
            return sizes.u32();
        }
        let region = self.image.inode_region();
        let mut sizes = Cursor::resume(&self.image.store, region, self.part.block_sizes)?;
        let size = sizes.u32()?;
        self.sizes = Some(sizes);
        Ok(size)
    }

    fn read_tail(&mut self, length: u64) -> Result<Found, ReadError> {
        let number = self.number;
        let wrong = |reason| ReadError::Inode { number, reason };
        let (fragment, offset) = self
            .part
            .tail
            .ok_or(wrong("is a file longer than its blocks"))?;
        let block = self.image.fragment(fragment)?;
        // Both at most 32 bits, and used as a range that is checked.
        let begin = offset as usize;
        let tail = begin
            .checked_add(length as usize)
            .and_then(|end| block.get(begin..end))
            .ok_or(wrong("is a file whose end is not in its fragment block"))?;
        self.block.extend_from_slice(tail);
        Ok(Found::Block)
    }
}

impl<R: Read + Seek> Read for FileReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.zeros == 0 && self.given >= self.block.len() {
            match self.advance()? {
                Found::Block => {}
                Found::Hole(length) => self.zeros = length,
                Found::End => return Ok(0),
            }
        }
        if self.zeros > 0 {
            let length =
                usize::try_from(self.zeros).map_or(buffer.len(), |zeros| zeros.min(buffer.len()));
            buffer.iter_mut().take(length).for_each(|byte| *byte = 0);
            self.zeros -= length as u64;
            return Ok(length);
        }
        let mut rest = self.block.get(self.given..).unwrap_or_default();
        let length = rest.read(buffer)?;
        self.given += length;
        Ok(length)
    }
}
