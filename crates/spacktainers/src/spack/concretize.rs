//! From a definition to its `spack.lock`, by Spack; remembered by all that decides about it.

use std::fs;
use std::path::{Path, PathBuf};

use futures::{StreamExt, stream};
use oci_format::Digest;
use serde_json::Value as Json;
use spack_format::lockfile::SpackLockfile;

use super::files::write_whole;
use super::manifest::definition_manifest;
use super::{Run, Spack, SpackError, Store, Trusted, checkout};
use crate::event::Event;
use crate::project::{Definition, Project};

/// Solutions, by digest of what they were found from.
const KIND: &str = "spack-lock-1";

/// Which Spacks have filled their caches here.
const WARM: &str = "spack-warm-1";

/// Memory that a solver may need: that of a large environment was measured below this.
const SOLVER_MEMORY: u64 = 2 << 30;

/// What Spack decided.
#[derive(Debug)]
pub struct Solved {
    /// The text of `spack.lock`, as Spack wrote it.
    pub text: String,
    /// The same, read.
    pub lockfile: SpackLockfile,
    /// Whether it was known already, so that Spack was not asked.
    pub is_remembered: bool,
}

impl Solved {
    /// Writes `spack.lock` beside `definition`, if that is another one than what is there; says whether it did.
    ///
    /// # Errors
    /// When it cannot be written. What was there is there still, then.
    pub fn write(&self, definition: &Definition) -> Result<bool, SpackError> {
        let path = definition.spack_lock();
        if fs::read_to_string(&path).is_ok_and(|text| text == self.text) {
            return Ok(false);
        }
        write_whole(&path, &self.text)?;
        Ok(true)
    }
}

/// Solves `definition`. A solution that was found from the same configuration by the same Spack with the same recipes is
/// given again, unless `again`: what mirrors hold may have changed, and with it what Spack would reuse.
///
/// # Errors
/// When there is no solution, or Spack fails.
pub async fn concretize(
    spack: &Spack,
    project: &Project,
    definition: &Definition,
    again: bool,
) -> Result<Solved, SpackError> {
    if definition.as_spack().is_none() {
        return Err(SpackError::Deffile(definition.name.clone()));
    }
    let manifest = definition_manifest(project, definition);
    let scope = spack.scope(Store::Empty)?;
    let key = key(spack, &manifest, &scope.text()).await?;
    let cache = &spack.context().cache;
    if !again && let Some(solved) = remembered(spack, &key) {
        return Ok(solved);
    }
    let work = spack.work()?;
    let (scope_folder, environment) = (work.path().join("scope"), work.path().join("environment"));
    scope.write(&scope_folder)?;
    write_environment(&environment, &manifest, None)?;
    let first = spack.first_alone().await;
    let run = Run {
        doing: format!("solving {}", definition.title()),
        scope: scope_folder,
        environment: Some(environment.clone()),
        arguments: vec!["concretize".into(), "--quiet".into()],
        trusted: Trusted::Mirrors,
    };
    spack.run(&run).await?;
    drop(first);
    let file = environment.join("spack.lock");
    let text = fs::read_to_string(&file).map_err(SpackError::io("read", &file))?;
    let lockfile = SpackLockfile::parse(&text)?;
    for (kind, key, value) in [(KIND, &key, text.as_str()), (WARM, &spack.warm_key(), "")] {
        if let Err(error) = cache.put_record(kind, key, value.as_bytes()) {
            let warning = format!("what Spack decided cannot be remembered: {error}");
            spack.context().reporter.event(Event::Warning(warning));
        }
    }
    Ok(Solved {
        text,
        lockfile,
        is_remembered: false,
    })
}

/// Solves all of them, as many at a time as jobs and memory allow; the results are in their order.
pub async fn concretize_all(
    spack: &Spack,
    project: &Project,
    definitions: &[&Definition],
    again: bool,
) -> Vec<Result<Solved, SpackError>> {
    let at_once = solvers(spack.context().jobs.get(), free_memory());
    stream::iter(definitions)
        .map(|definition| concretize(spack, project, definition, again))
        .buffered(at_once)
        .collect()
        .await
}

