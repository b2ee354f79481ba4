//! `s3://BUCKET/KEY.sif`: the image as a SIF file in a bucket, for people on clusters to fetch.
//!
//! ```text
//! HEAD object            made from the same: done, nothing is written or sent
//! write the SIF file     in the local cache's folder
//! PUT, or parts          what an earlier run sent is not sent again
//! HEAD object            it is what was sent
//! ```

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use oci_format::Digest;

use super::has_sif::Found;
use super::made_sif::{MadeSif, OnceMade, warn};
use super::progress::Task;
use super::release::SifSource;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::bucket::{Bucket, BucketError, ObjectName, StagedUpload, UploadFile};
use crate::event::TaskKind;
use crate::sif::SifFacts;

/// As registered for no file format: there is no type for SIF files in buckets, and browsers shall save them.
const CONTENT_TYPE: &str = "application/octet-stream";
/// Parts on the way at once, at most: each is in memory.
const MOST_PARTS: usize = 8;

/// The object, if it is made from the same as what would be sent.
pub(super) async fn find(
    bucket: &Bucket,
    object: &ObjectName,
    facts: &SifFacts,
) -> Result<Option<Found>, BucketError> {
    let found = bucket.head(&object.key).await?;
    Ok(found.and_then(|found| {
        let there = SifFacts::from_metadata(&found.metadata);
        // Without the digest of the file nobody could tell whether it arrived whole.
        let is_same = facts.is_of_same(&there) && there.file.is_some();
        is_same.then_some(Found {
            size: found.size,
            tree: there.tree,
        })
    }))
}

pub(super) async fn send(
    once: &OnceMade<'_>,
    target: &Target,
    object: &ObjectName,
    mut receipt: Receipt,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    let refused = PublishError::bucket(target);
    let bucket = Bucket::open(&object.bucket, &context.buckets).await;
    let bucket = bucket.map_err(&refused)?;
    if !context.is_forced
        && let facts = once.origin.facts()
        && let Some(found) = find(&bucket, object, &facts).await.map_err(&refused)?
    {
        found.tell(&mut receipt);
        return Ok(receipt);
    }
    let staged = stage(once, target, object, &bucket, context).await?;
    commit(staged, target, object, &bucket, &mut receipt, context).await?;
    Ok(receipt)
}

/// A SIF file whose bytes are in the bucket, and whose object does not show it yet.
pub(super) struct Staged {
    upload: StagedUpload,
    size: u64,
    file: Digest,
    tree: Option<Digest>,
    /// The file on this machine, if it was written here.
    made: Option<Arc<MadeSif>>,
    task: Task,
}

/// Lets the bucket's service copy a SIF file from elsewhere in it, all but the last request.
pub(super) async fn stage_copy(
    source: &SifSource,
    target: &Target,
    object: &ObjectName,
    bucket: &Bucket,
    context: &PublishContext,
) -> Result<Staged, PublishError> {
    let label = target.to_string();
    let task = Task::start(&context.reporter, TaskKind::Upload, label, source.size);
    let file = UploadFile {
        path: Path::new(""),
        size: source.size,
        digest: source.file,
        metadata: &source.metadata,
        content_type: CONTENT_TYPE,
        jobs: context.jobs,
        on_bytes: Arc::new(task.advance()),
    };
    let staged = bucket.stage_copy(&object.key, &file, &source.object, &context.cache);
    let upload = staged.await.map_err(PublishError::bucket(target))?;
    Ok(Staged {
        upload,
        size: source.size,
        file: source.file,
        tree: source.facts.tree,
        made: None,
        task,
    })
}

/// Writes the file and brings it to the bucket, all but the last request.
pub(super) async fn stage(
    once: &OnceMade<'_>,
    target: &Target,
    object: &ObjectName,
    bucket: &Bucket,
    context: &PublishContext,
) -> Result<Staged, PublishError> {
    let made = once.get(target, context).await?;
    let task = Task::start(
        &context.reporter,
        TaskKind::Upload,
        target.to_string(),
        made.size,
    );
    let metadata = made.facts.to_metadata();
    let file = UploadFile {
        path: made.file.path(),
        size: made.size,
        digest: made.digest,
        metadata: &metadata,
        content_type: CONTENT_TYPE,
        jobs: context
            .jobs
            .saturating_mul(NonZeroUsize::MIN.saturating_add(1))
            .min(NonZeroUsize::new(MOST_PARTS).unwrap_or(NonZeroUsize::MIN)),
        on_bytes: Arc::new(task.advance()),
    };
    let staged = bucket.stage(&object.key, &file, &context.cache).await;
    let upload = staged.map_err(PublishError::bucket(target))?;
    Ok(Staged {
        upload,
        size: made.size,
        file: made.digest,
        tree: made.facts.tree,
        made: Some(made),
        task,
    })
}

/// Sends the last request, and looks whether the object is ours.
pub(super) async fn commit(
    staged: Staged,
    target: &Target,
    object: &ObjectName,
    bucket: &Bucket,
    receipt: &mut Receipt,
    context: &PublishContext,
) -> Result<(), PublishError> {
    let refused = PublishError::bucket(target);
    let Staged {
        upload,
        size,
        file,
        tree,
        made,
        task,
    } = staged;
    let sent = match bucket.commit(upload, &context.cache).await {
        Ok(sent) => sent,
        // The upload is gone: it may have become the object, and only the answer was lost.
        Err(BucketError::Overwritten(_)) => 0,
        Err(error) => return Err(refused(error)),
    };
    let now = bucket.head(&object.key).await.map_err(&refused)?;
    let is_ours = now.is_some_and(|now| {
        now.size == size && SifFacts::from_metadata(&now.metadata).file == Some(file)
    });
    if !is_ours {
        return Err(refused(BucketError::Overwritten(object.clone())));
    }
    task.finish();
    if let Some(made) = made {
        warn(target, &made.summary, context);
    }
    receipt.sent(sent);
    receipt.bytes_reused += size.saturating_sub(sent);
    receipt.tree = tree;
    Ok(())
}
