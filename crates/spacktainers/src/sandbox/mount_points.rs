//! Places to mount on, made where the image has none, and gone afterwards.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::SandboxError;
use crate::unpack::inside;

/// The places that were made in a root.
pub(super) struct MountPoints<'a> {
    root: &'a Path,
    /// Parents first.
    made: Vec<PathBuf>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounted {
    File,
    Directory,
}

impl<'a> MountPoints<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self {
            root,
            made: Vec::new(),
        }
    }

    /// The place in the image where something that is to be at `path` has to be mounted: links are followed within the image.
    pub(super) fn place(&mut self, path: &str, what: Mounted) -> Result<PathBuf, SandboxError> {
        let place = inside::resolve(self.root, path.trim_start_matches('/').as_bytes())?;
        let mut missing = Vec::new();
        let mut above = place.as_path();
        while above != self.root && fs::symlink_metadata(above).is_err() {
            missing.push(above.to_owned());
            let Some(parent) = above.parent() else { break };
            above = parent;
        }
        while let Some(path) = missing.pop() {
            keep_time(path.parent(), || {
                if path == place && what == Mounted::File {
                    File::create_new(&path).map(drop)
                } else {
                    fs::create_dir(&path)
                }
            })
            .map_err(SandboxError::io("make", &path))?;
            self.made.push(path);
        }
        let below = place.strip_prefix(self.root).unwrap_or(&place);
        Ok(Path::new("/").join(below))
    }

    /// The paths of the places that were made, from the root and without a slash in front.
    pub(super) fn made(&self) -> impl Iterator<Item = Vec<u8>> {
        self.made.iter().map(|path| relative(self.root, path))
    }

    /// Removes the places again, unless something was put into them. Says which directories they were in.
    pub(super) fn remove(self) -> Result<BTreeSet<Vec<u8>>, SandboxError> {
        let mut restored = BTreeSet::new();
        for path in self.made.iter().rev() {
            let Ok(there) = fs::symlink_metadata(path) else {
                continue;
            };
            let removed = keep_time(path.parent(), || {
                if there.is_dir() {
                    fs::remove_dir(path)
                } else if there.len() == 0 {
                    fs::remove_file(path)
                } else {
                    Ok(())
                }
            });
            match removed {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed.map_err(SandboxError::io("remove", path))?,
            }
            if let Some(parent) = path.parent() {
                restored.insert(relative(self.root, parent));
            }
        }
        Ok(restored)
    }
}

fn relative(root: &Path, path: &Path) -> Vec<u8> {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.as_os_str().as_bytes().to_vec()
}

/// Changes what is in a directory, which keeps its time.
fn keep_time(directory: Option<&Path>, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let Some(directory) = directory else {
        return change();
    };
    let modified: SystemTime = fs::metadata(directory)?.modified()?;
    change()?;
    File::open(directory)?.set_modified(modified)
}
