//! Inodes as bytes.
//!
//! ```text
//! type  mode  uid index  gid index  mtime  number │ what the type has
//! ```
//!
//! Every type has a basic form, and an extended one for what the basic one has no room for. The basic
//! form is used wherever it suffices.
//!
//! Source: Linux, `fs/squashfs/squashfs_fs.h`, `struct squashfs_*_inode`.

use crate::squashfs::layout::{NO_FRAGMENT, NO_XATTR, inode_type};

/// What all inodes begin with.
#[derive(Clone, Copy)]
pub(super) struct Common {
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) number: u32,
    pub(super) links: u32,
    pub(super) xattr: u32,
}

/// Where a directory's entries are.
pub(super) struct DirectoryPart<'a> {
    pub(super) start: u32,
    pub(super) offset: u16,
    pub(super) size: u32,
    pub(super) parent: u32,
    /// Entries of the index, and how many they are.
    pub(super) index: &'a [u8],
    pub(super) index_count: u16,
}

/// Where a file's content is.
pub(super) struct FilePart<'a> {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) hole_bytes: u64,
    pub(super) tail: Option<(u32, u32)>,
    pub(super) block_sizes: &'a [u32],
}

/// Builds one inode.
pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    fn begin(kind: u16, common: &Common) -> Self {
        let mut encoder = Self {
            bytes: Vec::with_capacity(64),
        };
        encoder
            .u16(kind)
            .u16(common.mode)
            .u16(common.uid)
            .u16(common.gid);
        encoder.u32(common.mtime).u32(common.number);
        encoder
    }

    fn u16(&mut self, number: u16) -> &mut Self {
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }
}

/// A directory.
pub(super) fn directory(common: &Common, part: &DirectoryPart<'_>) -> Vec<u8> {
    let basic_size = u16::try_from(part.size).ok();
    if let Some(size) = basic_size.filter(|_| common.xattr == NO_XATTR && part.index_count == 0) {
        let mut inode = Encoder::begin(inode_type::DIRECTORY, common);
        inode
            .u32(part.start)
            .u32(common.links)
            .u16(size)
            .u16(part.offset)
            .u32(part.parent);
        return inode.bytes;
    }
    let mut inode = Encoder::begin(inode_type::DIRECTORY + inode_type::EXTENDED, common);
    inode
        .u32(common.links)
        .u32(part.size)
        .u32(part.start)
        .u32(part.parent);
    inode
        .u16(part.index_count)
        .u16(part.offset)
        .u32(common.xattr);
    inode.bytes.extend_from_slice(part.index);
    inode.bytes
}

/// A file. The basic form has one link, no attributes, 32 bits for place and size, and no number for
/// holes (files with holes could use it, but their readers would not know to make holes again).
pub(super) fn file(common: &Common, part: &FilePart<'_>) -> Vec<u8> {
    let (fragment, offset) = part.tail.unwrap_or((NO_FRAGMENT, 0));
    let basic = u32::try_from(part.start)
        .ok()
        .zip(u32::try_from(part.size).ok());
    let suffices = common.links == 1 && common.xattr == NO_XATTR && part.hole_bytes == 0;
    let mut inode = match basic.filter(|_| suffices) {
        Some((start, size)) => {
            let mut inode = Encoder::begin(inode_type::FILE, common);
            inode.u32(start).u32(fragment).u32(offset).u32(size);
            inode
        }
        None => {
            let mut inode = Encoder::begin(inode_type::FILE + inode_type::EXTENDED, common);
            inode.u64(part.start).u64(part.size).u64(part.hole_bytes);
            inode
                .u32(common.links)
                .u32(fragment)
                .u32(offset)
                .u32(common.xattr);
            inode
        }
    };
    for size in part.block_sizes {
        inode.u32(*size);
    }
    inode.bytes
}

/// A symbolic link.
pub(super) fn symlink(common: &Common, target: &[u8]) -> Vec<u8> {
    let (mut inode, extended) = basic_or_extended(inode_type::SYMLINK, common);
    // At most `TARGET_MAX`.
    inode.u32(target.len() as u32);
    inode.bytes.extend_from_slice(target);
    if extended {
        inode.u32(common.xattr);
    }
    inode.bytes
}

/// A device of type `kind`.
pub(super) fn device(kind: u16, common: &Common, number: u32) -> Vec<u8> {
    let (mut inode, extended) = basic_or_extended(kind, common);
    inode.u32(number);
    if extended {
        inode.u32(common.xattr);
    }
    inode.bytes
}

/// A pipe or socket.
pub(super) fn ipc(kind: u16, common: &Common) -> Vec<u8> {
    let (mut inode, extended) = basic_or_extended(kind, common);
    if extended {
        inode.u32(common.xattr);
    }
    inode.bytes
}

/// The beginning of an inode whose forms differ in the attributes alone.
fn basic_or_extended(kind: u16, common: &Common) -> (Encoder, bool) {
    let extended = common.xattr != NO_XATTR;
    let kind = if extended {
        kind + inode_type::EXTENDED
    } else {
        kind
    };
    let mut inode = Encoder::begin(kind, common);
    inode.u32(common.links);
    (inode, extended)
}
