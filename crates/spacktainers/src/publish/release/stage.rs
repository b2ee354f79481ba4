//! Everything into its place, before any name changes; and a look whether it arrived.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use oci_format::{Descriptor, Digest, Reference, media_type};

use super::super::registry::{QUESTIONS, open, push_blobs};
use super::super::{Attached, PublishError, Receipt, Target, attach, attachments, object, oras};
use super::look::Held;
use super::{ReleaseError, ReleaseReceipt, Work, all};
use crate::bucket::Bucket;
use crate::registry::ecr::{EcrAccess, MAX_LAYER};
use crate::registry::{ManifestKey, Repository};

/// What is ready to get its name, for each place.
pub(super) struct Staged {
    pub(super) parts: Vec<Part>,
}

/// One place, ready.
pub(super) struct Part {
    pub(super) receipt: Receipt,
    pub(super) ready: Ready,
    pub(super) attached: Vec<Descriptor>,
}

/// What the last request is made of.
pub(super) enum Ready {
    /// The name is the release's already.
    Current,
    /// A manifest that the repository has by digest.
    Tag {
        repository: Repository,
        key: ManifestKey,
        media_type: String,
        manifest: Vec<u8>,
    },
    /// An object whose bytes are in the bucket.
    Object {
        bucket: Bucket,
        staged: Option<object::Staged>,
    },
    /// A file of this machine, written when names change.
    File,
}

impl Staged {
    /// The image by digest, in every repository that has it.
    pub(super) fn references(&self) -> Vec<Reference> {
        let mut found: Vec<Reference> = self
            .parts
            .iter()
            .filter_map(|part| match (&part.receipt.target, part.receipt.digest) {
                (Target::Registry(reference), Some(digest)) => {
                    // Without the tag: one repository is one reference.
                    let (registry, name) = (reference.registry(), reference.repository());
                    format!("{registry}/{name}@{digest}").parse().ok()
                }
                _ => None,
            })
            .collect();
        found.dedup();
        found
    }

    pub(super) fn into_receipts(self, held: Vec<Held>) -> Vec<ReleaseReceipt> {
        self.parts
            .into_iter()
            .zip(held)
            .map(|(part, held)| ReleaseReceipt {
                receipt: part.receipt,
                before: held.before(),
                attachments: part.attached,
            })
            .collect()
    }
}

/// Brings everything to all places at once; the tags of one repository are one piece of work.
pub(super) async fn stage(work: &Work<'_>, held: &[Held]) -> Result<Staged, ReleaseError> {
    let mut groups: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
    for (index, place) in work.release.places.iter().enumerate() {
        let name = match &place.target {
            Target::Registry(reference) => {
                format!("{}/{}", reference.registry(), reference.repository())
            }
            // Every other place is a group of its own.
            _ => format!("{index}"),
        };
        let is_repository = matches!(place.target, Target::Registry(_));
        groups.entry((is_repository, name)).or_default().push(index);
    }
    let staged = groups
        .values()
        .map(async |indices| group(work, indices, held).await);
    let mut parts: Vec<(usize, Part)> = all(future::join_all(staged).await)?
        .into_iter()
        .flatten()
        .collect();
    parts.sort_by_key(|(index, _)| *index);
    Ok(Staged {
        parts: parts.into_iter().map(|(_, part)| part).collect(),
    })
}

async fn group(
    work: &Work<'_>,
    indices: &[usize],
    held: &[Held],
) -> Result<Vec<(usize, Part)>, PublishError> {
    let mut parts = Vec::new();
    for &index in indices {
        let (Some(place), Some(held)) = (work.release.places.get(index), held.get(index)) else {
            continue;
        };
        let part = match &place.target {
            Target::Registry(reference) => {
                let first = parts.first().map(|(_, part): &(usize, Part)| part);
                image(work, &place.target, reference, *held, first).await?
            }
            target => other(work, target, *held).await?,
        };
        parts.push((index, part));
    }
    Ok(parts)
}

/// The image in a repository; `first` is the same for another tag of it.
async fn image(
    work: &Work<'_>,
    target: &Target,
    reference: &Reference,
    held: Held,
    first: Option<&Part>,
) -> Result<Part, PublishError> {
    let Some(blobs) = work.blobs else {
        return Err(PublishError::OnlySif(Box::new(target.clone())));
    };
    let (context, image) = (work.context, blobs.image);
    let refused = PublishError::registry(target);
    let manifest = &image.manifest_descriptor;
    let repository = open(&blobs.all, reference, context).map_err(&refused)?;
    let is_ecr = |ecr: &EcrAccess| ecr.host(reference.registry()).is_some();
    let mut all = blobs.all.iter();
    if context.registry.credentials().ecr().is_some_and(is_ecr)
        && let Some(blob) = all.find(|it| it.descriptor.size > MAX_LAYER)
    {
        return Err(PublishError::TooBig {
            target: Box::new(target.clone()),
            title: blob.title.to_owned(),
            size: blob.descriptor.size,
        });
    }
    let mut receipt = Receipt::new(target, image);
    let mut attached = Vec::new();
    if let Some(first) = first {
        for blob in &blobs.all {
            receipt.reused(blob.descriptor.size);
        }
        attached.clone_from(&first.attached);
    } else {
        let there = repository.manifest_head(manifest.digest).await;
        if there.map_err(&refused)?.is_some() {
            // A registry keeps the blobs of the manifests that it keeps; whether it does is looked at below.
            for blob in &blobs.all {
                receipt.reused(blob.descriptor.size);
            }
        } else {
            let nothing = |_, _| {};
            receipt =
                push_blobs(&blobs.all, &repository, target, context, receipt, &nothing).await?;
            let key = ManifestKey::Digest(manifest.digest);
            let put = repository.put_manifest(key, &manifest.media_type, image.manifest.clone());
            put.await.map_err(&refused)?;
            receipt.bytes_sent += manifest.size;
        }
        for attachment in work.release.attachments {
            let Attached {
                descriptor,
                bytes_sent,
                ..
            } = attach(target, manifest, attachment, context).await?;
            receipt.bytes_sent += bytes_sent;
            attached.push(descriptor);
        }
    }
    let ready = match held {
        Held::Same => {
            receipt.unchanged = receipt.bytes_sent == 0;
            Ready::Current
        }
        Held::Nothing | Held::Other(_) => Ready::Tag {
            repository,
            key: ManifestKey::from(reference),
            media_type: manifest.media_type.clone(),
            manifest: image.manifest.clone(),
        },
    };
    Ok(Part {
        receipt,
        ready,
        attached,
    })
}

