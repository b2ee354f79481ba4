//! The image, unpacked once for all builds.
//!
//! ```text
//! <cache>/rooms/lock            held by whoever unpacks
//! <cache>/rooms/<digest>/root   never changed again, but for empty folders to mount on
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use oci_format::Digest;

use super::RoomError;
use crate::content::Content;
use crate::spack::SpackError;
use crate::unpack::unpack;

/// Of folders that a killed process has left.
const PARTIAL: &str = ".unpacking-";

/// The root of the image that `digest` names, in the local cache.
pub(super) fn unpacked(
    cache: &Path,
    digest: &Digest,
    layers: &[Content],
    keeps_owners: bool,
) -> Result<PathBuf, RoomError> {
    let cache = std::path::absolute(cache).map_err(SpackError::io("find", cache))?;
    let all = cache.join("rooms");
    let owners = if keeps_owners { "root" } else { "user" };
    let room = all.join(format!("{}-{owners}", digest.hex()));
    let root = room.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    fs::create_dir_all(&all).map_err(SpackError::io("make the folder", &all))?;
    let path = all.join("lock");
    let failed = SpackError::io("lock", &path);
    let lock = File::create(&path).map_err(failed)?;
    // Where there are no locks, two may unpack the same, and the second one is thrown away.
    let is_locked = lock.lock().is_ok();
    if root.is_dir() {
        return Ok(root);
    }
    if is_locked {
        remove_left(&all);
    }
    let partial = tempfile::Builder::new()
        .prefix(PARTIAL)
        .tempdir_in(&all)
        .map_err(SpackError::io("make a folder in", &all))?;
    unpack(layers, &partial.path().join("root"), keeps_owners)?;
    let partial = partial.keep();
    match fs::rename(&partial, &room) {
        Ok(()) => Ok(root),
        Err(_) if root.is_dir() => {
            let _ = fs::remove_dir_all(&partial);
            Ok(root)
        }
        Err(error) => Err(SpackError::io("rename the folder to", &room)(error).into()),
    }
}

fn remove_left(all: &Path) {
    let is_left = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(PARTIAL);
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        if is_left(&entry.file_name()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Makes an empty folder or file to mount on, unless something is there. Any number of processes may do so at once.
pub(super) fn make_place(place: &Path, is_folder: bool) -> io::Result<()> {
    if fs::symlink_metadata(place).is_ok() {
        return Ok(());
    }
    if is_folder {
        return fs::create_dir_all(place);
    }
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = File::options().create(true).append(true).open(place);
    file.map(drop)
}
