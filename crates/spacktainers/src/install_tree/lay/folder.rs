//! The members of one package's archive into a folder.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::path::Path;
use std::sync::Arc;

use oci_format::layer::tar::TarWriteError;
use oci_format::layer::{Entry, EntryKind};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

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
/// link, so nothing is written outside, whatever the archive says. All is named from an open folder: roots are long, and
/// the kernel would walk them for each file.
pub(super) struct Folder {
    top: Arc<OwnedFd>,
    /// Where members lie in the archive, without the leading `/`.
    prefix: Vec<u8>,
    /// Folders that were made, below the top.
    made: HashSet<Vec<u8>>,
    /// The one that the last member went into, if that was not the top.
    open: Option<(Vec<u8>, OwnedFd)>,
    /// See [`keeps_modes`].
    keeps_modes: bool,
    buffer: Vec<u8>,
}

/// How folders are opened.
const FOLDER: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How files are.
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Whether what is made in a folder like those of packages, below `at`, has the mode that it should have, without its being set.
pub(super) fn keeps_modes(at: &Path) -> io::Result<bool> {
    let folder = tempfile::tempdir_in(at)?;
    fs::set_permissions(folder.path(), Permissions::from_mode(FOLDER_MODE))?;
    let (below, file) = (folder.path().join("folder"), folder.path().join("file"));
    fs::DirBuilder::new()
        .mode(FOLDER_MODE & 0o777)
        .create(&below)?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(file)?;
    let (folder, file) = (
        fs::symlink_metadata(&below)?.mode(),
        file.metadata()?.mode(),
    );
    Ok(folder & 0o7777 == FOLDER_MODE && file & 0o7777 == 0o755)
}

