//! What recipes set at run time, asked from Spack: recipes are programs, and only Spack can run them.
//!
//! A recipe looks at its prefix: whether a folder is there, which programs are in it. The packages are not installed
//! here, so each gets a hull: a folder with all its names, where files are empty. Values that name a hull come back with
//! `{HASH}` in its place.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value as Json, json};
use spack_format::dag_hash::DagHash;

use super::concretize::write_environment;
use super::{Run, Spack, SpackError, Store, Trusted};
use crate::layer::{PackageEntryKind, PackageRecord};
use crate::lock::{LockedModification, LockedRecipe, LockedRecipes};

/// Our question to Spack.
const SCRIPT: &str = include_str!("run_environment.py");

/// A locked environment whose recipes are asked.
pub(crate) struct RecipeQuestion<'a> {
    /// The environment, as `definition_manifest` gives it.
    pub(crate) manifest: &'a Json,
    /// The text of its `spack.lock`.
    pub(crate) lock: &'a str,
    /// Its roots.
    pub(crate) roots: &'a [DagHash],
    /// Its packages: names and what is in them.
    pub(crate) packages: Vec<(DagHash, &'a PackageRecord)>,
    /// Whose environment it is, for people.
    pub(crate) title: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    spack: String,
    packages: Vec<AnsweredPackage>,
    failed: Vec<FailedPackage>,
}

#[derive(Deserialize)]
struct AnsweredPackage {
    hash: DagHash,
    name: String,
    sets: Vec<LockedModification>,
}

#[derive(Deserialize)]
struct FailedPackage {
    hash: DagHash,
    name: String,
    reason: String,
}

impl Spack {
    /// Asks the recipes of a locked environment. Recipes that fail are told, and are among the unknown ones.
    pub(crate) async fn run_environment(
        &self,
        question: &RecipeQuestion<'_>,
    ) -> Result<LockedRecipes, SpackError> {
        let work = self.work()?;
        let (scope, environment) = (work.path().join("scope"), work.path().join("environment"));
        self.scope(Store::Empty)?.write(&scope)?;
        write_environment(&environment, question.manifest, Some(question.lock))?;
        let hulls = work.path().join("p");
        let mut prefixes = HashMap::new();
        for (hash, record) in &question.packages {
            let hull = hulls.join(hash.to_string());
            make_hull(&hull, record).map_err(SpackError::io("fill the folder", &hull))?;
            prefixes.insert(hash.to_string(), hull);
        }
        let roots: Vec<String> = question.roots.iter().map(ToString::to_string).collect();
        let request = json!({"roots": roots, "prefixes": prefixes}).to_string();
        let [script, request_file, result] =
            ["run_environment.py", "request.json", "result.json"].map(|it| work.path().join(it));
        for (file, text) in [(&script, SCRIPT), (&request_file, request.as_str())] {
            fs::write(file, text).map_err(SpackError::io("write", file))?;
        }
        let arguments: Vec<&Path> = vec![Path::new("python"), &script, &request_file, &result];
        self.run(&Run {
            doing: format!("asking the recipes of {}", question.title),
            scope,
            environment: Some(environment),
            arguments: arguments.into_iter().map(Into::into).collect(),
            trusted: Trusted::Nothing,
        })
        .await?;
        let text = fs::read_to_string(&result).map_err(SpackError::io("read", &result))?;
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|error| SpackError::io("read", &result)(io::Error::other(error)))?;
        Ok(self.told(answer, &hulls))
    }

    fn told(&self, answer: Answer, hulls: &Path) -> LockedRecipes {
        for failed in &answer.failed {
            let warning = format!(
                "the recipe of {} cannot say what it sets at run time: {}",
                failed.name, failed.reason
            );
            let event = crate::event::Event::Warning(warning);
            self.context().reporter.event(event);
        }
        let hulls = format!("{}/", hulls.display());
        let packages = answer.packages.into_iter().filter(|it| !it.sets.is_empty());
        LockedRecipes {
            spack: match self.commit() {
                Some(commit) => format!("{} {commit}", answer.spack),
                None => answer.spack,
            },
            unknown: answer.failed.iter().map(|failed| failed.hash).collect(),
            packages: packages
                .map(|package| LockedRecipe {
                    name: package.name,
                    hash: package.hash,
                    sets: package
                        .sets
                        .into_iter()
                        .map(|it| LockedModification {
                            value: with_placeholders(&it.value, &hulls),
                            ..it
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

/// Paths of hulls replaced by `{HASH}`.
fn with_placeholders(value: &str, hulls: &str) -> String {
    let mut parts = value.split(hulls);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A hash has 32 letters and digits of one byte each.
        match part.split_at_checked(32) {
            Some((hash, rest)) if hash.parse::<DagHash>().is_ok() => {
                out.push_str(&format!("{{{hash}}}{rest}"));
            }
            _ => {
                out.push_str(hulls);
                out.push_str(part);
            }
        }
    }
    out
}

/// A folder with the names of a package. Links are made last, so that nothing is made through one.
fn make_hull(hull: &Path, record: &PackageRecord) -> io::Result<()> {
    let place = |path: &str| -> Option<PathBuf> {
        let is_inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        is_inside.then(|| hull.join(path))
    };
    fs::create_dir_all(hull)?;
    for entry in &record.entries {
        let Some(path) = place(&entry.path) else {
            continue;
        };
        match &entry.kind {
            PackageEntryKind::Directory => fs::create_dir_all(&path)?,
            PackageEntryKind::File(_) | PackageEntryKind::HardLink(_) => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                let mut file = OpenOptions::new();
                file.write(true).create_new(true).mode(entry.mode & 0o777);
                existing(file.open(&path).map(drop))?;
            }
            PackageEntryKind::Symlink(_) => {}
        }
    }
    for entry in &record.entries {
        if let (PackageEntryKind::Symlink(target), Some(path)) = (&entry.kind, place(&entry.path)) {
            existing(symlink(target, &path))?;
        }
    }
    Ok(())
}

/// That a name is there twice is the archive's matter.
fn existing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hulls_become_placeholders() {
        let hash = "a".repeat(32);
        assert_eq!(
            with_placeholders(&format!("/w/p/{hash}/lib:/w/p/{hash}:/w/p/else"), "/w/p/"),
            format!("{{{hash}}}/lib:{{{hash}}}:/w/p/else")
        );
        assert_eq!(with_placeholders("/usr", "/w/p/"), "/usr");
    }
}
