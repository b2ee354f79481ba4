//! `oras://HOST/REPO:TAG`: the image as a SIF file in a registry, as `apptainer push` puts it there and `apptainer pull` takes
//! it from there.
//!
//! Sources: the OCI image specification, "Guidelines for Artifact Usage"; the media types are those that Apptainer and
//! SingularityCE write (SingularityCE's CHANGELOG, 3.7.0).

use std::sync::Arc;

use oci_format::json::MAX_MANIFEST_BYTES;
use oci_format::{Descriptor, Digest, ImageManifest, Manifest, Reference, annotation, media_type};

use super::has_sif::Found;
use super::made_sif::{OnceMade, warn};
use super::progress::Task;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::content::Content;
use crate::event::TaskKind;
use crate::registry::{ManifestKey, RegistryError, Repository, Upload};
use crate::sif::SifFacts;

/// The type of a SIF file among layers.
pub const SIF_LAYER: &str = "application/vnd.sylabs.sif.layer.v1.sif";
/// The type of the config of such an artifact; it is empty.
const SIF_CONFIG: &str = "application/vnd.sylabs.sif.config.v1+json";
/// The config itself.
const CONFIG: &[u8] = b"{}";

/// A SIF file that a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SifArtifact {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// The file: digest and size.
    pub file: Descriptor,
    /// What it says of itself.
    pub facts: SifFacts,
}

/// The SIF file that the registry has under `reference`; nothing when there is none or it is something else.
///
/// # Errors
/// When the registry cannot be asked.
pub async fn find_sif(
    repository: &Repository,
    reference: &Reference,
) -> Result<Option<SifArtifact>, RegistryError> {
    let Some(found) = repository.manifest(ManifestKey::from(reference)).await? else {
        return Ok(None);
    };
    let Ok(Manifest::Image(manifest)) = Manifest::parse(&found.bytes) else {
        return Ok(None);
    };
    let file = manifest
        .layers
        .iter()
        .find(|layer| layer.media_type == SIF_LAYER);
    Ok(file.map(|file| SifArtifact {
        manifest: found.descriptor.digest,
        file: file.clone(),
        facts: SifFacts {
            file: Some(file.digest),
            ..SifFacts::from_annotations(&manifest.annotations)
        },
    }))
}

/// The artifact, if it is made from the same as what would be pushed.
pub(super) async fn find(
    repository: &Repository,
    reference: &Reference,
    facts: &SifFacts,
) -> Result<Option<Found>, RegistryError> {
    let found = find_sif(repository, reference).await?;
    let found = found.filter(|found| facts.is_of_same(&found.facts));
    Ok(found.map(|found| Found {
        size: found.file.size,
        tree: found.facts.tree,
    }))
}

pub(super) async fn push(
    once: &OnceMade<'_>,
    target: &Target,
    reference: &Reference,
    mut receipt: Receipt,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    let refused = PublishError::registry(target);
    let repository = context.registry.repository(reference).map_err(&refused)?;
    let repository = repository.clone().writable([]);
    if !context.is_forced
        && let facts = once.origin.facts()
        && let Some(found) = find(&repository, reference, &facts)
            .await
            .map_err(&refused)?
    {
        found.tell(&mut receipt);
        return Ok(receipt);
    }
    let bytes = bring(once, target, reference, &repository, &mut receipt, context).await?;
    let tag = ManifestKey::from(reference);
    let put = repository.put_manifest(tag, media_type::IMAGE_MANIFEST, bytes);
    put.await.map_err(&refused)?;
    Ok(receipt)
}

/// Brings the file and its config to the repository; gives the manifest, which is not put yet.
pub(super) async fn bring(
    once: &OnceMade<'_>,
    target: &Target,
    reference: &Reference,
    repository: &Repository,
    receipt: &mut Receipt,
    context: &PublishContext,
) -> Result<Vec<u8>, PublishError> {
    let refused = PublishError::registry(target);
    let made = once.get(target, context).await?;
    let config = Descriptor::of(SIF_CONFIG, CONFIG);
    let mut file = Descriptor::new(SIF_LAYER, made.digest, made.size);
    file.annotations
        .insert(annotation::TITLE.to_owned(), file_name(reference));
    let content = Content::File {
        path: made.file.path().to_owned(),
        offset: 0,
        len: made.size,
    };
    let empty = Content::Memory(CONFIG.into());
    for (blob, content) in [(&config, &empty), (&file, &content)] {
        let head = repository.blob_head(&blob.digest).await.map_err(&refused)?;
        if head.is_some() {
            receipt.reused(blob.size);
            continue;
        }
        let task = Task::start(
            &context.reporter,
            TaskKind::Upload,
            target.to_string(),
            blob.size,
        );
        let upload = Upload {
            digest: blob.digest,
            content,
            session: None,
            on_bytes: Arc::new(task.advance()),
        };
        repository.upload(upload).await.map_err(&refused)?;
        receipt.sent(blob.size);
        task.finish();
    }
    let mut manifest = ImageManifest::new(config, vec![file]);
    manifest.annotations = made.facts.to_annotations();
    let bytes = manifest.to_json();
    debug_assert!(
        bytes.len() as u64 <= MAX_MANIFEST_BYTES,
        "a few annotations"
    );
    warn(target, &made.summary, context);
    receipt.bytes_sent += bytes.len() as u64;
    receipt.tree = made.facts.tree;
    Ok(bytes)
}

/// The name that `apptainer pull` would give the file.
fn file_name(reference: &Reference) -> String {
    let name = reference.repository().rsplit('/').next().unwrap_or("image");
    let tag = reference.effective_tag().unwrap_or("latest");
    format!("{name}_{tag}.sif")
}
