//! What a task does on its node: one batch, as a small [`build_missing`](super::super::build_missing) of its own.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;
use spack_format::yaml::SourceId;

use super::super::executor::{Ended, Journal, Work};
use super::super::plan::Build;
use super::super::room::indices;
use super::super::{FarmError, FarmOptions, Order, Report, local, plan, survey};
use super::folder::{OrderFile, PackageFile, PackageState, RunFolder};
use super::watch::package_file;
use crate::build::World;
use crate::event::{Event, Reporter};
use crate::mirror::Access;
use crate::project::{CheckoutSource, RecipeRepository, Settings};
use crate::spack::Spack;

/// What was ordered, as a task sees it.
pub struct JobOrder {
    run: RunFolder,
    order: OrderFile,
    batch: usize,
    job: String,
}

impl JobOrder {
    /// Opens the run in `folder` for the job that does `batch`; none: it is another job's business.
    ///
    /// # Errors
    /// When the folder is no run, or cannot be written.
    pub fn open(folder: &Path, batch: usize, job: &str) -> Result<Option<Self>, FarmError> {
        let run = RunFolder::at(folder.to_owned());
        let order = run.order()?;
        if !run.claim(batch, job)? {
            return Ok(None);
        }
        Ok(Some(Self {
            run,
            order,
            batch,
            job: job.to_owned(),
        }))
    }

    /// The project's settings as they were when it was ordered, with the Spack and the recipes of then.
    ///
    /// # Errors
    /// When they cannot be read any more.
    pub fn settings(&self) -> Result<Settings, FarmError> {
        let order = &self.order;
        let (mut settings, faults) = Settings::parse(&order.settings, SourceId(0), &order.project);
        if let Some(fault) = faults.first() {
            return Err(FarmError::Run {
                run: self.run.path().to_owned(),
                why: fault.message.clone(),
            });
        }
        settings.spack.source = Some(CheckoutSource::Folder(order.spack.clone()));
        let repositories = order
            .repositories
            .iter()
            .map(|(name, folder)| RecipeRepository {
                name: name.clone(),
                source: CheckoutSource::Folder(folder.clone()),
                folder: PathBuf::new(),
            });
        settings.spack.repositories = repositories.collect();
        Ok(settings)
    }

    /// Bytes of memory that the task has.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.order.batches.get(self.batch).map(|it| it.memory)
    }

    /// Where capsules go: all nodes and the submitter see it.
    #[must_use]
    pub fn capsules(&self) -> PathBuf {
        self.run.file("capsules")
    }

    /// Builds what is missing of the batch.
    ///
    /// # Errors
    /// When nothing can be built at all.
    pub async fn work(
        &self,
        spack: &Spack,
        options: &FarmOptions,
        world: &World<'_>,
        access: &Access,
    ) -> Result<Report, FarmError> {
        let mut wanted: BTreeMap<usize, Vec<(DagHash, Build)>> = BTreeMap::new();
        let batch = self.order.batches.get(self.batch);
        for index in batch.into_iter().flat_map(|it| &it.builds) {
            if let Some(build) = self.order.builds.get(*index).and_then(|it| it.build()) {
                let of_container = wanted.entry(build.order).or_default();
                of_container.push((build.hash, build));
            }
        }
        let mut containers = Vec::new();
        for container in wanted.keys() {
            let (manifest, lock_text) = self.run.container(*container)?;
            let lock = SpackLockfile::parse(&lock_text).map_err(|error| FarmError::Run {
                run: self.run.path().to_owned(),
                why: format!("the lock of container {container}: {error}"),
            })?;
            containers.push((*container, manifest, lock_text, lock));
        }
        let orders: Vec<Order<'_>> = containers
            .iter()
            .map(|(container, manifest, lock_text, lock)| Order {
                title: self
                    .order
                    .containers
                    .get(*container)
                    .cloned()
                    .unwrap_or_default(),
                manifest,
                lock_text,
                lock,
                wanted: wanted
                    .get(container)
                    .map(|builds| builds.iter().map(|(hash, _)| *hash).collect())
                    .unwrap_or_default(),
            })
            .collect();
        let work = Work {
            orders: &orders,
            spack,
            options,
            world,
            access,
        };
        // A node that is new to this would read all recipes first.
        indices::bring(&self.run.file("indices"), &spack.folder("user")?);
        let survey = survey::survey(&orders, world).await?;
        let plan = plan::plan(&orders, &survey)?;
        let ours: HashSet<DagHash> = wanted.values().flatten().map(|(hash, _)| *hash).collect();
        // What others should have built and did not.
        let foreign = plan.builds.iter().map(|build| build.hash);
        let foreign: HashSet<DagHash> = foreign.filter(|it| !ours.contains(it)).collect();
        let journal = Files {
            order: self,
            reporter: &*world.reporter,
        };
        let missing: HashSet<DagHash> = plan.builds.iter().map(|it| it.hash).collect();
        for (hash, build) in wanted.values().flatten() {
            if !missing.contains(hash) {
                journal.ended(build, &Ended::Built(None));
            }
        }
        let (plan, held_up) = plan.without(&foreign);
        let mut report = Report::default();
        for build in held_up {
            journal.ended(&build, &Ended::HeldUp);
            report.held_up.push(build.title);
        }
        if !plan.builds.is_empty() {
            report.extend(local::run(&plan, &work, &journal).await?);
        }
        Ok(report)
    }

    /// Says that the batch is over, and why not all of it was built if that has no place at a package.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&self, error: Option<String>) -> Result<(), FarmError> {
        self.run.end_batch(self.batch, error)
    }
}

/// Writes down how packages end, for the submitter.
struct Files<'a> {
    order: &'a JobOrder,
    reporter: &'a dyn Reporter,
}

impl Files<'_> {
    fn put(&self, build: &Build, file: &PackageFile) {
        if let Err(error) = self.order.run.put_package(&build.hash, file) {
            let warning = crate::base::one_line(&error);
            self.reporter.event(Event::Warning(warning));
        }
    }
}

impl Journal for Files<'_> {
    fn began(&self, build: &Build) {
        let file = PackageFile {
            state: PackageState::Building,
            job: self.order.job.clone(),
            message: None,
            capsule: None,
            recorded: None,
        };
        self.put(build, &file);
    }

    fn ended(&self, build: &Build, ended: &Ended<'_>) {
        self.put(build, &package_file(ended, &self.order.job));
    }
}
