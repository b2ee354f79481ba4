//! One digest for all that a tree holds, so that an image and the file made of it can be shown to hold
//! the same.
//!
//! # What counts
//!
//! Of every name: its path, what it is, mode, owner, extended attributes, and the content's sha256, the
//! link's target or the device's numbers.
//!
//! - **Times do not count.** Directories that no layer describes have no time of their own, unpackers
//!   leave the time of unpacking in others, and file systems cut times in different ways (squashfs has
//!   32 bits of seconds). Two trees that differ in nothing else are the same to every program that one
//!   would run from an image.
//! - **Hard links do not count**: each name is a file with that content. Many ways that a tree can go
//!   (copies, overlays, file systems without them) split links or make them, and what is read through
//!   a name is the same.
//! - **Modes of symbolic links do not count**: Linux has none, archives say all sorts of things.
//!
//! # What is hashed
//!
//! ```text
//! tree   = "oci-format tree 1" NUL, entry…          sorted by path, component by component
//! entry  = bytes(path) type mode uid gid rest count(xattrs) {bytes(name) bytes(value)}…
//! type   = "d" | "f" | "l" | "c" | "b" | "p"        directory, file, link, devices, pipe
//! rest   = sha256 (32 bytes) of an "f" | bytes(target) of an "l" | major minor of "c" and "b" | nothing
//! bytes  = length, then the bytes themselves
//! ```
//!
//! All numbers are 32 bits, most significant byte first. Paths have no slash at either end; the root is
//! the first entry and its path is empty. Sorting by components means that `a/b` comes before `a-b`:
//! `/` is less than every other byte. Attributes are sorted by name.

use std::cmp::Ordering;

use sha2::{Digest as _, Sha256};

use super::{FileId, Kind, MergedTree};
use crate::digest::Digest;
use crate::layer::tar::printable;

const BEGIN: &[u8] = b"oci-format tree 1\0";

/// What a name is, with what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeContent<'a> {
    /// A directory.
    Directory,
    /// A regular file with the sha256 of its content, holes read as zeros.
    File(Digest),
    /// A symbolic link with its target.
    Symlink(&'a [u8]),
    /// A character device with major and minor number.
    CharacterDevice(u32, u32),
    /// A block device with major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One name of a tree, as far as the digest is concerned.
#[derive(Debug, Clone, Copy)]
pub struct TreeEntry<'a> {
    /// Path from the root, spelled as [`crate::layer::Entry::path`].
    pub path: &'a [u8],
    /// What it is.
    pub content: TreeContent<'a>,
    /// Permission bits, setuid, setgid and sticky; others are ignored, as is the mode of a link.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes, in any order.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// Why a tree has no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeDigestError {
    /// Entries must be sorted, and each path may come once.
    #[error("`{0}` comes too late, or twice: entries are sorted by path, component by component")]
    Order(String),
    /// The caller has no digest of a file's content.
    #[error("the digest of the content of `{0}` is missing")]
    Content(String),
    /// Four gigabytes or more in one path, target or attribute.
    #[error("`{0}` holds a text that is too long")]
    TooLong(String),
}

/// Makes the digest of a tree from its entries, wherever they come from.
#[derive(Debug, Clone)]
pub struct TreeHasher {
    sha256: Sha256,
    last: Option<Vec<u8>>,
}

impl Default for TreeHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeHasher {
    /// A tree without entries yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sha256: Sha256::new_with_prefix(BEGIN),
            last: None,
        }
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// When it is not after the last one. Nothing is added then.
    pub fn push(&mut self, entry: &TreeEntry<'_>) -> Result<(), TreeDigestError> {
        let is_next = match &self.last {
            Some(last) => compare(last, entry.path) == Ordering::Less,
            None => true,
        };
        if !is_next {
            return Err(TreeDigestError::Order(printable(entry.path)));
        }
        let encoded =
            encode(entry).ok_or_else(|| TreeDigestError::TooLong(printable(entry.path)))?;
        self.sha256.update(encoded);
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(entry.path);
        Ok(())
    }

    /// The digest of all entries.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.sha256.finalize().into())
    }
}

/// The digest of a merged tree. `content` is asked for the sha256 of every regular file's content, once
/// for each of its names.
///
/// # Errors
/// When `content` has none.
pub fn tree_digest(
    tree: &MergedTree,
    mut content: impl FnMut(FileId) -> Option<Digest>,
) -> Result<Digest, TreeDigestError> {
    let mut hasher = TreeHasher::new();
    for node in tree.nodes() {
        let path = node.path();
        let content = match node.kind() {
            Kind::Directory => TreeContent::Directory,
            Kind::File { .. } => TreeContent::File(
                content(node.file()).ok_or_else(|| TreeDigestError::Content(printable(&path)))?,
            ),
            Kind::Symlink(target) => TreeContent::Symlink(target),
            Kind::CharacterDevice(major, minor) => TreeContent::CharacterDevice(major, minor),
            Kind::BlockDevice(major, minor) => TreeContent::BlockDevice(major, minor),
            Kind::Fifo => TreeContent::Fifo,
        };
        hasher.push(&TreeEntry {
            path: &path,
            content,
            mode: node.mode(),
            uid: node.uid(),
            gid: node.gid(),
            xattrs: node.xattrs(),
        })?;
    }
    Ok(hasher.finish())
}

/// The order of the walk: component by component.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    // The root has no components; splitting its path would give it an empty one, which sorts the same.
    let slash = |byte: &u8| *byte == b'/';
    a.split(slash).cmp(b.split(slash))
}

fn encode(entry: &TreeEntry<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(entry.path.len() + 64);
    let (kind, mode) = match entry.content {
        TreeContent::Directory => (b'd', entry.mode),
        TreeContent::File(_) => (b'f', entry.mode),
        TreeContent::Symlink(_) => (b'l', 0o777),
        TreeContent::CharacterDevice(..) => (b'c', entry.mode),
        TreeContent::BlockDevice(..) => (b'b', entry.mode),
        TreeContent::Fifo => (b'p', entry.mode),
    };
    put_bytes(&mut out, entry.path)?;
    out.push(kind);
    for number in [mode & 0o7777, entry.uid, entry.gid] {
        put_number(&mut out, number);
    }
    match entry.content {
        TreeContent::File(digest) => out.extend_from_slice(digest.as_bytes()),
        TreeContent::Symlink(target) => put_bytes(&mut out, target)?,
        TreeContent::CharacterDevice(major, minor) | TreeContent::BlockDevice(major, minor) => {
            put_number(&mut out, major);
            put_number(&mut out, minor);
        }
        TreeContent::Directory | TreeContent::Fifo => {}
    }
    let mut xattrs: Vec<_> = entry.xattrs.iter().collect();
    xattrs.sort();
    put_number(&mut out, u32::try_from(xattrs.len()).ok()?);
    for (name, value) in xattrs {
        put_bytes(&mut out, name)?;
        put_bytes(&mut out, value)?;
    }
    Some(out)
}

fn put_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    put_number(out, u32::try_from(bytes.len()).ok()?);
    out.extend_from_slice(bytes);
    Some(())
}
