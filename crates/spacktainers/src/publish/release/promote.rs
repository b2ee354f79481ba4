//! A release from one environment to another: the same bytes, by digest.
//!
//! ```text
//! places of the one ─► gather    every one holds the same image, of which everything is there   else ─► refused
//!                        │
//!                        ▼
//!                    Gathered    image whose layers are in that registry, attachments, SIF file
//!                        │
//!                        ▼
//! places of the other ◄─ release    blobs are mounted within a registry and carried between two; SIF files are copied
//!                                   within the bucket's service
//! ```

use std::collections::BTreeMap;

use oci_format::json::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use oci_format::{Descriptor, Digest, ImageConfig, ImageManifest, Manifest, Reference};

use super::super::{AttachedBlob, Attachment, PublishContext, PublishError, Target};
use super::{Place, ReleaseError};
use crate::bucket::{Bucket, ObjectName};
use crate::image::{Image, LayerContent, RecordedLayer};
use crate::registry::{FetchedManifest, ManifestKey, RegistryError, Repository};
use crate::sif::SifFacts;

/// A SIF file in a bucket, to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SifSource {
    /// Where it is.
    pub object: ObjectName,
    /// Bytes of it.
    pub size: u64,
    /// Digest of the file.
    pub file: Digest,
    /// What it says of itself.
    pub facts: SifFacts,
    /// The same as the bucket has it.
    pub metadata: BTreeMap<String, String>,
}

/// A release as it lies in its places.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The image; its layers are in a registry.
    pub image: Image,
    /// What is attached to it.
    pub attachments: Vec<Attachment>,
    /// The SIF file, where a bucket has one.
    pub sif: Option<SifSource>,
}

/// Finds the release that `places` hold, and looks whether it is whole.
///
/// # Errors
/// [`ReleaseError::Incomplete`] when places hold different images, or none, or something of it is missing; and when a place
/// cannot be asked.
pub async fn gather(places: &[Place], context: &PublishContext) -> Result<Gathered, ReleaseError> {
    let is_image = |it: &&Place| matches!(it.target, Target::Registry(_));
    let first = places.iter().find(is_image);
    let Some((target, reference)) = first.and_then(|it| match &it.target {
        Target::Registry(reference) => Some((&it.target, reference)),
        _ => None,
    }) else {
        let why = "no registry is among the places that it comes from".to_owned();
        return Err(ReleaseError::Incomplete { target: None, why });
    };
    let refused = |error| ReleaseError::Failed(vec![PublishError::registry(target)(error)]);
    let incomplete = |why: String| ReleaseError::Incomplete {
        target: Some(Box::new(target.clone())),
        why,
    };
    let repository = context.registry.repository(reference).map_err(refused)?;
    let found = image_under(&repository, reference, context).await;
    let found = found.map_err(refused)?;
    let found =
        found.ok_or_else(|| incomplete("it holds no image for this platform".to_owned()))?;
    let manifest = ImageManifest::parse(&found.bytes);
    let manifest = manifest.map_err(|_| incomplete("it is no image".to_owned()))?;
    let digest = found.descriptor.digest;
    let sif = same_everywhere(places, digest, context).await?;
    let config = repository.blob_bytes(&manifest.config, MAX_CONFIG_BYTES);
    let config = config.await.map_err(refused)?;
    let parsed = ImageConfig::parse(&config);
    let parsed = parsed.map_err(|_| incomplete("its config is none".to_owned()))?;
    let diff_ids = &parsed.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err(incomplete(
            "config and manifest tell different layers".to_owned(),
        ));
    }
    let mut layers = Vec::new();
    for (descriptor, diff_id) in manifest.layers.iter().zip(diff_ids) {
        let head = repository
            .blob_head(&descriptor.digest)
            .await
            .map_err(refused)?;
        let is_there = head.is_some_and(|it| it.is_none_or(|it| it == descriptor.size));
        if !is_there {
            return Err(incomplete(format!("it lacks {}", descriptor.digest)));
        }
        let origin = repository.as_origin();
        layers.push(RecordedLayer {
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
            content: LayerContent::Remote(origin.clone()),
            origins: vec![origin],
            title: format!("layer of {reference}"),
        });
    }
    let listed = repository.referrers(&digest).await.map_err(refused)?;
    let mut attachments = Vec::new();
    for entry in &listed {
        attachments.push(attachment(&repository, entry, target, context).await?);
    }
    Ok(Gathered {
        image: Image {
            config,
            config_descriptor: manifest.config,
            manifest: found.bytes,
            manifest_descriptor: found.descriptor,
            layers,
        },
        attachments,
        sif,
    })
}

