//! Looking at runs, and ending them.

use super::super::FarmError;
use super::folder::{self, Locked, OrderFile, PackageState, RunFolder, Submitted};
use super::scheduler::{Task, TaskStatus};
use super::watch::{Watch, task};
use super::{Cluster, Phase};
use crate::event::Reporter;

/// One run.
#[derive(Debug, Clone)]
pub struct RunStatus {
    /// Its name: when it was ordered.
    pub name: String,
    /// For which containers.
    pub containers: Vec<String>,
    /// Whether nothing more comes of it.
    pub is_over: bool,
    /// Whether a program watches it, which submits what is held back.
    pub is_watched: bool,
    /// Its packages, in the order of the plan.
    pub packages: Vec<PackageStatus>,
    /// Its jobs.
    pub jobs: Vec<JobStatus>,
}

/// One package of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageStatus {
    /// Which.
    pub package: String,
    /// Where it is on its way; none: it waits.
    pub state: Option<PackageState>,
}

/// One batch of a run.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// The task that does it; none: it is held back.
    pub task: Option<Task>,
    /// Whether it is over.
    pub is_over: bool,
    /// What the scheduler says, if it knows it.
    pub status: Option<TaskStatus>,
    /// Its packages.
    pub packages: Vec<String>,
}

impl Cluster {
    /// All runs below the shared folder, oldest first; those that are over only if `with_old`.
    ///
    /// # Errors
    /// When they cannot be read, or the scheduler cannot be asked.
    pub async fn status(&self, with_old: bool) -> Result<Vec<RunStatus>, FarmError> {
        let mut runs = Vec::new();
        for run in RunFolder::all(&self.shared)? {
            if with_old || !run.is_over() {
                let order = run.order()?;
                runs.push(self.status_of(&run, &order).await?);
            }
        }
        Ok(runs)
    }

    async fn status_of(&self, run: &RunFolder, order: &OrderFile) -> Result<RunStatus, FarmError> {
        let over = run.over()?;
        let is_over = run.is_over();
        let submissions = run.submissions()?;
        let tasks: Vec<Option<Task>> = (0..order.batches.len())
            .map(|batch| task(&submissions, batch))
            .collect();
        let open = tasks
            .iter()
            .enumerate()
            .filter(|(batch, _)| !over.contains(batch));
        let open: Vec<Task> = open.filter_map(|(_, task)| task.clone()).collect();
        let known = match open.is_empty() {
            true => Vec::new(),
            false => self.scheduler.tasks(&open).await?,
        };
        let title = |index: &usize| order.builds.get(*index).map(|it| it.title.clone());
        let batches = order.batches.iter().zip(tasks).enumerate();
        let jobs = batches.map(|(number, (batch, task))| JobStatus {
            status: known
                .iter()
                .find(|it| Some(&it.task) == task.as_ref())
                .cloned(),
            task,
            is_over: over.contains(&number),
            packages: batch.builds.iter().filter_map(title).collect(),
        });
        let jobs = jobs.collect();
        let mut packages = Vec::new();
        for build in &order.builds {
            let file = build.hash().map(|hash| run.package(&hash)).transpose()?;
            packages.push(PackageStatus {
                package: build.title.clone(),
                state: file.flatten().map(|it| it.state),
            });
        }
        Ok(RunStatus {
            name: run.name(),
            containers: order.containers.clone(),
            is_over,
            is_watched: !is_over && is_watched(run)?,
            packages,
            jobs,
        })
    }

    /// Ends the run of this name, or all that are underway: their jobs are cancelled. Says which were ended.
    ///
    /// # Errors
    /// When there is no such run, or the scheduler refuses.
    pub async fn cancel(
        &self,
        name: Option<&str>,
        reporter: &dyn Reporter,
    ) -> Result<Vec<String>, FarmError> {
        let runs = RunFolder::all(&self.shared)?.into_iter();
        let runs: Vec<RunFolder> = runs
            .filter(|run| name.is_none_or(|name| run.name() == name))
            .collect();
        if let (Some(name), true) = (name, runs.is_empty()) {
            return Err(FarmError::Run {
                run: self.shared.join("runs").join(name),
                why: "there is none of this name".to_owned(),
            });
        }
        let mut ended = Vec::new();
        for run in runs.into_iter().filter(|run| !run.is_over()) {
            run.put("cancelled", &true)?;
            let jobs: Vec<String> = run.submissions()?.into_iter().filter_map(job).collect();
            if !jobs.is_empty() {
                self.scheduler.cancel(&jobs).await?;
            }
            ended.push(run.name());
            let order = run.order()?;
            let watch = Watch {
                scheduler: &*self.scheduler,
                settings: &self.settings,
                command: &self.command,
                run,
                order,
                reporter,
                records: None,
            };
            let _ = watch.to_its_end().await?;
        }
        Ok(ended)
    }
}

fn job(submitted: Submitted) -> Option<String> {
    submitted.job
}

fn is_watched(run: &RunFolder) -> Result<bool, FarmError> {
    Ok(matches!(
        folder::lock(&run.file("watch.lock"))?,
        Locked::Busy
    ))
}

impl JobStatus {
    /// Where it is on its way, in one word.
    #[must_use]
    pub fn word(&self) -> &str {
        match (&self.status, &self.task) {
            _ if self.is_over => "over",
            (Some(status), _) => match status.phase {
                Phase::Waiting => "waiting",
                Phase::Running => "running",
                Phase::Done => "ended",
                Phase::Broken => "broken",
            },
            (None, Some(_)) => "unknown",
            (None, None) => "held back",
        }
    }
}
