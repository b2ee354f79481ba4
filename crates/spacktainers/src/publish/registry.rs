//! To a registry.
//!
//! ```text
//! HEAD manifest by digest, HEAD tag     both are ours: done
//! HEAD every blob                       those that are there are done
//! POST mount, else POST + PUT           biggest first, as many at a time as there are jobs
//! PUT manifest by digest
//! PUT tag                               when all else is in place; if it holds something else, by `multi_arch`
//! ```

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use futures::future::try_join;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use oci_format::{Digest, Reference};

use super::ahead::How;
use super::blobs::{Blob, Blobs};
use super::multi_arch::Naming;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::registry::{ManifestKey, Mount, RegistryError, Repository, Upload};

/// Questions that are asked at once: they are small, and each costs a round trip.
pub(super) const QUESTIONS: usize = 16;

/// Pushes the image under the reference's tag.
pub(super) async fn push(
    blobs: &Blobs<'_>,
    target: &Target,
    reference: &Reference,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    let refused = PublishError::registry(target);
    let repository = open(&blobs.all, reference, context).map_err(&refused)?;
    let image = blobs.image;
    let manifest = &image.manifest_descriptor;
    let tag = reference
        .effective_tag()
        .map(|tag| ManifestKey::Tag(tag.to_owned()));
    let mut receipt = Receipt::new(target, image);

    let by_tag = async {
        match &tag {
            Some(tag) => repository.manifest_head(tag.clone()).await,
            None => Ok(None),
        }
    };
    let heads = try_join(repository.manifest_head(manifest.digest), by_tag).await;
    let (by_digest, by_tag) = heads.map_err(&refused)?;
    let there = by_digest.is_some();
    if there {
        // A registry keeps the blobs of the manifests that it keeps.
        for blob in &blobs.all {
            receipt.reused(blob.descriptor.size);
        }
    } else {
        receipt = push_blobs(
            &blobs.all,
            &repository,
            target,
            context,
            receipt,
            &|_, _| {},
        )
        .await?;
        let key = ManifestKey::Digest(manifest.digest);
        let put = repository.put_manifest(key, &manifest.media_type, image.manifest.clone());
        put.await.map_err(&refused)?;
        receipt.bytes_sent += manifest.size;
    }
    let is_one = !context.is_one_of_several;
    let is_named = match (tag, by_tag) {
        (None, _) => false,
        // What a tag holds has to be read only if it is something else, or becomes part of something else.
        (Some(_), Some(head)) if is_one && there && head.digest == Some(manifest.digest) => false,
        (Some(tag), None) if is_one => {
            let put = repository.put_manifest(tag, &manifest.media_type, image.manifest.clone());
            put.await.map_err(&refused)?;
            true
        }
        (Some(tag), _) => {
            let naming = Naming::of(image, context);
            let named = naming.in_registry(&repository, &tag, &image.manifest).await;
            named.map_err(&refused)?
        }
    };
    receipt.unchanged = there && !is_named;
    Ok(receipt)
}

/// The target's repository, with leave to mount from the others of its registry.
pub(super) fn open(
    blobs: &[Blob<'_>],
    reference: &Reference,
    context: &PublishContext,
) -> Result<Repository, RegistryError> {
    let repository = context.registry.repository(reference)?;
    let sources: BTreeSet<&str> = blobs
        .iter()
        .flat_map(|blob| sources(blob, repository.registry()))
        .collect();
    Ok(repository.clone().writable(sources))
}

/// Repositories of this registry that hold the blob.
fn sources<'a>(blob: &'a Blob<'_>, registry: &'a str) -> impl Iterator<Item = &'a str> {
    let origins = blob.origins.iter();
    let near = origins.filter(move |origin| origin.registry == registry);
    near.map(|origin| origin.repository.as_str())
}

/// Brings all blobs that the repository lacks.
pub(super) async fn push_blobs(
    blobs: &[Blob<'_>],
    repository: &Repository,
    target: &Target,
    context: &PublishContext,
    mut receipt: Receipt,
    on_brought: &(dyn Fn(Digest, How) + Sync),
) -> Result<Receipt, PublishError> {
    let refused = PublishError::registry(target);
    let name = name(repository);
    let mut unknown = Vec::new();
    for blob in blobs {
        match context.ahead.of(&name, blob.descriptor.digest) {
            Some(How::Sent) => receipt.sent(blob.descriptor.size),
            Some(How::Mounted) => receipt.mounted(blob.descriptor.size),
            None => unknown.push(blob),
        }
    }
    let there: Vec<(&Blob<'_>, bool)> = stream::iter(unknown)
        .map(async |blob| {
            let head = repository.blob_head(&blob.descriptor.digest).await?;
            // A registry that tells no size is believed; one that tells another is not.
            let same = head.map(|size| size.is_none_or(|size| size == blob.descriptor.size));
            Ok((blob, same.unwrap_or(false)))
        })
        .buffer_unordered(QUESTIONS)
        .try_collect()
        .await
        .map_err(&refused)?;
    let mut missing = Vec::new();
    for (blob, is_there) in there {
        if is_there {
            receipt.reused(blob.descriptor.size);
        } else {
            missing.push(blob);
        }
    }
    // The biggest first: else it is sent alone at the end, while all other jobs have nothing to do.
    missing.sort_by_key(|blob| {
        (
            std::cmp::Reverse(blob.descriptor.size),
            blob.descriptor.digest,
        )
    });
    let receipt = Mutex::new(receipt);
    stream::iter(missing.into_iter().map(Ok::<_, PublishError>))
        .try_for_each_concurrent(context.jobs.get(), async |blob| {
            let mounted = bring(blob, repository, target, context).await?;
            let how = if mounted { How::Mounted } else { How::Sent };
            on_brought(blob.descriptor.digest, how);
            let mut receipt = receipt.lock().unwrap_or_else(PoisonError::into_inner);
            if mounted {
                receipt.mounted(blob.descriptor.size);
            } else {
                receipt.sent(blob.descriptor.size);
            }
            Ok(())
        })
        .await?;
    Ok(receipt.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What tells this repository from all others.
pub(super) fn name(repository: &Repository) -> String {
    format!("{}/{}", repository.registry(), repository.name())
}

/// Mounts the blob or sends it; says whether it was mounted.
async fn bring(
    blob: &Blob<'_>,
    repository: &Repository,
    target: &Target,
    context: &PublishContext,
) -> Result<bool, PublishError> {
    let refused = PublishError::registry(target);
    let digest = blob.descriptor.digest;
    let mut session = None;
    for source in sources(blob, repository.registry()) {
        if source == repository.name() {
            continue;
        }
        match repository.mount(&digest, source).await.map_err(&refused)? {
            Mount::Mounted => return Ok(true),
            Mount::Session(begun) => {
                // Only one can be used; the one before it was for nothing.
                if let Some(unused) = session.replace(begun) {
                    repository.cancel(&unused).await;
                }
            }
            Mount::Refused => {}
        }
    }
    let content = blob.content(target, context).await?;
    let task = blob.task(context);
    let upload = Upload {
        digest,
        content: &content,
        session,
        on_bytes: Arc::new(task.advance()),
    };
    repository.upload(upload).await.map_err(&refused)?;
    task.finish();
    Ok(false)
}
