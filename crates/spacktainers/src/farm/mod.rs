//! Building what is in no mirror, by real Spack, from the lock.
//!
//! ```text
//! Order (one per container) ──survey──► what mirrors have ──plan──► Plan: what is built, what is laid down before
//!   lock, wanted packages                                             │
//!                                                    sources: fetched ahead, checked
//!                                                    local: dependencies first, several at a time
//!                                                    package: lay down ► build ► push, signed, at once
//!                                                                     │
//!                                                    Report: built; failed, each with a capsule; held up by those
//! ```
//!
//! Start at [`build_missing`]. A package of several containers is built once. A failure stops only what depends on it.
//! There is no state of ours: what was pushed is found in the mirror the next time, and what was built but not pushed is
//! in the store, where Spack finds it; so being killed costs at most the packages that were just building.
//!
//! - [`room`](RoomError): the sandbox that packages are built in, over an image, unless [`FarmOptions::room`] is none;
//! - [`sources`](MissingSource): what cannot be fetched is known before anything is built;
//! - [`capsule`](Capsule): what a failed package leaves, to be looked at and repeated elsewhere.

mod capsule;
mod error;
mod lay;
mod local;
mod package;
mod plan;
mod push;
mod room;
mod sources;
mod survey;

use std::num::NonZeroUsize;

use serde_json::Value as Json;
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use crate::base::BaseArchitecture;
use crate::build::{InstallRoot, World};
use crate::event::Event;
use crate::mirror::Access;
use crate::project::Settings;
use crate::spack::Spack;

pub use capsule::{Capsule, CapsuleError, CapsuleSummary, FirstError};
pub use error::{FarmError, LayDownError, PackageError};
pub use room::RoomError;
pub use sources::MissingSource;

/// A container whose packages shall be in a mirror.
pub struct Order<'a> {
    /// The container, for people.
    pub title: String,
    /// Its environment, for Spack.
    pub(crate) manifest: &'a Json,
    /// The text of its `spack.lock`.
    pub(crate) lock_text: &'a str,
    /// The same, read.
    pub(crate) lock: &'a SpackLockfile,
    /// The packages that the image needs, without externals.
    pub(crate) wanted: Vec<DagHash>,
}

/// How to build.
#[derive(Debug, Clone)]
pub struct FarmOptions {
    /// Where packages are built to lie; none: as the environment says.
    pub install: Option<InstallRoot>,
    /// Packages that are built at the same time.
    pub at_once: NonZeroUsize,
    /// The sandbox that they are built in; none: on this machine as it is.
    pub room: Option<RoomOptions>,
}

/// The sandbox that packages are built in.
#[derive(Debug, Clone)]
pub struct RoomOptions {
    /// The settings of the project: they say which image.
    pub settings: Settings,
    /// This machine's architecture.
    pub architecture: BaseArchitecture,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Packages that are in the mirror now.
    pub built: Vec<String>,
    /// Packages that could not be built, laid down or pushed.
    pub failed: Vec<Failed>,
    /// Packages that were not tried, as something that they need failed.
    pub held_up: Vec<String>,
}

/// A package that failed.
#[derive(Debug)]
pub struct Failed {
    /// Which.
    pub package: String,
    /// Why, in a few lines.
    pub message: String,
    /// What it left.
    pub capsule: Option<Capsule>,
}

impl Report {
    fn extend(&mut self, other: Self) {
        self.built.extend(other.built);
        self.failed.extend(other.failed);
        self.held_up.extend(other.held_up);
    }
}

/// Builds what is missing of `orders` and pushes it to the mirror that takes what is built. Failures of packages are in
/// the report.
///
/// # Errors
/// When nothing can be built at all: there is no such mirror, key or place, or mirrors cannot be asked.
pub async fn build_missing(
    orders: &[Order<'_>],
    spack: &Spack,
    options: &FarmOptions,
    world: &World<'_>,
    access: &Access,
) -> Result<Report, FarmError> {
    let survey = survey::survey(orders, world).await?;
    let plan = plan::plan(orders, &survey)?;
    if plan.builds.is_empty() {
        return Ok(Report::default());
    }
    let mut yard = package::Yard::open(orders, spack, options, world, access).await?;
    yard.check(&plan)?;
    world.reporter.event(Event::Note(plan.to_string()));
    let mut report = Report::default();
    let sources = sources::fetch_ahead(&plan, &yard).await?;
    let plan = sources.without_missing(plan, &mut report);
    yard.knows(sources, &plan);
    if plan.builds.is_empty() {
        return Ok(report);
    }
    yard.lay_down(&plan.laid_down_first).await?;
    report.extend(local::run(&plan, &yard, options.at_once).await);
    if !report.built.is_empty() {
        yard.update_index().await;
    }
    Ok(report)
}
