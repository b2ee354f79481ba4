//! Files that appear whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use oci_format::{Digest, DigestReader};
use tempfile::NamedTempFile;

use super::PublishError;
use crate::content::Content;

/// Begins the names of files that are being written.
const TEMPORARY_PREFIX: &str = ".spacktainers-";
/// A temporary file that was not written to for so long is a dead process's.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Bytes moved at a time.
const BUFFER: usize = 256 << 10;

/// Writes a file by `fill` under a temporary name, syncs it and renames it to `path`.
pub(super) fn write_atomically<T>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, PublishError>,
) -> Result<T, PublishError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary =
        create(directory).map_err(PublishError::io("create a file in", directory))?;
    let made = fill(temporary.as_file_mut())?;
    // Without this a power cut soon after the rename could leave an empty file of the final name.
    temporary
        .as_file()
        .sync_data()
        .map_err(PublishError::io("write", path))?;
    let persisted = temporary.persist(path);
    persisted.map_err(|error| PublishError::io("rename a file to", path)(error.error))?;
    Ok(made)
}

/// Makes the renames within a directory last.
pub(super) fn sync_directory(directory: &Path) -> Result<(), PublishError> {
    let synced = File::open(directory).and_then(|it| it.sync_all());
    synced.map_err(PublishError::io("write", directory))
}

fn create(directory: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        // As any new file, less what the umask takes away; the crate's default is private.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
}

/// Removes files that killed processes left in `directory`, an empty path being the working directory: those with a temporary
/// name that nobody has written to for a day. Failing to is no reason to stop.
pub fn remove_stale(directory: &Path, now: SystemTime) {
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry
            .file_name()
            .to_string_lossy()
            .starts_with(TEMPORARY_PREFIX);
        let modified = entry.metadata().and_then(|it| it.modified());
        let age = modified.ok().and_then(|it| now.duration_since(it).ok());
        if ours && age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What went wrong while copying, told apart by whose fault it is.
pub(super) enum CopyError {
    /// The bytes on this machine cannot be read.
    Read(io::Error),
    /// They are others than promised.
    Changed(Digest),
    /// The file cannot be written.
    Write(io::Error),
}

/// Copies `content` into `file` and checks its digest. Where the file system can share the bytes of
/// two files they are shared, and only read to be hashed.
pub(super) fn copy_hashed(
    content: &Content,
    digest: &Digest,
    file: &mut File,
    on_bytes: &dyn Fn(u64),
) -> Result<(), CopyError> {
    let shared = share(content, file);
    let mut reader = DigestReader::new(content.open(0).map_err(CopyError::Read)?);
    let mut buffer = vec![0; BUFFER];
    let mut left = content.len();
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let piece = &mut buffer[..want];
        reader.read_exact(piece).map_err(CopyError::Read)?;
        if !shared {
            file.write_all(piece).map_err(CopyError::Write)?;
        }
        left -= want as u64;
        on_bytes(want as u64);
    }
    let (_, actual, _) = reader.finish();
    if actual == *digest {
        Ok(())
    } else {
        Err(CopyError::Changed(actual))
    }
}

/// Tries to make `file` share the bytes of `content`: only whole files can.
fn share(content: &Content, file: &File) -> bool {
    let Content::File {
        path,
        offset: 0,
        len,
    } = content
    else {
        return false;
    };
    let Ok(source) = File::open(path) else {
        return false;
    };
    source.metadata().is_ok_and(|it| it.len() == *len)
        && rustix::fs::ioctl_ficlone(file, &source).is_ok()
}
