//! `s3://BUCKET/KEY.sif`: the image as a SIF file in a bucket, for people on clusters to fetch.
//!
//! ```text
//! HEAD object            made from the same: done, nothing is written or sent
//! write the SIF file     in the local cache's folder
//! PUT, or parts          what an earlier run sent is not sent again
//! HEAD object            it is what was sent
//! ```

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::has_sif::Found;
use super::made_sif::{OnceMade, warn};
use super::progress::Task;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::bucket::{Bucket, BucketError, ObjectName, UploadFile};
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
    let sent = bucket.upload(&object.key, file, &context.cache).await;
    let sent = sent.map_err(&refused)?;
    let now = bucket.head(&object.key).await.map_err(&refused)?;
    let is_ours = now.is_some_and(|now| {
        now.size == made.size && SifFacts::from_metadata(&now.metadata).file == Some(made.digest)
    });
    if !is_ours {
        return Err(refused(BucketError::Overwritten(object.clone())));
    }
    task.finish();
    warn(target, &made.summary, context);
    receipt.sent(sent);
    receipt.bytes_reused += made.size - sent;
    receipt.tree = made.facts.tree;
    Ok(receipt)
}
