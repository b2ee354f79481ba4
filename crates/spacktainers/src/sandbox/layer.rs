//! Changes as a layer in the local cache.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use oci_format::layer::merge::{self, MergedTree};
use oci_format::layer::tar::TarWriter;
use oci_format::layer::whiteout::{OPAQUE, PREFIX};
use oci_format::layer::{Entry, EntryKind};

use super::SandboxError;
use super::difference::Change;
use super::snapshot::{Header, Kind, Snapshot, opened};
use crate::local_cache::{BlobWriter, LocalCache};
use crate::source::LoadedLayer;

/// The largest extended attribute that Linux takes (`linux/limits.h`, `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`).
const XATTR_SIZE_MAX: usize = 65536;

/// What a layer is made from.
pub(super) struct Input<'a> {
    pub(super) root: &'a Path,
    pub(super) after: &'a Snapshot,
    pub(super) changes: &'a [Change],
    /// What the layers below say of owners, where the files do not.
    pub(super) known: Option<&'a MergedTree>,
    pub(super) newest: u64,
    pub(super) cache: &'a LocalCache,
}

/// Writes the layer.
pub(super) fn write(input: &Input<'_>) -> Result<LoadedLayer, SandboxError> {
    let mut out = Writer {
        input,
        tar: TarWriter::new(input.cache.writer()?),
        first_names: HashMap::new(),
    };
    for change in input.changes {
        match change {
            Change::Put(path) => {
                if let Some(header) = input.after.get(path) {
                    out.put(path, header)?;
                }
            }
            Change::Emptied(path) => out.mark([path.as_slice(), b"/", OPAQUE].concat())?,
            Change::Deleted(path) => out.mark(whiteout(path))?,
        }
    }
    let (digest, content) = out.tar.finish()?.finish()?;
    Ok(LoadedLayer {
        diff_id: digest,
        digest: Some(digest),
        content,
    })
}

fn whiteout(path: &[u8]) -> Vec<u8> {
    let start = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (parent, name) = path.split_at(start);
    [parent, PREFIX, name].concat()
}

struct Writer<'a> {
    input: &'a Input<'a>,
    tar: TarWriter<BlobWriter>,
    /// Of files with several names, by identity.
    first_names: HashMap<(u64, u64), Vec<u8>>,
}

impl Writer<'_> {
    fn mark(&mut self, path: Vec<u8>) -> Result<(), SandboxError> {
        let entry = Entry::file(path, 0o644, 0, 0);
        Ok(self.tar.append(&entry, io::empty())?)
    }

    fn put(&mut self, path: &[u8], header: &Header) -> Result<(), SandboxError> {
        let place = self
            .input
            .root
            .join(Path::new(std::ffi::OsStr::from_bytes(path)));
        let mut entry = Entry {
            path: path.to_vec(),
            kind: EntryKind::File,
            mode: header.mode,
            uid: header.uid.into(),
            gid: header.gid.into(),
            mtime: u64::try_from(header.modified.0)
                .unwrap_or(0)
                .min(self.input.newest),
            size: 0,
            xattrs: Vec::new(),
        };
        let (major, minor) = header.device;
        entry.kind = match header.kind {
            Kind::Directory => EntryKind::Directory,
            Kind::Symlink => EntryKind::Symlink(target(self.input.root, &place)?),
            Kind::Fifo => EntryKind::Fifo,
            Kind::CharacterDevice => EntryKind::CharacterDevice(major, minor),
            Kind::BlockDevice => EntryKind::BlockDevice(major, minor),
            Kind::Socket => return Ok(()),
            Kind::File => EntryKind::File,
        };
        self.set_owner(&mut entry, header, &place)?;
        if header.kind != Kind::File {
            return Ok(self.tar.append(&entry, io::empty())?);
        }
        if header.links > 1 {
            let identity = (header.identity.0, header.identity.1);
            if let Some(first) = self.first_names.get(&identity) {
                entry.kind = EntryKind::HardLink(first.clone());
                entry.xattrs.clear();
                return Ok(self.tar.append(&entry, io::empty())?);
            }
            self.first_names.insert(identity, path.to_vec());
        }
        entry.size = header.size;
        let file = opened(self.input.root, &place, || File::open(&place));
        let file = file.map_err(SandboxError::io("read", &place))?;
        Ok(self.tar.append(&entry, file)?)
    }

    /// Owner and attributes: of the file, or else what was known of it.
    fn set_owner(
        &self,
        entry: &mut Entry,
        header: &Header,
        place: &Path,
    ) -> Result<(), SandboxError> {
        let Some(known) = self.input.known else {
            entry.xattrs = xattrs(place).map_err(SandboxError::io("read", place))?;
            return Ok(());
        };
        let node = known
            .get(&entry.path)
            .filter(|node| is_same_kind(node.kind(), header.kind));
        entry.uid = node.map_or(0, |it| it.uid()).into();
        entry.gid = node.map_or(0, |it| it.gid()).into();
        entry.xattrs = node.map_or_else(Vec::new, |it| it.xattrs().to_vec());
        Ok(())
    }
}

fn is_same_kind(known: merge::Kind<'_>, now: Kind) -> bool {
    matches!(
        (known, now),
        (merge::Kind::Directory, Kind::Directory)
            | (merge::Kind::File { .. }, Kind::File)
            | (merge::Kind::Symlink(_), Kind::Symlink)
            | (merge::Kind::Fifo, Kind::Fifo)
    )
}

fn target(root: &Path, place: &Path) -> Result<Vec<u8>, SandboxError> {
    let target = opened(root, place, || fs::read_link(place));
    let target: PathBuf = target.map_err(SandboxError::io("read", place))?;
    Ok(target.into_os_string().into_vec())
}

/// The extended attributes that belong to an image, sorted by name.
fn xattrs(place: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut buffer = vec![0; XATTR_SIZE_MAX];
    let length = match rustix::fs::llistxattr(place, buffer.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let names = buffer.get(..length).unwrap_or_default().to_vec();
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|it| !it.is_empty()) {
        // What belongs to the machine's own file system is not the image's.
        let is_ours = name.starts_with(b"user.")
            || name.starts_with(b"system.posix_acl_")
            || (name.starts_with(b"security.") && name != b"security.selinux");
        if !is_ours {
            continue;
        }
        if let Ok(length) = rustix::fs::lgetxattr(place, name, buffer.as_mut_slice()) {
            let value = buffer.get(..length).unwrap_or_default();
            found.push((name.to_vec(), value.to_vec()));
        }
    }
    found.sort();
    Ok(found)
}
