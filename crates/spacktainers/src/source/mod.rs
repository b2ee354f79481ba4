//! Images that are there already, wherever they are: what is run, and what SIF files are made from.
//!
//! ```text
//! docker://HOST/REPO:TAG      a registry; layers come into the local cache
//! oci:DIR[:REF]               an image layout; layers stay where they are
//! oci-archive:FILE[:REF]      a layout in a tar; layers stay in it
//! docker-archive:FILE[:TAG]   what `docker save` makes; likewise
//! ```
//!
//! Start at [`ImageSource`] and [`load`].

mod archive;
mod docker_archive;
mod oci_archive;

use std::fmt;
use std::path::{Path, PathBuf};

use oci_format::{Digest, ImageConfig};

use crate::base::{
    self, BaseArchitecture, BaseContext, BaseError, BaseSource, LockedBase, blocking,
};
use crate::content::Content;

pub use archive::ArchiveSourceError;

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A registry; the reference as written.
    Registry(String),
    /// An image layout.
    OciLayout {
        /// Its directory.
        directory: PathBuf,
        /// The name within it.
        reference: Option<String>,
    },
    /// An image layout in a tar.
    OciArchive {
        /// The tar.
        file: PathBuf,
        /// The name within it.
        reference: Option<String>,
    },
    /// What `docker save` makes.
    DockerArchive {
        /// The tar.
        file: PathBuf,
        /// The tag of the image within it.
        reference: Option<String>,
    },
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no image: use docker://HOST/REPO:TAG, oci:DIR[:REF], oci-archive:FILE[:REF] or docker-archive:FILE[:TAG]"
)]
pub struct ImageSourceError(pub String);

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// In a registry or a layout.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// In an archive.
    #[error("cannot use the image in `{}`", file.display())]
    Archive {
        /// The archive.
        file: PathBuf,
        /// Why.
        source: Box<ArchiveSourceError>,
    },
}

impl SourceError {
    /// Whether something was not what its digest says.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Base(error) => error.is_verification(),
            Self::Archive { source, .. } => matches!(**source, ArchiveSourceError::Digest { .. }),
        }
    }
}

/// An image with its layers at hand.
#[derive(Debug, Clone)]
pub struct LoadedImage {
    /// Digest of its manifest, where it has one: what `docker save` makes has none.
    pub manifest: Option<Digest>,
    /// Its config.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<LoadedLayer>,
}

/// A layer with its bytes.
#[derive(Debug, Clone)]
pub struct LoadedLayer {
    /// Digest of the uncompressed tar, as the config says.
    pub diff_id: Digest,
    /// Digest of the bytes as stored, where that is known.
    pub digest: Option<Digest>,
    /// The bytes as stored: plain, or in gzip or zstd.
    pub content: Content,
}

impl ImageSource {
    /// Reads what people type. Paths end at the first colon, as with skopeo.
    ///
    /// # Errors
    /// When it is none of the known forms.
    pub fn parse(text: &str) -> Result<Self, ImageSourceError> {
        let error = || ImageSourceError(text.to_owned());
        let (transport, rest) = text.split_once(':').ok_or_else(error)?;
        if transport == "docker" {
            let reference = rest
                .strip_prefix("//")
                .filter(|it| !it.is_empty())
                .ok_or_else(error)?;
            return Ok(Self::Registry(reference.to_owned()));
        }
        let (path, reference) = match rest.split_once(':') {
            Some((path, reference)) => {
                (path, Some(reference.to_owned()).filter(|it| !it.is_empty()))
            }
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(error());
        }
        let path = PathBuf::from(path);
        Ok(match transport {
            "oci" => Self::OciLayout {
                directory: path,
                reference,
            },
            "oci-archive" => Self::OciArchive {
                file: path,
                reference,
            },
            "docker-archive" => Self::DockerArchive {
                file: path,
                reference,
            },
            _ => return Err(error()),
        })
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, reference) = match self {
            Self::Registry(reference) => return write!(f, "docker://{reference}"),
            Self::OciLayout {
                directory,
                reference,
            } => ("oci", directory, reference),
            Self::OciArchive { file, reference } => ("oci-archive", file, reference),
            Self::DockerArchive { file, reference } => ("docker-archive", file, reference),
        };
        write!(f, "{transport}:{}", path.display())?;
        match reference {
            Some(reference) => write!(f, ":{reference}"),
            None => Ok(()),
        }
    }
}

/// The image at `source` for `architecture`, its layers on this machine.
///
/// # Errors
/// When it is not there, cannot be fetched, or is malformed.
pub async fn load(
    source: &ImageSource,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<LoadedImage, SourceError> {
    match source {
        ImageSource::Registry(reference) => {
            from_base(
                &BaseSource::Registry(reference.clone()),
                architecture,
                context,
            )
            .await
        }
        ImageSource::OciLayout {
            directory,
            reference,
        } => {
            let layout = BaseSource::Layout {
                directory: directory.clone(),
                reference: reference.clone(),
            };
            from_base(&layout, architecture, context).await
        }
        ImageSource::OciArchive { file, reference } => {
            let (path, reference) = (context.folder.join(file), reference.clone());
            let variant = context.variant.clone();
            from_archive(file, move || {
                let variant = variant.as_deref();
                oci_archive::load(&path, reference.as_deref(), architecture, variant)
            })
            .await
        }
        ImageSource::DockerArchive { file, reference } => {
            let (path, reference) = (context.folder.join(file), reference.clone());
            from_archive(file, move || {
                docker_archive::load(&path, reference.as_deref())
            })
            .await
        }
    }
}

async fn from_archive(
    file: &Path,
    load: impl FnOnce() -> Result<LoadedImage, ArchiveSourceError> + Send + 'static,
) -> Result<LoadedImage, SourceError> {
    blocking(load).await.map_err(|error| SourceError::Archive {
        file: file.to_owned(),
        source: Box::new(error),
    })
}

async fn from_base(
    source: &BaseSource,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<LoadedImage, SourceError> {
    let locked = base::resolve(source, architecture, context).await?;
    let base = base::materialise(&locked, context).await?;
    let manifest = match &locked {
        LockedBase::Registry(image) | LockedBase::Layout(image) => Some(image.manifest),
        _ => None,
    };
    let mut layers = Vec::new();
    for layer in &base.layers {
        layers.push(LoadedLayer {
            diff_id: layer.diff_id,
            digest: Some(layer.descriptor.digest),
            content: base::layer_content(layer, context).await?,
        });
    }
    let config = base.config.unwrap_or_else(|| {
        let platform = oci_format::Platform {
            architecture: architecture.to_string(),
            os: "linux".to_owned(),
            variant: None,
        };
        ImageConfig::new(&platform)
    });
    Ok(LoadedImage {
        manifest,
        config,
        layers,
    })
}

#[cfg(test)]
mod tests;
