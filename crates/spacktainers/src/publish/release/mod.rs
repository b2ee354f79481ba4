//! A release: one image in many places, in all of them or in none.
//!
//! ```text
//! look.rs      what every place holds now                  taken by other content? ─► nothing is sent
//!    │
//! stage.rs     blobs, manifests by digest, attachments, SIF files in parts          names stay as they are
//!    │         read back: manifests, blobs, attachments
//!    │
//! checks       whoever wants to try the image before anybody gets it: `Check`       one says no? ─► names stay
//!    │
//! journal.rs   what every name meant before, and that it is to change
//!    │
//! switch.rs    one request per name: versions and SIF files, then the names that move (`latest`)
//!    │         read back: every name
//!    ▼
//! a receipt for every place; the journal is closed
//! ```
//!
//! Start at [`release`]; [`places`] makes the places out of what settings say (names.rs).
//!
//! **The moment of the change.** No protocol changes names in several registries at once, nor two tags in one. Everything
//! that can fail has been done and read back before the first name changes; what is left is one small request per name,
//! and each of them is atomic: whoever reads a name gets the whole old release or the whole new one. A name that is new to
//! the release (its version) changes before those that everybody follows, so `latest` never means something that its
//! version does not. A run that is killed in between leaves some names at the new release and some at the old; the
//! journal says so, the next run for the same places finishes it without sending anything that arrived, and
//! [`roll_back`] undoes it.
//!
//! **Taken names.** A name that is made to stay, a version, is never given other content silently: see [`Place::is_fixed`]
//! and [`ReleaseError::Taken`].
//!
//! From one environment to another: [`gather`] (promote.rs), then [`release`].
//!
//! Slots for what goes with an image: [`Release::attachments`] (SBOM, provenance, signatures) are attached to its manifest
//! in every repository, before any name changes; [`Release::checks`] are asked in between.

mod error;
mod journal;
mod look;
mod names;
mod promote;
mod stage;
mod switch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future;
use oci_format::{Descriptor, Digest, Reference};

use super::blobs::Blobs;
use super::made_sif::{OnceMade, Origin};
use super::{Attachment, PublishContext, Receipt, Target};
use crate::deffile::Prepared;
use crate::image::Image;
use look::{Held, look};
use stage::{Staged, stage};

pub use error::{ReleaseError, Taken};
pub use journal::{Before, Journal, JournalEntry, Step, open_journal, roll_back};
pub use names::{Branch, places, slug, suffix, tag};
pub use promote::{Gathered, SifSource, gather};

/// One place of a release: a tag of a repository, an object of a bucket, a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name that readers use.
    pub target: Target,
    /// Whether it is to stay what it is once it is there: a version. Others, as `latest` and those of branches, move.
    pub is_fixed: bool,
}

impl Place {
    /// A name that moves.
    #[must_use]
    pub fn moving(target: Target) -> Self {
        Self {
            target,
            is_fixed: false,
        }
    }

    /// A name that stays.
    #[must_use]
    pub fn fixed(target: Target) -> Self {
        Self {
            target,
            is_fixed: true,
        }
    }
}

/// What is released.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// An image.
    Image(&'a Image),
    /// What a definition file makes: places that take SIF files only.
    Deffile(&'a Arc<Prepared>),
}

/// A release.
pub struct Release<'a> {
    /// What goes to the places.
    pub content: Content<'a>,
    /// Where it goes, in the order of the receipts.
    pub places: &'a [Place],
    /// What is attached to the image wherever attachments can be.
    pub attachments: &'a [Attachment],
    /// The SIF file for buckets, where one is to be copied and not written.
    pub sif: Option<&'a SifSource>,
    /// Who is asked before names change, one after the other.
    pub checks: &'a [Arc<dyn Check>],
    /// Whether names that stay may get other content after all.
    pub replaces: bool,
}

/// Somebody who tries a release before anybody gets it.
#[async_trait]
pub trait Check: Send + Sync {
    /// What it tries, for messages: `nrniv --version`.
    fn name(&self) -> String;

    /// Tries it. What is in the text of a refusal is shown to the user.
    ///
    /// # Errors
    /// When the release is not fit to be seen.
    async fn check(&self, subject: &CheckSubject<'_>) -> Result<(), String>;
}

/// What a check is given.
#[derive(Debug)]
pub struct CheckSubject<'a> {
    /// The image, if it is one: its layers can be read.
    pub image: Option<&'a Image>,
    /// The image by digest in every repository that has it now, as users will pull it.
    pub references: Vec<Reference>,
    /// The SIF file that will be published, on this machine, where one was written.
    pub sif: Option<PathBuf>,
}

