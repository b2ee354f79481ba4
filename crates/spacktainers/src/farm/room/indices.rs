//! What Spack has found out about recipes on this machine, for the Spack in the sandbox: reading all recipes takes it a minute.
//!
//! These files name recipes and no places, so they are the same there. What else Spack remembers is about this machine's
//! compilers, and stays here.
//!
//! Source: `RepoIndex` in `lib/spack/spack/repo.py` of Spack 1.1; recipes that changed later than an index are read again.

use std::fs;
use std::io;
use std::path::Path;

/// Which of Spack's caches are about recipes.
const ABOUT_RECIPES: [&str; 3] = ["patches", "providers", "tags"];

/// Copies indices that are newer here. That one cannot be copied costs a minute and no more.
pub(in crate::farm) fn bring(here: &Path, there: &Path) {
    for kind in ABOUT_RECIPES {
        let (from, to) = (
            here.join("cache").join(kind),
            there.join("cache").join(kind),
        );
        let Ok(entries) = fs::read_dir(&from) else {
            continue;
        };
        for entry in entries.flatten() {
            let is_index = entry.path().extension().is_some_and(|it| it == "json");
            let target = to.join(entry.file_name());
            if is_index && is_newer(&entry.path(), &target) {
                let _ = copy(&entry.path(), &to, &target);
            }
        }
    }
}

fn is_newer(one: &Path, other: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|it| it.modified());
    match (time(one), time(other)) {
        (Ok(one), Ok(other)) => one > other,
        (Ok(_), Err(_)) => true,
        (Err(_), _) => false,
    }
}

/// Copies a file in one step, with its time: recipes that changed since are newer than it.
fn copy(from: &Path, folder: &Path, to: &Path) -> io::Result<()> {
    let time = fs::metadata(from)?.modified()?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".index-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    io::copy(&mut fs::File::open(from)?, &mut file)?;
    file.as_file().set_modified(time)?;
    file.persist(to)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_indices_of_recipes_come_along_and_nothing_about_compilers_does() {
        let work = tempfile::tempdir().expect("a folder");
        let (here, there) = (work.path().join("here"), work.path().join("there"));
        for (name, text) in [
            ("providers/builtin-index.json", "new"),
            ("providers/.builtin-index.json.lock", ""),
            ("compilers/compilers.json", "of this machine"),
        ] {
            let path = here.join("cache").join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        bring(&here, &there);
        let index = there.join("cache/providers/builtin-index.json");
        assert_eq!(fs::read_to_string(&index).expect("it came"), "new");
        assert!(!there.join("cache/compilers").exists());
        assert!(
            !there
                .join("cache/providers/.builtin-index.json.lock")
                .exists()
        );
        // One that is as new stays as it is.
        let time = fs::metadata(&index)
            .and_then(|it| it.modified())
            .expect("a time");
        fs::write(&index, "theirs").expect("written");
        fs::File::options()
            .write(true)
            .open(&index)
            .and_then(|file| file.set_modified(time))
            .expect("set");
        bring(&here, &there);
        assert_eq!(fs::read_to_string(&index).expect("it is there"), "theirs");
    }
}
