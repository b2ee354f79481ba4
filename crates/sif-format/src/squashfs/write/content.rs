//! From the bytes of files to blocks, holes and fragments.
//!
//! ```text
//! file  ▕ block │ block │ zeros │ block │ tail ▏
//!           │       │       │       │       └► fragment block, with the tails of other files
//!           └───────┴──── pool ─────┘ hole: only counted
//! ```

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};

use super::area::{Area, FileId, FileRecord};
use super::pool::{Pool, hash, queue_length};
use super::{Hash, Options, WriteError};

/// What the next result of the pool, or the next event between two results, is.
enum Event {
    Block,
    Fragment,
    EndOfFile(FileId),
    FileGivenUp,
}

/// A buffer of one block's size and how much of it is used.
struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

/// Takes the content of files and fills the data area.
pub(super) struct Content<W> {
    pub(super) area: Area<W>,
    pub(super) pool: Pool,
    pub(super) queue_length: usize,
    block_size: usize,
    events: VecDeque<Event>,
    /// The present file's unfinished block.
    block: Buffer,
    file: FileRecord,
    open: bool,
    /// The fragment block that is being filled, and how many there were before it.
    fragment: Buffer,
    fragments: u32,
    /// Where content shorter than a block is already.
    tails: HashMap<Hash, (u32, u32)>,
    files: u32,
}

impl<W: Write> Content<W> {
    pub(super) fn new(out: W, options: &Options) -> Result<Self, WriteError> {
        let block_size = options.block_size as usize;
        let mut pool = Pool::start(options.compression, options.threads, block_size)?;
        let mut buffer = || Buffer {
            bytes: pool.buffer(),
            filled: 0,
        };
        let (block, fragment) = (buffer(), buffer());
        Ok(Self {
            area: Area::new(out),
            pool,
            queue_length: queue_length(options.threads),
            block_size,
            events: VecDeque::new(),
            block,
            file: FileRecord::default(),
            open: false,
            fragment,
            fragments: 0,
            tails: HashMap::new(),
            files: 1,
        })
    }

    /// Begins a file. One that was begun and not ended is given up: its blocks may be in the image,
    /// and nothing refers to them.
    pub(super) fn begin(&mut self) -> Result<(), WriteError> {
        if self.open {
            self.events.push_back(Event::FileGivenUp);
        }
        self.open = true;
        self.block.filled = 0;
        self.file = FileRecord::default();
        self.write_out(false)
    }

    /// Takes the whole rest of `source` into the present file.
    pub(super) fn read_all(&mut self, source: &mut dyn Read) -> Result<(), WriteError> {
        loop {
            let room = self
                .block
                .bytes
                .get_mut(self.block.filled..)
                .unwrap_or_default();
            let room_length = room.len();
            match source.read(room) {
                Ok(0) => return Ok(()),
                Ok(count) => self.advance(count.min(room_length))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(WriteError::Input(error)),
            }
        }
    }

