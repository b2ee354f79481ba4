//! Which paths there will be below the install root of an image.

use std::collections::{BTreeMap, HashSet};

use crate::layer::{PackageEntryKind, PackageRecord};

/// All paths of an image's store.
#[derive(Debug)]
pub struct Places<'r> {
    store: String,
    packages: BTreeMap<String, Package<'r>>,
}

#[derive(Debug)]
struct Package<'r> {
    paths: HashSet<&'r str>,
    links: HashSet<&'r str>,
}

impl<'r> Places<'r> {
    /// Of packages with their prefixes, which begin with `/`, in `store`.
    pub fn new(
        store: &str,
        packages: impl IntoIterator<Item = (String, &'r PackageRecord)>,
    ) -> Self {
        let packages = packages.into_iter().map(|(prefix, record)| {
            let is_link = |kind: &PackageEntryKind| matches!(kind, PackageEntryKind::Symlink(_));
            let all = || record.entries.iter();
            let package = Package {
                paths: all().map(|entry| entry.path.as_str()).collect(),
                links: all()
                    .filter(|entry| is_link(&entry.kind))
                    .map(|entry| entry.path.as_str())
                    .collect(),
            };
            (prefix, package)
        });
        Self {
            store: store.to_owned(),
            packages: packages.collect(),
        }
    }

    /// Whether an absolute path will be there. Of what does not lie in the store, and of what lies behind a symbolic link,
    /// nothing is known: it counts as being there.
    #[must_use]
    pub fn is_there(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let Some(below) = path.strip_prefix(&self.store) else {
            return true;
        };
        if !below.is_empty() && !below.starts_with('/') {
            return true;
        }
        // What leads to a prefix is there, too.
        let leads = |prefix: &str| {
            prefix
                .strip_prefix(path)
                .is_some_and(|it| it.is_empty() || it.starts_with('/'))
        };
        if self.packages.keys().any(|prefix| leads(prefix)) {
            return true;
        }
        let ends = path.match_indices('/').map(|(at, _)| at);
        let found = ends.filter(|at| *at > 0).find_map(|at| {
            let package = self.packages.get(path.get(..at)?)?;
            Some((package, path.get(at + 1..)?))
        });
        let Some((package, below)) = found else {
            return false;
        };
        // `lib//x` and `lib/../lib64` are read as the kernel reads them, or not at all.
        if below.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return true;
        }
        package.paths.contains(below)
            || below
                .match_indices('/')
                .any(|(at, _)| package.links.contains(&below[..at]))
    }
}

#[cfg(test)]
mod tests {
    use oci_format::Digest;

    use super::*;
    use crate::layer::PackageEntry;

    #[test]
    fn paths_of_packages_are_known_and_others_are_taken_for_granted() {
        let entry = |path: &str, kind| PackageEntry {
            path: path.into(),
            kind,
            mode: 0o755,
        };
        let record = PackageRecord {
            compression: "gzip".into(),
            diff_id: Digest::of(b""),
            tar_size: 0,
            prefix: None,
            top: None,
            binary_distribution: String::new(),
            entries: vec![
                entry("lib", PackageEntryKind::Directory),
                entry("lib64", PackageEntryKind::Symlink("lib".into())),
            ],
            elf: BTreeMap::new(),
            texts: BTreeMap::new(),
        };
        let places = Places::new("/s", [("/s/arch/a-1".to_owned(), &record)]);
        for path in [
            "/s",
            "/s/arch",
            "/s/arch/a-1",
            "/s/arch/a-1/lib",
            "/s/arch/a-1/lib/",
            "/s/arch/a-1/lib64",
            "/s/arch/a-1/lib64/x",
            "/s/arch/a-1/lib/../lib",
            "/usr/lib",
            "/sx",
        ] {
            assert!(places.is_there(path), "{path}");
        }
        for path in [
            "/s/arch/a-1/share",
            "/s/arch/b-1/lib",
            "/s/arch/a-12",
            "/s/ar",
        ] {
            assert!(!places.is_there(path), "{path}");
        }
    }
}
