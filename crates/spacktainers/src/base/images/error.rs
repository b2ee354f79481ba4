//! Why one of the images to build on cannot be made.

use std::io;
use std::path::{Path, PathBuf};

use oci_format::layer::tar::TarWriteError;

use super::wheel::WheelError;
use crate::base::BaseError;
use crate::build::ErrorKind;
use crate::local_cache::LocalCacheError;
use crate::openpgp::KeyError;
use crate::sandbox::SandboxError;
use crate::spack::SpackError;

/// Why one of the images to build on cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OwnImageError {
    /// Its Debian packages.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// Spack or its recipes.
    #[error(transparent)]
    Spack(#[from] SpackError),
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was decided before cannot be understood.
    #[error("`{}` cannot be read: {what}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A Python package.
    #[error("the Python package `{}` cannot be used", path.display())]
    Wheel {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: WheelError,
    },
    /// Python packages in an image without Python.
    #[error("there are Python packages for the builder, and its Debian packages have no python3")]
    NoPython,
    /// A key of a mirror.
    #[error("the key `{}` of a mirror cannot be used", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A layer cannot be written.
    #[error("cannot write a layer of the image")]
    Layer(#[source] io::Error),
    /// A file that a tar cannot hold, or that changed while it was read.
    #[error("cannot put `{path}` into a layer of the image")]
    Member {
        /// Where it goes.
        path: String,
        /// Why.
        source: TarWriteError,
    },
    /// The local cache.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// Spack could not fetch what it needs.
    #[error("Spack could not fetch what it needs to run")]
    Bootstrap(#[source] SandboxError),
}

impl OwnImageError {
    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Base(error) if error.is_verification() => ErrorKind::Unverified,
            Self::Base(error) if error.is_settings() => ErrorKind::Definition,
            Self::Base(_) => ErrorKind::Refused,
            Self::Spack(error) => error.kind(),
            Self::Lock { .. } | Self::Wheel { .. } | Self::NoPython | Self::Key { .. } => {
                ErrorKind::Definition
            }
            Self::Bootstrap(error) if error.is_command() => ErrorKind::Refused,
            Self::Bootstrap(_) => ErrorKind::Definition,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Layer(_)
            | Self::Member { .. }
            | Self::Cache(_) => ErrorKind::Fault,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Base(error) if error.is_settings() => Some(
                "write into spacktainers.toml: `[base.debian]` with `suite = \"bookworm\"`, and `mirror` where this machine has no apt"
                    .to_owned(),
            ),
            Self::Spack(error) => error.hint(),
            Self::Lock { .. } => Some("remove the file, or decide anew with --update".to_owned()),
            Self::NoPython => {
                Some("add \"python3\" to `packages` of `[base.builder]`".to_owned())
            }
            Self::Bootstrap(error) if error.is_command() => Some(
                "Spack's bootstrap mirrors have to be reachable; where they are not, leave `bootstrap` out and name a wheel of clingo \
                 in `wheels` of `[base.builder]`"
                    .to_owned(),
            ),
            Self::Bootstrap(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}