/// What a place holds after the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseReceipt {
    /// What it took. The work for all tags of one repository is counted for the first of them.
    pub receipt: Receipt,
    /// What the name meant before: the digest of an image, or of the file where no image is known; none where it was
    /// nothing.
    pub before: Option<Digest>,
    /// What is attached to the image there.
    pub attachments: Vec<Descriptor>,
}

impl fmt::Debug for Release<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release")
            .field("places", &self.places)
            .field("attachments", &self.attachments.len())
            .field("checks", &self.checks.len())
            .finish_non_exhaustive()
    }
}

/// Brings the release to all of its places, or leaves all of them as they were.
///
/// The receipts are in the order of the places.
///
/// # Errors
/// When a name is taken, a place fails or refuses, or a check does: then no name has changed, but for
/// [`ReleaseError::Unfinished`], which says how many have.
pub async fn release(
    release: &Release<'_>,
    context: &PublishContext,
) -> Result<Vec<ReleaseReceipt>, ReleaseError> {
    let blobs = match release.content {
        Content::Image(image) => Some(Blobs::of(image)),
        Content::Deffile(_) => None,
    };
    let origin = match (&blobs, release.content) {
        (Some(blobs), _) => Origin::Image(blobs),
        (None, Content::Deffile(prepared)) => Origin::Deffile(prepared),
        (None, Content::Image(_)) => return Ok(Vec::new()),
    };
    let once = OnceMade::new(origin);
    let work = Work {
        release,
        blobs: blobs.as_ref(),
        once: &once,
        context,
    };
    let outcome = work.run().await;
    if let Err(ReleaseError::Failed(errors)) = &outcome {
        for damaged in errors.iter().filter_map(|it| it.damaged()) {
            // Should it lie in the cache it would be believed again; a failure here changes nothing.
            let _ = context.cache.remove(damaged);
        }
    }
    outcome
}

/// A release on its way.
struct Work<'a> {
    release: &'a Release<'a>,
    blobs: Option<&'a Blobs<'a>>,
    once: &'a OnceMade<'a>,
    context: &'a PublishContext,
}

impl Work<'_> {
    async fn run(&self) -> Result<Vec<ReleaseReceipt>, ReleaseError> {
        let places = self.release.places;
        let looks = places.iter().map(|place| look(self, place));
        let held = all(future::join_all(looks).await)?;
        self.refuse_taken(&held)?;
        let mut staged = stage(self, &held).await?;
        stage::read_back(self, &staged).await?;
        self.ask(&staged).await?;
        let key = journal::key(places.iter().map(|it| &it.target));
        let is_current = held.iter().all(|it| *it == Held::Same);
        if !is_current {
            let journal = Journal::new(self.once.origin.facts().image, places, &held);
            journal::write(&self.context.cache, &key, &journal)?;
        }
        switch::switch(self, &held, &mut staged).await?;
        journal::forget(&self.context.cache, &key)?;
        Ok(staged.into_receipts(held))
    }

    /// Names that stay, and hold something else.
    fn refuse_taken(&self, held: &[Held]) -> Result<(), ReleaseError> {
        if self.release.replaces {
            return Ok(());
        }
        let ours = self.once.origin.facts().image;
        let taken: Vec<Taken> = self
            .release
            .places
            .iter()
            .zip(held)
            .filter(|(place, _)| place.is_fixed)
            .filter_map(|(place, held)| match held {
                Held::Other(there) => Some(Taken {
                    target: place.target.clone(),
                    there: *there,
                    ours,
                }),
                Held::Nothing | Held::Same => None,
            })
            .collect();
        if taken.is_empty() {
            Ok(())
        } else {
            Err(ReleaseError::Taken(taken))
        }
    }

    async fn ask(&self, staged: &Staged) -> Result<(), ReleaseError> {
        let subject = CheckSubject {
            image: self.blobs.map(|it| it.image),
            references: staged.references(),
            sif: self.once.path(),
        };
        for check in self.release.checks {
            let checked = check.check(&subject).await;
            checked.map_err(|why| ReleaseError::Check {
                name: check.name(),
                why,
            })?;
        }
        Ok(())
    }
}

/// All values, or all errors.
fn all<T>(outcomes: Vec<Result<T, super::PublishError>>) -> Result<Vec<T>, ReleaseError> {
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(ReleaseError::Failed(errors))
    }
}
