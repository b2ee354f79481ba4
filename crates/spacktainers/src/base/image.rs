//! A base that is an image already: in a registry, or in an image layout on a disk.
//!
//! Only its manifest and config are read. Layers of a registry's image stay there until a target lacks
//! them.

use std::path::{Path, PathBuf};

use oci_format::config::ImageConfig;
use oci_format::json::{JsonError, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use oci_format::layer::compression::Compression;
use oci_format::layout;
use oci_format::manifest::{ImageManifest, Manifest};
use oci_format::{Descriptor, Digest, Platform, Reference};

use super::context::BaseContext;
use super::locked::LockedImage;
use super::source::BaseArchitecture;
use super::{Base, blocking};
use crate::content::Content;
use crate::image::{LayerContent, RecordedLayer};
use crate::local_cache::LocalCacheError;
use crate::registry::{ManifestKey, RegistryError, Repository};

/// Why an image cannot be a base.
#[derive(Debug, thiserror::Error)]
pub enum BaseImageError {
    /// Its name is none.
    #[error("the base image's name is wrong")]
    Reference(#[from] oci_format::ReferenceError),
    /// The registry failed.
    #[error("the base image cannot be read")]
    Registry(#[from] RegistryError),
    /// The registry, or the layout, has no such image.
    #[error("there is no base image `{0}`")]
    Missing(String),
    /// It has nothing for the architecture.
    #[error("the base image `{reference}` is for {found}, not for {wanted}")]
    Platform {
        /// As in the settings.
        reference: String,
        /// The architecture of the image to be built.
        wanted: BaseArchitecture,
        /// What there is.
        found: String,
    },
    /// Its manifest or config is malformed.
    #[error("the base image `{reference}` is malformed")]
    Json {
        /// As in the settings.
        reference: String,
        /// Why.
        source: JsonError,
    },
    /// Its manifest and its config do not fit each other.
    #[error("the base image `{reference}` has {layers} layers and its config {diff_ids} diffIDs")]
    Layers {
        /// As in the settings.
        reference: String,
        /// Layers of the manifest.
        layers: usize,
        /// diffIDs of the config.
        diff_ids: usize,
    },
    /// A layer of a kind that no target takes.
    #[error(
        "the base image `{reference}` has a layer of type `{media_type}`: only tar, plain or in gzip or zstd, can be a layer"
    )]
    MediaType {
        /// As in the settings.
        reference: String,
        /// What it is said to be.
        media_type: String,
    },
    /// A file of the layout cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A blob of the layout is not what its name says.
    #[error("`{}` does not have the digest that it is named by", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
    },
    /// Nothing may be fetched, and it is not on this machine.
    #[error("the base image `{0}` is not in the local cache, and this run is offline")]
    Offline(String),
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
}

fn platform(architecture: BaseArchitecture, variant: Option<&str>) -> Platform {
    Platform {
        architecture: architecture.to_string(),
        os: "linux".to_owned(),
        variant: variant.map(str::to_owned),
    }
}

