//! What decides the bytes of a relocated package.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use spack_format::build_cache::BinaryDistribution;
use spack_format::relocation::PrefixMap;

use crate::layer::{PackageEntryKind, PackageRecord};

/// Changes with the bytes that are written for the same rules.
const VERSION: u32 = 1;

/// Which prefixes change, and in which files.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Old and new prefixes.
    pub(super) map: PrefixMap,
    /// Where the package will lie, without the leading `/`.
    pub(super) prefix: String,
    /// Where `sbang` will lie.
    pub(super) sbang: String,
    /// Search path entries that lead nowhere, with their new prefixes.
    absent: BTreeSet<String>,
    texts: HashSet<String>,
    binaries: HashSet<String>,
    links: HashSet<String>,
}

impl Rules {
    /// For the package of `record` and `built`, which moves to `prefix` (without the leading `/`) in the store of the unpadded
    /// root `root`. `is_there` tells whether an absolute path will be in the image; entries of search paths that will not be
    /// are dropped, as Spack drops them after an installation.
    pub fn new(
        record: &PackageRecord,
        built: &BinaryDistribution,
        map: PrefixMap,
        prefix: &str,
        root: &str,
        is_there: impl Fn(&str) -> bool,
    ) -> Self {
        let mut absent = BTreeSet::new();
        let is_in_store = |path: &str| {
            path.strip_prefix(root)
                .is_some_and(|it| it.starts_with('/'))
        };
        for part in record
            .elf
            .values()
            .flat_map(|facts| facts.rpath.iter().chain(&facts.runpath))
        {
            let new = match map.at_start(part.as_bytes()) {
                Some((old, new)) => {
                    // In a file that is not listed it keeps its old prefix, where nothing will be.
                    if !is_in_store(part) || !is_there(part) {
                        absent.insert(part.clone());
                    }
                    // Both are text, and so is what begins with one of them.
                    let rest = part.get(old.len()..).unwrap_or_default();
                    format!("{}{rest}", String::from_utf8_lossy(new))
                }
                None => part.clone(),
            };
            if new.starts_with('/') && !is_there(&new) {
                absent.insert(new);
            }
        }
        Self {
            map,
            prefix: prefix.to_owned(),
            sbang: format!("{root}/bin/sbang"),
            absent,
            texts: with_other_names(record, &built.relocate_textfiles),
            binaries: with_other_names(record, &built.relocate_binaries),
            links: built.relocate_links.iter().cloned().collect(),
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn is_text(&self, file: &str) -> bool {
        self.texts.contains(file)
    }

    pub(super) fn is_binary(&self, file: &str) -> bool {
        self.binaries.contains(file)
    }

    pub(super) fn is_link(&self, file: &str) -> bool {
        self.links.contains(file)
    }

    pub(super) fn is_there(&self, part: &[u8]) -> bool {
        std::str::from_utf8(part).map_or(true, |part| !self.absent.contains(part))
    }

    /// All that decides, as text for a key. The lists of files are in the archive.
    pub(in crate::layer) fn write_key(&self, text: &mut String) {
        // Writing to memory does not fail, and no prefix has a line break.
        let _ = write!(text, "{VERSION}\n{}\n{}\n", self.prefix, self.sbang);
        for (old, new) in self.map.pairs() {
            let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
            let _ = write!(text, "{old}\n{new}\n");
        }
        for part in &self.absent {
            let _ = writeln!(text, "-{part:?}");
        }
    }

    /// Where the package will lie, without the leading `/`.
    pub(in crate::layer) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// Spack lists a file with several names by one of them; in the archive its bytes come with the first.
fn with_other_names(record: &PackageRecord, listed: &[String]) -> HashSet<String> {
    let mut all: HashSet<String> = listed.iter().cloned().collect();
    for entry in &record.entries {
        if let PackageEntryKind::HardLink(target) = &entry.kind
            && all.contains(&entry.path)
        {
            all.insert(target.clone());
        }
    }
    all
}
