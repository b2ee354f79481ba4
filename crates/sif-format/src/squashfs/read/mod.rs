//! Reading: from the super block to names, inodes, attributes and content, each only when asked for.
//!
//! ```text
//! Image ── walk, children ──► names ──► inode ──► content    blocks and fragments
//!   │      find, inode ────────────────────┘  └─► xattrs     sets
//!   │
//!   cursor (records across blocks), table (records by number)
//!   │
//!   store: bounded reads, decoder, cache
//! ```
//!
//! The image may be hostile. Every place is checked against the part of the image it must lie in, every
//! length against a limit of the format before anything of that length is allocated, and every walk
//! ends. Memory: some 4 MiB of metadata, a few blocks, and a number per directory walked.

mod cache;
mod children;
mod content;
mod cursor;
mod decoder;
mod error;
mod everything;
mod inode;
mod store;
mod table;
mod walk;
mod xattrs;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

pub use children::Children;
pub use content::{FileReader, Piece};
pub use error::ReadError;
pub use everything::read_everything;
pub use inode::{DirectoryPart, FilePart, Inode, InodeKind};
pub use walk::Walk;

use super::layout::{NO_TABLE, Xattr};
use super::super_block::{SUPER_BLOCK, SuperBlock};
use cursor::Region;
use inode::Reference;
use store::Store;
use table::Table;

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// From where the walk began, without a slash at the beginning; empty for where it began.
    pub path: Vec<u8>,
    /// What has this name.
    pub inode: Inode,
}

/// An image that is read.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use sif_format::squashfs::{Attributes, Compression, Kind, Options, Tree, Writer};
/// # let options = Options::new(Compression::ZSTD, 0, std::num::NonZeroUsize::MIN);
/// # let mut writer = Writer::new(std::io::Cursor::new(Vec::new()), options)?;
/// # let hello = writer.add_file(&b"hello"[..])?;
/// # let attributes = Attributes { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
/// # let mut tree = Tree::new(attributes)?;
/// # tree.add(Tree::ROOT, b"hello.txt", attributes, Kind::File(hello))?;
/// # let file = writer.finish(&tree)?.patch()?.0;
/// use std::io::Read;
/// use sif_format::squashfs::{Image, InodeKind};
///
/// let image = Image::open(file)?;
/// for entry in image.walk() {
///     let entry = entry?;
///     if let InodeKind::File(_) = entry.inode.kind {
///         let mut text = String::new();
///         image.content(&entry.inode)?.read_to_string(&mut text)?;
///         assert_eq!((&entry.path[..], &text[..]), (&b"hello.txt"[..], "hello"));
///     }
/// }
/// assert!(image.find(b"/hello.txt")?.is_some());
/// # Ok(())
/// # }
/// ```
pub struct Image<R> {
    store: RefCell<Store<R>>,
    super_block: SuperBlock,
    /// All user and group ids: 256 KiB at most.
    ids: Vec<u32>,
    xattrs: Option<xattrs::Place>,
}

impl<R: Read + Seek> Image<R> {
    /// Opens an image that fills its file.
    ///
    /// # Errors
    /// When it cannot be read, is no image, is cut off, or is compressed in a way that is not supported.
    pub fn open(mut reader: R) -> Result<Self, ReadError> {
        let length = reader.seek(SeekFrom::End(0)).map_err(ReadError::Input)?;
        Self::open_at(reader, 0, length)
    }

