//! Inodes: all that is known about a file but its names and its content.
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h`, `struct squashfs_*_inode`, and `inode.c`.

use std::io::{Read, Seek};

use crate::squashfs::layout::{
    Attributes, DIRECTORY_EXTRA, Device, NO_FRAGMENT, NO_XATTR, TARGET_MAX, inode_type,
};

use super::cursor::{Cursor, Mark};
use super::{Image, ReadError};

/// Where an inode is: the place of its block in the inode table, and 16 bits of offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Reference(pub(super) u64);

/// A file, directory or anything else of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inode {
    /// From 1 to [`SuperBlock::inodes`](crate::squashfs::SuperBlock::inodes). Two names with the same
    /// number are hard links of one file.
    pub number: u32,
    /// Mode, owner and time.
    pub attributes: Attributes,
    /// How many names it has, says the image; for directories 2 and the number of directories in it.
    pub links: u32,
    /// What it is.
    pub kind: InodeKind,
    pub(super) xattrs: Option<u32>,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InodeKind {
    /// A directory; see [`Image::children`].
    Directory(DirectoryPart),
    /// A file; see [`Image::content`].
    File(FilePart),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A block device.
    BlockDevice(Device),
    /// A character device.
    CharDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where a directory's entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryPart {
    pub(super) start: u32,
    pub(super) offset: u16,
    /// Bytes of entries.
    pub(super) size: u32,
}

/// How long a file is, and where its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FilePart {
    pub(super) size: u64,
    pub(super) start: u64,
    /// Blocks of its own, holes among them.
    pub(super) blocks: u64,
    /// Which fragment block has the rest, and where in it.
    pub(super) tail: Option<(u32, u32)>,
    /// Where the sizes of its blocks stand.
    pub(super) block_sizes: Mark,
}

impl FilePart {
    /// Bytes of content. What the image says: only reading tells that they are there.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Inode {
    /// Bytes of content of a file; zero for all else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.kind {
            InodeKind::File(file) => file.size,
            _ => 0,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, InodeKind::Directory(_))
    }
}

impl InodeKind {
    /// The number that directory entries have for it.
    pub(super) fn basic_type(&self) -> u16 {
        match self {
            Self::Directory(_) => inode_type::DIRECTORY,
            Self::File(_) => inode_type::FILE,
            Self::Symlink(_) => inode_type::SYMLINK,
            Self::BlockDevice(_) => inode_type::BLOCK_DEVICE,
            Self::CharDevice(_) => inode_type::CHAR_DEVICE,
            Self::Fifo => inode_type::FIFO,
            Self::Socket => inode_type::SOCKET,
        }
    }
}

/// The inode at `reference`.
pub(super) fn read<R: Read + Seek>(
    image: &Image<R>,
    reference: Reference,
) -> Result<Inode, ReadError> {
    let mut cursor = Cursor::new(
        &image.store,
        image.inode_region(),
        reference.0 >> 16,
        (reference.0 & 0xffff) as u16,
    )?;
    let form = cursor.u16()?;
    let mode = cursor.u16()? & 0o7777;
    let (uid, gid) = (cursor.u16()?, cursor.u16()?);
    let (mtime, number) = (cursor.u32()?, cursor.u32()?);
    let wrong = |reason| ReadError::Inode { number, reason };
    if number == 0 || number > image.super_block.inodes {
        return Err(wrong("has a number that the image does not have"));
    }
    let extended = form > inode_type::EXTENDED;
    let basic_type = if extended {
        form - inode_type::EXTENDED
    } else {
        form
    };
    let (kind, links, xattrs) = match basic_type {
        inode_type::DIRECTORY => directory(&mut cursor, extended)?,
        inode_type::FILE => file(image, &mut cursor, extended, number)?,
        _ => {
            let links = cursor.u32()?;
            let kind = match basic_type {
                inode_type::SYMLINK => InodeKind::Symlink(target(&mut cursor, number)?),
                inode_type::BLOCK_DEVICE => InodeKind::BlockDevice(Device::decode(cursor.u32()?)),
                inode_type::CHAR_DEVICE => InodeKind::CharDevice(Device::decode(cursor.u32()?)),
                inode_type::FIFO => InodeKind::Fifo,
                inode_type::SOCKET => InodeKind::Socket,
                _ => return Err(wrong("is of no known type")),
            };
            let xattrs = if extended { cursor.u32()? } else { NO_XATTR };
            (kind, links, xattrs)
        }
    };
    Ok(Inode {
        number,
        attributes: Attributes {
            mode,
            uid: image.id(uid)?,
            gid: image.id(gid)?,
            mtime,
        },
        links,
        kind,
        xattrs: Some(xattrs).filter(|index| *index != NO_XATTR),
    })
}

/// Kind, links and attributes of a directory.
fn directory<R: Read + Seek>(
    cursor: &mut Cursor<'_, R>,
    extended: bool,
) -> Result<(InodeKind, u32, u32), ReadError> {
    let (start, offset, size, links, xattrs);
    if extended {
        links = cursor.u32()?;
        size = cursor.u32()?;
        start = cursor.u32()?;
        let _parent = cursor.u32()?;
        let _index_entries = cursor.u16()?;
        offset = cursor.u16()?;
        xattrs = cursor.u32()?;
    } else {
        start = cursor.u32()?;
        links = cursor.u32()?;
        size = u32::from(cursor.u16()?);
        offset = cursor.u16()?;
        xattrs = NO_XATTR;
    }
    let part = DirectoryPart {
        start,
        offset,
        size: size.saturating_sub(DIRECTORY_EXTRA),
    };
    Ok((InodeKind::Directory(part), links, xattrs))
}

/// Kind, links and attributes of a file.
fn file<R: Read + Seek>(
    image: &Image<R>,
    cursor: &mut Cursor<'_, R>,
    extended: bool,
    number: u32,
) -> Result<(InodeKind, u32, u32), ReadError> {
    let (start, size, links, fragment, offset, xattrs);
    if extended {
        start = cursor.u64()?;
        size = cursor.u64()?;
        let _hole_bytes = cursor.u64()?;
        links = cursor.u32()?;
        fragment = cursor.u32()?;
        offset = cursor.u32()?;
        xattrs = cursor.u32()?;
    } else {
        start = u64::from(cursor.u32()?);
        fragment = cursor.u32()?;
        offset = cursor.u32()?;
        size = u64::from(cursor.u32()?);
        (links, xattrs) = (1, NO_XATTR);
    }
    let block_size = u64::from(image.super_block.block_size);
    let tail = (fragment != NO_FRAGMENT).then_some((fragment, offset));
    let blocks = match tail {
        Some(_) => size / block_size,
        None => size.div_ceil(block_size),
    };
    if blocks.saturating_mul(4) > image.inode_region().capacity() {
        let reason = "is a file of more blocks than the image has room to name";
        return Err(ReadError::Inode { number, reason });
    }
    let part = FilePart {
        size,
        start,
        blocks,
        tail,
        block_sizes: cursor.mark(),
    };
    Ok((InodeKind::File(part), links, xattrs))
}

fn target<R: Read + Seek>(cursor: &mut Cursor<'_, R>, number: u32) -> Result<Vec<u8>, ReadError> {
    let length = usize::try_from(cursor.u32()?)
        .ok()
        .filter(|length| (1..=TARGET_MAX).contains(length))
        .ok_or(ReadError::Inode {
            number,
            reason: "is a link whose target is empty or longer than Linux follows",
        })?;
    let target = cursor.bytes(length)?;
    if target.contains(&0) {
        let reason = "is a link whose target has a NUL";
        return Err(ReadError::Inode { number, reason });
    }
    Ok(target)
}
