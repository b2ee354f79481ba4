//! Who builds the packages of a plan: this machine, or jobs of a scheduler.
//!
//! ```text
//! build_missing ──► Executor::resume     what was ordered before and may still go on
//!               ──► survey, plan         what is missing then
//!               ──► Executor::execute ─┬─ Local      several at a time, here
//!                                      └─ Cluster    jobs, by way of a Scheduler: Slurm
//! ```

use async_trait::async_trait;

use super::plan::{Build, Plan};
use super::records::Recorded;
use super::{Capsule, FarmError, FarmOptions, Order, Report};
use crate::build::World;
use crate::mirror::Access;
use crate::spack::Spack;

/// Who builds packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExecutorKind {
    /// This machine.
    #[default]
    Local,
    /// Jobs of Slurm.
    Slurm,
}

impl ExecutorKind {
    /// The names of all, as settings and the command line have them.
    pub const NAMES: [&'static str; 2] = ["local", "slurm"];

    /// The one of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "local" => Some(Self::Local),
            "slurm" => Some(Self::Slurm),
            _ => None,
        }
    }
}

/// All that building works with.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    pub(super) orders: &'a [Order<'a>],
    pub(super) spack: &'a Spack,
    pub(super) options: &'a FarmOptions,
    pub(super) world: &'a World<'a>,
    pub(super) access: &'a Access,
}

/// What is planned, for an [`Executor`].
pub struct Planned<'a> {
    pub(super) plan: &'a Plan,
}

/// Builds packages and pushes each the moment it is built.
///
/// Another scheduler is no other executor, but another [`Scheduler`](super::cluster::Scheduler).
#[async_trait(?Send)]
pub trait Executor: Send + Sync {
    /// Waits for what an earlier run of the program ordered of the same packages, if something of it is still underway,
    /// and says what came of it.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn resume(&self, work: &Work<'_>) -> Result<Report, FarmError>;

    /// Builds all that is planned.
    ///
    /// # Errors
    /// When nothing can be built at all. Failures of packages are in the report.
    async fn execute(&self, planned: &Planned<'_>, work: &Work<'_>) -> Result<Report, FarmError>;
}

/// How a package ended.
pub(super) enum Ended<'a> {
    /// It is in the mirror.
    Built(Option<&'a Recorded>),
    /// It is not, and why.
    Failed(&'a str, Option<&'a Capsule>),
    /// It was not tried.
    HeldUp,
}

/// Who hears of each package as it goes.
pub(super) trait Journal: Sync {
    /// A build begins.
    fn began(&self, build: &Build);
    /// It is over.
    fn ended(&self, build: &Build, ended: &Ended<'_>);
}
