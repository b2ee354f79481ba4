//! How many containers of a project have a package: what many have should be a layer of its own.

use std::collections::HashMap;
use std::fs;

use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use crate::base::BaseArchitecture;
use crate::project::Project;

/// Counts by package.
#[derive(Debug, Clone, Default)]
pub struct Sharing {
    counts: HashMap<DagHash, u64>,
}

impl Sharing {
    /// Counts over all containers of an architecture that were solved. What cannot be read counts nothing: its fault is
    /// told when it is built itself.
    #[must_use]
    pub fn of(project: &Project, architecture: BaseArchitecture) -> Self {
        let mut counts = HashMap::new();
        for definition in &project.definitions {
            if !definition.enabled || definition.architecture != architecture {
                continue;
            }
            let Ok(text) = fs::read_to_string(definition.spack_lock()) else {
                continue;
            };
            let Ok(lock) = SpackLockfile::parse(&text) else {
                continue;
            };
            for package in lock.runtime_closure().packages {
                *counts.entry(package.hash).or_default() += 1;
            }
        }
        Self { counts }
    }

    /// How many containers have the package.
    #[must_use]
    pub fn count(&self, hash: &DagHash) -> u64 {
        self.counts.get(hash).copied().unwrap_or(0)
    }
}
