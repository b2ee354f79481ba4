//! The files that belong to a checkout, for putting them into an image: what git tracks, as it lies there now; without git
//! all but what Spack, Python and git leave behind.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{SpackContext, SpackError};

/// How deep folders are looked into.
const DEEPEST: usize = 32;

/// What Spack and others leave in a checkout of Spack.
const LEFT_BEHIND: &[&str] = &[
    ".git",
    ".spack-env",
    "__pycache__",
    "opt/spack",
    "var/spack/cache",
    "var/spack/environments",
    "var/spack/stage",
];

/// A file or link of a checkout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrackedFile {
    /// Below the folder.
    pub(crate) name: String,
    /// What is there.
    pub(crate) kind: TrackedKind,
}

/// What a file of a checkout is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TrackedKind {
    /// A file, and whether it can be executed.
    File(PathBuf, bool),
    /// A symbolic link, and where it leads.
    Link(String),
}

/// The files of the checkout at `folder`, sorted. What git tracks and is not there is passed over.
pub(crate) async fn tracked_files(
    folder: &Path,
    context: &SpackContext,
) -> Result<Vec<TrackedFile>, SpackError> {
    let names = match listed(folder, context).await {
        Some(names) => names,
        None => {
            let mut names = Vec::new();
            walk(folder, Path::new(""), 0, &mut names).map_err(SpackError::io("read", folder))?;
            names
        }
    };
    let mut files = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(SpackError::io("read", &path)(error)),
        };
        let kind = if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(SpackError::io("read", &path))?;
            TrackedKind::Link(target.to_string_lossy().into_owned())
        } else if metadata.is_file() {
            let is_executable = metadata.permissions().mode() & 0o100 != 0;
            TrackedKind::File(path, is_executable)
        } else {
            // A repository within, which is its own matter.
            continue;
        };
        files.push(TrackedFile { name, kind });
    }
    files.sort();
    Ok(files)
}

/// What git tracks below a folder; nothing if git does not know the folder.
async fn listed(folder: &Path, context: &SpackContext) -> Option<Vec<String>> {
    let output = tokio::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["ls-files", "-z", "--", "."])
        .env_clear()
        .envs(&context.environment)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    if !output.status.success() || output.stdout.is_empty() {
        return None;
    }
    let names = output.stdout.split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    let names = names.map(|name| OsStr::from_bytes(name).to_str().map(str::to_owned));
    names.collect()
}

fn walk(root: &Path, below: &Path, depth: usize, names: &mut Vec<String>) -> io::Result<()> {
    if depth > DEEPEST {
        return Ok(());
    }
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let Some(name) = path.to_str() else { continue };
        let last = entry.file_name();
        if LEFT_BEHIND.iter().any(|it| *it == name || **it == *last) || name.ends_with(".pyc") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(root, &path, depth + 1, names)?;
        } else {
            names.push(name.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;
    use crate::local_cache::LocalCache;
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_is_left_behind_is_no_part_of_a_checkout() {
        let work = tempfile::tempdir().expect("a folder");
        let folder = work.path().join("spack");
        for name in [
            "bin/spack",
            "lib/a.py",
            "lib/__pycache__/a.pyc",
            "var/spack/cache/x",
            ".git/HEAD",
        ] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, "x").expect("written");
        }
        std::os::unix::fs::symlink("spack", folder.join("bin/link")).expect("a link");
        let context = SpackContext {
            cache: LocalCache::open(work.path().join("cache")).expect("a cache"),
            environment: std::env::vars().collect(),
            reporter: Arc::new(Silent),
            jobs: NonZeroUsize::MIN,
            is_offline: true,
        };
        let files = tracked_files(&folder, &context).await.expect("files");
        let names: Vec<&str> = files.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["bin/link", "bin/spack", "lib/a.py"]);
        assert_eq!(files[0].kind, TrackedKind::Link("spack".to_owned()));
    }
}
