//! Why a definition file makes no SIF file.

use std::io;
use std::path::PathBuf;

use oci_format::layer::tar::TarWriteError;
use sif_format::deffile::Span;
use sif_format::singularity::SingularityError;

use crate::local_cache::LocalCacheError;
use crate::registry::RegistryError;
use crate::sandbox::SandboxError;
use crate::sif::SifWriteError;
use crate::sif::members::TreeReadError;
use crate::sif::signing::SigningError;
use crate::source::SourceError;

/// Why a definition file makes no SIF file.
#[derive(Debug, thiserror::Error)]
pub enum DeffileError {
    /// A section that has to be executed and could not, or failed.
    #[error(transparent)]
    Script(#[from] SandboxError),
    /// `-c` without a command.
    #[error("`{0} -c` names no command")]
    NoCommand(String),
    /// An app whose name cannot be used.
    #[error(transparent)]
    App(#[from] SingularityError),
    /// It begins with something that is not read here.
    #[error("`Bootstrap: {0}` cannot be built from yet")]
    Source(&'static str),
    /// A local image that the keys of `Fingerprints:` have not all signed.
    #[error("`{}` has no good signature by {fingerprint}, which `Fingerprints:` asks for", path.display())]
    Unsigned {
        /// The image.
        path: PathBuf,
        /// The key that has not signed it, or is not known here.
        fingerprint: String,
    },
    /// A local image whose signatures cannot be read.
    #[error("the signatures of the image cannot be read")]
    Signing(#[from] SigningError),
    /// There is no SIF file in the registry.
    #[error("there is no SIF file at `{0}`")]
    NoSif(String),
    /// The registry does not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// No network is to be used.
    #[error("`{0}` is in a registry, and no network is to be used")]
    Offline(String),
    /// A local image that cannot be read.
    #[error(transparent)]
    LocalImage(#[from] TreeReadError),
    /// It has no stages.
    #[error("the definition file has no stages")]
    Empty,
    /// The source's config is not usable.
    #[error("the config of the source image is not usable: {0}")]
    Config(String),
    /// A source that is not there or cannot be fetched.
    #[error(transparent)]
    Load(#[from] SourceError),
    /// A file to be copied that is not there.
    #[error("there is no `{path}` to be copied")]
    NoFile {
        /// As written.
        path: String,
        /// Where it was written.
        span: Span,
    },
    /// A destination outside the image.
    #[error("`{path}` is no place in the image")]
    Destination {
        /// As written.
        path: String,
        /// Where it was written.
        span: Span,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A layer of files that cannot be written.
    #[error("the files cannot be put into a layer")]
    Tar(#[from] TarWriteError),
    /// The local cache.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// The layers below cannot be merged.
    #[error("the image that files are copied into, or from, cannot be read")]
    Merge(#[from] SifWriteError),
}

impl DeffileError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Script(error) => error.hint()?.to_owned(),
            Self::Source(_) => "docker, docker-archive, oci, oci-archive, oras, localimage, debootstrap and scratch can be built from".to_owned(),
            Self::Unsigned { .. } => {
                "say which public keys count: `[sif] keys = [\"FILE\"]` in spacktainers.toml, or `--key FILE`".to_owned()
            }
            Self::NoFile { .. } => "relative paths are taken from the folder where the build is started".to_owned(),
            _ => return None,
        })
    }

    /// Where in the definition file, if it is about a place in it.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::NoFile { span, .. } | Self::Destination { span, .. } => Some(*span),
            _ => None,
        }
    }

    /// Whether something was not what its digest or its signatures say.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Unsigned { .. } | Self::Signing(_) => true,
            Self::Load(error) => error.is_verification(),
            Self::Registry(error) => error.is_verification(),
            Self::Merge(error) => error.is_verification(),
            _ => false,
        }
    }

    /// Whether a registry refused or failed, or does not have it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Load(_) | Self::Registry(_) | Self::NoSif(_) | Self::Offline(_)
        )
    }

    /// Whether the definition file or what it names is to be mended, rather than the world around it.
    #[must_use]
    pub fn is_definition(&self) -> bool {
        if let Self::Script(error) = self {
            return error.is_command();
        }
        matches!(
            self,
            Self::Source(_)
                | Self::NoCommand(_)
                | Self::App(_)
                | Self::Empty
                | Self::NoFile { .. }
                | Self::Destination { .. }
        )
    }
}
