//! Building by jobs of a scheduler, on nodes that share a file system.
//!
//! ```text
//! Plan ──pack──► batches: what one task does ──lower──► arrays, each after others, within limits
//!                                                          │ Scheduler
//!              RunFolder, on the shared file system ◄──────┼──► work: on a node, a batch is a small build_missing of its own
//!                                                          │
//!              watch: submits what was held back, and says what happens, until all batches are over ──► Report
//! ```
//!
//! A task asks the mirrors itself what is missing of its batch. So a task that runs twice builds nothing twice, what
//! failed holds up only what needs it, and tasks wait for others *however these end*.
//!
//! The submitter may go away: all that it knows is in the [run's folder](folder), and running again goes on watching.
//! Tasks that were held back for want of room are submitted as long as somebody watches.
//!
//! Another scheduler is another [`Scheduler`].

mod folder;
mod lower;
mod pack;
mod scheduler;
mod status;
#[cfg(test)]
mod tests;
mod watch;
mod work;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use spack_format::dag_hash::DagHash;

use super::executor::{Executor, Planned, Work};
use super::push::Goal;
use super::records::Records;
use super::room::indices;
use super::{FarmError, Report};
use crate::assemble::{SourceDateEpoch, rfc3339};
use crate::event::Event;
use folder::{Locked, OrderFile, RunFolder};

pub use folder::PackageState;
pub use scheduler::{Limits, Phase, Scheduler, SchedulerError, Submission, Task, TaskStatus};
pub use status::{JobStatus, PackageStatus, RunStatus};
pub use work::JobOrder;

/// How often it is looked whether another run is done with what only one may do.
const WAITING: Duration = Duration::from_secs(1);

/// What every scheduler is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSettings {
    /// A folder that all nodes see under this path; none: `.spacktainers` in the project's.
    pub shared: Option<PathBuf>,
    /// A folder of each node alone, for stages and what it has fetched.
    pub scratch: PathBuf,
    /// Processors of a task.
    pub cores: usize,
    /// Bytes of memory of a task.
    pub memory: u64,
    /// Seconds that a task may run; none: as long as the scheduler lets it.
    pub longest: Option<u64>,
    /// Seconds that packages which share a task may take together.
    pub packed: u64,
    /// The most tasks that are submitted at a time; none: as many as the scheduler takes.
    pub most: Option<usize>,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            shared: None,
            scratch: "/tmp".into(),
            cores: 4,
            memory: 8 << 30,
            longest: None,
            packed: 1800,
            most: None,
        }
    }
}

/// What jobs run: this program. Secrets have no place here.
#[derive(Debug, Clone)]
pub struct JobCommand {
    /// The program, as nodes see it.
    pub program: PathBuf,
    /// Its arguments before `farm work`.
    pub before: Vec<String>,
    /// Its arguments behind that.
    pub behind: Vec<String>,
}

/// The project that packages are ordered for.
#[derive(Debug, Clone)]
pub struct Ordering {
    /// Its folder.
    pub project: PathBuf,
    /// The text of its settings.
    pub settings: String,
}

/// Jobs of a scheduler.
pub struct Cluster {
    scheduler: Box<dyn Scheduler>,
    settings: BatchSettings,
    shared: PathBuf,
    command: JobCommand,
    ordering: Ordering,
    only_attach: bool,
    /// Held from looking for earlier runs until what is ordered is written, so that nobody orders the same beside us.
    alone: Mutex<Option<Locked>>,
}

impl Cluster {
    /// Builds by jobs of `scheduler`.
    #[must_use]
    pub fn new(
        scheduler: Box<dyn Scheduler>,
        settings: BatchSettings,
        command: JobCommand,
        ordering: Ordering,
    ) -> Self {
        let shared = settings.shared.clone();
        Self {
            scheduler,
            shared: shared.unwrap_or_else(|| ordering.project.join(".spacktainers")),
            settings,
            command,
            ordering,
            only_attach: false,
            alone: Mutex::new(None),
        }
    }

    /// The same, which orders nothing, and only goes on with what was ordered before.
    #[must_use]
    pub fn only_attach(mut self, only_attach: bool) -> Self {
        self.only_attach = only_attach;
        self
    }