    /// Appends to the present file.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let room = self
                .block
                .bytes
                .get_mut(self.block.filled..)
                .unwrap_or_default();
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            bytes = later;
            self.advance(now.len())?;
        }
        Ok(())
    }

    /// Appends zeros to the present file. Whole blocks of them cost nothing.
    pub(super) fn append_hole(&mut self, mut length: u64) -> Result<(), WriteError> {
        while length > 0 {
            let blocks = length / self.block_size as u64;
            if self.block.filled == 0 && blocks > 0 {
                self.hole(blocks);
                self.file.size += blocks * self.block_size as u64;
                length -= blocks * self.block_size as u64;
                continue;
            }
            let room = self
                .block
                .bytes
                .get_mut(self.block.filled..)
                .unwrap_or_default();
            let now = usize::try_from(length).map_or(room.len(), |length| length.min(room.len()));
            room[..now].fill(0);
            length -= now as u64;
            self.advance(now)?;
        }
        Ok(())
    }

    /// Ends the present file.
    pub(super) fn end(&mut self) -> Result<FileId, WriteError> {
        self.open = false;
        if self.file.size == 0 {
            return Ok(FileId::EMPTY);
        }
        self.file.tail = self.tail()?;
        let id = FileId(self.files);
        let limit = u32::MAX;
        self.files = self.files.checked_add(1).ok_or(WriteError::TooMany {
            what: "files",
            limit: limit.into(),
        })?;
        self.area.files.push(std::mem::take(&mut self.file));
        self.events.push_back(Event::EndOfFile(id));
        Ok(id)
    }

    /// Writes all that is outstanding: afterwards the data area is complete.
    pub(super) fn close(&mut self) -> Result<(), WriteError> {
        self.flush_fragment()?;
        self.write_out(true)
    }

    /// `count` bytes of the present block's room have been filled.
    fn advance(&mut self, count: usize) -> Result<(), WriteError> {
        self.block.filled += count;
        self.file.size += count as u64;
        if self.block.filled < self.block_size {
            return Ok(());
        }
        self.block.filled = 0;
        if is_zero(&self.block.bytes) {
            self.hole(1);
            return Ok(());
        }
        let fresh = self.pool.buffer();
        let block = std::mem::replace(&mut self.block.bytes, fresh);
        self.file.blocks += 1;
        self.events.push_back(Event::Block);
        self.pool.submit(block, self.block_size, true)?;
        self.write_out(false)
    }

    fn hole(&mut self, count: u64) {
        let start = self.file.blocks;
        self.file.blocks += count;
        match self.file.holes.last_mut() {
            Some((first, length)) if *first + *length == start => *length += count,
            _ => self.file.holes.push((start, count)),
        }
    }

    /// Finds a place in a fragment block for what is left of the present file.
    fn tail(&mut self) -> Result<Option<(u32, u32)>, WriteError> {
        let length = std::mem::take(&mut self.block.filled);
        let tail = self.block.bytes.get(..length).unwrap_or_default();
        if tail.is_empty() {
            return Ok(None);
        }
        let hash = hash(&[tail]);
        if let Some(place) = self.tails.get(&hash) {
            return Ok(Some(*place));
        }
        if self.fragment.filled + length > self.block_size {
            self.flush_fragment()?;
        }
        let tail = self.block.bytes.get(..length).unwrap_or_default();
        let start = self.fragment.filled;
        if let Some(room) = self.fragment.bytes.get_mut(start..start + length) {
            room.copy_from_slice(tail);
        }
        self.fragment.filled += length;
        let place = (self.fragments, start as u32);
        self.tails.insert(hash, place);
        Ok(Some(place))
    }

    fn flush_fragment(&mut self) -> Result<(), WriteError> {
        let length = std::mem::take(&mut self.fragment.filled);
        if length == 0 {
            return Ok(());
        }
        // The number above all others says "no fragment".
        let limit = u32::MAX - 1;
        if self.fragments == limit {
            return Err(WriteError::TooMany {
                what: "fragment blocks",
                limit: limit.into(),
            });
        }
        self.fragments += 1;
        let fresh = self.pool.buffer();
        let block = std::mem::replace(&mut self.fragment.bytes, fresh);
        self.events.push_back(Event::Fragment);
        self.pool.submit(block, length, false)?;
        self.write_out(false)
    }

    /// Writes what is ready, and waits until there is room in the queue or, if asked, until it is empty.
    fn write_out(&mut self, all: bool) -> Result<(), WriteError> {
        while let Some(event) = self.events.front() {
            if let Event::Block | Event::Fragment = event {
                let wait = all || self.pool.in_flight() > self.queue_length;
                let packed = if wait {
                    Some(self.pool.next()?)
                } else {
                    self.pool.ready()
                };
                let Some(packed) = packed else { return Ok(()) };
                match event {
                    Event::Block => self.area.block(packed)?,
                    _ => self.area.fragment(&packed)?,
                }
            } else if let Event::EndOfFile(file) = event {
                self.area.end_file(*file);
            } else {
                self.area.forget_file();
            }
            self.events.pop_front();
        }
        Ok(())
    }
}

/// Whether all bytes are zero: the first is, and each equals the next.
fn is_zero(block: &[u8]) -> bool {
    match block {
        [] => true,
        [first, rest @ ..] => *first == 0 && rest == &block[..rest.len()],
    }
}
