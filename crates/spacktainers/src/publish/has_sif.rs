//! Whether a target has a SIF file already, found out before anything is fetched or written.

use std::fs;
use std::path::Path;

use oci_format::Digest;

use super::layout::blocking;
use super::{PublishContext, PublishError, Receipt, Target, object, oras};
use crate::bucket::Bucket;
use crate::sif::{SifFacts, inspect};

/// A SIF file that is there already.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) size: u64,
    pub(super) tree: Option<Digest>,
}

impl Found {
    pub(super) fn tell(self, receipt: &mut Receipt) {
        receipt.reused(self.size);
        receipt.tree = self.tree;
        receipt.unchanged = true;
    }
}

/// A receipt, if `target` holds a SIF file of these facts.
///
/// # Errors
/// When the target cannot be asked.
pub async fn has_sif(
    target: &Target,
    facts: &SifFacts,
    context: &PublishContext,
) -> Result<Option<Receipt>, PublishError> {
    let found = match target {
        Target::Sif(file) => {
            let (file, facts) = (file.clone(), facts.clone());
            blocking(target, move || Ok(in_file(&file, &facts))).await?
        }
        Target::Object(name) => {
            let refused = PublishError::bucket(target);
            let bucket = Bucket::open(&name.bucket, &context.buckets).await;
            let bucket = bucket.map_err(&refused)?;
            object::find(&bucket, name, facts).await.map_err(&refused)?
        }
        Target::Oras(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            oras::find(&repository, reference, facts)
                .await
                .map_err(&refused)?
        }
        _ => None,
    };
    Ok(found.map(|found| {
        let mut receipt = Receipt::nothing(target);
        found.tell(&mut receipt);
        receipt
    }))
}

fn in_file(file: &Path, facts: &SifFacts) -> Option<Found> {
    let record = inspect::record(&mut inspect::open(file).ok()?)?;
    let is_same = facts.image.is_some()
        && facts.image == record.image
        && facts.definition == Some(record.definition);
    is_same.then(|| Found {
        size: fs::metadata(file).map_or(0, |it| it.len()),
        tree: Some(record.tree),
    })
}
