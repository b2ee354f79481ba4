//! What builds took, remembered in the local cache: for the next build of the same package, else of the same version, else
//! of the same name.

use serde::{Deserialize, Serialize};

use super::plan::Build;
use crate::local_cache::{LocalCache, LocalCacheError};

/// The kind of record; keys are a DAG hash, `name@version` and `name`.
const KIND: &str = "build-1";

/// What one build took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Seconds from the start of Spack to its end.
    pub seconds: f64,
    /// The most bytes of memory that all its processes had at one moment, as seen twice a second; none where nobody could
    /// look.
    pub peak_memory: Option<u64>,
    /// Processors that it shared in.
    pub cores: usize,
}

/// What is remembered of builds.
pub(super) struct Records<'a> {
    cache: &'a LocalCache,
}

impl<'a> Records<'a> {
    pub(super) const fn new(cache: &'a LocalCache) -> Self {
        Self { cache }
    }

    /// What the build that is most like `build` took.
    pub(super) fn latest(&self, build: &Build) -> Option<Recorded> {
        self.nearest(&keys(build))
    }

    /// What is remembered under the first of these keys that has something.
    pub(super) fn nearest(&self, keys: &[String]) -> Option<Recorded> {
        keys.iter().find_map(|key| {
            let bytes = self.cache.record(KIND, key)?;
            serde_json::from_slice(&bytes).ok().filter(is_sound)
        })
    }

    /// Remembers what `build` took.
    pub(super) fn keep(&self, build: &Build, recorded: &Recorded) -> Result<(), LocalCacheError> {
        let Ok(text) = serde_json::to_vec(recorded) else {
            return Ok(());
        };
        keys(build)
            .iter()
            .try_for_each(|key| self.cache.put_record(KIND, key, &text))
    }
}

/// No build takes longer than a year.
fn is_sound(recorded: &Recorded) -> bool {
    (0.0..=366.0 * 86_400.0).contains(&recorded.seconds)
}

/// From the very same package to one that has only the name in common.
fn keys(build: &Build) -> [String; 3] {
    [
        build.hash.to_string(),
        format!("{}@{}", build.name, build.version),
        build.name.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::plan::test_plan;
    use super::*;

    #[test]
    fn the_nearest_build_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = LocalCache::open(folder.path()).expect("a cache");
        let records = Records::new(&cache);
        let plan = test_plan(&[("zlib", &[]), ("zlib", &[]), ("xz", &[])]);
        let [first, second, other] = &plan.builds[..] else {
            panic!("three builds")
        };
        assert_eq!(records.latest(first), None);
        let took = |seconds| Recorded {
            seconds,
            peak_memory: Some(1 << 20),
            cores: 4,
        };
        records.keep(first, &took(3.5)).expect("kept");
        assert_eq!(records.latest(second), Some(took(3.5)), "by its name");
        records.keep(second, &took(9.0)).expect("kept");
        assert_eq!(records.latest(first), Some(took(3.5)), "by its hash");
        assert_eq!(records.latest(other), None);
        let damaged = serde_json::to_vec(&took(-1.0)).expect("text");
        cache.put_record(KIND, "xz", &damaged).expect("kept");
        assert_eq!(records.latest(other), None);
    }
}