/// A SIF file in a registry or a bucket; what is on this machine is written when names change.
async fn other(work: &Work<'_>, target: &Target, held: Held) -> Result<Part, PublishError> {
    let context = work.context;
    let mut receipt = match work.blobs {
        Some(blobs) => Receipt::new(target, blobs.image),
        None => Receipt::nothing(target),
    };
    let ready = match target {
        _ if held == Held::Same => {
            receipt = unchanged(work, target, receipt).await?;
            Ready::Current
        }
        Target::Object(name) => {
            let bucket = Bucket::open(&name.bucket, &context.buckets).await;
            let bucket = bucket.map_err(PublishError::bucket(target))?;
            let staged = match work.release.sif {
                Some(source) => object::stage_copy(source, target, name, &bucket, context).await?,
                None => object::stage(work.once, target, name, &bucket, context).await?,
            };
            Ready::Object {
                bucket,
                staged: Some(staged),
            }
        }
        Target::Oras(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            let repository = repository.writable([]);
            let (once, told) = (work.once, &mut receipt);
            let manifest = oras::bring(once, target, reference, &repository, told, context).await?;
            let key = ManifestKey::Digest(Digest::of(&manifest));
            let put = repository.put_manifest(key, media_type::IMAGE_MANIFEST, manifest.clone());
            put.await.map_err(&refused)?;
            Ready::Tag {
                repository,
                key: ManifestKey::from(reference),
                media_type: media_type::IMAGE_MANIFEST.to_owned(),
                manifest,
            }
        }
        _ => Ready::File,
    };
    Ok(Part {
        receipt,
        ready,
        attached: Vec::new(),
    })
}

/// The receipt of a place that holds the release already.
async fn unchanged(
    work: &Work<'_>,
    target: &Target,
    mut receipt: Receipt,
) -> Result<Receipt, PublishError> {
    let facts = work.once.origin.facts();
    if let Some(found) = super::super::has_sif(target, &facts, work.context).await? {
        receipt.tree = found.tree;
        receipt.bytes_reused = found.bytes_reused;
        receipt.blobs_reused = found.blobs_reused;
    }
    receipt.unchanged = true;
    Ok(receipt)
}

/// Looks whether the repositories have all that readers of the new names will ask for: the manifest, byte for byte, every
/// blob, every attachment in the list of referrers.
pub(super) async fn read_back(work: &Work<'_>, staged: &Staged) -> Result<(), ReleaseError> {
    let Some(blobs) = work.blobs else {
        return Ok(());
    };
    let mut seen: Vec<&Repository> = Vec::new();
    for part in &staged.parts {
        let Ready::Tag { repository, .. } = &part.ready else {
            continue;
        };
        let target = &part.receipt.target;
        let Target::Registry(_) = target else {
            continue;
        };
        let is_known = |it: &&Repository| {
            it.registry() == repository.registry() && it.name() == repository.name()
        };
        if seen.iter().any(is_known) {
            continue;
        }
        seen.push(repository);
        let refused = |error| ReleaseError::Failed(vec![PublishError::registry(target)(error)]);
        let missing = |what: &'static str, digest: Digest| ReleaseError::NotThere {
            target: Box::new(target.clone()),
            what,
            digest,
        };
        let manifest = &blobs.image.manifest_descriptor;
        let found = repository
            .manifest(manifest.digest)
            .await
            .map_err(refused)?;
        found.ok_or_else(|| missing("the manifest", manifest.digest))?;
        stream::iter(&blobs.all)
            .map(async |blob| {
                let digest = blob.descriptor.digest;
                let size = repository.blob_head(&digest).await.map_err(refused)?;
                let same = size.is_some_and(|it| it.is_none_or(|it| it == blob.descriptor.size));
                if same {
                    Ok(())
                } else {
                    Err(missing("the blob", digest))
                }
            })
            .buffer_unordered(QUESTIONS)
            .try_collect::<()>()
            .await?;
        if part.attached.is_empty() {
            continue;
        }
        let listed = attachments(target, &manifest.digest, work.context).await;
        let listed = listed.map_err(|error| ReleaseError::Failed(vec![error]))?;
        for wanted in &part.attached {
            let there = repository
                .manifest_head(wanted.digest)
                .await
                .map_err(refused)?;
            if there.is_none() || !listed.iter().any(|it| it.digest == wanted.digest) {
                return Err(missing("the attachment", wanted.digest));
            }
        }
    }
    Ok(())
}
