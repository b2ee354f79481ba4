//! What is about an image and lies beside it: SBOMs, provenance, signatures, debug symbols.
//!
//! ```text
//! Attachment ─► attach ─┬─ registry     its blobs, then a manifest with `subject`; listed by the registry, or under
//!                       │               the fallback tag `sha256-<digest>` (crate::registry, referrer.rs)
//!                       └─ layout       the same blobs; listed under the fallback tag in index.json
//! attachments ─► what is there     read_attachment ─► its bytes, verified
//! ```
//!
//! An attachment names the image by digest and the image does not name it: it can be added at any time, by anybody who may
//! push, and what it says is to be believed no more than its own signature.
//!
//! Equal attachments to equal subjects are equal bytes: attaching again sends nothing.
//!
//! Image layouts have no list of referrers. Theirs is kept as in a registry without one, as an index of that name:
//! programs that walk the layout from `index.json` (oras) find the manifests through it.
//!
//! Sources: OCI image specification 1.1, "Guidelines for Artifact Usage"; distribution specification 1.1, "Referrers Tag
//! Schema".

use std::collections::BTreeMap;
use std::path::Path;

use oci_format::json::MAX_MANIFEST_BYTES;
use oci_format::{Descriptor, Digest, ImageIndex, ImageManifest, annotation, layout, media_type};

use super::blobs::Blob;
use super::existing::read_blob;
use super::layout::{blocking, change_index, prepare, read_bounded, write_blob, write_small_blob};
use super::registry::push_blobs;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::content::Content;
use crate::registry::{
    ManifestKey, ReferrerListing, RegistryError, Repository, add_referrer, fallback_tag,
    referrer_descriptor,
};
use crate::trust::{SIGNATURE_TYPE, signature_tag};

/// The empty config of artifacts that have none.
const EMPTY: &[u8] = b"{}";

/// Something to attach to an image.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// What it is: `application/spdx+json`, `application/vnd.in-toto+json`, … Readers look for it by this.
    pub artifact_type: String,
    /// The config; none is two bytes of JSON, as the image specification advises.
    pub config: Option<AttachedBlob>,
    /// Its content, in order; mostly one.
    pub blobs: Vec<AttachedBlob>,
    /// Annotations of the manifest; they show in lists of referrers.
    pub annotations: BTreeMap<String, String>,
    /// A tag under which it is found too, for readers that know no referrers: cosign and its like look for signatures so.
    pub tag: Option<String>,
    /// The manifest as somebody else wrote it; it is passed on byte for byte, so that its digest stays.
    original: Option<Vec<u8>>,
}

/// One blob of an attachment.
#[derive(Debug, Clone)]
pub struct AttachedBlob {
    /// Media type, digest and size; annotations such as a title.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: Content,
}

impl AttachedBlob {
    /// Bytes in memory.
    #[must_use]
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            descriptor: Descriptor::of(media_type, &bytes),
            content: Content::Memory(bytes.into()),
        }
    }

    /// The same with a title: the name that oras gives the file.
    #[must_use]
    pub fn with_title(mut self, title: &str) -> Self {
        let key = annotation::TITLE.to_owned();
        self.descriptor.annotations.insert(key, title.to_owned());
        self
    }
}

impl Attachment {
    /// One blob without config and annotations.
    #[must_use]
    pub fn new(artifact_type: &str, blob: AttachedBlob) -> Self {
        Self::of_blobs(artifact_type, vec![blob])
    }

    /// The same of several blobs.
    #[must_use]
    pub fn of_blobs(artifact_type: &str, blobs: Vec<AttachedBlob>) -> Self {
        Self {
            artifact_type: artifact_type.to_owned(),
            config: None,
            blobs,
            annotations: BTreeMap::new(),
            tag: None,
            original: None,
        }
    }