/// How many solvers may run at once.
fn solvers(jobs: usize, free_memory: Option<u64>) -> usize {
    let by_memory = free_memory.map_or(1, |bytes| bytes / SOLVER_MEMORY);
    jobs.min(usize::try_from(by_memory).unwrap_or(usize::MAX))
        .max(1)
}

/// Bytes of memory that are free or can be freed.
pub(crate) fn free_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn remembered(spack: &Spack, key: &str) -> Option<Solved> {
    let bytes = spack.context().cache.record(KIND, key)?;
    let text = String::from_utf8(bytes).ok()?;
    let lockfile = SpackLockfile::parse(&text).ok()?;
    Some(Solved {
        text,
        lockfile,
        is_remembered: true,
    })
}

/// Digest of all that decides about a solution, save for what mirrors hold.
async fn key(spack: &Spack, manifest: &Json, scope: &str) -> Result<String, SpackError> {
    let mut fields = vec![
        manifest.to_string(),
        scope.to_owned(),
        spack.identity.clone(),
    ];
    for (name, _, identity) in &spack.repositories {
        fields.push(format!("{name} {identity}"));
    }
    for folder in repositories(manifest) {
        fields.push(checkout::recipes_identity(&folder, spack.context()).await?);
    }
    let mut text = String::new();
    for field in fields {
        text.push_str(&format!("{}\n{field}\n", field.len()));
    }
    Ok(Digest::of(text.as_bytes()).hex().to_string())
}

/// Folders of recipes that the environment itself names.
fn repositories(manifest: &Json) -> Vec<PathBuf> {
    let repos = manifest.get("spack").and_then(|it| it.get("repos"));
    let texts: Vec<&str> = match repos {
        Some(Json::Object(map)) => map.values().filter_map(Json::as_str).collect(),
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    texts
        .into_iter()
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.is_dir())
        .collect()
}

/// Makes the folder of an environment.
pub(crate) fn write_environment(
    folder: &Path,
    manifest: &Json,
    lock: Option<&str>,
) -> Result<(), SpackError> {
    fs::create_dir_all(folder).map_err(SpackError::io("make the folder", folder))?;
    let text = manifest.to_string();
    for (name, text) in [("spack.yaml", Some(text.as_str())), ("spack.lock", lock)] {
        let file = folder.join(name);
        if let Some(text) = text {
            fs::write(&file, text).map_err(SpackError::io("write", &file))?;
        }
    }
    Ok(())
}

impl Spack {
    /// A folder for one run, gone afterwards.
    pub(crate) fn work(&self) -> Result<tempfile::TempDir, SpackError> {
        let folder = self.folder("work")?;
        tempfile::Builder::new()
            .tempdir_in(&folder)
            .map_err(SpackError::io("make a folder in", &folder))
    }

    fn warm_key(&self) -> String {
        let mut text = self.identity.clone();
        for (name, _, identity) in &self.repositories {
            text.push_str(&format!(" {name} {identity}"));
        }
        Digest::of(text.as_bytes()).hex().to_string()
    }

    /// The first run with new recipes reads them all, which takes a minute: whoever comes second waits, instead of doing
    /// the same once more.
    async fn first_alone(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let is_warm = || {
            self.context()
                .cache
                .record(WARM, &self.warm_key())
                .is_some()
        };
        if is_warm() {
            return None;
        }
        let guard = self.first.lock().await;
        (!is_warm()).then_some(guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solvers_are_bound_by_jobs_and_memory() {
        assert_eq!(solvers(8, Some(5 << 30)), 2);
        assert_eq!(solvers(2, Some(64 << 30)), 2);
        assert_eq!(solvers(8, Some(1 << 20)), 1);
        assert_eq!(solvers(8, None), 1);
    }
}
