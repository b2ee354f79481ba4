//! What is in a root, by path: headers, no contents.

use std::collections::BTreeMap;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::SandboxError;

/// The entries of a root by path, without a slash in front; the root itself is not among them.
///
/// The order is that of bytes: a directory comes before what is in it.
pub(super) type Snapshot = BTreeMap<Vec<u8>, Header>;

/// What is known of an entry without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) links: u64,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    /// Seconds and nanoseconds; no program can set it.
    pub(super) changed: (i64, i64),
    /// Which file it is: a name may go to another file, and a number may be used again.
    pub(super) identity: (u64, u64, Option<SystemTime>),
    pub(super) device: (u32, u32),
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
    Fifo,
    CharacterDevice,
    BlockDevice,
    Socket,
}

impl Header {
    fn of(metadata: &Metadata) -> Self {
        let device = metadata.rdev();
        Self {
            kind: Kind::of(metadata.mode()),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            size: metadata.size(),
            links: metadata.nlink(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            identity: (metadata.dev(), metadata.ino(), metadata.created().ok()),
            device: (rustix::fs::major(device), rustix::fs::minor(device)),
        }
    }
}

impl Kind {
    fn of(mode: u32) -> Self {
        use rustix::fs::FileType;
        match FileType::from_raw_mode(mode) {
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Socket => Self::Socket,
            _ => Self::File,
        }
    }
}

/// Looks at everything below `root`.
pub(super) fn take(root: &Path) -> Result<Snapshot, SandboxError> {
    let mut found = Snapshot::new();
    let mut pending: Vec<(PathBuf, Vec<u8>)> = vec![(root.to_owned(), Vec::new())];
    while let Some((folder, below)) = pending.pop() {
        let names = opened(root, &folder, || {
            fs::read_dir(&folder)?
                .map(|entry| entry.map(|it| it.file_name()))
                .collect::<io::Result<Vec<_>>>()
        });
        for name in names.map_err(SandboxError::io("read", &folder))? {
            let path = folder.join(&name);
            let metadata = opened(root, &folder, || fs::symlink_metadata(&path));
            let header = Header::of(&metadata.map_err(SandboxError::io("look at", &path))?);
            let mut inside = below.clone();
            if !inside.is_empty() {
                inside.push(b'/');
            }
            inside.extend_from_slice(name.as_bytes());
            if header.kind == Kind::Directory {
                pending.push((path, inside.clone()));
            }
            found.insert(inside, header);
        }
    }
    Ok(found)
}

/// Does something with a file or folder of ours below `root`, once more with permission if there is none: in the sandbox its user
/// could.
pub(super) fn opened<T>(
    root: &Path,
    path: &Path,
    work: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    match work() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mut closed = Vec::new();
            let result = open(root, path, &mut closed).and_then(|()| work());
            while let Some((path, mode)) = closed.pop() {
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
            result
        }
        result => result,
    }
}

/// Opens what is closed on the way to `path`, from above; says what modes it had.
fn open<'a>(root: &Path, path: &'a Path, closed: &mut Vec<(&'a Path, u32)>) -> io::Result<()> {
    let on_the_way: Vec<&Path> = path.ancestors().take_while(|it| *it != root).collect();
    for path in on_the_way.into_iter().rev() {
        let metadata = fs::symlink_metadata(path)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if !metadata.is_symlink() && mode & 0o700 != 0o700 {
            fs::set_permissions(path, Permissions::from_mode(mode | 0o700))?;
            closed.push((path, mode));
        }
    }
    Ok(())
}