    /// One that is attached somewhere already, with the very bytes of its manifest.
    pub(super) fn verbatim(
        manifest: &ImageManifest,
        original: Vec<u8>,
        config: AttachedBlob,
        blobs: Vec<AttachedBlob>,
    ) -> Self {
        let of_config = || manifest.config.media_type.clone();
        let artifact_type = manifest.artifact_type.clone().unwrap_or_else(of_config);
        // Whoever looks for signatures by their tag finds them at the new place too.
        let subject = manifest.subject.as_ref();
        let signed = subject.filter(|_| artifact_type == SIGNATURE_TYPE);
        Self {
            tag: signed.map(|it| signature_tag(&it.digest)),
            artifact_type,
            config: Some(config),
            blobs,
            annotations: manifest.annotations.clone(),
            original: Some(original),
        }
    }

    /// The manifest of this attachment to `subject`.
    #[must_use]
    pub fn manifest(&self, subject: &Descriptor) -> ImageManifest {
        if let Some(original) = &self.original
            && let Ok(manifest) = ImageManifest::parse(original)
        {
            return manifest;
        }
        let empty = || Descriptor::of(media_type::EMPTY_JSON, EMPTY);
        let config = self.config.as_ref().map(|it| it.descriptor.clone());
        let mut layers: Vec<Descriptor> = self
            .blobs
            .iter()
            .map(|blob| blob.descriptor.clone())
            .collect();
        if layers.is_empty() {
            // Registries want a layer; the specification gives this one to artifacts that have none.
            layers.push(empty());
        }
        let mut manifest = ImageManifest::new(config.unwrap_or_else(empty), layers);
        manifest.artifact_type = Some(self.artifact_type.clone());
        manifest.annotations.clone_from(&self.annotations);
        // A subject is named by type, digest and size alone, so that it does not matter where it was found.
        manifest.subject = Some(Descriptor::new(
            &subject.media_type,
            subject.digest,
            subject.size,
        ));
        manifest
    }

    /// How lists of referrers name this attachment to `subject`; its digest is known before anything is sent.
    #[must_use]
    pub fn descriptor(&self, subject: &Descriptor) -> Descriptor {
        let manifest = self.manifest(subject);
        referrer_descriptor(&manifest, &self.bytes(&manifest))
    }

    /// The bytes of its manifest.
    fn bytes(&self, manifest: &ImageManifest) -> Vec<u8> {
        let original = self.original.clone();
        original.unwrap_or_else(|| manifest.to_json())
    }
}

/// An attachment that is in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// As lists of referrers name it.
    pub descriptor: Descriptor,
    /// Where it is listed; nothing in image layouts.
    pub listing: Option<ReferrerListing>,
    /// Bytes that had to be sent.
    pub bytes_sent: u64,
    /// Whether all of it was there before.
    pub unchanged: bool,
}