    /// Opens an image within a larger file: the `length` bytes from `offset` on. What lies around them is
    /// never read.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_at(mut reader: R, offset: u64, length: u64) -> Result<Self, ReadError> {
        if length < SUPER_BLOCK as u64 {
            return Err(ReadError::NotSquashfs);
        }
        let mut bytes = [0; SUPER_BLOCK];
        store::read_at(&mut reader, offset, 0, &mut bytes)?;
        let super_block = SuperBlock::decode(&bytes)?;
        if super_block.bytes_used > length {
            return Err(ReadError::CutOff {
                expected: super_block.bytes_used,
                length,
            });
        }
        let store = Store::new(reader, offset, &super_block)?;
        let mut image = Self {
            store: RefCell::new(store),
            super_block,
            ids: Vec::new(),
            xattrs: None,
        };
        image.ids = image.read_ids()?;
        image.xattrs = xattrs::open(&image)?;
        Ok(image)
    }

    /// What the image says about itself.
    #[must_use]
    pub fn super_block(&self) -> &SuperBlock {
        &self.super_block
    }

    /// The root directory.
    ///
    /// # Errors
    /// When it cannot be read or is no directory.
    pub fn root(&self) -> Result<Inode, ReadError> {
        let root = inode::read(self, Reference(self.super_block.root))?;
        if root.is_directory() {
            return Ok(root);
        }
        Err(ReadError::Kind {
            number: root.number,
            expected: "directory, though it is the root",
        })
    }

    /// All of the tree, beginning with the root.
    pub fn walk(&self) -> Walk<'_, R> {
        Walk::new(self, self.root())
    }

    /// What is in a directory.
    ///
    /// # Errors
    /// [`ReadError::Kind`] when it is no directory, or when the image is damaged.
    pub fn children(&self, directory: &Inode) -> Result<Children<'_, R>, ReadError> {
        match directory.kind {
            InodeKind::Directory(part) => Children::new(self, directory.number, part),
            _ => Err(ReadError::Kind {
                number: directory.number,
                expected: "directory",
            }),
        }
    }

    /// What has this path, if anything has. Slashes at its beginning and end and doubled ones count for
    /// nothing; symbolic links are not followed, and there is no `.` or `..`.
    ///
    /// # Errors
    /// When the image cannot be read or is damaged.
    pub fn find(&self, path: &[u8]) -> Result<Option<Inode>, ReadError> {
        let mut inode = self.root()?;
        for part in path.split(|byte| *byte == b'/') {
            if part.is_empty() {
                continue;
            }
            if !inode.is_directory() {
                return Ok(None);
            }
            let mut children = self.children(&inode)?;
            inode = loop {
                let Some(name) = children.next_name()? else {
                    return Ok(None);
                };
                match name.name.as_slice().cmp(part) {
                    Ordering::Less => {}
                    Ordering::Equal => break children.inode(&name)?,
                    // Names are sorted.
                    Ordering::Greater => return Ok(None),
                }
            };
        }
        Ok(Some(inode))
    }

    /// The inode with this number, from the table that is there for NFS.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when the image has no such table or number, or when it is damaged.
    pub fn inode(&self, number: u32) -> Result<Inode, ReadError> {
        let list = self.super_block.export_table;
        let inodes = self.super_block.inodes.into();
        let table = Table {
            list,
            count: if list == NO_TABLE { 0 } else { inodes },
            what: "inode",
        };
        let index = u64::from(number).checked_sub(1).unwrap_or(u64::MAX);
        let reference = u64::from_le_bytes(table.record(&self.store, index)?);
        let inode = inode::read(self, Reference(reference))?;
        if inode.number != number {
            let reason = "is not where the export table says";
            return Err(ReadError::Inode { number, reason });
        }
        Ok(inode)
    }

    /// The content of a file, from its beginning.
    ///
    /// # Errors
    /// [`ReadError::Kind`] when it is no file.
    pub fn content(&self, file: &Inode) -> Result<FileReader<'_, R>, ReadError> {
        match file.kind {
            InodeKind::File(part) => Ok(FileReader::new(self, file.number, part)),
            _ => Err(ReadError::Kind {
                number: file.number,
                expected: "file",
            }),
        }
    }

    /// The extended attributes of an inode, sorted. Those of name spaces that squashfs does not have are
    /// left out.
    ///
    /// # Errors
    /// When the image cannot be read or is damaged.
    pub fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>, ReadError> {
        match inode.xattrs {
            Some(index) => xattrs::read(self, inode.number, index),
            None => Ok(Vec::new()),
        }
    }

    /// Gives back what the image was opened with.
    #[must_use]
    pub fn into_reader(self) -> R {
        self.store.into_inner().into_reader()
    }

    fn inode_region(&self) -> Region {
        Region {
            start: self.super_block.inode_table,
            end: self.super_block.directory_table,
            what: "an inode",
        }
    }

    /// The directory table ends before the first table that follows; where the blocks of that table
    /// begin is not known here, so the end is a bound only.
    fn directory_region(&self) -> Region {
        let block = &self.super_block;
        let fragments = Some(block.fragment_table).filter(|_| block.fragments > 0);
        let end = [
            fragments,
            Some(block.export_table),
            Some(block.id_table),
            Some(block.xattr_table),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(block.bytes_used);
        Region {
            start: block.directory_table,
            end,
            what: "a directory",
        }
    }

    fn read_ids(&self) -> Result<Vec<u32>, ReadError> {
        let table = Table {
            list: self.super_block.id_table,
            count: self.super_block.ids.into(),
            what: "user or group id",
        };
        (0..table.count)
            .map(|index| table.record(&self.store, index).map(u32::from_le_bytes))
            .collect()
    }

    fn id(&self, index: u16) -> Result<u32, ReadError> {
        self.ids
            .get(usize::from(index))
            .copied()
            .ok_or(ReadError::Missing {
                what: "user or group id",
                index: index.into(),
            })
    }

    fn fragment(&self, index: u32) -> Result<Arc<Vec<u8>>, ReadError> {
        let table = Table {
            list: self.super_block.fragment_table,
            count: self.super_block.fragments.into(),
            what: "fragment block",
        };
        let record: [u8; 16] = table.record(&self.store, index.into())?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = record;
        let place = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let size_field = u32::from_le_bytes([i, j, k, l]);
        self.store.borrow_mut().fragment(place, size_field)
    }
}
