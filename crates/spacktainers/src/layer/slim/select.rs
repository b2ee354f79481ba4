//! What of one package goes.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Cause, Slimming};
use crate::layer::{PackageEntry, PackageEntryKind, PackageRecord};

/// Files and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many files and links.
    pub files: u64,
    /// Their bytes, not compressed.
    pub bytes: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What becomes of a member of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate<'s> {
    /// It stays.
    Stays,
    /// It goes.
    Goes,
    /// Its name goes and its bytes stay: they get the name of a hard link, which comes later in the archive and is a link no
    /// more.
    Becomes(&'s str),
}

/// The paths of a package that go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    gone: BTreeMap<String, Cause>,
    /// Files that go, with the hard link that gets their bytes.
    heirs: BTreeMap<String, String>,
    amounts: BTreeMap<Cause, Amount>,
}

impl Selection {
    /// Decides about every path of `record`.
    #[must_use]
    pub fn new(record: &PackageRecord, slimming: &Slimming<'_>) -> Self {
        let mut work = Work::new(record, slimming);
        for entry in &record.entries {
            if !matches!(entry.kind, PackageEntryKind::Directory)
                && let Some(cause) = slimming.cause(&entry.path)
            {
                work.take(&entry.path, cause);
            }
        }
        let gone: BTreeMap<String, Cause> = work
            .gone
            .iter()
            .map(|(path, cause)| ((*path).to_owned(), *cause))
            .collect();
        let mut heirs = BTreeMap::new();
        for entry in &record.entries {
            if let PackageEntryKind::HardLink(target) = &entry.kind
                && gone.contains_key(target)
                && !gone.contains_key(&entry.path)
            {
                heirs
                    .entry(target.clone())
                    .or_insert_with(|| entry.path.clone());
            }
        }
        let mut amounts: BTreeMap<Cause, Amount> = BTreeMap::new();
        for entry in &record.entries {
            let Some(cause) = gone.get(&entry.path) else {
                continue;
            };
            let (files, bytes) = match entry.kind {
                PackageEntryKind::Directory => continue,
                PackageEntryKind::File(_) if heirs.contains_key(&entry.path) => (1, 0),
                PackageEntryKind::File(size) => (1, size),
                PackageEntryKind::Symlink(_) | PackageEntryKind::HardLink(_) => (1, 0),
            };
            *amounts.entry(*cause).or_default() += Amount { files, bytes };
        }
        Self {
            gone,
            heirs,
            amounts,
        }
    }

    /// Whether everything stays.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty()
    }

    /// Paths that go, each with its cause.
    pub fn gone(&self) -> impl Iterator<Item = (&str, Cause)> {
        self.gone
            .iter()
            .map(|(path, cause)| (path.as_str(), *cause))
    }

    /// How much goes, by cause.
    #[must_use]
    pub const fn amounts(&self) -> &BTreeMap<Cause, Amount> {
        &self.amounts
    }

    /// What becomes of the member with this path below the prefix.
    #[must_use]
    pub fn fate(&self, path: &str) -> Fate<'_> {
        match self.heirs.get(path) {
            Some(heir) => Fate::Becomes(heir),
            None if self.gone.contains_key(path) => Fate::Goes,
            None => Fate::Stays,
        }
    }

    /// What a hard link to `target` links to: nothing if the link `path` itself got the bytes.
    #[must_use]
    pub fn link_target<'s>(&'s self, path: &str, target: &'s str) -> Option<&'s str> {
        match self.heirs.get(target) {
            Some(heir) if heir == path => None,
            Some(heir) => Some(heir),
            None => Some(target),
        }
    }

    /// All of it as text, for keys.
    pub(in crate::layer) fn write_key(&self, text: &mut String) {
        for path in self.gone.keys() {
            // Writing to memory does not fail.
            let _ = writeln!(text, "-{path:?}");
        }
    }
}

/// Takes paths out and, with them, what is of no use without them.
struct Work<'r> {
    slimming: &'r Slimming<'r>,
    gone: HashMap<&'r str, Cause>,
    /// What is still in each folder.
    inside: HashMap<&'r str, usize>,
    folders: HashMap<&'r str, ()>,
    /// Symbolic links by what they lead to.
    links: HashMap<String, Vec<&'r str>>,
}

impl<'r> Work<'r> {
    fn new(record: &'r PackageRecord, slimming: &'r Slimming<'r>) -> Self {
        let mut work = Self {
            slimming,
            gone: HashMap::new(),
            inside: HashMap::new(),
            folders: HashMap::new(),
            links: HashMap::new(),
        };
        for PackageEntry { path, kind, .. } in &record.entries {
            if let Some((folder, _)) = path.rsplit_once('/') {
                *work.inside.entry(folder).or_default() += 1;
            }
            match kind {
                PackageEntryKind::Directory => {
                    work.folders.insert(path, ());
                }
                PackageEntryKind::Symlink(target) => {
                    if let Some(target) = leads_to(path, target, record.prefix.as_deref()) {
                        work.links.entry(target).or_default().push(path);
                    }
                }
                PackageEntryKind::File(_) | PackageEntryKind::HardLink(_) => {}
            }
        }
        work
    }

    /// Takes out a path, then links to it and folders that become empty.
    fn take(&mut self, path: &'r str, cause: Cause) {
        let mut pending = vec![(path, cause)];
        while let Some((path, cause)) = pending.pop() {
            if self.gone.contains_key(path) {
                continue;
            }
            self.gone.insert(path, cause);
            for link in self.links.remove(path).unwrap_or_default() {
                if !self.slimming.is_kept(link) {
                    let cause = self.slimming.cause(link).unwrap_or(Cause::Left);
                    pending.push((link, cause));
                }
            }
            let Some((folder, _)) = path.rsplit_once('/') else {
                continue;
            };
            let Some(left) = self.inside.get_mut(folder) else {
                continue;
            };
            *left = left.saturating_sub(1);
            if *left == 0 && self.folders.contains_key(folder) {
                pending.push((folder, Cause::Left));
            }
        }
    }
}

/// The path below the prefix that a symbolic link means, read as text: links on the way are not followed, and what leads out of
/// the package is nothing.
fn leads_to(path: &str, target: &str, prefix: Option<&str>) -> Option<String> {
    let (mut parts, rest): (Vec<&str>, &str) = match target.strip_prefix('/') {
        Some(absolute) => {
            let below = absolute.strip_prefix(prefix?)?.strip_prefix('/')?;
            (Vec::new(), below)
        }
        None => {
            let folder = path.rsplit_once('/').map_or("", |it| it.0);
            (
                folder.split('/').filter(|it| !it.is_empty()).collect(),
                target,
            )
        }
    };
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}
