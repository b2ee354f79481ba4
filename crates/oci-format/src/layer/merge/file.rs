//! Files as the kernel counts them: one per inode, whatever number of names it has.

use super::names::NameId;
use super::table::NONE;
use crate::layer::{Entry, EntryKind};

/// Where the content of a file lies: a member of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Which layer, counted from 0, the lowest.
    pub layer: u32,
    /// Which of its members, counted from 0, whiteouts and links included.
    pub ordinal: u32,
}

/// What a file is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    Directory,
    File { size: u64, source: Source },
    Symlink(NameId),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// One inode.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) body: Body,
    pub(super) mtime: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Index of the set of extended attributes, or [`NONE`].
    pub(super) xattrs: u32,
    /// Names that lead here.
    pub(super) links: u32,
    pub(super) mode: u16,
}

pub(super) const SETGID: u16 = 0o2000;

impl File {
    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory)
    }

    /// A directory that no layer describes: what `mkdir` makes for root with the usual umask. In a
    /// directory with the setgid bit the kernel passes group and bit on.
    ///
    /// The time is 1970, as umoci chooses it for the root; elsewhere umoci leaves the time of unpacking.
    pub(super) fn implied_directory(parent: Option<&Self>) -> Self {
        let inherits = parent.filter(|parent| parent.mode & SETGID != 0);
        Self {
            body: Body::Directory,
            mtime: 0,
            uid: 0,
            gid: inherits.map_or(0, |parent| parent.gid),
            xattrs: NONE,
            links: 1,
            mode: 0o755 | if inherits.is_some() { SETGID } else { 0 },
        }
    }
}

/// Longest name of an extended attribute, and largest value, that Linux takes (`linux/limits.h`).
pub(super) const XATTR_NAME_MAX: usize = 255;
pub(super) const XATTR_SIZE_MAX: usize = 65536;

/// Whether an extended attribute is for the tree, or only meant something where the layer was made.
///
/// - umoci leaves out `security.selinux` and `system.nfs4_acl` (`oci/layer/xattr.go`), which belong
///   to the host.
/// - Of other namespaces than the four of xattr(7) Linux says that it does not support them, which
///   umoci takes as "leave out".
/// - `user.` attributes are for files and directories alone: Linux refuses them elsewhere, on which
///   umoci stops when root unpacks and leaves them out otherwise. They could not be read anyway.
///
/// `user.overlay.` and `trusted.overlay.` are attributes like others, as in umoci since 0.5.
pub(super) fn keeps_xattr(name: &[u8], kind: &EntryKind) -> bool {
    if name.starts_with(b"user.") {
        return matches!(kind, EntryKind::File | EntryKind::Directory);
    }
    if name.starts_with(b"system.") {
        return name.starts_with(b"system.posix_acl_") && !matches!(kind, EntryKind::Symlink(_));
    }
    name.starts_with(b"trusted.") || (name.starts_with(b"security.") && name != b"security.selinux")
}

/// The attributes of an entry that the tree keeps, sorted by name.
pub(super) fn kept_xattrs(entry: &Entry) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut kept: Vec<_> = entry
        .xattrs
        .iter()
        .filter(|(name, _)| keeps_xattr(name, &entry.kind))
        .cloned()
        .collect();
    kept.sort();
    kept
}
