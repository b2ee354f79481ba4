//! From a prefix to the archive that Spack would have made of it.
//!
//! ```text
//! opt/  opt/software/  …             every folder above the prefix
//! <prefix>/  files, sorted           then each folder below it in the same way
//! <prefix>/.spack/binary_distribution
//! ```
//!
//! Owners are 0, times are 0, modes are those that git would keep, and the gzip header says nothing of the machine: the
//! same prefix gives the same bytes. Each file is read once; what has to be known for relocation is found on the way.
//!
//! Source: `reproducible_tarfile_from_prefix` in `lib/spack/spack/util/archive.py`, `tarfile_of_spec_prefix` in
//! `binary_distribution.py` of Spack 1.1.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use oci_format::layer::tar::{TarWriteError, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use oci_format::{Digest, DigestWriter};
use spack_format::build_cache::{
    BinaryDistribution, FileInspector, METADATA_PATH, PrefixFinder, Relocatable,
};

use crate::content::Content;
use crate::install_tree::InstalledPackage;
use crate::local_cache::{LocalCache, LocalCacheError};

/// gzip's own default, and Spack's.
const LEVEL: u32 = 6;

/// Of folders, links, and files that their owner may run.
const RUNNABLE: u32 = 0o755;
/// Of all other files.
const PLAIN: u32 = 0o644;

/// An archive of a prefix, in the local cache.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The compressed bytes.
    pub content: Content,
    /// Of the compressed bytes.
    pub digest: Digest,
    /// Of the uncompressed tar: what an image config calls a diffID.
    pub diff_id: Digest,
}

/// Why a prefix cannot be archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file or folder that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that needs relocation has a name that cannot be written down.
    #[error(
        "`{}` holds a prefix and its name is not UTF-8, so nobody could relocate it",
        path.display()
    )]
    Name {
        /// Where.
        path: PathBuf,
    },
    /// A member that tar cannot hold, or a file that changed while it was read.
    #[error("the archive of `{prefix}` cannot be written")]
    Tar {
        /// The prefix.
        prefix: String,
        /// Why.
        source: TarWriteError,
    },
    /// Compression failed.
    #[error("the archive of `{prefix}` cannot be compressed")]
    Compress {
        /// The prefix.
        prefix: String,
        /// Why.
        source: io::Error,
    },
    /// The local cache does not take it.
    #[error("the archive cannot be kept in the local cache")]
    Cache(#[from] LocalCacheError),
}

/// Archives an installed package into the local cache. Blocks.
///
/// # Errors
/// When something in the prefix cannot be read or named, or the local cache does not take the archive.
pub fn archive(package: &InstalledPackage, cache: &LocalCache) -> Result<Archive, ArchiveError> {
    let compress = |source| ArchiveError::Compress {
        prefix: package.prefix.clone(),
        source,
    };
    let gzip = GzEncoder::new(cache.writer()?, Level::new(LEVEL));
    let (gzip, diff_id) = write_tar(package, gzip)?;
    let (digest, content) = gzip.finish().map_err(compress)?.finish()?;
    Ok(Archive {
        content,
        digest,
        diff_id,
    })
}

/// Writes the uncompressed archive and gives its digest.
pub(super) fn write_tar<W: Write>(
    package: &InstalledPackage,
    out: W,
) -> Result<(W, Digest), ArchiveError> {
    let built_for = &package.built_for;
    let prefixes = built_for
        .hash_to_prefix
        .values()
        .chain(&built_for.sbang_install_path)
        .map(String::as_str)
        .chain([built_for.build_path.as_str()]);
    let mut writer = Writer {
        tar: TarWriter::new(DigestWriter::new(out)),
        prefix: Path::new(&package.prefix),
        folder: &package.folder,
        finder: PrefixFinder::new(prefixes),
        first_names: HashMap::new(),
        lists: built_for.clone(),
    };
    writer.folders_above()?;
    writer.tree()?;
    writer.metadata()?;
    let tar = writer.tar.finish();
    let tar = tar.map_err(|source| ArchiveError::Tar {
        prefix: package.prefix.clone(),
        source,
    })?;
    let (out, diff_id, _) = tar.finish();
    Ok((out, diff_id))
}

struct Writer<'p, W> {
    tar: TarWriter<DigestWriter<W>>,
    prefix: &'p Path,
    /// Where the prefix lies on this machine.
    folder: &'p Path,
    finder: PrefixFinder,
    /// Of files with several names the one that was archived, by device and inode.
    first_names: HashMap<(u64, u64), Vec<u8>>,
    lists: BinaryDistribution,
}

