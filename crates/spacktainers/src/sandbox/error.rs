//! Why a command could not be executed, or its result not be had.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use oci_format::layer::tar::TarWriteError;

use crate::local_cache::LocalCacheError;
use crate::sif::SifWriteError;
use crate::unpack::UnpackError;

/// Why a command could not be executed, or its result not be had.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No program that makes sandboxes.
    #[error("nothing can be executed here: there is no bubblewrap (the program `bwrap`)")]
    NoBubblewrap,
    /// A program that did not start.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The command ended with an error.
    #[error("{title} failed ({status})")]
    Failed {
        /// The step.
        title: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The command ran for too long.
    #[error("{title} was stopped: it ran for longer than {} seconds", limit.as_secs())]
    TimeOver {
        /// The step.
        title: String,
        /// The limit.
        limit: Duration,
    },
    /// Somebody stopped it.
    #[error("{0} was stopped")]
    Stopped(String),
    /// A value that cannot be given to a program.
    #[error("{0} has a NUL byte in its environment or command")]
    Nul(String),
    /// A layer that cannot be unpacked.
    #[error("the image cannot be unpacked")]
    Unpack(#[from] UnpackError),
    /// The layers cannot be merged.
    #[error("the image cannot be read")]
    Merge(#[from] SifWriteError),
    /// A file that cannot be read or written.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried: "read", "make".
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The layer cannot be written.
    #[error("the changes cannot be put into a layer")]
    Tar(#[from] TarWriteError),
    /// The local cache.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
}

impl SandboxError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoBubblewrap => Some(
                "install it (the package is called `bubblewrap`); no root and no daemon are needed",
            ),
            _ => None,
        }
    }

    /// Whether the command itself is at fault, rather than what surrounds it.
    #[must_use]
    pub fn is_command(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::TimeOver { .. })
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
