//! Why packages cannot be laid down.

use std::io;
use std::path::PathBuf;

use spack_format::database::DatabaseError;
use spack_format::prefix::PrefixError;

use crate::build::{BuildError, ErrorKind};
use crate::install_tree::InstallTreeError;

/// Why packages cannot be laid down.
#[derive(Debug, thiserror::Error)]
pub enum LayError {
    /// They cannot be had, or cannot be relocated.
    #[error(transparent)]
    Packages(#[from] BuildError),
    /// Nobody can say where a package is to lie.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// The tree's database cannot be read.
    #[error(transparent)]
    Tree(#[from] InstallTreeError),
    /// The lock's nodes cannot be written into a database.
    #[error("the packages cannot be written into the tree's database")]
    Record(#[from] DatabaseError),
    /// A package whose dependencies were exchanged after it was built.
    #[error("{0} is spliced, and only Spack itself can lay it down")]
    Spliced(String),
    /// The database is of another version than the lock.
    #[error(
        "the database of `{}` is of version {theirs}, and records of the lock are of version {ours}", root.display()
    )]
    Version {
        /// The tree.
        root: PathBuf,
        /// The tree's.
        theirs: String,
        /// The lock's.
        ours: String,
    },
    /// A folder that is in nobody's database, in a tree that Spack is installing into.
    #[error(
        "`{}` is in the way: the database does not know it, and a Spack that is at work in this tree may be writing it", prefix.display()
    )]
    InTheWay {
        /// The folder.
        prefix: PathBuf,
    },
    /// Somebody has the database for themselves, for minutes.
    #[error("`{}` is locked by somebody else", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// Something cannot be read or written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LayError {
    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Packages(error) => error.kind(),
            Self::Prefix(_) | Self::Spliced(_) | Self::Version { .. } | Self::Record(_) => {
                ErrorKind::Definition
            }
            Self::Tree(_) | Self::InTheWay { .. } | Self::Locked { .. } | Self::Write { .. } => {
                ErrorKind::Fault
            }
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Packages(error) => error.hint(),
            Self::Spliced(_) => Some("use `spack install --cache-only`".into()),
            Self::Version { .. } => Some(
                "use the Spack release that the tree is from to concretize, or another tree".into(),
            ),
            Self::InTheWay { .. } => Some("wait for Spack to end and try again".into()),
            _ => None,
        }
    }
}
