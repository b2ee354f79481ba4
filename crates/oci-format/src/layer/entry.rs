//! One member of a layer.

/// A file, directory, link or device, with all the metadata that a layer records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root of the image, `/`-separated, with no leading slash, no `.` or `..`
    /// component and no trailing slash. Bytes, because file names need not be UTF-8.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, setuid, setgid and sticky: `0o0000..=0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Bytes of content that follow; 0 unless [`EntryKind::File`].
    pub size: u64,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a member is, and what it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file; its content follows.
    File,
    /// A symbolic link, with its target verbatim.
    Symlink(Vec<u8>),
    /// Another name of the file at this path (from the root of the image, as [`Entry::path`]).
    HardLink(Vec<u8>),
    /// A character device with major and minor number.
    CharacterDevice(u32, u32),
    /// A block device with major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

impl Entry {
    /// A directory owned by root.
    #[must_use]
    pub fn directory(path: impl Into<Vec<u8>>, mode: u32, mtime: u64) -> Self {
        Self::new(path, EntryKind::Directory, mode, mtime, 0)
    }

    /// A regular file of `size` bytes owned by root.
    #[must_use]
    pub fn file(path: impl Into<Vec<u8>>, mode: u32, mtime: u64, size: u64) -> Self {
        Self::new(path, EntryKind::File, mode, mtime, size)
    }

    /// A symbolic link owned by root. Its mode is 0777, as the kernel shows it.
    #[must_use]
    pub fn symlink(path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>, mtime: u64) -> Self {
        Self::new(path, EntryKind::Symlink(target.into()), 0o777, mtime, 0)
    }

    fn new(path: impl Into<Vec<u8>>, kind: EntryKind, mode: u32, mtime: u64, size: u64) -> Self {
        Self {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime,
            size,
            xattrs: Vec::new(),
        }
    }
}
