//! The members of one package's archive into a folder.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use oci_format::layer::tar::TarWriteError;
use oci_format::layer::{Entry, EntryKind};

use crate::layer::relocate::Members;

/// What folders of a package have. Spack sets the group bit wherever the group may enter.
///
/// Source: `get_package_dir_permissions` in `lib/spack/spack/package_prefs.py` and `hooks/permissions_setters.py` of Spack
/// 1.1, with the default of `packages:all:permissions`.
const FOLDER_MODE: u32 = 0o2755;

/// Bytes that are copied at once.
const BUFFER: usize = 128 * 1024;

/// A folder that takes the members of an archive below a prefix, as Spack leaves them after an installation.
///
/// It begins empty and nobody else writes to it. Members go into folders that this has made and never through a symbolic
/// link, so nothing is written outside, whatever the archive says.
pub(super) struct Folder {
    path: PathBuf,
    /// Where members lie in the archive, without the leading `/`.
    prefix: Vec<u8>,
    /// Folders that were made, below `path`.
    made: HashSet<Vec<u8>>,
    buffer: Vec<u8>,
}

impl Folder {
    /// Makes the folder `path`, which is not there yet.
    pub(super) fn create(path: PathBuf, prefix: &str) -> io::Result<Self> {
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(FOLDER_MODE))?;
        Ok(Self {
            path,
            prefix: prefix.as_bytes().to_vec(),
            made: HashSet::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Writes a small file of ours in place of what the archive has there.
    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.parent(name.as_bytes())?;
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&path)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o644))
    }

    fn place(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        // Folders above the prefix are there.
        let Some(below) = self.below(&entry.path) else {
            return Ok(());
        };
        if below.is_empty() {
            return if entry.kind == EntryKind::Directory {
                Ok(())
            } else {
                Err(refused("the prefix is no folder"))
            };
        }
        let below = below.to_vec();
        self.parent(&below)?;
        let path = self.path.join(OsStr::from_bytes(&below));
        match &entry.kind {
            EntryKind::Directory => self.folder(&below),
            EntryKind::File => self.file(entry, &path, content),
            EntryKind::Symlink(target) => symlink(OsStr::from_bytes(target), path),
            EntryKind::HardLink(target) => {
                let target = self
                    .below(target)
                    .filter(|it| self.made.contains(above(it)) || above(it).is_empty())
                    .ok_or_else(|| refused("a hard link to what is not in the package"))?;
                fs::hard_link(self.path.join(OsStr::from_bytes(target)), path)
            }
            EntryKind::CharacterDevice(..) | EntryKind::BlockDevice(..) | EntryKind::Fifo => {
                Err(refused("a device or pipe"))
            }
        }
    }

    fn file(&mut self, entry: &Entry, path: &Path, content: &mut dyn Read) -> io::Result<()> {
        let mut file = File::create_new(path)?;
        let mut left = entry.size;
        loop {
            let count = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| refused("more bytes than announced"))?;
            file.write_all(self.buffer.get(..count).unwrap_or_default())?;
        }
        if left > 0 {
            return Err(refused("fewer bytes than announced"));
        }
        file.set_permissions(Permissions::from_mode(file_mode(entry.mode)))?;
        // Compiled Python remembers the time of its source.
        file.set_modified(UNIX_EPOCH + Duration::from_secs(entry.mtime))
    }

    /// Makes the folders above `below` that the archive does not have as members.
    fn parent(&mut self, below: &[u8]) -> io::Result<()> {
        let parent = above(below).to_vec();
        if parent.is_empty() || self.made.contains(&parent) {
            return Ok(());
        }
        let ends = parent.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends: Vec<usize> = ends.map(|(at, _)| at).chain([parent.len()]).collect();
        for end in ends {
            self.folder(parent.get(..end).unwrap_or_default())?;
        }
        Ok(())
    }

    fn folder(&mut self, below: &[u8]) -> io::Result<()> {
        if self.made.contains(below) {
            return Ok(());
        }
        let path = self.path.join(OsStr::from_bytes(below));
        // Fails where anything else is there, such as a symbolic link.
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(FOLDER_MODE))?;
        self.made.insert(below.to_vec());
        Ok(())
    }

    /// What is behind the prefix, without a `/`.
    fn below<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let rest = path.strip_prefix(self.prefix.as_slice())?;
        if rest.is_empty() {
            return Some(rest);
        }
        rest.strip_prefix(b"/")
    }
}

impl Members for Folder {
    fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), TarWriteError> {
        self.place(entry, content).map_err(|error| {
            let member = String::from_utf8_lossy(&entry.path);
            TarWriteError::Write(io::Error::new(error.kind(), format!("`{member}`: {error}")))
        })
    }
}

/// What a file has after Spack's hook has set permissions: who may execute it before still may.
const fn file_mode(mode: u32) -> u32 {
    let special = mode & 0o7000;
    if mode & 0o111 == 0 {
        0o644 | special
    } else {
        0o755 | special
    }
}

/// The folder that a path lies in; empty for the top.
fn above(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end).unwrap_or_default()
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &mut Folder, entry: &Entry, bytes: &[u8]) -> Result<(), TarWriteError> {
        folder.append(entry, &mut &*bytes)
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let work = tempfile::tempdir().expect("a folder");
        let outside = work.path().join("outside");
        fs::create_dir(&outside).expect("made");
        let mut folder = Folder::create(work.path().join("p"), "s/p").expect("made");
        let target = outside.as_os_str().as_bytes().to_vec();
        put(&mut folder, &Entry::symlink("s/p/link", target, 0), b"").expect("a link");
        let file = Entry::file("s/p/link/x", 0o644, 0, 1);
        assert!(put(&mut folder, &file, b"x").is_err());
        let mut hard = Entry::file("s/p/hard", 0o644, 0, 0);
        for target in ["s/p/link/x", "etc/passwd"] {
            hard.kind = EntryKind::HardLink(target.into());
            assert!(put(&mut folder, &hard, b"").is_err(), "{target}");
        }
        assert!(folder.replace("link/x", b"").is_err());
        assert_eq!(fs::read_dir(&outside).expect("readable").count(), 0);
    }

    #[test]
    fn modes_and_times_are_those_that_spack_leaves() {
        let work = tempfile::tempdir().expect("a folder");
        let mut folder = Folder::create(work.path().join("p"), "s/p").expect("made");
        let file = Entry::file("s/p/bin/tool", 0o700, 77, 1);
        put(&mut folder, &file, b"x").expect("a file");
        put(&mut folder, &Entry::directory("s", 0o700, 0), b"").expect("above the prefix");
        put(&mut folder, &Entry::file("s/p/short", 0o600, 0, 2), b"x").expect_err("short");
        let mode = |path: &str| {
            let metadata = fs::metadata(work.path().join(path)).expect("there");
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode("p/bin"), 0o755);
        assert_eq!(mode("p/bin/tool"), 0o755);
        let time = fs::metadata(work.path().join("p/bin/tool"))
            .and_then(|it| it.modified())
            .expect("a time");
        assert_eq!(time, UNIX_EPOCH + Duration::from_secs(77));
    }
}
