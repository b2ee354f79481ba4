//! What a target holds: for deciding whether it is up to date.

use std::path::Path;

use oci_format::json::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use oci_format::{
    Descriptor, Digest, ImageConfig, ImageManifest, JsonError, Manifest, Platform, layout,
    media_type,
};

use super::layout::{blocking, read_bounded};
use super::{PublishContext, PublishError, Target, find_sif};
use crate::bucket::Bucket;
use crate::registry::{ManifestKey, RegistryError};
use crate::sif::SifFacts;

/// An image that a target holds.
#[derive(Debug, Clone)]
pub struct Existing {
    /// Media type, digest and size of its manifest.
    pub descriptor: Descriptor,
    /// Its manifest.
    pub manifest: ImageManifest,
    /// Its config, with the labels.
    pub config: ImageConfig,
}

/// The image that `target` holds under its name, without its layers.
///
/// Of an index it is the image for [`PublishContext::platform`]. Nothing when there is none, when it is no image or one for
/// another architecture, and for archives, which are always written anew.
///
/// # Errors
/// When the target cannot be read, or the registry serves something whose digests are wrong.
pub async fn existing(
    target: &Target,
    context: &PublishContext,
) -> Result<Option<Existing>, PublishError> {
    match target {
        Target::Registry(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            let found = repository.manifest(ManifestKey::from(reference)).await;
            let Some(mut found) = found.map_err(&refused)? else {
                return Ok(None);
            };
            if let Ok(Manifest::Index(index)) = Manifest::parse(&found.bytes) {
                let platform = context.platform.as_ref();
                let Some(entry) = platform.and_then(|platform| index.entry(platform)) else {
                    return Ok(None);
                };
                let image = repository.manifest(entry.digest).await;
                match image.map_err(&refused)? {
                    Some(image) => found = image,
                    None => return Ok(None),
                }
            }
            let Ok(Manifest::Image(manifest)) = Manifest::parse(&found.bytes) else {
                return Ok(None);
            };
            let config = match repository
                .blob_bytes(&manifest.config, MAX_CONFIG_BYTES)
                .await
            {
                Ok(config) => config,
                Err(RegistryError::Missing(_)) => return Ok(None),
                Err(error) => return Err(refused(error)),
            };
            let image = assemble(found.descriptor, *manifest, &config);
            Ok(image.filter(|it| fits(it, context.platform.as_ref())))
        }
        Target::OciLayout {
            directory,
            reference,
        } => {
            let (directory, name) = (directory.clone(), reference.clone());
            let platform = context.platform.clone();
            blocking(target, move || {
                read_layout(&directory, name.as_deref(), platform.as_ref())
            })
            .await
        }
        Target::Sif(file) => {
            let file = file.clone();
            blocking(target, move || Ok(read_sif(&file))).await
        }
        Target::Object(object) => {
            let refused = PublishError::bucket(target);
            let bucket = Bucket::open(&object.bucket, &context.buckets).await;
            let bucket = bucket.map_err(&refused)?;
            let found = bucket.head(&object.key).await.map_err(&refused)?;
            Ok(found.and_then(|found| of_facts(&SifFacts::from_metadata(&found.metadata))))
        }
        Target::Oras(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            let found = find_sif(&repository, reference).await.map_err(&refused)?;
            Ok(found.and_then(|found| of_facts(&found.facts)))
        }
        Target::OciArchive { .. } | Target::DockerArchive { .. } | Target::Squashfs(_) => Ok(None),
    }
}

/// The image that a SIF file was made from, as far as the file says.
fn of_facts(facts: &SifFacts) -> Option<Existing> {
    let descriptor = Descriptor::new(media_type::IMAGE_MANIFEST, facts.image?, 0);
    let platform = Platform {
        architecture: String::new(),
        os: "linux".to_owned(),
        variant: None,
    };
    let mut config = ImageConfig::new(&platform);
    config.config.labels = facts.to_annotations();
    Some(Existing {
        manifest: ImageManifest::new(descriptor.clone(), Vec::new()),
        descriptor,
        config,
    })
}

fn assemble(descriptor: Descriptor, manifest: ImageManifest, config: &[u8]) -> Option<Existing> {
    let config = ImageConfig::parse(config).ok()?;
    Some(Existing {
        descriptor,
        manifest,
        config,
    })
}

/// Whether an image is for the architecture that is asked for.
fn fits(existing: &Existing, platform: Option<&Platform>) -> bool {
    platform.is_none_or(|it| it.architecture == existing.config.architecture)
}

fn read_layout(
    root: &Path,
    name: Option<&str>,
    platform: Option<&Platform>,
) -> Result<Option<Existing>, PublishError> {
    let path = root.join(layout::INDEX_FILE);
    let malformed = |source: JsonError| PublishError::Layout {
        path: path.clone(),
        source,
    };
    let index = read_bounded(&path, MAX_MANIFEST_BYTES).map_err(PublishError::io("read", &path))?;
    let Some(index) = index else {
        return Ok(None);
    };
    let Some(mut descriptor) = layout::find_reference(&index, name).map_err(malformed)? else {
        return Ok(None);
    };
    let Some(mut bytes) = read_blob(root, &descriptor.digest, MAX_MANIFEST_BYTES)? else {
        return Ok(None);
    };
    if let Ok(Manifest::Index(index)) = Manifest::parse(&bytes) {
        let Some(entry) = platform.and_then(|platform| index.entry(platform)) else {
            return Ok(None);
        };
        let Some(image) = read_blob(root, &entry.digest, MAX_MANIFEST_BYTES)? else {
            return Ok(None);
        };
        (descriptor, bytes) = (entry.clone(), image);
    }
    let Ok(Manifest::Image(manifest)) = Manifest::parse(&bytes) else {
        return Ok(None);
    };
    let Some(config) = read_blob(root, &manifest.config.digest, MAX_CONFIG_BYTES)? else {
        return Ok(None);
    };
    Ok(assemble(descriptor, *manifest, &config).filter(|it| fits(it, platform)))
}

/// The image that a SIF file of ours was made from; others do not say.
fn read_sif(path: &Path) -> Option<Existing> {
    let mut sif = crate::sif::inspect::open(path).ok()?;
    let record = crate::sif::inspect::record(&mut sif)?;
    let config = crate::sif::inspect::image_config(&mut sif, "")?;
    let digest = record.image?;
    let descriptor = Descriptor::new(oci_format::media_type::IMAGE_MANIFEST, digest, 0);
    let manifest = ImageManifest::new(descriptor.clone(), Vec::new());
    Some(Existing {
        descriptor,
        manifest,
        config,
    })
}

/// A small blob of the layout; nothing when it is missing or damaged: then it has to be written.
pub(super) fn read_blob(
    root: &Path,
    digest: &Digest,
    limit: u64,
) -> Result<Option<Vec<u8>>, PublishError> {
    let path = root.join(layout::blob_path(digest));
    let bytes = read_bounded(&path, limit).map_err(PublishError::io("read", &path))?;
    Ok(bytes.filter(|bytes| Digest::of(bytes) == *digest))
}