/// Attaches `attachment` to the manifest `subject` in the repository or layout of `target`; what tag or name the target has
/// does not matter. The subject may come later: lists name it by digest.
///
/// # Errors
/// When the target is neither a registry (`docker://`, `oras://`) nor an image layout, or refuses or fails.
pub async fn attach(
    target: &Target,
    subject: &Descriptor,
    attachment: &Attachment,
    context: &PublishContext,
) -> Result<Attached, PublishError> {
    let manifest = attachment.manifest(subject);
    let bytes = attachment.bytes(&manifest);
    let entry = referrer_descriptor(&manifest, &bytes);
    let empty = Content::Memory(EMPTY.into());
    let mut contents = vec![(
        &manifest.config,
        attachment
            .config
            .as_ref()
            .map_or(empty.clone(), |it| it.content.clone()),
    )];
    let of_blobs = attachment.blobs.iter().map(|it| it.content.clone());
    contents.extend(manifest.layers.iter().zip(of_blobs.chain([empty])));
    contents.sort_by_key(|(descriptor, _)| descriptor.digest);
    contents.dedup_by_key(|(descriptor, _)| descriptor.digest);
    let title = &*attachment.artifact_type;
    let blobs: Vec<Blob<'_>> = contents
        .into_iter()
        .map(|(descriptor, content)| Blob::here(descriptor, title, content))
        .collect();
    match target {
        Target::Registry(reference) | Target::Oras(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            let repository = repository.writable([]);
            let receipt = Receipt::nothing(target);
            let receipt =
                push_blobs(&blobs, &repository, target, context, receipt, &|_, _| {}).await?;
            let put = repository
                .put_referrer(&subject.digest, &entry, bytes)
                .await;
            let put = put.map_err(&refused)?;
            if let Some(tag) = &attachment.tag {
                let tagged = add_under_tag(tag, &manifest, &repository).await;
                tagged.map_err(&refused)?;
            }
            let of_manifest = if put.unchanged {
                0
            } else {
                put.descriptor.size
            };
            Ok(Attached {
                bytes_sent: receipt.bytes_sent + of_manifest,
                unchanged: put.unchanged && receipt.blobs_sent == 0,
                descriptor: put.descriptor,
                listing: Some(put.listing),
            })
        }
        Target::OciLayout { directory, .. } => {
            let root = directory.clone();
            blocking(target, move || prepare(&root)).await?;
            let mut sent = 0;
            for blob in &blobs {
                if write_blob(blob, target, directory, context).await? {
                    sent += blob.descriptor.size;
                }
            }
            let (root, subject) = (directory.clone(), subject.digest);
            let descriptor = entry.clone();
            let tag = attachment.tag.clone();
            let changed = blocking(target, move || {
                write_small_blob(&root, &bytes)?;
                if let Some(tag) = &tag {
                    name_in_layout(&root, tag, &entry)?;
                }
                list_in_layout(&root, &subject, &entry)
            })
            .await?;
            Ok(Attached {
                unchanged: !changed && sent == 0,
                bytes_sent: sent + if changed { descriptor.size } else { 0 },
                descriptor,
                listing: None,
            })
        }
        _ => Err(PublishError::NoAttachments(Box::new(target.clone()))),
    }
}

/// What is attached to the manifest `subject` in the repository or layout of `target`.
///
/// # Errors
/// When the target is neither a registry nor an image layout, or cannot be read.
pub async fn attachments(
    target: &Target,
    subject: &Digest,
    context: &PublishContext,
) -> Result<Vec<Descriptor>, PublishError> {
    match target {
        Target::Registry(reference) | Target::Oras(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            repository.referrers(subject).await.map_err(refused)
        }
        Target::OciLayout { directory, .. } => {
            let (root, subject) = (directory.clone(), *subject);
            blocking(target, move || {
                let path = root.join(layout::INDEX_FILE);
                let index = read_bounded(&path, MAX_MANIFEST_BYTES)
                    .map_err(PublishError::io("read", &path))?;
                Ok(listed_in_layout(&root, index.as_deref(), &subject)?.manifests)
            })
            .await
        }
        _ => Err(PublishError::NoAttachments(Box::new(target.clone()))),
    }
}

/// The manifest and the blobs of an attachment that [`attachments`] listed, each with the digest that it should have and
/// of at most `limit` bytes.
///
/// # Errors
/// When the target cannot be read, something is not there or damaged, or a blob is longer.
pub async fn read_attachment(
    target: &Target,
    listed: &Descriptor,
    limit: u64,
    context: &PublishContext,
) -> Result<(ImageManifest, Vec<Vec<u8>>), PublishError> {
    let what = || listed.artifact_type.clone().unwrap_or_default();
    let missing = |digest: Digest| PublishError::NotAttached {
        target: Box::new(target.clone()),
        digest,
        what: what(),
    };
    match target {
        Target::Registry(reference) | Target::Oras(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            let found = repository.manifest(listed.digest).await.map_err(&refused)?;
            let found = found.ok_or_else(|| missing(listed.digest))?;
            let manifest = parse(&found.bytes, target)?;
            let mut blobs = Vec::new();
            for layer in &manifest.layers {
                let blob = repository.blob_bytes(layer, limit).await;
                blobs.push(blob.map_err(|error| match error {
                    RegistryError::Missing(_) => missing(layer.digest),
                    error => refused(error),
                })?);
            }
            Ok((manifest, blobs))
        }
        Target::OciLayout { directory, .. } => {
            let read = |digest: Digest, limit: u64| {
                let root = directory.clone();
                blocking(target, move || read_blob(&root, &digest, limit))
            };
            let bytes = read(listed.digest, MAX_MANIFEST_BYTES).await?;
            let manifest = parse(&bytes.ok_or_else(|| missing(listed.digest))?, target)?;
            let mut blobs = Vec::new();
            for layer in &manifest.layers {
                let blob = read(layer.digest, limit).await?;
                blobs.push(blob.ok_or_else(|| missing(layer.digest))?);
            }
            Ok((manifest, blobs))
        }
        _ => Err(PublishError::NoAttachments(Box::new(target.clone()))),
    }
}

