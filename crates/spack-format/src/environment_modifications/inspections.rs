//! Directories of a prefix that variables name.

use super::modification::{Modification, normalized};

/// Directories below a prefix, and the variables that get those that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixInspections {
    entries: Vec<(String, Vec<String>)>,
}

impl Default for PrefixInspections {
    /// Spack's own, the same since 0.20.
    fn default() -> Self {
        let entries = [
            ("bin", "PATH"),
            ("man", "MANPATH"),
            ("share/man", "MANPATH"),
            ("share/aclocal", "ACLOCAL_PATH"),
            ("lib/pkgconfig", "PKG_CONFIG_PATH"),
            ("lib64/pkgconfig", "PKG_CONFIG_PATH"),
            ("share/pkgconfig", "PKG_CONFIG_PATH"),
            ("", "CMAKE_PREFIX_PATH"),
        ];
        let entry =
            |(folder, variable): (&str, &str)| (folder.to_owned(), vec![variable.to_owned()]);
        Self {
            entries: entries.into_iter().map(entry).collect(),
        }
    }
}

impl PrefixInspections {
    /// Those of a configuration (`modules:prefix_inspections`), in order.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        Self {
            entries: entries.into_iter().collect(),
        }
    }

    /// What is prepended for `root`. `keep` is asked of every directory.
    pub(super) fn of(&self, root: &str, keep: &dyn Fn(&str) -> bool) -> Vec<Modification> {
        let mut out = Vec::new();
        for (folder, variables) in &self.entries {
            let path = normalized(&format!("{root}/{folder}"));
            if keep(&path) {
                out.extend(
                    variables
                        .iter()
                        .map(|it| Modification::prepend_path(it, path.as_str())),
                );
            }
        }
        out
    }
}

/// Whether every system searches this directory by itself, so that naming it would only move it
/// before others.
pub(super) fn is_system_path(path: &str) -> bool {
    const ROOTS: [&str; 3] = ["/", "/usr", "/usr/local"];
    const FOLDERS: [&str; 5] = ["bin", "bin64", "include", "lib", "lib64"];
    let path = normalized(path);
    ROOTS.contains(&path.as_str())
        || path.rsplit_once('/').is_some_and(|(root, folder)| {
            let root = if root.is_empty() { "/" } else { root };
            ROOTS.contains(&root) && FOLDERS.contains(&folder)
        })
}
