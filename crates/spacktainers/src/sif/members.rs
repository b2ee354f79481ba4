//! The tree in a SIF file (or a bare squashfs) as the members of a layer.
//!
//! Whatever takes layers can then take images of Apptainer's: unpacking, definition files that begin with one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use oci_format::layer::tar::TarWriter;
use oci_format::layer::{Entry, EntryKind};
use sif_format::sif::SifReader;
use sif_format::squashfs::{Image, Inode, InodeKind, ReadError};

use crate::local_cache::{LocalCache, LocalCacheError};
use crate::source::LoadedLayer;

/// What a squashfs image begins with.
const SQUASHFS_MAGIC: &[u8; 4] = b"hsqs";

/// The file system of a file, open for reading.
pub type OpenTree = Image<BufReader<File>>;

/// Why the tree of a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TreeReadError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is neither a SIF file nor a squashfs.
    #[error("`{}` is neither a SIF file nor a squashfs image", .0.display())]
    Neither(PathBuf),
    /// A SIF file that is broken.
    #[error("`{}` is not a SIF file that can be used", path.display())]
    Sif {
        /// Which.
        path: PathBuf,
        /// Why.
        source: sif_format::sif::SifError,
    },
    /// A SIF file without a root file system.
    #[error("`{}` has no root file system", .0.display())]
    NoPartition(PathBuf),
    /// The file system is broken, or of a kind that is not read here.
    #[error("the file system of `{}` cannot be read", path.display())]
    Squashfs {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// The layer cannot be written.
    #[error("the tree cannot be put into a layer")]
    Tar(#[from] oci_format::layer::tar::TarWriteError),
    /// The local cache.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
}

/// Opens the root file system of a SIF file, or a bare squashfs.
///
/// # Errors
/// When it is none, or broken.
pub fn open_tree(path: &Path) -> Result<OpenTree, TreeReadError> {
    let failed = |source| TreeReadError::Open {
        path: path.to_owned(),
        source,
    };
    let squashfs = |source| TreeReadError::Squashfs {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut magic = [0; 4];
    let is_squashfs = file.read_exact(&mut magic).is_ok() && magic == *SQUASHFS_MAGIC;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let reader = BufReader::new(file);
    if is_squashfs {
        return Image::open(reader).map_err(squashfs);
    }
    let sif = SifReader::open(reader).map_err(|source| match source {
        sif_format::sif::SifError::NotSif(_) => TreeReadError::Neither(path.to_owned()),
        source => TreeReadError::Sif {
            path: path.to_owned(),
            source,
        },
    })?;
    let partition = sif
        .primary_partition()
        .ok_or_else(|| TreeReadError::NoPartition(path.to_owned()))?;
    let (offset, size) = (partition.offset, partition.size);
    Image::open_at(sif.into_inner(), offset, size).map_err(squashfs)
}

/// Shows every member of the tree to `take`, parents before children, with a reader of its content.
///
/// # Errors
/// When the image is broken, and what `take` says.
pub fn each_member<E: From<ReadError>>(
    image: &OpenTree,
    mut take: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut first: HashMap<u32, Vec<u8>> = HashMap::new();
    for found in image.walk() {
        let found = found?;
        let inode = &found.inode;
        let mut entry = entry(&found.path, inode);
        let Some(kind) = kind(inode) else { continue };
        if inode.links > 1 && !inode.is_directory() {
            if let Some(known) = first.get(&inode.number) {
                entry.kind = EntryKind::HardLink(known.clone());
                entry.size = 0;
                take(&entry, &mut io::empty())?;
                continue;
            }
            first.insert(inode.number, found.path.clone());
        }
        entry.kind = kind;
        entry.xattrs = image
            .xattrs(inode)?
            .into_iter()
            .map(|it| (it.full_name(), it.value))
            .collect();
        entry.xattrs.sort();
        if matches!(inode.kind, InodeKind::File(_)) {
            take(&entry, &mut image.content(inode)?)?;
        } else {
            take(&entry, &mut io::empty())?;
        }
    }
    Ok(())
}

fn entry(path: &[u8], inode: &Inode) -> Entry {
    let attributes = &inode.attributes;
    Entry {
        path: path.to_vec(),
        kind: EntryKind::Directory,
        mode: u32::from(attributes.mode),
        uid: attributes.uid.into(),
        gid: attributes.gid.into(),
        mtime: attributes.mtime.into(),
        size: inode.size(),
        xattrs: Vec::new(),
    }
}

/// Sockets are nothing that an image can hold.
fn kind(inode: &Inode) -> Option<EntryKind> {
    Some(match &inode.kind {
        InodeKind::Directory(_) => EntryKind::Directory,
        InodeKind::File(_) => EntryKind::File,
        InodeKind::Symlink(target) => EntryKind::Symlink(target.clone()),
        InodeKind::CharDevice(device) => EntryKind::CharacterDevice(device.major, device.minor),
        InodeKind::BlockDevice(device) => EntryKind::BlockDevice(device.major, device.minor),
        InodeKind::Fifo => EntryKind::Fifo,
        InodeKind::Socket => return None,
    })
}

/// The tree as one plain layer in the local cache.
///
/// # Errors
/// When the file cannot be read or the cache not be written.
pub fn as_layer(path: &Path, cache: &LocalCache) -> Result<LoadedLayer, TreeReadError> {
    let image = open_tree(path)?;
    let mut tar = TarWriter::new(cache.writer()?);
    each_member(&image, |entry, content| -> Result<(), Failed> {
        // The root has no name in a layer.
        if !entry.path.is_empty() {
            tar.append(entry, content)?;
        }
        Ok(())
    })
    .map_err(|error| match error {
        Failed::Read(source) => TreeReadError::Squashfs {
            path: path.to_owned(),
            source,
        },
        Failed::Tar(source) => TreeReadError::Tar(source),
    })?;
    let (digest, content) = tar.finish()?.finish()?;
    Ok(LoadedLayer {
        diff_id: digest,
        digest: Some(digest),
        content,
    })
}

/// Whose fault it was.
enum Failed {
    Read(ReadError),
    Tar(oci_format::layer::tar::TarWriteError),
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<oci_format::layer::tar::TarWriteError> for Failed {
    fn from(error: oci_format::layer::tar::TarWriteError) -> Self {
        Self::Tar(error)
    }
}
