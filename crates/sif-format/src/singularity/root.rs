//! Entries to put over the root file system of an image, and the tree that they are collected in.

use std::collections::BTreeMap;

use super::{EntryKind, ExistingRoot, SingularityError};

/// Something to put over the root file system of the image. It replaces what is at that path, except that a directory
/// which exists stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootEntry {
    /// The path from the root, without a slash in front: `.singularity.d/runscript`.
    pub path: String,
    /// The permissions, with the sticky bit where there is one.
    pub mode: u32,
    /// What it is.
    pub content: EntryContent,
}

/// What an entry is. The owner is always root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// A directory.
    Directory,
    /// A file with this content.
    File(Vec<u8>),
    /// A symbolic link with this target.
    Symlink(String),
}

impl RootEntry {
    /// A directory.
    #[must_use]
    pub fn directory(path: &str, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            content: EntryContent::Directory,
        }
    }

    /// A file.
    #[must_use]
    pub fn file(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            content: EntryContent::File(content.into()),
        }
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(path: &str, target: &str) -> Self {
        Self {
            path: path.to_owned(),
            mode: 0o777,
            content: EntryContent::Symlink(target.to_owned()),
        }
    }
}

/// The image with the entries that were put over it so far.
pub(crate) struct Overlay<'a> {
    existing: &'a dyn ExistingRoot,
    entries: BTreeMap<String, RootEntry>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn over(existing: &'a dyn ExistingRoot) -> Self {
        Self {
            existing,
            entries: BTreeMap::new(),
        }
    }

    /// Puts an entry, and the directories above it that are missing.
    pub(crate) fn put(&mut self, entry: RootEntry) {
        for (at, _) in entry.path.match_indices('/') {
            if let Some(parent) = entry.path.get(..at)
                && self.kind(parent) != Some(EntryKind::Directory)
            {
                self.entries
                    .insert(parent.to_owned(), RootEntry::directory(parent, 0o755));
            }
        }
        self.entries.insert(entry.path.clone(), entry);
    }

    /// Puts a directory unless there is one.
    pub(crate) fn put_directory(&mut self, path: &str) {
        if self.kind(path) != Some(EntryKind::Directory) {
            self.put(RootEntry::directory(path, 0o755));
        }
    }

    /// What is at a path now.
    pub(crate) fn kind(&self, path: &str) -> Option<EntryKind> {
        match self.entries.get(path).map(|entry| &entry.content) {
            Some(EntryContent::Directory) => Some(EntryKind::Directory),
            Some(EntryContent::File(_)) => Some(EntryKind::File),
            Some(EntryContent::Symlink(_)) => Some(EntryKind::Symlink),
            None if self.hides(path) => None,
            None => self.existing.kind(path),
        }
    }

    /// Whether a directory above `path` took the place of something else, so that what the image has below is gone.
    fn hides(&self, path: &str) -> bool {
        let mut parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        parents.any(|parent| {
            self.entries.contains_key(parent)
                && self.existing.kind(parent) != Some(EntryKind::Directory)
        })
    }

    /// The text of a file as it is now; none when there is no file. Bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, SingularityError> {
        let bytes = match self.entries.get(path).map(|entry| &entry.content) {
            Some(EntryContent::File(content)) => Some(content.clone()),
            Some(_) => None,
            None if self.hides(path) => None,
            None => self
                .existing
                .read(path)
                .map_err(|source| SingularityError::Read {
                    path: path.to_owned(),
                    source,
                })?,
        };
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, directory: &str) -> Result<Vec<String>, SingularityError> {
        let inside = format!("{directory}/");
        let existing = if self.hides(&inside) {
            Ok(Vec::new())
        } else {
            self.existing.names(directory)
        };
        let existing = existing.map_err(|source| SingularityError::Read {
            path: directory.to_owned(),
            source,
        })?;
        let own = self
            .entries
            .keys()
            .filter_map(|path| path.strip_prefix(&inside));
        let own = own
            .filter(|name| !name.contains('/'))
            .map(ToOwned::to_owned);
        let mut names: Vec<String> = existing.into_iter().chain(own).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The entries, directories before what is in them.
    pub(crate) fn into_entries(self) -> Vec<RootEntry> {
        self.entries.into_values().collect()
    }
}
