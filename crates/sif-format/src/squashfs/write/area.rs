//! The data area: blocks in the order in which they lie in the image, and which file has which.
//!
//! Equal files are stored once. A file's blocks have to lie side by side, so the choice between "stored
//! again" and "the same as there" is one for all its blocks, and it is made at the end of the file.
//! Until then they are *held*, as long as they equal a run of blocks that is in the image already:
//!
//! ```text
//! in the image   …  A B C D  …
//! a file's blocks   A B C D end      → nothing is written
//!                   A B C X          → all are written once X has come
//! ```
//!
//! Most files differ in their first block and are never held.

use std::collections::HashMap;
use std::io::Write;

use super::pool::Packed;
use super::{Hash, WriteError};

/// Bytes that are held before a file is stored again although it equals another so far. Equal files
/// whose blocks have more than this when compressed are stored twice.
const HELD_MAX: usize = 32 << 20;
/// Runs beginning with the same block that are remembered. More would make bad input quadratic.
const RUNS_MAX: usize = 16;
/// "No block".
const NOWHERE: u32 = u32::MAX;

/// The content of one file, as an inode will describe it.
#[derive(Debug, Clone, Default)]
pub(super) struct FileRecord {
    /// Bytes of content.
    pub(super) size: u64,
    /// Whole blocks, holes among them.
    pub(super) blocks: u64,
    /// The first stored block, unless all are holes.
    first: Option<u32>,
    /// Holes as (first block, how many), in order.
    pub(super) holes: Vec<(u64, u64)>,
    /// Which fragment block has the rest, and where in it.
    pub(super) tail: Option<(u32, u32)>,
}

/// A block that is in the image.
struct StoredBlock {
    start: u64,
    size_field: u32,
    hash: Hash,
}

/// The part of the image that has content, and its index.
pub(super) struct Area<W> {
    pub(super) out: W,
    /// Bytes written since the beginning of the image.
    pub(super) position: u64,
    blocks: Vec<StoredBlock>,
    /// From the hash of a file's first block to the blocks that files begin with.
    runs: HashMap<Hash, Vec<u32>>,
    /// Start and size field of each fragment block.
    pub(super) fragments: Vec<(u64, u32)>,
    pub(super) files: Vec<FileRecord>,
    held: Vec<Packed>,
    held_bytes: usize,
    /// First blocks of the runs that the held blocks equal.
    candidates: Vec<u32>,
    /// First block of the present file, once it is known that it is stored.
    storing: u32,
    /// Compressed bytes that were not stored again.
    pub(super) saved: u64,
}

impl<W: Write> Area<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            position: 0,
            blocks: Vec::new(),
            runs: HashMap::new(),
            fragments: Vec::new(),
            files: vec![FileRecord::default()],
            held: Vec::new(),
            held_bytes: 0,
            candidates: Vec::new(),
            storing: NOWHERE,
            saved: 0,
        }
    }

    /// Writes bytes of any kind.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes).map_err(WriteError::Output)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// The present file's next block.
    pub(super) fn block(&mut self, packed: Packed) -> Result<(), WriteError> {
        if self.storing != NOWHERE {
            return self.store(&packed);
        }
        let index = self.held.len();
        if index == 0 {
            self.candidates = self.runs.get(&packed.hash).cloned().unwrap_or_default();
        } else {
            let blocks = &self.blocks;
            self.candidates.retain(|first| {
                let block = blocks.get(*first as usize + index);
                block.is_some_and(|block| block.hash == packed.hash)
            });
        }
        self.held_bytes += packed.bytes.len();
        self.held.push(packed);
        if self.candidates.is_empty() || self.held_bytes > HELD_MAX {
            self.release()?;
        }
        Ok(())
    }

    /// The present file has no more blocks.
    pub(super) fn end_file(&mut self, file: FileId) {
        let first = if self.storing != NOWHERE {
            Some(self.storing)
        } else {
            // Held to the end: the file equals the first of the candidates.
            self.saved += self.held_bytes as u64;
            self.candidates.first().copied()
        };
        if let Some(record) = self.files.get_mut(file.0 as usize) {
            record.first = first;
        }
        self.forget_file();
    }

    /// The present file was given up.
    pub(super) fn forget_file(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.candidates.clear();
        self.storing = NOWHERE;
    }

    /// A fragment block.
    pub(super) fn fragment(&mut self, packed: &Packed) -> Result<(), WriteError> {
        self.fragments.push((self.position, packed.size_field()));
        self.write(&packed.bytes)
    }

    /// The place of a file's first block and the size fields of all its blocks; holes have zero.
    pub(super) fn block_list(&self, file: &FileRecord) -> Result<(u64, Vec<u32>), WriteError> {
        let mut sizes = Vec::with_capacity(file.blocks as usize);
        let mut holes = file.holes.iter();
        let mut hole = holes.next();
        let first = file.first.unwrap_or(0) as usize;
        let mut stored = self.blocks.get(first..).unwrap_or_default().iter();
        let mut index = 0;
        while index < file.blocks {
            if let Some((_, count)) = hole.filter(|(start, _)| *start == index) {
                sizes.resize(sizes.len() + *count as usize, 0);
                index += count;
                hole = holes.next();
                continue;
            }
            let block = stored.next().ok_or(WriteError::UnknownContent)?;
            sizes.push(block.size_field);
            index += 1;
        }
        let start = file
            .first
            .and_then(|_| self.blocks.get(first))
            .map_or(0, |block| block.start);
        Ok((start, sizes))
    }

    fn release(&mut self) -> Result<(), WriteError> {
        let first = u32::try_from(self.blocks.len())
            .ok()
            .filter(|first| *first != NOWHERE);
        let first = first.ok_or(WriteError::TooMany {
            what: "blocks",
            limit: NOWHERE.into(),
        })?;
        self.storing = first;
        self.candidates.clear();
        let held = std::mem::take(&mut self.held);
        if let Some(packed) = held.first() {
            let runs = self.runs.entry(packed.hash).or_default();
            if runs.len() < RUNS_MAX {
                runs.push(first);
            }
        }
        for packed in &held {
            self.store(packed)?;
        }
        Ok(())
    }

    fn store(&mut self, packed: &Packed) -> Result<(), WriteError> {
        self.blocks.push(StoredBlock {
            start: self.position,
            size_field: packed.size_field(),
            hash: packed.hash,
        });
        self.write(&packed.bytes)
    }
}

/// The content of a file, for [`super::Kind::File`]. Only of use with the writer it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId(pub(super) u32);

impl FileId {
    /// The content of every empty file.
    pub const EMPTY: Self = Self(0);
}
