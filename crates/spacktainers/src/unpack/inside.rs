//! Paths inside a root: symbolic links are followed as if the root were `/`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::UnpackError;

/// Links the kernel follows before it answers ELOOP.
const MOST_LINKS: usize = 40;

/// The host path of `path`'s parent directory, with every symbolic link on the way resolved inside `root`,
/// and `path`'s last component, which is not followed.
///
/// Components that do not exist yet are taken as they are.
pub(super) fn parent_of(root: &Path, path: &[u8]) -> Result<(PathBuf, OsString), UnpackError> {
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    };
    Ok((resolve(root, parent)?, OsString::from_vec(name.to_vec())))
}

/// The host path of `path` with every symbolic link resolved inside `root`.
pub(crate) fn resolve(root: &Path, path: &[u8]) -> Result<PathBuf, UnpackError> {
    let mut pending: VecDeque<OsString> = components(Path::new(std::ffi::OsStr::from_bytes(path)));
    let mut inside: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(component) = pending.pop_front() {
        if component == ".." {
            inside.pop();
            continue;
        }
        let mut here = root.to_path_buf();
        here.extend(&inside);
        here.push(&component);
        match std::fs::read_link(&here) {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(UnpackError::LinkLoop(
                        String::from_utf8_lossy(path).into_owned(),
                    ));
                }
                if target.is_absolute() {
                    inside.clear();
                }
                for part in components(&target).into_iter().rev() {
                    pending.push_front(part);
                }
            }
            Err(_) => inside.push(component),
        }
    }
    let mut resolved = root.to_path_buf();
    resolved.extend(inside);
    Ok(resolved)
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_never_lead_out_of_the_root() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        symlink("/etc", root.join("absolute")).expect("link");
        symlink("../../../../etc", root.join("upward")).expect("link");
        assert_eq!(
            resolve(root, b"absolute/passwd").expect("resolves"),
            root.join("etc/passwd")
        );
        assert_eq!(
            resolve(root, b"upward/passwd").expect("resolves"),
            root.join("etc/passwd")
        );
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        symlink("b", folder.path().join("a")).expect("link");
        symlink("a", folder.path().join("b")).expect("link");
        assert!(matches!(
            resolve(folder.path(), b"a/x"),
            Err(UnpackError::LinkLoop(_))
        ));
    }
}
