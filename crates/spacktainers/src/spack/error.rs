//! What can go wrong with Spack, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use spack_format::lockfile::LockfileError;

use crate::build::ErrorKind;
use crate::local_cache::LocalCacheError;

/// Why Spack could not be used, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SpackError {
    /// Nobody says where Spack is.
    #[error("this needs Spack, and the settings name none")]
    NotFound,
    /// There is no Spack where the settings say.
    #[error("`{}` is no Spack: it has no `bin/spack`", folder.display())]
    NoSpack {
        /// The folder.
        folder: PathBuf,
    },
    /// There are no recipes where the settings say.
    #[error("`{}` is no repository of recipes: it has no `repo.yaml`", folder.display())]
    NoRepository {
        /// The namespace.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A clone would need the network.
    #[error("commit {commit} of `{url}` is not here, and nothing is cloned offline")]
    Offline {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
    },
    /// `git` failed.
    #[error("commit {commit} of `{url}` could not be cloned: {message}")]
    Clone {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
        /// What git said.
        message: String,
    },
    /// A program could not be started.
    #[error("cannot run `{program}`")]
    Start {
        /// Which.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// Spack ended with an error.
    #[error("{doing} failed: {message}")]
    Failed {
        /// What it should have done, for people.
        doing: String,
        /// The part of its words that says why.
        message: String,
    },
    /// Spack has solved, and its lock cannot be read.
    #[error("the spack.lock that Spack wrote cannot be used")]
    Lockfile(#[from] LockfileError),
    /// The definition is no container of Spack packages.
    #[error("`{0}` is a Singularity definition file: there is nothing to solve")]
    Deffile(String),
    /// A file or folder of this machine.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
}

impl SpackError {
    /// Makes an error of what went wrong with a file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound
            | Self::NoSpack { .. }
            | Self::NoRepository { .. }
            | Self::Deffile(_)
            | Self::Failed { .. } => ErrorKind::Definition,
            Self::Offline { .. } | Self::Clone { .. } => ErrorKind::Refused,
            Self::Start { .. } | Self::Lockfile(_) | Self::Io { .. } | Self::Cache(_) => {
                ErrorKind::Fault
            }
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound => "write into spacktainers.toml, below `[spack]`: `root = \"FOLDER\"` for a checkout that is there, or `url` and `commit` \
                 for one to clone; or set SPACK_ROOT"
                .to_owned(),
            Self::NoSpack { .. } => {
                "name the folder that holds `bin`, `lib` and `etc` of Spack".to_owned()
            }
            Self::NoRepository { .. } => {
                "say with `folder` of `[[spack.repo]]` where below it `repo.yaml` lies".to_owned()
            }
            Self::Offline { .. } => "run once without --offline".to_owned(),
            _ => return None,
        })
    }
}
