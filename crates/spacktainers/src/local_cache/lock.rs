//! Advisory locks on files that grow.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What became of an attempt to lock a file.
pub(super) enum Locked {
    /// It is ours until it is closed, and it still has the name it was opened by.
    Ours(File),
    /// Somebody else has it.
    Busy,
    /// It was renamed or removed between opening and locking: look again.
    Gone,
    /// This file system knows no locks (some mounts of Lustre and NFS).
    Unsupported,
}

/// Opens `path` to read and write, making it when there is none, and locks it if nobody else has.
///
/// The lock ends with the process, however it ends.
pub(super) fn open_locked(path: &Path) -> io::Result<Locked> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    lock(file, path)
}

/// Locks `file`, which was opened as `path`.
pub(super) fn lock(file: File, path: &Path) -> io::Result<Locked> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Locked::Busy),
        Err(TryLockError::Error(error)) if is_unsupported(&error) => {
            return Ok(Locked::Unsupported);
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Whoever had the lock before us may have renamed the file to its final name, where it must not
    // be written any more, or removed it as stale.
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) if named.dev() == held.dev() && named.ino() == held.ino() => {
            Ok(Locked::Ours(file))
        }
        Ok(_) => Ok(Locked::Gone),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Locked::Gone),
        Err(error) => Err(error),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    let no_locks = rustix::io::Errno::NOLCK.raw_os_error();
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(no_locks)
}
