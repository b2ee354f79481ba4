//! Why an epilogue cannot be carried out.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use oci_format::JsonError;
use oci_format::layer::tar::{TarError, TarWriteError};

use crate::local_cache::LocalCacheError;
use crate::sandbox::SandboxError;
use crate::sif::SifWriteError;

/// Why an epilogue cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum EpilogueError {
    /// A value cannot be filled in.
    #[error("{message}")]
    Value {
        /// The instruction: bytes of the epilogue.
        place: Range<usize>,
        /// What is wrong.
        message: String,
    },
    /// There is no such file.
    #[error("there is no `{path}` to be copied")]
    NoFile {
        /// The instruction.
        place: Range<usize>,
        /// As written.
        path: String,
    },
    /// A source outside the definition's folder.
    #[error("`{path}` lies outside the definition's folder")]
    Outside {
        /// The instruction.
        place: Range<usize>,
        /// As written.
        path: String,
    },
    /// Several files would get one name.
    #[error("several files cannot be copied to `{path}`: end it with `/`")]
    NotAFolder {
        /// The instruction.
        place: Range<usize>,
        /// As written.
        path: String,
    },
    /// The image knows nobody of this name.
    #[error("the image has no {kind} `{name}`")]
    NoSuchOwner {
        /// The instruction.
        place: Range<usize>,
        /// `user` or `group`.
        kind: &'static str,
        /// As written.
        name: String,
    },
    /// A command that fails, or cannot be run here.
    #[error("{source}")]
    Run {
        /// The instruction.
        place: Range<usize>,
        /// Why.
        source: Box<SandboxError>,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An archive that ADD was to unpack.
    #[error("cannot unpack `{}`", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TarError,
    },
    /// The layer cannot be written.
    #[error("the layer cannot be written")]
    Tar(#[from] TarWriteError),
    /// The local cache.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// The layers below cannot be merged.
    #[error("the image below cannot be read")]
    Below(#[from] SifWriteError),
    /// The config of the image below.
    #[error("the image below cannot be read")]
    Config(#[from] JsonError),
}

impl EpilogueError {
    /// The instruction that it is about.
    #[must_use]
    pub fn place(&self) -> Option<&Range<usize>> {
        match self {
            Self::Value { place, .. }
            | Self::NoFile { place, .. }
            | Self::Outside { place, .. }
            | Self::NotAFolder { place, .. }
            | Self::NoSuchOwner { place, .. }
            | Self::Run { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Whether the epilogue itself is at fault, rather than what surrounds it.
    #[must_use]
    pub fn is_definition(&self) -> bool {
        match self {
            Self::Run { source, .. } => source.is_command(),
            _ => self.place().is_some(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoFile { .. } | Self::Outside { .. } => {
                "paths are relative to the folder of the definition, which is all that can be copied"
            }
            Self::Run { source, .. } => return source.hint(),
            Self::NoSuchOwner { .. } => "use numbers: `--chown=1000:1000`",
            _ => return None,
        })
    }
}
