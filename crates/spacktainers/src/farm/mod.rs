//! Building what is in no mirror, by real Spack, from the lock.
//!
//! ```text
//! Order (one per container) ──survey──► what mirrors have ──plan──► Plan: what is built, what is laid down before
//!   lock, wanted packages                                             │
//!                                              Executor: Local, or jobs of a scheduler, each of which is a Local
//!                                                    sources: fetched ahead, checked
//!                                                    dependencies first, several at a time
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
//! - [`executor`](Executor): who builds; `local` is this machine, [`cluster`] jobs of a scheduler, [`slurm`] is one;
//! - `jobserver`, `meter`: processors that builds share, and the memory that they take;
//! - `records`, `needs`, [`estimate`](Estimate): what builds took, what the next ones need, and how long all of it takes;
//! - [`capsule`](Capsule): what a failed package leaves, to be looked at and repeated elsewhere.

mod ask;
mod capsule;
pub mod cluster;
mod error;
mod estimate;
mod executor;
mod jobserver;
mod lay;
mod local;
mod meter;
mod needs;
mod package;
mod plan;
mod push;
mod records;
mod room;
pub mod slurm;
mod sources;
mod survey;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value as Json;
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use crate::base::BaseArchitecture;
use crate::build::{InstallRoot, World};
use crate::event::Event;
use crate::mirror::Access;
use crate::project::Settings;
use crate::spack::Spack;

pub use ask::{ask, seconds};
pub use capsule::{Capsule, CapsuleError, CapsuleSummary, FirstError};
pub use cluster::BatchSettings;
pub use error::{FarmError, LayDownError, PackageError};
pub use estimate::Estimate;
pub use executor::{Executor, ExecutorKind, Planned, Work};
pub use local::Local;
pub use needs::{Needs, PackageClass};
pub use records::Recorded;
pub use room::RoomError;
pub use slurm::SlurmSettings;
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
    /// Packages that one machine builds at the same time.
    pub at_once: NonZeroUsize,
    /// The sandbox that they are built in; none: on this machine as it is.
    pub room: Option<RoomOptions>,
    /// Bytes of memory that builds of one machine may take together; none: what is free when they begin.
    pub memory: Option<u64>,
    /// What the settings say of what packages need.
    pub needs: Needs,
    /// Where capsules are put; none: below the local cache.
    pub capsules: Option<PathBuf>,
}

impl FarmOptions {
    /// Bytes that builds may take together.
    fn memory(&self) -> u64 {
        let free = || crate::spack::free_memory().unwrap_or(u64::MAX);
        self.memory.unwrap_or_else(free)
    }
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
#[must_use]
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

/// Lets `executor` build what is missing of `orders` and push it to the mirror that takes what is built. Failures of
/// packages are in the report.
///
/// # Errors
/// When nothing can be built at all: there is no such mirror, key or place, or mirrors cannot be asked.
pub async fn build_missing(
    orders: &[Order<'_>],
    spack: &Spack,
    options: &FarmOptions,
    world: &World<'_>,
    access: &Access,
    executor: &dyn Executor,
) -> Result<Report, FarmError> {
    let work = Work {
        orders,
        spack,
        options,
        world,
        access,
    };
    let begin = Instant::now();
    let mut report = executor.resume(&work).await?;
    if !report.failed.is_empty() {
        return Ok(report);
    }
    // What was signed meanwhile is not signed in the future.
    let world = &World {
        now: world.now + begin.elapsed(),
        reporter: world.reporter.clone(),
        ..*world
    };
    let work = Work { world, ..work };
    let survey = survey::survey(orders, world).await?;
    let plan = plan::plan(orders, &survey)?;
    if plan.builds.is_empty() {
        return Ok(report);
    }
    world.reporter.event(Event::Note(plan.to_string()));
    report.extend(executor.execute(&Planned { plan: &plan }, &work).await?);
    Ok(report)
}

/// How long building what is missing of `orders` takes, by what earlier builds took.
///
/// # Errors
/// When mirrors cannot be asked, or something that has to be built must not be pushed.
pub async fn estimate_missing(
    orders: &[Order<'_>],
    needs: &Needs,
    world: &World<'_>,
) -> Result<Estimate, FarmError> {
    let survey = survey::survey(orders, world).await?;
    let plan = plan::plan(orders, &survey)?;
    let needs = needs.of(&plan, &records::Records::new(world.cache));
    Ok(estimate::estimate(&plan, &needs))
}
