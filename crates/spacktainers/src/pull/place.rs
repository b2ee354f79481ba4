//! From the local cache to the place where people want a file, without having it twice.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use oci_format::Digest;
use tempfile::NamedTempFile;

use super::PullError;
use crate::content::Content;
use crate::local_cache::{LocalCache, LocalCacheError};

/// An empty file in the folder of `file`, which anybody may start who may read it, less what the umask takes away.
pub(super) fn beside(file: &Path) -> Result<NamedTempFile, PullError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(PullError::file("make the folder", folder))?;
    tempfile::Builder::new()
        .prefix(".spacktainers-")
        .permissions(Permissions::from_mode(0o777))
        .tempfile_in(folder)
        .map_err(PullError::file("create a file in", folder))
}

/// Gives a file that is whole its name.
pub(super) fn persist(temporary: NamedTempFile, file: &Path) -> Result<(), PullError> {
    temporary
        .as_file()
        .sync_data()
        .map_err(PullError::file("write", file))?;
    let persisted = temporary.persist(file);
    persisted
        .map(drop)
        .map_err(|error| PullError::file("rename a file to", file)(error.error))
}

/// Moves a verified blob out of the cache. On another file system it is copied, and then removed from the cache: nobody
/// builds on SIF files, and they are large.
///
/// At no moment is the blob in neither place, so that a killed run loses nothing.
pub(super) fn place(cache: &LocalCache, digest: &Digest, file: &Path) -> Result<(), PullError> {
    let gone = || {
        let shown = file.display().to_string();
        PullError::Missing(format!("{digest} for {shown}"))
    };
    let Some(Content::File { path: blob, .. }) = cache.blob(digest) else {
        return Err(gone());
    };
    let mut temporary = beside(file)?;
    let mode = temporary
        .as_file()
        .metadata()
        .map_err(PullError::file("read", temporary.path()))?
        .permissions();
    if link(&blob, temporary.path()).is_ok() {
        fs::set_permissions(temporary.path(), mode).map_err(PullError::file("write", file))?;
    } else {
        let mut source = File::open(&blob).map_err(PullError::file("read", &blob))?;
        io::copy(&mut source, temporary.as_file_mut()).map_err(PullError::file("write", file))?;
    }
    persist(temporary, file)?;
    cache.remove(digest).map_err(LocalCacheError::into)
}

/// Makes `name`, which is there, a second name of `blob`.
fn link(blob: &Path, name: &Path) -> io::Result<()> {
    let mut second = name.as_os_str().to_owned();
    second.push(".link");
    fs::hard_link(blob, &second)?;
    fs::rename(&second, name).inspect_err(|_| {
        let _ = fs::remove_file(&second);
    })
}