impl Folder {
    /// Makes the folder `path`, which is not there yet, for what lies below `prefix` in the archive.
    pub(super) fn create(path: &Path, prefix: &str, keeps_modes: bool) -> io::Result<Self> {
        fs::create_dir(path)?;
        fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))?;
        Ok(Self {
            top: Arc::new(rustix::fs::open(path, FOLDER, Mode::empty())?),
            prefix: prefix.as_bytes().to_vec(),
            made: HashSet::new(),
            open: None,
            keeps_modes,
            buffer: vec![0; BUFFER],
        })
    }

    /// Writes a small file of ours in place of what the archive has there.
    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (folder, last) = self.parent(name.as_bytes())?;
        match rustix::fs::unlinkat(folder, last, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let file = rustix::fs::openat(folder, last, NEW_FILE, Mode::from_raw_mode(0o644))?;
        let mut file = File::from(file);
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
        match &entry.kind {
            EntryKind::Directory => self.folder(below),
            EntryKind::File => self.file(entry, below, content),
            EntryKind::Symlink(target) => {
                let (folder, name) = self.parent(below)?;
                Ok(rustix::fs::symlinkat(target.as_slice(), folder, name)?)
            }
            EntryKind::HardLink(target) => {
                let target = self
                    .below(target)
                    .filter(|it| self.made.contains(above(it)) || above(it).is_empty())
                    .ok_or_else(|| refused("a hard link to what is not in the package"))?;
                let top = Arc::clone(&self.top);
                let (folder, name) = self.parent(below)?;
                let flags = AtFlags::empty();
                Ok(rustix::fs::linkat(&top, target, folder, name, flags)?)
            }
            EntryKind::CharacterDevice(..) | EntryKind::BlockDevice(..) | EntryKind::Fifo => {
                Err(refused("a device or pipe"))
            }
        }
    }

    fn file(&mut self, entry: &Entry, below: &[u8], content: &mut dyn Read) -> io::Result<()> {
        let mode = file_mode(entry.mode);
        let (folder, name) = self.parent(below)?;
        let file = rustix::fs::openat(folder, name, NEW_FILE, Mode::from_raw_mode(mode))?;
        let mut file = File::from(file);
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
        if !self.keeps_modes || mode & 0o7000 != 0 {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        // Compiled Python remembers the time of its source.
        let time = Timespec {
            tv_sec: i64::try_from(entry.mtime).map_err(|_| refused("no time that files have"))?,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: rustix::fs::UTIME_OMIT,
            },
            last_modification: time,
        };
        Ok(rustix::fs::futimens(&file, &times)?)
    }

    /// The folder that a member lies in, and its name there. Folders that the archive does not have as members are made.
    fn parent<'p>(&mut self, below: &'p [u8]) -> io::Result<(BorrowedFd<'_>, &'p [u8])> {
        let parent = above(below);
        let name = match parent.len() {
            0 => below,
            length => below.get(length + 1..).unwrap_or_default(),
        };
        if parent.is_empty() {
            return Ok((self.top.as_fd(), name));
        }
        if !self.made.contains(parent) {
            let ends = parent.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let ends: Vec<usize> = ends.map(|(at, _)| at).chain([parent.len()]).collect();
            for end in ends {
                self.folder(parent.get(..end).unwrap_or_default())?;
            }
        }
        let is_open = |(path, _): &(Vec<u8>, OwnedFd)| path.as_slice() == parent;
        let open = match self.open.take().filter(is_open) {
            Some(open) => open,
            None => {
                let folder = rustix::fs::openat(&self.top, parent, FOLDER, Mode::empty())?;
                (parent.to_vec(), folder)
            }
        };
        Ok((self.open.insert(open).1.as_fd(), name))
    }

    /// Makes a folder, and those above it.
    fn folder(&mut self, below: &[u8]) -> io::Result<()> {
        if self.made.contains(below) {
            return Ok(());
        }
        let keeps_modes = self.keeps_modes;
        let (folder, name) = self.parent(below)?;
        // Fails where anything else is there, such as a symbolic link.
        rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(FOLDER_MODE & 0o777))?;
        if !keeps_modes {
            let mode = Mode::from_raw_mode(FOLDER_MODE);
            rustix::fs::chmodat(folder, name, mode, AtFlags::empty())?;
        }
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
    use std::os::unix::ffi::OsStrExt as _;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn put(folder: &mut Folder, entry: &Entry, bytes: &[u8]) -> Result<(), TarWriteError> {
        folder.append(entry, &mut &*bytes)
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let work = tempfile::tempdir().expect("a folder");
        let outside = work.path().join("outside");
        fs::create_dir(&outside).expect("made");
        let mut folder = Folder::create(&work.path().join("p"), "s/p", false).expect("made");
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
        let keeps_modes = keeps_modes(work.path()).expect("it can be known");
        assert_eq!(fs::read_dir(work.path()).expect("readable").count(), 0);
        for (name, keeps_modes) in [("sets", false), ("keeps", keeps_modes)] {
            let top = work.path().join(name);
            let mut folder = Folder::create(&top, "s/p", keeps_modes).expect("made");
            let file = Entry::file("s/p/bin/tool", 0o700, 77, 1);
            put(&mut folder, &file, b"x").expect("a file");
            put(&mut folder, &Entry::directory("s", 0o700, 0), b"").expect("above the prefix");
            put(&mut folder, &Entry::file("s/p/short", 0o600, 0, 2), b"x").expect_err("short");
            put(&mut folder, &Entry::file("s/p/a/b/c", 0o600, 0, 1), b"x").expect("a file");
            let mode = |path: &str| {
                let metadata = fs::metadata(top.join(path)).expect("there");
                metadata.permissions().mode() & 0o7777
            };
            for (path, expected) in [
                ("", 0o2755),
                ("bin", 0o2755),
                ("a/b", 0o2755),
                ("bin/tool", 0o755),
                ("a/b/c", 0o644),
            ] {
                assert_eq!(mode(path), expected, "{path}");
            }
            let time = fs::metadata(top.join("bin/tool"))
                .and_then(|it| it.modified())
                .expect("a time");
            assert_eq!(time, UNIX_EPOCH + Duration::from_secs(77));
        }
    }
}
