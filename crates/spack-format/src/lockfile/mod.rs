//! `spack.lock`: the concrete specs that an environment was solved to.
//!
//! ```text
//! {"_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
//!  "spack": {"version": "1.1.0", "type": "git", "commit": "..."},
//!  "roots": [{"hash": "...", "spec": "zlib"}, ...],
//!  "concrete_specs": {"<hash>": {node}, ...},
//!  "include_concrete": {"<path>": {"roots": [...], "concrete_specs": {...}}}}
//! ```
//!
//! Start at [`SpackLockfile::parse`], or at [`to_text`] to write one. A lock that was parsed is complete: every root and every
//! edge leads to a node, and there are no cycles. Its hashes are stated, not verified.
//!
//! Source: `lib/spack/spack/environment/environment.py` (`_read_lockfile_dict`, `filter_specs`)
//! in Spack; one name per version below.

mod read;
#[cfg(test)]
mod tests;
mod write;

use crate::concrete::{
    ConcreteSpecs, GraphError, JsonFault, NodeError, NodeFormat, RuntimeClosure,
};
use crate::dag_hash::DagHash;

pub use write::{IncludedLock, LockfileWriteError, to_text, to_text_including};

/// The newest lock version that is known here.
pub const NEWEST_VERSION: u32 = 7;
/// The oldest lock version whose nodes can be read here.
pub const OLDEST_READABLE_VERSION: u32 = 3;

/// A `spack.lock`.
#[derive(Debug, Clone, PartialEq)]
pub struct SpackLockfile {
    /// `lockfile-version`: 3 to 7.
    pub version: u32,
    /// How the nodes are written; follows from the version alone.
    pub format: NodeFormat,
    /// The Spack that wrote the file, since 0.20.
    pub spack: Option<SpackRelease>,
    /// The specs that were asked for, in order.
    pub roots: Vec<Root>,
    /// Roots of environments that were included concretely, in order.
    pub included: Vec<IncludedEnvironment>,
    /// All nodes, those of included environments too.
    pub specs: ConcreteSpecs,
}

/// Which Spack wrote a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpackRelease {
    /// Such as `1.1.0`.
    pub version: String,
    /// `git` or `release`.
    pub kind: Option<String>,
    /// The commit, if it was a git clone.
    pub commit: Option<String>,
}

/// A spec that was asked for, and what it became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The DAG hash of what it became.
    pub hash: DagHash,
    /// The canonical form of what was asked for.
    pub spec: String,
    /// The group that it is in (version 7); absent means `default`.
    pub group: Option<String>,
}

/// An environment whose decisions were taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedEnvironment {
    /// Its directory on the machine that wrote the lock.
    pub path: String,
    /// Its roots.
    pub roots: Vec<Root>,
}

/// Why a text is not a lock that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockfileError {
    /// Not JSON, or not of the shape of a lock.
    #[error("{0}")]
    Json(JsonFault),
    /// Some other JSON file.
    #[error("not a spack.lock: `_meta` says file-type `{found}`")]
    FileType {
        /// What it says it is.
        found: String,
    },
    /// Written by a Spack before 0.17.
    #[error(
        "lock version {0} cannot be assembled from: its hashes leave out build dependencies and \
         recipes; concretize the environment again with Spack 0.18 or later"
    )]
    TooOld(u32),
    /// Written by a Spack that is newer than what is known here.
    #[error(
        "lock version {0} is newer than {NEWEST_VERSION}, the newest that is known: use a newer \
         spacktainers"
    )]
    TooNew(u32),
    /// A node cannot be read.
    #[error("concrete spec `{key}`: {source}")]
    Node {
        /// The key of the node in the file.
        key: String,
        /// What is wrong with it.
        source: NodeError,
    },
    /// A node lies under a hash that is not its own.
    #[error("`{name}` lies under {key} but states the hash {hash}: the lock was tampered with")]
    KeyMismatch {
        /// The node's name.
        name: String,
        /// The key.
        key: DagHash,
        /// What the node says.
        hash: DagHash,
    },
    /// A root leads nowhere.
    #[error("the root `{spec}`/{hash} is not among the concrete specs")]
    MissingRoot {
        /// What was asked for.
        spec: String,
        /// The hash that is not there.
        hash: DagHash,
    },
    /// Edges lead nowhere or in circles.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl SpackLockfile {
    /// Reads the text of a `spack.lock`.
    ///
    /// # Errors
    /// When the text is no lock, is of a version that cannot be read, or is not complete.
    pub fn parse(text: &str) -> Result<Self, LockfileError> {
        read::parse(text)
    }

    /// The hashes of the environment's own roots, in order.
    pub fn root_hashes(&self) -> impl Iterator<Item = DagHash> {
        self.roots.iter().map(|root| root.hash)
    }

    /// The hashes of own roots and then of included ones, each once, in the order in which Spack
    /// takes them for views and installs.
    #[must_use]
    pub fn all_root_hashes(&self) -> Vec<DagHash> {
        let included = self.included.iter().flat_map(|it| &it.roots);
        let mut seen = std::collections::HashSet::new();
        self.roots
            .iter()
            .chain(included)
            .map(|root| root.hash)
            .filter(|hash| seen.insert(*hash))
            .collect()
    }

    /// What has to be in an image of this environment.
    #[must_use]
    pub fn runtime_closure(&self) -> RuntimeClosure<'_> {
        self.specs.runtime_closure(self.all_root_hashes())
    }
}
