//! The rules of a package's archive, checked member by member.
//!
//! A package archive that Spack wrote holds the prefix, what is below it, and the directories above it. Anything
//! else is an attempt to write elsewhere, or a fault of whoever made it: refused, with the member's name.
//!
//! Source: `lib/spack/spack/binary_distribution.py` (`tarball_create`, `extract_tarball`) in Spack.

use std::collections::{HashMap, HashSet};

use oci_format::layer::tar::printable;
use oci_format::layer::{Entry, EntryKind};

use super::record::{PackageEntry, PackageEntryKind};

/// The member whose grandparent is the prefix.
const ROOT_MARK: &str = ".spack/binary_distribution";

/// More members than any package has; a bound on memory, not on packages. The largest known to us, a compiler suite,
/// has 200,000.
const MOST_MEMBERS: usize = 4_000_000;

/// Why a member is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageFault {
    /// A device or pipe.
    #[error("`{0}` is a device or a pipe; packages hold files, directories and links")]
    Special(String),
    /// setuid, setgid or sticky.
    #[error(
        "`{name}` has mode {mode:o}: setuid, setgid and sticky bits are not allowed in packages"
    )]
    Mode {
        /// The member.
        name: String,
        /// Its mode.
        mode: u32,
    },
    /// Outside the prefix.
    #[error("`{name}` lies outside the package's prefix `/{prefix}`")]
    Outside {
        /// The member.
        name: String,
        /// The prefix.
        prefix: String,
    },
    /// A hard link to something that is not in the package.
    #[error("`{name}` is a hard link to `{target}`, which is not a file of this package")]
    HardLink {
        /// The member.
        name: String,
        /// What it links to.
        target: String,
    },
    /// Below a symbolic link: it would be written somewhere else.
    #[error("`{0}` lies below a symbolic link of the same archive")]
    BelowLink(String),
    /// The same name twice.
    #[error("`{0}` is in the archive twice")]
    Twice(String),
    /// A name that is not text.
    #[error("`{0}` is not valid UTF-8, which Spack's own file names are")]
    NotText(String),
    /// No `.spack/binary_distribution`.
    #[error("it holds no `.spack/binary_distribution`, so it is no binary package of Spack")]
    NoRoot,
    /// Too many members.
    #[error("it holds more than {MOST_MEMBERS} members")]
    TooMany,
}

/// The members of an archive so far.
#[derive(Default)]
pub(super) struct Members {
    all: Vec<(String, PackageEntryKind, u32)>,
    by_name: HashMap<String, usize>,
    links: HashSet<String>,
}

impl Members {
    /// Takes note of a member that may be in a package; its full name is the answer.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<String, PackageFault> {
        let name = text(&entry.path)?;
        if self.all.len() >= MOST_MEMBERS {
            return Err(PackageFault::TooMany);
        }
        if entry.mode & 0o7000 != 0 {
            return Err(PackageFault::Mode {
                name,
                mode: entry.mode,
            });
        }
        let kind = match &entry.kind {
            EntryKind::Directory => PackageEntryKind::Directory,
            EntryKind::File => PackageEntryKind::File(entry.size),
            EntryKind::Symlink(target) => {
                self.links.insert(name.clone());
                PackageEntryKind::Symlink(text(target)?)
            }
            EntryKind::HardLink(target) => {
                let target = text(target)?;
                let is_file = self
                    .by_name
                    .get(&target)
                    .is_some_and(|index| matches!(self.all[*index].1, PackageEntryKind::File(_)));
                if !is_file {
                    return Err(PackageFault::HardLink { name, target });
                }
                PackageEntryKind::HardLink(target)
            }
            EntryKind::CharacterDevice(..) | EntryKind::BlockDevice(..) | EntryKind::Fifo => {
                return Err(PackageFault::Special(name));
            }
        };
        if !self.links.is_empty() && above(&name).any(|folder| self.links.contains(folder)) {
            return Err(PackageFault::BelowLink(name));
        }
        if self.by_name.insert(name.clone(), self.all.len()).is_some() {
            return Err(PackageFault::Twice(name));
        }
        self.all.push((name.clone(), kind, entry.mode));
        Ok(name)
    }

    /// The prefix and everything below it, once all members are known.
    pub(super) fn finish(self) -> Result<(String, Vec<PackageEntry>), PackageFault> {
        let prefix = self
            .all
            .iter()
            .filter_map(|(name, _, _)| name.strip_suffix(ROOT_MARK)?.strip_suffix('/'))
            .min_by_key(|prefix| prefix.len())
            .ok_or(PackageFault::NoRoot)?
            .to_owned();
        let below = |name: &str| -> Option<String> {
            Some(name.strip_prefix(&prefix)?.strip_prefix('/')?.to_owned())
        };
        let mut entries = Vec::with_capacity(self.all.len());
        for (name, kind, mode) in &self.all {
            let Some(path) = below(name) else {
                let leads_there = matches!(kind, PackageEntryKind::Directory)
                    && (*name == prefix
                        || prefix
                            .strip_prefix(name.as_str())
                            .is_some_and(|it| it.starts_with('/')));
                if !leads_there {
                    return Err(PackageFault::Outside {
                        name: name.clone(),
                        prefix,
                    });
                }
                continue;
            };
            let kind = match kind {
                PackageEntryKind::HardLink(target) => match below(target) {
                    Some(target) => PackageEntryKind::HardLink(target),
                    None => {
                        return Err(PackageFault::HardLink {
                            name: name.clone(),
                            target: target.clone(),
                        });
                    }
                },
                other => other.clone(),
            };
            entries.push(PackageEntry {
                path,
                kind,
                mode: *mode,
            });
        }
        Ok((prefix, entries))
    }
}

fn text(bytes: &[u8]) -> Result<String, PackageFault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| PackageFault::NotText(printable(bytes)))
}

/// The folders above a path, nearest last.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(index, _)| &path[..index])
}
