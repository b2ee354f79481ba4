//! One member of a stream and its content, with holes filled.

use std::io::{self, BufRead, Read};

use super::path::printable;
use super::{TarReader, sparse};
use crate::layer::Entry;

/// What is left to read of a member's content.
#[derive(Default)]
pub(super) struct Stored {
    /// Bytes in the stream.
    pub(super) left: u64,
    /// Zeros after them, up to a whole block.
    pub(super) padding: u64,
    pub(super) holes: Option<Holes>,
}

/// Where a reader stands in a file with holes.
pub(super) struct Holes {
    pub(super) map: sparse::Map,
    pub(super) next: usize,
    pub(super) position: u64,
}

/// One member: what it is, and its content as a reader of exactly [`Entry::size`] bytes. What is not
/// read of it is skipped when the next member is asked for.
pub struct Member<'a, R> {
    /// What the archive says about it.
    pub entry: Entry,
    pub(super) reader: &'a mut TarReader<R>,
}

impl<R> Member<'_, R> {
    /// Where its content begins in the stream, in bytes; none for a file with holes, whose content is not one piece.
    /// To be asked before any of it is read.
    #[must_use]
    pub fn content_offset(&self) -> Option<u64> {
        let reader = &self.reader;
        reader.content.holes.is_none().then_some(reader.offset)
    }
}

impl<R: Read> TarReader<R> {
    /// Stored bytes of the member, at most `limit` of them.
    fn fill_stored(&mut self, limit: u64) -> io::Result<&[u8]> {
        let limit = limit.min(self.content.left);
        if limit == 0 {
            return Ok(&[]);
        }
        let buffer = self.inner.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the archive is cut off in `{}`", printable(&self.current)),
            ));
        }
        let end = usize::try_from(limit).map_or(buffer.len(), |limit| limit.min(buffer.len()));
        Ok(&buffer[..end])
    }
}

/// What holes read as.
static ZEROS: [u8; 4096] = [0; 4096];

/// What comes next in a file with holes.
enum Step {
    Zeros(u64),
    Stored(u64),
    End,
}

impl Holes {
    fn step(&self) -> Step {
        match self.map.parts.get(self.next) {
            Some((offset, _)) if self.position < *offset => Step::Zeros(offset - self.position),
            Some((offset, length)) => Step::Stored(offset + length - self.position),
            None if self.position < self.map.size => Step::Zeros(self.map.size - self.position),
            None => Step::End,
        }
    }

    fn advance(&mut self, count: u64) {
        self.position += count;
        while self
            .map
            .parts
            .get(self.next)
            .is_some_and(|(offset, length)| self.position >= offset + length)
        {
            self.next += 1;
        }
    }
}

impl<R: Read> BufRead for Member<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(holes) = &mut self.reader.content.holes {
            // Parts of no bytes at the very beginning.
            holes.advance(0);
            return match holes.step() {
                Step::Zeros(count) => Ok(
                    &ZEROS[..usize::try_from(count).map_or(ZEROS.len(), |c| c.min(ZEROS.len()))]
                ),
                Step::Stored(count) => self.reader.fill_stored(count),
                Step::End => Ok(&[]),
            };
        }
        self.reader.fill_stored(u64::MAX)
    }

    fn consume(&mut self, count: usize) {
        let reader = &mut *self.reader;
        if let Some(holes) = &mut reader.content.holes {
            let is_hole = matches!(holes.step(), Step::Zeros(_));
            holes.advance(count as u64);
            if is_hole {
                return;
            }
        }
        let count = count.min(usize::try_from(reader.content.left).unwrap_or(usize::MAX));
        reader.inner.consume(count);
        reader.offset += count as u64;
        reader.content.left -= count as u64;
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
