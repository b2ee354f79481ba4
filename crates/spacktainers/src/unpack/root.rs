//! The directory that grows, entry by entry.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use oci_format::layer::whiteout::Whiteout;
use oci_format::layer::{Entry, EntryKind};

use super::inside::{parent_of, resolve};
use super::{UnpackError, Unpacked};

pub(super) struct Root {
    path: PathBuf,
    keep_owners: bool,
    /// What the layer at hand has made: an opaque whiteout does not delete it, whatever the order.
    made: HashSet<PathBuf>,
    /// Modes of directories, set last: a directory may forbid what is still to be written into it.
    directory_modes: Vec<(PathBuf, u32)>,
    unpacked: Unpacked,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.to_path_buf();
    move |source| UnpackError::Write { path, source }
}

impl Root {
    pub(super) fn create(path: &Path, keep_owners: bool) -> Result<Self, UnpackError> {
        fs::create_dir_all(path).map_err(at(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            keep_owners,
            made: HashSet::new(),
            directory_modes: Vec::new(),
            unpacked: Unpacked::default(),
        })
    }

    pub(super) fn begin_layer(&mut self) {
        self.made.clear();
    }

    pub(super) fn apply(&mut self, entry: &Entry, data: &mut impl Read) -> Result<(), UnpackError> {
        if entry.path.is_empty() {
            // The root itself: it exists, and its mode is the caller's business.
            return Ok(());
        }
        match Whiteout::of(&entry.path) {
            None => {}
            Some(Whiteout::Metadata) => return Ok(()),
            Some(Whiteout::Opaque(folder)) => return self.empty(&resolve(&self.path, &folder)?),
            Some(Whiteout::Entry(path)) => {
                let (parent, name) = parent_of(&self.path, &path)?;
                return remove(&parent.join(name));
            }
        }
        let (parent, name) = parent_of(&self.path, &entry.path)?;
        fs::create_dir_all(&parent).map_err(at(&parent))?;
        let path = parent.join(&name);
        self.place(entry, &path, data)?;
        let mut marked = path.as_path();
        while marked != self.path && self.made.insert(marked.to_path_buf()) {
            let Some(above) = marked.parent() else { break };
            marked = above;
        }
        Ok(())
    }

    fn place(
        &mut self,
        entry: &Entry,
        path: &Path,
        data: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let there = fs::symlink_metadata(path).ok();
        let keep = matches!(entry.kind, EntryKind::Directory)
            && there.as_ref().is_some_and(fs::Metadata::is_dir);
        if there.is_some() && !keep {
            remove(path)?;
        }
        match &entry.kind {
            EntryKind::Directory => {
                if !keep {
                    fs::create_dir(path).map_err(at(path))?;
                }
                self.directory_modes.push((path.to_path_buf(), entry.mode));
            }
            EntryKind::File => {
                let mut file = File::create_new(path).map_err(at(path))?;
                io::copy(data, &mut file).map_err(at(path))?;
                file.set_permissions(Permissions::from_mode(entry.mode))
                    .map_err(at(path))?;
                let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(entry.mtime);
                file.set_modified(time).map_err(at(path))?;
            }
            EntryKind::Symlink(target) => {
                symlink(OsStr::from_bytes(target), path).map_err(at(path))?;
            }
            EntryKind::HardLink(target) => {
                let (parent, name) = parent_of(&self.path, target)?;
                fs::hard_link(parent.join(name), path).map_err(at(path))?;
            }
            EntryKind::Fifo => {
                rustix::fs::mkfifoat(
                    rustix::fs::CWD,
                    path,
                    rustix::fs::Mode::from_raw_mode(entry.mode),
                )
                .map_err(|error| at(path)(error.into()))?;
                // The umask took some of it away.
                fs::set_permissions(path, Permissions::from_mode(entry.mode)).map_err(at(path))?;
            }
            EntryKind::CharacterDevice(..) | EntryKind::BlockDevice(..) => {
                self.unpacked.devices_skipped += 1;
                return Ok(());
            }
        }
        if self.keep_owners {
            let id = |id: u64| u32::try_from(id).ok();
            lchown(path, id(entry.uid), id(entry.gid)).map_err(at(path))?;
            if entry.mode & 0o6000 != 0 && matches!(entry.kind, EntryKind::File) {
                // A change of owner takes setuid and setgid away.
                fs::set_permissions(path, Permissions::from_mode(entry.mode)).map_err(at(path))?;
            }
            // Last, as a change of owner takes capabilities away too.
            set_xattrs(entry, path)?;
        }
        Ok(())
    }

    /// Removes from `folder` all that lower layers brought.
    fn empty(&self, folder: &Path) -> Result<(), UnpackError> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(());
        };
        for entry in entries {
            let path = entry.map_err(at(folder))?.path();
            if !self.made.contains(&path) {
                remove(&path)?;
            } else if fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir()) {
                self.empty(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Unpacked, UnpackError> {
        // The last layer that names a directory decides; a parent that forbids entry is closed after its children.
        let last: HashMap<&PathBuf, u32> = self
            .directory_modes
            .iter()
            .map(|(path, mode)| (path, *mode))
            .collect();
        let mut last: Vec<(&PathBuf, u32)> = last.into_iter().collect();
        last.sort_unstable_by(|a, b| b.cmp(a));
        for (path, mode) in last {
            // A later layer may have replaced the directory by something else.
            if fs::symlink_metadata(path).is_ok_and(|it| it.is_dir()) {
                fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))?;
            }
        }
        Ok(self.unpacked)
    }
}

/// Sets extended attributes, such as the capabilities of programs. Those that the file system does not know are left out.
fn set_xattrs(entry: &Entry, path: &Path) -> Result<(), UnpackError> {
    use rustix::io::Errno;
    for (name, value) in &entry.xattrs {
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::lsetxattr(path, name.as_slice(), value, flags) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(at(path)(error.into())),
        }
    }
    Ok(())
}

/// Removes whatever `path` is; absence is fine.
fn remove(path: &Path) -> Result<(), UnpackError> {
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if there.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
    .map_err(at(path))
}