/// Lets a tag name the manifest too. What others put there, as a second signature of the same image, stays: its layers come
/// before ours. [sigstore/cosign `specs/SIGNATURE_SPEC.md`, "Tag-based Discovery"]
async fn add_under_tag(
    tag: &str,
    manifest: &ImageManifest,
    repository: &Repository,
) -> Result<(), RegistryError> {
    let key = ManifestKey::Tag(tag.to_owned());
    let found = repository.manifest(key.clone()).await?;
    let there = found.and_then(|it| ImageManifest::parse(&it.bytes).ok());
    let wanted = match there {
        None => manifest.clone(),
        Some(mut there) => {
            let is_there = |it: &&Descriptor| {
                let same = |other: &Descriptor| {
                    other.digest == it.digest && other.annotations == it.annotations
                };
                there.layers.iter().any(same)
            };
            let ours = manifest.layers.iter().filter(|it| !is_there(it));
            let ours: Vec<Descriptor> = ours.cloned().collect();
            if ours.is_empty() {
                return Ok(());
            }
            there.layers.extend(ours);
            there.subject = None;
            there
        }
    };
    repository
        .put_manifest(key, media_type::IMAGE_MANIFEST, wanted.to_json())
        .await
}

/// The same in a layout, where the name is this manifest's alone.
fn name_in_layout(root: &Path, tag: &str, manifest: &Descriptor) -> Result<bool, PublishError> {
    let mut named = manifest.clone();
    // What lists of referrers say is not repeated there.
    named.annotations.clear();
    change_index(root, |before| {
        layout::set_reference(before, Some(tag), &named).map_err(|source| PublishError::Layout {
            path: root.join(layout::INDEX_FILE),
            source,
        })
    })
}

fn parse(bytes: &[u8], target: &Target) -> Result<ImageManifest, PublishError> {
    ImageManifest::parse(bytes).map_err(|source| PublishError::Layout {
        path: target.to_string().into(),
        source,
    })
}

/// The list of the referrers of `subject` in a layout, from the text of its `index.json`; empty where there is none.
fn listed_in_layout(
    root: &Path,
    index: Option<&[u8]>,
    subject: &Digest,
) -> Result<ImageIndex, PublishError> {
    let malformed = |source| PublishError::Layout {
        path: root.join(layout::INDEX_FILE),
        source,
    };
    let none = ImageIndex::new(Vec::new());
    let Some(index) = index else {
        return Ok(none);
    };
    // Looked up as a name: without one, a layout's only image would be meant.
    let found = layout::find_reference(index, Some(&fallback_tag(subject)));
    let Some(descriptor) = found.map_err(malformed)? else {
        return Ok(none);
    };
    match read_blob(root, &descriptor.digest, MAX_MANIFEST_BYTES)? {
        Some(bytes) => ImageIndex::parse(&bytes).map_err(malformed),
        None => Ok(none),
    }
}

/// Adds an entry to the list in a layout; says whether it had to.
fn list_in_layout(root: &Path, subject: &Digest, entry: &Descriptor) -> Result<bool, PublishError> {
    change_index(root, |before| {
        let mut list = listed_in_layout(root, before, subject)?;
        add_referrer(&mut list, entry);
        let bytes = list.to_json();
        write_small_blob(root, &bytes)?;
        let list = Descriptor::of(media_type::IMAGE_INDEX, &bytes);
        let name = fallback_tag(subject);
        layout::set_reference(before, Some(&name), &list).map_err(|source| PublishError::Layout {
            path: root.join(layout::INDEX_FILE),
            source,
        })
    })
}
