//! What upper layers hide, as far as names alone tell.
//!
//! Layers are read from the top, so that the content of a file that an upper layer replaces need not be stored. What
//! survives is decided later by the rules of merging; here it is only guessed, and a wrong guess costs a second look
//! at a layer (content that was wanted) or some space (content that was not).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use oci_format::layer::whiteout::Whiteout;
use oci_format::layer::{Entry, EntryKind};

/// Names that upper layers have, as hashes: two that meet make a wrong guess, and no more.
#[derive(Default)]
pub(super) struct Shadow {
    /// Here is something: a file below is hidden.
    names: HashSet<u64>,
    /// Here is something that is no directory, or nothing any more: all below is hidden.
    ends: HashSet<u64>,
    /// All below is hidden, the directory itself is not.
    opaque: HashSet<u64>,
}

impl Shadow {
    /// Whether an upper layer hides the file.
    pub(super) fn hides(&self, path: &[u8]) -> bool {
        let own = hash(path);
        if self.names.contains(&own) || self.ends.contains(&own) {
            return true;
        }
        if self.ends.is_empty() && self.opaque.is_empty() {
            return false;
        }
        let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        folders
            .map(|(at, _)| hash(&path[..at]))
            .any(|folder| self.ends.contains(&folder) || self.opaque.contains(&folder))
            || self.opaque.contains(&hash(b""))
    }

    /// Takes a whole layer in, once it has been read itself.
    pub(super) fn add(&mut self, entries: &[Entry]) {
        for entry in entries {
            match Whiteout::of(&entry.path) {
                Some(Whiteout::Opaque(directory)) => {
                    self.opaque.insert(hash(&directory));
                }
                Some(Whiteout::Entry(path)) => {
                    self.ends.insert(hash(&path));
                }
                Some(Whiteout::Metadata) => {}
                None => match entry.kind {
                    EntryKind::Directory => {
                        self.names.insert(hash(&entry.path));
                    }
                    _ => {
                        self.ends.insert(hash(&entry.path));
                    }
                },
            }
        }
    }
}

fn hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_upper_layers_replace_or_remove_is_hidden() {
        let mut shadow = Shadow::default();
        shadow.add(&[
            Entry::file("etc/motd", 0o644, 0, 1),
            Entry::directory("usr/share", 0o755, 0),
            Entry::symlink("lib", "usr/lib", 0),
            Entry::file("var/.wh.cache", 0, 0, 0),
            Entry::file("opt/.wh..wh..opq", 0, 0, 0),
        ]);
        for hidden in [
            "etc/motd",
            "etc/motd/below",
            "usr/share",
            "lib/x",
            "var/cache",
            "var/cache/a/b",
            "opt/a",
        ] {
            assert!(shadow.hides(hidden.as_bytes()), "{hidden}");
        }
        for seen in [
            "etc",
            "etc/issue",
            "usr/share/doc",
            "usr",
            "var",
            "var/log/x",
            "optional",
            "opt",
        ] {
            assert!(!shadow.hides(seen.as_bytes()), "{seen}");
        }
    }
}
