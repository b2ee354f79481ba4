//! Layers on their way before the image is finished: most of them are known long before the last, small one is made.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future;
use oci_format::Digest;

use super::blobs::Blob;
use super::{PublishContext, Receipt, Target, registry};
use crate::image::RecordedLayer;

/// What was brought to registries so far, so that the receipt of the whole image counts it.
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    brought: Arc<Mutex<HashMap<(String, Digest), How>>>,
}

/// How a blob got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Sent,
    Mounted,
}

impl Ahead {
    pub(super) fn note(&self, repository: &str, digest: Digest, how: How) {
        let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        brought.insert((repository.to_owned(), digest), how);
    }

    pub(super) fn of(&self, repository: &str, digest: Digest) -> Option<How> {
        let brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        brought.get(&(repository.to_owned(), digest)).copied()
    }
}

/// Brings `layers` to those of the targets that are registries. What fails here is tried again, and told, by
/// [`super::publish`]: an image is never announced before all of it is there.
pub async fn send_ahead(layers: Vec<RecordedLayer>, targets: Vec<Target>, context: PublishContext) {
    let mut seen = HashSet::new();
    let blobs: Vec<Blob<'_>> = layers
        .iter()
        .filter(|layer| seen.insert(layer.descriptor.digest))
        .map(Blob::of)
        .collect();
    let blobs = &blobs;
    let context = &context;
    future::join_all(targets.iter().map(async |target| {
        if let Target::Registry(reference) = target
            && let Ok(repository) = registry::open(blobs, reference, context)
        {
            let receipt = Receipt::nothing(target);
            let name = registry::name(&repository);
            let note = |digest, how| context.ahead.note(&name, digest, how);
            let _ = registry::push_blobs(blobs, &repository, target, context, receipt, &note).await;
        }
    }))
    .await;
}
