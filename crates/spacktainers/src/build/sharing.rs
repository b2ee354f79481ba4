//! What a plan of layers looks at besides the image: the other containers of the project, and the history of locks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;

use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use super::lock_history;
use crate::layer::Observed;
use crate::local_cache::LocalCache;
use crate::lock;
use crate::project::{Definition, Project};

/// Who else has which packages in which layers, and what was seen of each name.
#[derive(Debug, Clone, Default)]
pub struct Sharing {
    users: HashMap<DagHash, BTreeSet<usize>>,
    layers: Vec<Vec<DagHash>>,
    /// Whose each of the layers is.
    owners: Vec<String>,
    observed: BTreeMap<String, Observed>,
    changes: usize,
}

impl Sharing {
    /// Reads what all other containers of `definition`'s architecture have, and the history of the project's locks, if it is
    /// in git. What cannot be read counts nothing: its fault is told when it is built itself.
    #[must_use]
    pub fn of(project: &Project, definition: &Definition, cache: &LocalCache) -> Self {
        let mut sharing = Self::default();
        let mut locks = Vec::new();
        for (number, other) in project.definitions.iter().enumerate() {
            if !other.enabled || other.architecture != definition.architecture {
                continue;
            }
            locks.push(other.spack_lock());
            if other.file != definition.file {
                sharing.add(number, other);
            }
        }
        let history = lock_history::read(&project.folder, &locks, cache);
        sharing.observed = history.observed;
        sharing.changes = history.changes;
        sharing
    }

    fn add(&mut self, number: usize, other: &Definition) {
        let parsed = fs::read_to_string(other.spack_lock())
            .ok()
            .and_then(|text| SpackLockfile::parse(&text).ok());
        for package in parsed
            .iter()
            .flat_map(|lock| lock.runtime_closure().packages)
        {
            self.users.entry(package.hash).or_default().insert(number);
        }
        let decided = fs::read_to_string(other.container_lock())
            .ok()
            .and_then(|text| lock::parse(&text).ok());
        for layer in decided.into_iter().flat_map(|lock| lock.layers) {
            self.layers.push(layer.packages);
            self.owners.push(other.title());
        }
    }

    /// The other containers that have the package, by number.
    #[must_use]
    pub fn users(&self, hash: &DagHash) -> BTreeSet<usize> {
        self.users.get(hash).cloned().unwrap_or_default()
    }

    /// The layers that other containers have.
    #[must_use]
    pub fn layers(&self) -> &[Vec<DagHash>] {
        &self.layers
    }

    /// Whose one of [`Self::layers`] is.
    #[must_use]
    pub fn owner(&self, layer: usize) -> &str {
        self.owners.get(layer).map_or("", String::as_str)
    }

    /// What the history of locks says of packages of this name.
    #[must_use]
    pub fn observed(&self, name: &str) -> Observed {
        self.observed.get(name).copied().unwrap_or_default()
    }

    /// How many changes of locks were found in the history.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.changes
    }
}
