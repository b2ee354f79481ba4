//! A tree that lies elsewhere on this machine than where its packages are built to lie: a sandbox shows it to them there.

use std::path::{Path, PathBuf};

/// Where a tree is shown, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The root as packages know it, before padding: `/opt/software`.
    pub root: PathBuf,
    /// The folder of this machine that is shown there.
    pub folder: PathBuf,
}

impl Mount {
    /// Where a path that packages know lies on this machine.
    #[must_use]
    pub fn on_disk(&self, path: &Path) -> PathBuf {
        moved(path, &self.root, &self.folder)
    }

    /// How packages know a path of this machine.
    #[must_use]
    pub fn shown(&self, path: &Path) -> PathBuf {
        moved(path, &self.folder, &self.root)
    }
}

/// Where a path lies on this machine: as `mount` says, if there is one.
pub(crate) fn on_disk(mount: Option<&Mount>, path: &Path) -> PathBuf {
    mount.map_or_else(|| path.to_owned(), |mount| mount.on_disk(path))
}

fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(below) if below.as_os_str().is_empty() => to.to_owned(),
        Ok(below) => to.join(below),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_elsewhere_than_they_lie() {
        let mount = Mount {
            root: "/opt/software".into(),
            folder: "/cache/store".into(),
        };
        for (shown, on_disk) in [
            ("/opt/software", "/cache/store"),
            ("/opt/software/a/b", "/cache/store/a/b"),
            ("/opt/softwares", "/opt/softwares"),
        ] {
            assert_eq!(mount.on_disk(Path::new(shown)), Path::new(on_disk));
            assert_eq!(mount.shown(Path::new(on_disk)), Path::new(shown));
        }
    }
}