/// The manifest that a name holds; of a name for several platforms, that of the context's.
async fn image_under(
    repository: &Repository,
    reference: &Reference,
    context: &PublishContext,
) -> Result<Option<FetchedManifest>, RegistryError> {
    let key = ManifestKey::from(reference);
    let Some(found) = repository.manifest(key).await? else {
        return Ok(None);
    };
    let Ok(Manifest::Index(index)) = Manifest::parse(&found.bytes) else {
        return Ok(Some(found));
    };
    let platform = context.platform.as_ref();
    match platform.and_then(|platform| index.entry(platform)) {
        Some(entry) => repository.manifest(entry.digest).await,
        None => Ok(None),
    }
}

/// Refuses places that hold another image; gives the first SIF file in a bucket.
async fn same_everywhere(
    places: &[Place],
    digest: Digest,
    context: &PublishContext,
) -> Result<Option<SifSource>, ReleaseError> {
    let mut sif = None;
    for place in places {
        let target = &place.target;
        let failed = |error| ReleaseError::Failed(vec![error]);
        let there = match target {
            Target::Registry(reference) => {
                let refused = |error| failed(PublishError::registry(target)(error));
                let repository = context.registry.repository(reference).map_err(refused)?;
                let found = image_under(&repository, reference, context).await;
                let found = found.map_err(refused)?;
                found.map(|it| it.descriptor.digest)
            }
            Target::Object(object) => {
                let refused = |error| failed(PublishError::bucket(target)(error));
                let bucket = Bucket::open(&object.bucket, &context.buckets).await;
                let bucket = bucket.map_err(refused)?;
                let found = bucket.head(&object.key).await.map_err(refused)?;
                let found = found.map(|it| (SifFacts::from_metadata(&it.metadata), it));
                if let Some((facts, object_facts)) = &found
                    && let Some(file) = facts.file
                    && sif.is_none()
                {
                    sif = Some(SifSource {
                        object: object.clone(),
                        size: object_facts.size,
                        file,
                        facts: facts.clone(),
                        metadata: object_facts.metadata.clone(),
                    });
                }
                found.and_then(|(facts, _)| facts.image)
            }
            _ => super::super::existing(target, context)
                .await
                .map_err(failed)?
                .map(|it| it.descriptor.digest),
        };
        if there != Some(digest) {
            let there = there.map_or_else(|| "nothing".to_owned(), |it| it.to_string());
            return Err(ReleaseError::Incomplete {
                target: Some(Box::new(target.clone())),
                why: format!("it holds {there}, and the others hold {digest}"),
            });
        }
    }
    Ok(sif)
}

/// An attachment byte for byte; its blobs come into the local cache.
async fn attachment(
    repository: &Repository,
    entry: &Descriptor,
    target: &Target,
    context: &PublishContext,
) -> Result<Attachment, ReleaseError> {
    let refused = |error| ReleaseError::Failed(vec![PublishError::registry(target)(error)]);
    let incomplete = || ReleaseError::Incomplete {
        target: Some(Box::new(target.clone())),
        why: format!("the attachment {} is not there, or none", entry.digest),
    };
    let found = repository.manifest(entry.digest).await.map_err(refused)?;
    let bytes = found.ok_or_else(incomplete)?.bytes;
    debug_assert!(
        bytes.len() as u64 <= MAX_MANIFEST_BYTES,
        "read within bounds"
    );
    let manifest = ImageManifest::parse(&bytes).map_err(|_| incomplete())?;
    let mut blobs = Vec::new();
    for descriptor in std::iter::once(&manifest.config).chain(&manifest.layers) {
        let content = repository.blob_to_cache(descriptor, &context.cache, |_| {});
        blobs.push(AttachedBlob {
            descriptor: descriptor.clone(),
            content: content.await.map_err(refused)?,
        });
    }
    let config = blobs.remove(0);
    Ok(Attachment::verbatim(&manifest, bytes, config, blobs))
}
