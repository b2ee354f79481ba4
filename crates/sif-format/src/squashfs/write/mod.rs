//! Writing: content first, in any order, then the tree that gives it names.
//!
//! ```text
//! add_file ─► content: blocks, holes, tails ─► pool: N threads compress ─► area: in order, equal files once ─► out
//! finish(tree) ─► finish: numbers, inodes, listings, tables ─► metadata ─► pool ─► out
//!                                                                        super block, to be put at the beginning
//! ```
//!
//! Memory: the blocks on their way (some MiB), at most 32 MiB of compressed blocks that may turn out to
//! be in the image already, 32 bytes per stored block, and some 100 bytes per file.

mod area;
mod content;
mod encoder;
mod error;
mod finish;
mod inode;
mod listing;
mod metadata;
mod pool;
mod tree;
mod xattrs;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;

pub use area::FileId;
pub use encoder::Compression;
pub use error::WriteError;
pub use tree::{Kind, NodeId, Tree, TreeError};

use super::layout::{BLOCK_SIZES, METADATA_STORED};
use super::super_block::{Flags, SUPER_BLOCK};
use content::Content;
use pool::as_io;

/// What content is recognised by; see [`pool::hash`].
type Hash = [u8; 16];

/// Images are filled with zeros to a multiple of this, as mksquashfs does, for loop devices.
const PADDING: u64 = 4096;

/// How an image is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How blocks are compressed.
    pub compression: Compression,
    /// Bytes of a data block: a power of two from 4 KiB to 1 MiB. Larger blocks compress better and
    /// are slower to read at random.
    pub block_size: u32,
    /// When the image is made, in seconds since 1970-01-01 UTC. Part of the image's bytes.
    pub mkfs_time: u32,
    /// How many threads compress. The image does not depend on it.
    pub threads: NonZeroUsize,
}

impl Options {
    /// 128 KiB, as mksquashfs has it and Linux is tuned for.
    pub const BLOCK_SIZE: u32 = 128 << 10;

    /// The usual block size.
    #[must_use]
    pub fn new(compression: Compression, mkfs_time: u32, threads: NonZeroUsize) -> Self {
        Self {
            compression,
            block_size: Self::BLOCK_SIZE,
            mkfs_time,
            threads,
        }
    }

    fn flags(&self) -> Flags {
        match self.compression.options() {
            Some(_) => Flags::DEDUPLICATED.with(Flags::COMPRESSOR_OPTIONS),
            None => Flags::DEDUPLICATED,
        }
    }

    fn check(&self) -> Result<(), WriteError> {
        if !BLOCK_SIZES.contains(&self.block_size) || !self.block_size.is_power_of_two() {
            return Err(WriteError::BlockSize {
                size: self.block_size,
            });
        }
        self.compression.check()
    }
}

/// What a written image is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the image, with padding.
    pub size: u64,
    /// Inodes, the root among them.
    pub inodes: u32,
    /// Blocks shared by the ends of files.
    pub fragments: u32,
    /// Bytes of the image that equal files would have taken a second time.
    pub saved: u64,
}

/// An image of which all is written but the super block.
#[derive(Debug)]
pub struct Finished<W> {
    /// What was written to, after the last byte of the image.
    pub out: W,
    /// To be put at the beginning of the image, in place of the zeros that are there.
    pub super_block: [u8; SUPER_BLOCK],
    /// What the image is like.
    pub summary: Summary,
}

impl<W: Write + Seek> Finished<W> {
    /// Puts the super block in its place and leaves `out` after the last byte of the image. Of use when
    /// the image's end is where `out` stands, be its beginning zero or anywhere in a larger file.
    ///
    /// # Errors
    /// When `out` cannot seek or write.
    pub fn patch(mut self) -> Result<(W, Summary), WriteError> {
        self.patch_super_block().map_err(WriteError::Output)?;
        Ok((self.out, self.summary))
    }

