//! What names meant before a release, written down before the first of them changes.
//!
//! ```text
//! local cache, record `release-1`, by the names of the places:
//!   the image, and for each place its name and what it held
//! ```
//!
//! A journal that is there means that a run ended between the first name and the last. The next release to the same places
//! finishes it, by being a release to them; [`roll_back`] gives the names back what they meant.
//!
//! The record lies in the local cache, which a pipeline may lose. Nothing depends on it but undoing: what is where is asked
//! of the places themselves, every time.

use oci_format::{Digest, Reference};
use serde::{Deserialize, Serialize};

use super::super::multi_arch::Naming;
use super::super::{PublishContext, PublishError, Target, existing};
use super::look::Held;
use super::{Place, ReleaseError};
use crate::local_cache::{LocalCache, LocalCacheError};
use crate::registry::ManifestKey;

/// The kind of the records.
const RECORD: &str = "release-1";

/// A release whose names are changing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The new image; none for what a definition file makes.
    pub image: Option<Digest>,
    /// The places, in the order of the release.
    pub entries: Vec<JournalEntry>,
}

/// One place of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The name.
    pub target: String,
    /// What it held.
    pub before: Before,
}

/// What a name meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Nothing.
    Nothing,
    /// The new image already.
    Same,
    /// Something without a digest that is known.
    Unknown,
    /// This.
    Digest(Digest),
}

impl Journal {
    pub(super) fn new(image: Option<Digest>, places: &[Place], held: &[Held]) -> Self {
        let entries = places.iter().zip(held).map(|(place, held)| JournalEntry {
            target: place.target.to_string(),
            before: match held {
                Held::Nothing => Before::Nothing,
                Held::Same => Before::Same,
                Held::Other(None) => Before::Unknown,
                Held::Other(Some(digest)) => Before::Digest(*digest),
            },
        });
        Self {
            image,
            entries: entries.collect(),
        }
    }
}

/// What releases to the same places have in common.
pub(super) fn key<'a>(targets: impl Iterator<Item = &'a Target>) -> String {
    let mut names: Vec<String> = targets.map(Target::to_string).collect();
    names.sort();
    Digest::of(names.join("\n").as_bytes()).hex()
}

/// Writes it down, unless an earlier run has: what that one found is what was there before all of them.
pub(super) fn write(
    cache: &LocalCache,
    key: &str,
    journal: &Journal,
) -> Result<(), LocalCacheError> {
    let mut journal = journal.clone();
    if let Some(earlier) = read(cache, key) {
        for entry in &mut journal.entries {
            let known = earlier.entries.iter().find(|it| it.target == entry.target);
            if let Some(known) = known.filter(|it| it.before != Before::Same) {
                entry.before = known.before;
            }
        }
    }
    let bytes = serde_json::to_vec(&journal).unwrap_or_default();
    cache.put_record(RECORD, key, &bytes)
}

pub(super) fn forget(cache: &LocalCache, key: &str) -> Result<(), LocalCacheError> {
    cache.forget_record(RECORD, key)
}

fn read(cache: &LocalCache, key: &str) -> Option<Journal> {
    serde_json::from_slice(&cache.record(RECORD, key)?).ok()
}

/// The journal of an unfinished release to these places.
#[must_use]
pub fn open_journal<'a>(
    targets: impl Iterator<Item = &'a Target>,
    cache: &LocalCache,
) -> Option<Journal> {
    read(cache, &key(targets))
}

/// What became of one name when a release was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It means again what it meant before.
    Restored(Digest),
    /// It never changed.
    Untouched,
    /// It meant nothing before, and cannot be taken away: registries have no request for that which all of them know, and
    /// what is in a bucket somebody may have fetched already. It means the new image, which is whole.
    New,
    /// What it held is gone: an object was replaced, and buckets keep no old ones unless they are set to.
    Gone,
}

/// Gives names back what they meant before an unfinished release to these places, in the opposite order.
///
/// # Errors
/// When there is no such release, or a registry fails; the journal stays then.
pub async fn roll_back(
    targets: &[Target],
    context: &PublishContext,
) -> Result<Vec<(Target, Step)>, ReleaseError> {
    let key = key(targets.iter());
    let journal = read(&context.cache, &key).ok_or(ReleaseError::NoJournal)?;
    let mut steps = Vec::new();
    for target in targets.iter().rev() {
        let name = target.to_string();
        let entry = journal.entries.iter().find(|it| it.target == name);
        let before = entry.map_or(Before::Same, |it| it.before);
        let step = match (before, target) {
            (Before::Same, _) => Step::Untouched,
            (Before::Nothing, _) => Step::New,
            (Before::Digest(digest), Target::Registry(reference)) => {
                let restored = restore(target, reference, digest, context).await;
                restored.map_err(|error| ReleaseError::Failed(vec![error]))?
            }
            (Before::Digest(digest), _) => {
                let now = sif_there(target, context).await;
                match now.map_err(|error| ReleaseError::Failed(vec![error]))? {
                    Some(now) if now == digest => Step::Untouched,
                    _ => Step::Gone,
                }
            }
            (Before::Unknown, _) => Step::Gone,
        };
        steps.push((target.clone(), step));
    }
    forget(&context.cache, &key)?;
    steps.reverse();
    Ok(steps)
}

/// The image of the SIF file that a place holds, or the file's own digest.
async fn sif_there(
    target: &Target,
    context: &PublishContext,
) -> Result<Option<Digest>, PublishError> {
    let there = existing(target, context).await?;
    Ok(there.map(|it| it.descriptor.digest))
}

/// Points a tag at a manifest that the repository still has.
async fn restore(
    target: &Target,
    reference: &Reference,
    digest: Digest,
    context: &PublishContext,
) -> Result<Step, PublishError> {
    let refused = PublishError::registry(target);
    let repository = context.registry.repository(reference).map_err(&refused)?;
    let repository = repository.writable([]);
    let key = ManifestKey::from(reference);
    let now = repository
        .manifest_head(key.clone())
        .await
        .map_err(&refused)?;
    if now.and_then(|it| it.digest) == Some(digest) {
        return Ok(Step::Untouched);
    }
    let Some(old) = repository.manifest(digest).await.map_err(&refused)? else {
        return Ok(Step::Gone);
    };
    // Under a name that several platforms share, the image takes its own place again.
    let naming = Naming::of_stored(&old, &repository, context).await;
    match naming.map_err(&refused)? {
        Some(naming) => {
            let changed = naming.in_registry(&repository, &key, &old.bytes).await;
            if !changed.map_err(&refused)? {
                return Ok(Step::Untouched);
            }
        }
        None => {
            let put = repository.put_manifest(key, &old.descriptor.media_type, old.bytes);
            put.await.map_err(&refused)?;
        }
    }
    Ok(Step::Restored(digest))
}