impl<W: Write> Writer<'_, W> {
    fn folders_above(&mut self) -> Result<(), ArchiveError> {
        let mut above: Vec<&Path> = self.prefix.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            let name = member_name(folder);
            if !name.is_empty() {
                self.member(&Entry::directory(name, RUNNABLE, 0), io::empty())?;
            }
        }
        Ok(())
    }

    /// Depth first; in each folder files and links before folders, both by name.
    fn tree(&mut self) -> Result<(), ArchiveError> {
        let skipped = fs::symlink_metadata(self.folder.join(METADATA_PATH))
            .ok()
            .map(|it| (it.dev(), it.ino()));
        let mut pending = vec![self.folder.to_owned()];
        while let Some(folder) = pending.pop() {
            self.member(
                &Entry::directory(self.name(&folder), RUNNABLE, 0),
                io::empty(),
            )?;
            let mut entries = fs::read_dir(&folder)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(unreadable(&folder))?;
            entries.sort_by_cached_key(|entry| entry.file_name().into_vec());
            let mut folders = Vec::new();
            for entry in entries {
                let path = entry.path();
                let kind = entry.file_type().map_err(unreadable(&path))?;
                if kind.is_dir() {
                    folders.push(path);
                    continue;
                }
                let metadata = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
                if skipped == Some((metadata.dev(), entry.ino())) {
                    continue;
                }
                if kind.is_symlink() {
                    self.symlink(&path)?;
                } else if kind.is_file() {
                    self.file(&path, &metadata)?;
                }
                // Devices, pipes and sockets are no part of a package.
            }
            pending.extend(folders.into_iter().rev());
        }
        Ok(())
    }

    fn symlink(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let target = fs::read_link(path).map_err(unreadable(path))?;
        let target = OsString::from(target).into_vec();
        if target.starts_with(b"/") && self.finder.begins(&target) {
            let name = self.relocated_name(path)?;
            self.lists.relocate_links.push(name);
        }
        let mut entry = Entry::symlink(self.name(path), target, 0);
        entry.mode = RUNNABLE;
        self.member(&entry, io::empty())
    }

    fn file(&mut self, path: &Path, metadata: &fs::Metadata) -> Result<(), ArchiveError> {
        let mode = if metadata.mode() & 0o100 == 0 {
            PLAIN
        } else {
            RUNNABLE
        };
        let name = self.name(path);
        let mut entry = Entry::file(name.clone(), mode, 0, metadata.len());
        if metadata.nlink() > 1 {
            let identity = (metadata.dev(), metadata.ino());
            if let Some(first) = self.first_names.get(&identity) {
                entry.kind = EntryKind::HardLink(first.clone());
                entry.size = 0;
                return self.member(&entry, io::empty());
            }
            self.first_names.insert(identity, name);
        }
        let file = File::open(path).map_err(unreadable(path))?;
        if self.is_metadata(path) {
            return self.member(&entry, file);
        }
        let finder = self.finder.clone();
        let mut inspecting = Inspecting {
            file,
            inspector: FileInspector::new(&finder),
        };
        self.member(&entry, &mut inspecting)?;
        match inspecting.inspector.finish() {
            Relocatable::Binary => {
                let name = self.relocated_name(path)?;
                self.lists.relocate_binaries.push(name);
            }
            Relocatable::Text => {
                let name = self.relocated_name(path)?;
                self.lists.relocate_textfiles.push(name);
            }
            Relocatable::None => {}
        }
        Ok(())
    }

    /// The last member: what was found out on the way.
    fn metadata(&mut self) -> Result<(), ArchiveError> {
        let name = member_name(&self.prefix.join(METADATA_PATH));
        let text = self.lists.to_text();
        self.member(
            &Entry::file(name, PLAIN, 0, text.len() as u64),
            text.as_bytes(),
        )
    }

    fn member(&mut self, entry: &Entry, content: impl Read) -> Result<(), ArchiveError> {
        self.tar
            .append(entry, content)
            .map_err(|source| ArchiveError::Tar {
                prefix: self.prefix.display().to_string(),
                source,
            })
    }

    /// Whether nobody relocates it, because it tells of the build.
    fn is_metadata(&self, path: &Path) -> bool {
        path.strip_prefix(self.folder)
            .is_ok_and(|below| below.starts_with(".spack"))
    }

    /// The member's name of something in the folder.
    fn name(&self, path: &Path) -> Vec<u8> {
        match path.strip_prefix(self.folder) {
            Ok(below) if !below.as_os_str().is_empty() => member_name(&self.prefix.join(below)),
            // Joined with nothing, a path would end with `/`.
            _ => member_name(self.prefix),
        }
    }

    fn relocated_name(&self, path: &Path) -> Result<String, ArchiveError> {
        path.strip_prefix(self.folder)
            .ok()
            .and_then(Path::to_str)
            .map(str::to_owned)
            .ok_or_else(|| ArchiveError::Name {
                path: path.to_owned(),
            })
    }
}

/// Lets a file be looked at while it is copied.
struct Inspecting<'f> {
    file: File,
    inspector: FileInspector<'f>,
}

impl Read for Inspecting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.inspector.feed(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn member_name(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_prefix(b"/").unwrap_or(bytes).to_vec()
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Read { path, source }
}