/// Pins an image of a registry.
pub(super) async fn resolve_registry(
    reference: &str,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<LockedImage, BaseImageError> {
    if context.offline {
        return Err(BaseImageError::Offline(reference.to_owned()));
    }
    let name: Reference = reference.parse()?;
    let repository = context.registries.repository(&name)?;
    let fetch = |key: ManifestKey| async {
        let found = repository.manifest(key).await?;
        found.ok_or_else(|| BaseImageError::Missing(reference.to_owned()))
    };
    let mut found = fetch(ManifestKey::from(&name)).await?;
    let variant = context.variant.as_deref();
    if let Some(descriptor) = select(&found.bytes, reference, architecture, variant)? {
        found = fetch(descriptor.digest.into()).await?;
    }
    // The architecture of an image without an index is only in its config.
    let manifest = parse_manifest(&found.bytes, reference)?;
    context.cache.insert(
        &found.descriptor.digest,
        found.descriptor.size,
        found.bytes.as_slice(),
    )?;
    let config = registry_config(&manifest, &repository, reference, context).await?;
    check_platform(&config, reference, architecture)?;
    Ok(LockedImage {
        reference: reference.to_owned(),
        manifest: found.descriptor.digest,
        size: found.descriptor.size,
    })
}

/// The pinned image of a registry, its layers left there.
pub(super) async fn registry_base(
    locked: &LockedImage,
    context: &BaseContext,
) -> Result<Base, BaseImageError> {
    let reference = &locked.reference;
    let name: Reference = reference.parse()?;
    let repository = context.registries.repository(&name)?;
    let bytes = match context
        .cache
        .blob(&locked.manifest)
        .map(|content| read(&content, MAX_MANIFEST_BYTES))
    {
        Some(bytes)
            if bytes
                .as_ref()
                .is_ok_and(|bytes| Digest::of(bytes) == locked.manifest) =>
        {
            bytes.unwrap_or_default()
        }
        _ if context.offline => return Err(BaseImageError::Offline(reference.clone())),
        _ => {
            let found = repository
                .manifest(ManifestKey::Digest(locked.manifest))
                .await?;
            let found = found.ok_or_else(|| {
                BaseImageError::Missing(format!("{reference}@{}", locked.manifest))
            })?;
            context.cache.remove(&locked.manifest)?;
            context.cache.insert(
                &locked.manifest,
                found.descriptor.size,
                found.bytes.as_slice(),
            )?;
            found.bytes
        }
    };
    let manifest = parse_manifest(&bytes, reference)?;
    let config = registry_config(&manifest, &repository, reference, context).await?;
    let origin = repository.as_origin();
    let layers = layers(&manifest, &config, reference, |descriptor| {
        let content = match context.cache.blob(&descriptor.digest) {
            Some(content) if content.len() == descriptor.size => LayerContent::Here(content),
            _ => LayerContent::Remote(origin.clone()),
        };
        (content, vec![origin.clone()])
    })?;
    Ok(Base {
        layers,
        config: Some(config),
        warnings: Vec::new(),
        made: None,
    })
}

async fn registry_config(
    manifest: &ImageManifest,
    repository: &Repository,
    reference: &str,
    context: &BaseContext,
) -> Result<ImageConfig, BaseImageError> {
    let descriptor = &manifest.config;
    let cached = context
        .cache
        .blob(&descriptor.digest)
        .and_then(|content| read(&content, MAX_CONFIG_BYTES).ok());
    let bytes = match cached.filter(|bytes| Digest::of(bytes) == descriptor.digest) {
        Some(bytes) => bytes,
        None if context.offline => return Err(BaseImageError::Offline(reference.to_owned())),
        None => {
            let bytes = repository.blob_bytes(descriptor, MAX_CONFIG_BYTES).await?;
            context.cache.remove(&descriptor.digest)?;
            context
                .cache
                .insert(&descriptor.digest, descriptor.size, bytes.as_slice())?;
            bytes
        }
    };
    parse_config(&bytes, reference)
}

/// Pins an image of a layout. `directory` is as written in the settings.
pub(super) async fn resolve_layout(
    directory: &Path,
    reference: Option<&str>,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<LockedImage, BaseImageError> {
    let shown = match reference {
        Some(reference) => format!("{}:{reference}", directory.display()),
        None => directory.display().to_string(),
    };
    let (root, name) = (context.folder.join(directory), reference.map(str::to_owned));
    let variant = context.variant.clone();
    blocking(move || {
        let json = |source| BaseImageError::Json {
            reference: shown.clone(),
            source,
        };
        layout::check_layout_file(&read_file(&root.join(layout::LAYOUT_FILE), 4096)?)
            .map_err(json)?;
        let index = read_file(&root.join(layout::INDEX_FILE), MAX_MANIFEST_BYTES)?;
        let found = layout::find_reference(&index, name.as_deref()).map_err(json)?;
        let mut descriptor =
            found.ok_or_else(|| BaseImageError::Missing(format!("oci:{shown}")))?;
        let mut bytes = read_blob(&root, &descriptor.digest, MAX_MANIFEST_BYTES)?;
        if let Some(selected) = select(&bytes, &shown, architecture, variant.as_deref())? {
            bytes = read_blob(&root, &selected.digest, MAX_MANIFEST_BYTES)?;
            descriptor = selected;
        }
        let manifest = parse_manifest(&bytes, &shown)?;
        let config = read_blob(&root, &manifest.config.digest, MAX_CONFIG_BYTES)?;
        check_platform(&parse_config(&config, &shown)?, &shown, architecture)?;
        Ok(LockedImage {
            reference: shown,
            manifest: descriptor.digest,
            size: bytes.len() as u64,
        })
    })
    .await
}

/// The pinned image of a layout; its layers are used where they lie.
pub(super) async fn layout_base(
    locked: &LockedImage,
    context: &BaseContext,
) -> Result<Base, BaseImageError> {
    let locked = locked.clone();
    let folder = context.folder.clone();
    blocking(move || {
        let reference = &locked.reference;
        let root = folder.join(reference.split(':').next().unwrap_or(reference));
        let manifest = parse_manifest(
            &read_blob(&root, &locked.manifest, MAX_MANIFEST_BYTES)?,
            reference,
        )?;
        let config = parse_config(
            &read_blob(&root, &manifest.config.digest, MAX_CONFIG_BYTES)?,
            reference,
        )?;
        for layer in &manifest.layers {
            let path = root.join(layout::blob_path(&layer.digest));
            let len = std::fs::metadata(&path)
                .map_err(|source| BaseImageError::Read {
                    path: path.clone(),
                    source,
                })?
                .len();
            if len != layer.size {
                return Err(BaseImageError::Digest { path });
            }
        }
        // Whoever sends a layer hashes it on the way.
        let layers = layers(&manifest, &config, reference, |descriptor| {
            let path = root.join(layout::blob_path(&descriptor.digest));
            (
                LayerContent::Here(Content::File {
                    path,
                    offset: 0,
                    len: descriptor.size,
                }),
                Vec::new(),
            )
        })?;
        Ok(Base {
            layers,
            config: Some(config),
            warnings: Vec::new(),
            made: None,
        })
    })
    .await
}

/// The manifest for the architecture, when the bytes are an index.
fn select(
    bytes: &[u8],
    reference: &str,
    architecture: BaseArchitecture,
    variant: Option<&str>,
) -> Result<Option<Descriptor>, BaseImageError> {
    let json = |source| BaseImageError::Json {
        reference: reference.to_owned(),
        source,
    };
    let Manifest::Index(index) = Manifest::parse(bytes).map_err(json)? else {
        return Ok(None);
    };
    if let Some(descriptor) = index.select(&platform(architecture, variant)) {
        return Ok(Some(descriptor.clone()));
    }
    let platforms = index
        .manifests
        .iter()
        .filter_map(|descriptor| descriptor.platform.as_ref());
    let mut found: Vec<String> = platforms
        .filter(|platform| platform.os != "unknown")
        .map(|platform| format!("{}/{}", platform.os, platform.architecture))
        .collect();
    found.sort();
    found.dedup();
    Err(BaseImageError::Platform {
        reference: reference.to_owned(),
        wanted: architecture,
        found: if found.is_empty() {
            "no platform".to_owned()
        } else {
            found.join(", ")
        },
    })
}

fn check_platform(
    config: &ImageConfig,
    reference: &str,
    architecture: BaseArchitecture,
) -> Result<(), BaseImageError> {
    if config.architecture == architecture.as_str() && config.os == "linux" {
        return Ok(());
    }
    Err(BaseImageError::Platform {
        reference: reference.to_owned(),
        wanted: architecture,
        found: format!("{}/{}", config.os, config.architecture),
    })
}

fn parse_manifest(bytes: &[u8], reference: &str) -> Result<ImageManifest, BaseImageError> {
    ImageManifest::parse(bytes).map_err(|source| BaseImageError::Json {
        reference: reference.to_owned(),
        source,
    })
}

fn parse_config(bytes: &[u8], reference: &str) -> Result<ImageConfig, BaseImageError> {
    ImageConfig::parse(bytes).map_err(|source| BaseImageError::Json {
        reference: reference.to_owned(),
        source,
    })
}

type Place = (LayerContent, Vec<crate::image::RegistryOrigin>);

fn layers(
    manifest: &ImageManifest,
    config: &ImageConfig,
    reference: &str,
    place: impl Fn(&Descriptor) -> Place,
) -> Result<Vec<RecordedLayer>, BaseImageError> {
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err(BaseImageError::Layers {
            reference: reference.to_owned(),
            layers: manifest.layers.len(),
            diff_ids: diff_ids.len(),
        });
    }
    let layer = |(descriptor, diff_id): (&Descriptor, &Digest)| {
        if Compression::of_media_type(&descriptor.media_type).is_none() {
            return Err(BaseImageError::MediaType {
                reference: reference.to_owned(),
                media_type: descriptor.media_type.clone(),
            });
        }
        let (content, origins) = place(descriptor);
        Ok(RecordedLayer {
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
            content,
            origins,
            title: reference.to_owned(),
        })
    };
    manifest.layers.iter().zip(diff_ids).map(layer).collect()
}

fn read(content: &Content, limit: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    content.open(0)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, BaseImageError> {
    let failed = |source| BaseImageError::Read {
        path: path.to_owned(),
        source,
    };
    let len = std::fs::metadata(path).map_err(failed)?.len();
    // One byte more than allowed, so that what is too long is seen to be so by who parses it.
    read(
        &Content::File {
            path: path.to_owned(),
            offset: 0,
            len,
        },
        limit + 1,
    )
    .map_err(failed)
}

fn read_blob(root: &Path, digest: &Digest, limit: u64) -> Result<Vec<u8>, BaseImageError> {
    let path = root.join(layout::blob_path(digest));
    let bytes = read_file(&path, limit)?;
    if Digest::of(&bytes) == *digest {
        Ok(bytes)
    } else {
        Err(BaseImageError::Digest { path })
    }
}