    /// Runs below the shared folder of which something is underway, that are to build one of these.
    fn underway(
        &self,
        hashes: &HashSet<DagHash>,
    ) -> Result<Vec<(RunFolder, OrderFile)>, FarmError> {
        let mut found = Vec::new();
        for run in RunFolder::all(&self.shared)? {
            if run.is_over() {
                continue;
            }
            let order = run.order()?;
            let mut ordered = order.builds.iter().filter_map(folder::Ordered::hash);
            if ordered.any(|hash| hashes.contains(&hash)) {
                found.push((run, order));
            }
        }
        Ok(found)
    }

    fn keep(&self, lock: Option<Locked>) {
        *self.alone.lock().unwrap_or_else(PoisonError::into_inner) = lock;
    }

    fn watch<'a>(&'a self, run: RunFolder, order: OrderFile, work: &Work<'a>) -> watch::Watch<'a> {
        watch::Watch {
            scheduler: &*self.scheduler,
            settings: &self.settings,
            command: &self.command,
            run,
            order,
            reporter: &*work.world.reporter,
            records: Some(Records::new(work.world.cache)),
        }
    }
}

#[async_trait(?Send)]
impl Executor for Cluster {
    async fn resume(&self, work: &Work<'_>) -> Result<Report, FarmError> {
        let hashes: HashSet<DagHash> = work
            .orders
            .iter()
            .flat_map(|order| order.lock.specs.iter().map(|spec| spec.hash))
            .collect();
        let mut report = Report::default();
        loop {
            let alone = lock(&self.shared.join("order.lock")).await?;
            let Some((run, order)) = self.underway(&hashes)?.into_iter().next() else {
                self.keep(Some(alone));
                return Ok(report);
            };
            drop(alone);
            let note = format!(
                "the run {} builds {} packages, some of them wanted here: going on with it",
                run.name(),
                order.builds.len()
            );
            work.world.reporter.event(Event::Note(note));
            report.extend(self.watch(run, order, work).to_its_end().await?);
            if !report.failed.is_empty() {
                return Ok(report);
            }
        }
    }

    async fn execute(&self, planned: &Planned<'_>, work: &Work<'_>) -> Result<Report, FarmError> {
        let (plan, world) = (planned.plan, work.world);
        if self.only_attach {
            let titles = plan.builds.iter().map(|it| it.title.clone()).collect();
            return Err(FarmError::NothingOrdered(titles));
        }
        // What every job would stumble over is found out now.
        Goal::open(work.spack, world, &*world.reporter, work.access).await?;
        let limits = self.scheduler.limits().await?;
        let needs = work.options.needs.of(plan, &Records::new(world.cache));
        let batches = pack::pack(plan, &needs, &self.settings, &limits);
        let mut order = OrderFile::new(plan, batches);
        order.project.clone_from(&self.ordering.project);
        order.settings.clone_from(&self.ordering.settings);
        order.spack = work.spack.root().to_owned();
        let repositories = work.spack.repositories().iter();
        order.repositories = repositories
            .map(|(name, folder, _)| (name.clone(), folder.clone()))
            .collect();
        order.containers = work.orders.iter().map(|it| it.title.clone()).collect();
        let run = RunFolder::make(&self.shared, &run_name(world.now))?;
        for (index, it) in work.orders.iter().enumerate() {
            run.put_container(index, it.manifest, it.lock_text)?;
        }
        indices::bring(&work.spack.folder("user")?, &run.file("indices"));
        run.put("order.json", &order)?;
        self.keep(None);
        let note = format!(
            "ordered as run {}, in {} job{}: they go on without this program; `spacktainers farm status` shows them, \
             `spacktainers farm cancel` ends them",
            run.name(),
            order.batches.len(),
            if order.batches.len() == 1 { "" } else { "s" },
        );
        world.reporter.event(Event::Note(note));
        self.watch(run, order, work).to_its_end().await
    }
}

/// A name that sorts by time: `20261126T065305Z`.
fn run_name(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    rfc3339(SourceDateEpoch(seconds)).replace(['-', ':'], "")
}

/// Locks a file, and waits for whoever has it.
async fn lock(path: &Path) -> Result<Locked, FarmError> {
    loop {
        match folder::lock(path)? {
            Locked::Busy => tokio::time::sleep(WAITING).await,
            locked => return Ok(locked),
        }
    }
}

/// The limits of a small cluster.
#[cfg(test)]
fn test_limits() -> Limits {
    Limits {
        array: 100,
        queued: None,
        seconds: Some(3600),
        cores: Some(16),
        memory: Some(64),
        has_dependencies: true,
    }
}
