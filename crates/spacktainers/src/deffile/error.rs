//! Why a definition file makes no SIF file.

use std::io;
use std::path::PathBuf;

use oci_format::layer::tar::TarWriteError;
use sif_format::deffile::Span;

use crate::local_cache::LocalCacheError;
use crate::sif::SifWriteError;
use crate::sif::members::TreeReadError;
use crate::source::SourceError;

/// Why a definition file makes no SIF file.
#[derive(Debug, thiserror::Error)]
pub enum DeffileError {
    /// It asks to run something.
    #[error("`{section}` has to run while the image is built{}, and nothing can be run yet", if *.on_host { " (on this machine)" } else { "" })]
    Runs {
        /// The section.
        section: String,
        /// Whether it would run on the machine that builds.
        on_host: bool,
    },
    /// It begins with something that is not read here.
    #[error("`Bootstrap: {0}` cannot be built from yet")]
    Source(&'static str),
    /// An image by its place in an archive.
    #[error("an image by its place (`:@INDEX`) cannot be used yet: name it")]
    Index,
    /// A local image that has to be signed by given keys.
    #[error("`Fingerprints:` cannot be checked here, as no keys are given")]
    Fingerprints,
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
            Self::Runs { .. } => "put what it installs into the source image, or build this one with Apptainer".to_owned(),
            Self::Source(_) => "docker, docker-archive, oci, oci-archive, localimage, debootstrap and scratch can be built from".to_owned(),
            Self::Fingerprints => {
                "check the image with `spacktainers sif verify FILE --key KEYS` and take the line out".to_owned()
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

    /// Whether the definition file or what it names is to be mended, rather than the world around it.
    #[must_use]
    pub fn is_definition(&self) -> bool {
        matches!(
            self,
            Self::Runs { .. }
                | Self::Source(_)
                | Self::Index
                | Self::Empty
                | Self::Fingerprints
                | Self::NoFile { .. }
                | Self::Destination { .. }
        )
    }
}