    fn patch_super_block(&mut self) -> io::Result<()> {
        let end = self.out.stream_position()?;
        let begin = end
            .checked_sub(self.summary.size)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.out.seek(SeekFrom::Start(begin))?;
        self.out.write_all(&self.super_block)?;
        self.out.seek(SeekFrom::Start(end))?;
        Ok(())
    }
}

/// Writes an image. After an error it is of no further use.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Cursor;
/// use std::num::NonZeroUsize;
/// use sif_format::squashfs::{Attributes, Compression, Kind, Options, Tree, Writer};
///
/// let options = Options::new(Compression::ZSTD, 0, NonZeroUsize::MIN);
/// let mut writer = Writer::new(Cursor::new(Vec::new()), options)?;
/// let hello = writer.add_file(&b"hello"[..])?;
///
/// let directory = Attributes { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
/// let mut tree = Tree::new(directory)?;
/// let file = Attributes { mode: 0o644, ..directory };
/// tree.add(Tree::ROOT, b"hello.txt", file, Kind::File(hello))?;
///
/// let (out, summary) = writer.finish(&tree)?.patch()?;
/// assert_eq!(out.into_inner().len() as u64, summary.size);
/// # Ok(())
/// # }
/// ```
pub struct Writer<W: Write> {
    content: Content<W>,
    options: Options,
}

impl<W: Write> Writer<W> {
    /// Begins an image where `out` stands, with zeros in place of the super block.
    ///
    /// # Errors
    /// When the options cannot be, threads cannot be started, or `out` cannot be written.
    pub fn new(out: W, options: Options) -> Result<Self, WriteError> {
        options.check()?;
        let mut content = Content::new(out, &options)?;
        content.area.write(&[0; SUPER_BLOCK])?;
        if let Some(noted) = options.compression.options() {
            // A metadata block that is never compressed.
            let header = noted.len() as u16 | METADATA_STORED;
            content.area.write(&header.to_le_bytes())?;
            content.area.write(&noted)?;
        }
        Ok(Self { content, options })
    }

    /// Stores the content of a file: all of `source`.
    ///
    /// # Errors
    /// When `source` cannot be read or the image not be written.
    pub fn add_file(&mut self, mut source: impl Read) -> Result<FileId, WriteError> {
        self.content.begin()?;
        self.content.read_all(&mut source)?;
        self.content.end()
    }

    /// Begins the content of a file that comes in pieces.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn begin_file(&mut self) -> Result<FileWriter<'_, W>, WriteError> {
        self.content.begin()?;
        Ok(FileWriter {
            content: &mut self.content,
        })
    }

    /// Writes what `tree` says, and the padding.
    ///
    /// # Errors
    /// When the tree has more than squashfs can count, or content of another writer, or when the
    /// image cannot be written.
    pub fn finish(mut self, tree: &Tree) -> Result<Finished<W>, WriteError> {
        let super_block = finish::finish(&mut self.content, tree, &self.options)?;
        let mut area = self.content.area;
        let padding = area.position.wrapping_neg() % PADDING;
        area.write(&vec![0; padding as usize])?;
        area.out.flush().map_err(WriteError::Output)?;
        Ok(Finished {
            super_block: super_block.encode(),
            summary: Summary {
                size: area.position,
                inodes: super_block.inodes,
                fragments: super_block.fragments,
                saved: area.saved,
            },
            out: area.out,
        })
    }
}

/// Takes the content of one file. Dropped without [`FileWriter::finish`], the content is of no use and
/// no file can have it.
pub struct FileWriter<'a, W: Write> {
    content: &'a mut Content<W>,
}

impl<W: Write> FileWriter<'_, W> {
    /// Appends zeros; whole blocks of them become holes without being looked at.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn write_hole(&mut self, length: u64) -> Result<(), WriteError> {
        self.content.append_hole(length)
    }

    /// Ends the content.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn finish(self) -> Result<FileId, WriteError> {
        self.content.end()
    }
}

impl<W: Write> Write for FileWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.content.append(bytes).map_err(as_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
