//! Submitting what a run needs and waiting for its end; picked up by whoever comes next, if we go away.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::super::executor::Ended;
use super::super::records::Records;
use super::super::{Capsule, Failed, FarmError, Report};
use super::folder::{Locked, OrderFile, PackageFile, PackageState, RunFolder, Submitted};
use super::lower::{Group, Stage, next_group};
use super::scheduler::{Limits, Phase, Scheduler, SchedulerError, Submission, Task, TaskStatus};
use super::{BatchSettings, JobCommand, WAITING};
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};

/// How often it is looked: soon after something happened, and less often in long builds.
const SOON: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(15);

/// How long a task that is over may take to be seen by us as such: files of other nodes are not seen at once. What the
/// scheduler ended has nothing more to say.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_BROKEN: Duration = Duration::from_secs(5);

/// How often a scheduler may fail to answer.
const MOST_SILENCE: u32 = 40;

/// One run, watched.
pub(super) struct Watch<'a> {
    pub(super) scheduler: &'a dyn Scheduler,
    pub(super) settings: &'a BatchSettings,
    pub(super) command: &'a JobCommand,
    pub(super) run: RunFolder,
    pub(super) order: OrderFile,
    pub(super) reporter: &'a dyn Reporter,
    /// Where it is remembered what builds took.
    pub(super) records: Option<Records<'a>>,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    /// Builds that were told to begin.
    begun: HashMap<usize, TaskId>,
    ended: HashSet<usize>,
    /// Since when a batch seems to be over although it says nothing.
    silent: HashMap<usize, Instant>,
    /// Why nothing more is submitted for now.
    held_back: Option<String>,
    /// How often the scheduler did not answer.
    failures: u32,
}

impl Watch<'_> {
    /// Waits until all batches are over, submitting what has to be. If somebody else watches it, waits for them.
    pub(super) async fn to_its_end(&self) -> Result<Report, FarmError> {
        let mut is_told = false;
        let _alone = loop {
            if let Some(report) = self.run.report()? {
                return Ok(report);
            }
            match super::folder::lock(&self.run.file("watch.lock"))? {
                Locked::Busy if is_told => {}
                Locked::Busy => {
                    let note = format!("somebody else watches the run {} too", self.run.name());
                    self.reporter.event(Event::Note(note));
                    is_told = true;
                }
                locked => break locked,
            }
            tokio::time::sleep(WAITING).await;
        };
        let limits = self.scheduler.limits().await?;
        let mut submissions = self.adopted().await?;
        let mut seen = Seen::default();
        let mut pause = SOON;
        loop {
            let over = self.run.over()?;
            let is_news = self.tell(&over, &mut seen)?;
            if over.len() >= self.order.batches.len() {
                break;
            }
            let is_less = self
                .submit(&limits, &over, &mut submissions, &mut seen)
                .await?;
            let is_over = self.look(&over, &submissions, &mut seen).await?;
            pause = match is_news || is_less || is_over {
                true => SOON,
                false => (pause * 5 / 4).min(SELDOM),
            };
            tokio::time::sleep(pause).await;
        }
        let report = self.report()?;
        self.run.put_report(&report)?;
        Ok(report)
    }

    /// What was submitted before. Where we went away before the answer came, the scheduler is asked for it.
    async fn adopted(&self) -> Result<Vec<Submitted>, FarmError> {
        let mut submissions = self.run.submissions()?;
        let over = self.run.over()?;
        for index in 0..submissions.len() {
            let Some(mut it) = submissions
                .get(index)
                .filter(|it| it.job.is_none())
                .cloned()
            else {
                continue;
            };
            // If it has run and the scheduler has forgotten it, it has left its name.
            let mut claims = it.batches.iter().filter_map(|it| self.run.claimed(*it));
            let claimed = claims.next();
            let claimed = claimed.and_then(|job| job.split('_').next().map(str::to_owned));
            it.job = self.scheduler.find(&it.name).await?.or(claimed);
            if it.job.is_none() {
                let first = it
                    .batches
                    .first()
                    .and_then(|it| self.order.batches.get(*it));
                let after = first.map(|it| it.after.as_slice()).unwrap_or_default();
                let after = after.iter().filter(|it| !over.contains(it));
                let after: Vec<Task> = after.filter_map(|it| task(&submissions, *it)).collect();
                it.job = Some(self.scheduler.submit(&self.submission(&it, &after)).await?);
            }
            self.run.put_submission(index, &it)?;
            if let Some(place) = submissions.get_mut(index) {
                *place = it;
            }
        }
        Ok(submissions)
    }

    /// Submits what can be submitted; says whether it was something.
    async fn submit(
        &self,
        limits: &Limits,
        over: &HashSet<usize>,
        submissions: &mut Vec<Submitted>,
        seen: &mut Seen,
    ) -> Result<bool, FarmError> {
        let mut stages = vec![Stage::Held; self.order.batches.len()];
        let mut set = |batch: usize, stage| {
            if let Some(it) = stages.get_mut(batch) {
                *it = stage;
            }
        };
        let submitted = submissions.iter().flat_map(|it| &it.batches);
        submitted.for_each(|it| set(*it, Stage::Submitted));
        over.iter().for_each(|it| set(*it, Stage::Over));
        if !stages.contains(&Stage::Held) {
            return Ok(false);
        }
        if self.run.file("cancelled").exists() {
            let held = stages
                .iter()
                .enumerate()
                .filter(|(_, it)| **it == Stage::Held);
            for (batch, _) in held {
                let why = "the run was cancelled before it was submitted".to_owned();
                self.run.end_batch(batch, Some(why))?;
            }
            return Ok(true);
        }
        let mut room = self.room(limits, &stages, seen).await?;
        let before = submissions.len();
        while let Some(group) = next_group(&self.order.batches, &stages, limits, room) {
            match self.submit_group(&group, submissions).await {
                Ok(()) => {
                    room -= group.batches.len();
                    for batch in group.batches {
                        if let Some(it) = stages.get_mut(batch) {
                            *it = Stage::Submitted;
                        }
                    }
                }
                Err(FarmError::Scheduler(SchedulerError::Full { message, .. })) => {
                    self.hold_back(&message, seen);
                    break;
                }
                Err(error @ FarmError::Scheduler(SchedulerError::Refused { .. }))
                    if !submissions.is_empty() =>
                {
                    // What goes on goes on.
                    let why = crate::base::one_line(&error);
                    for batch in group.batches {
                        self.run.end_batch(batch, Some(why.clone()))?;
                    }
                    return Ok(true);
                }
                Err(error) => {
                    if submissions.is_empty() {
                        // Nothing was ordered after all: the next run plans anew.
                        self.run.put_report(&Report::default())?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(submissions.len() > before)
    }

    /// How many tasks may be submitted now.
    async fn room(
        &self,
        limits: &Limits,
        stages: &[Stage],
        seen: &mut Seen,
    ) -> Result<usize, FarmError> {
        let mut room = usize::MAX;
        if let Some(most) = self.settings.most {
            let ours = stages.iter().filter(|it| **it == Stage::Submitted).count();
            room = room.min(most.saturating_sub(ours));
        }
        if let Some(most) = limits.queued {
            room = room.min(most.saturating_sub(self.scheduler.queued().await?));
        }
        let held = stages.iter().filter(|it| **it == Stage::Held).count();
        if room < held {
            self.hold_back("that is all that may be in the queue", seen);
        }
        Ok(room)
    }

    /// Says once that somebody has to stay for the rest.
    fn hold_back(&self, why: &str, seen: &mut Seen) {
        if seen.held_back.is_none() {
            let note = format!(
                "some jobs of the run {} are submitted when others are over, as long as this goes on or is attached again: {why}",
                self.run.name()
            );
            self.reporter.event(Event::Note(note));
            seen.held_back = Some(why.to_owned());
        }
    }

    async fn submit_group(
        &self,
        group: &Group,
        submissions: &mut Vec<Submitted>,
    ) -> Result<(), FarmError> {
        let index = submissions.len();
        let mut it = Submitted {
            name: format!("spacktainers-{}-{index}", self.run.name()),
            batches: group.batches.clone(),
            job: None,
        };
        let after: Vec<Task> = group
            .after
            .iter()
            .filter_map(|batch| task(submissions, *batch))
            .collect();
        self.run.put_submission(index, &it)?;
        match self.scheduler.submit(&self.submission(&it, &after)).await {
            Ok(job) => {
                it.job = Some(job);
                self.run.put_submission(index, &it)?;
                submissions.push(it);
                Ok(())
            }
            Err(error) => {
                self.run.remove_submission(index)?;
                Err(error.into())
            }
        }
    }

    fn submission(&self, it: &Submitted, after: &[Task]) -> Submission {
        let first = it
            .batches
            .first()
            .and_then(|it| self.order.batches.get(*it));
        let (cores, memory, seconds) = match first {
            Some(batch) => (batch.cores, batch.memory, batch.limit),
            None => (
                self.settings.cores,
                self.settings.memory,
                self.settings.longest,
            ),
        };
        let mut command = vec![self.command.program.display().to_string()];
        command.extend(self.command.before.iter().cloned());
        command.extend(["--jobs".to_owned(), cores.to_string()]);
        command.extend(["farm", "work"].map(str::to_owned));
        command.push(self.run.path().display().to_string());
        command.extend(self.command.behind.iter().cloned());
        Submission {
            name: it.name.clone(),
            command,
            batches: it.batches.clone(),
            after: after.to_vec(),
            cores,
            memory,
            seconds,
            folder: self.run.file("jobs"),
        }
    }

    /// Asks how tasks are, and ends batches whose task ended without a word; says whether there were any.
    async fn look(
        &self,
        over: &HashSet<usize>,
        submissions: &[Submitted],
        seen: &mut Seen,
    ) -> Result<bool, FarmError> {
        let open: Vec<(usize, Task)> = (0..self.order.batches.len())
            .filter(|batch| !over.contains(batch))
            .filter_map(|batch| Some((batch, task(submissions, batch)?)))
            .collect();
        let tasks: Vec<Task> = open.iter().map(|(_, task)| task.clone()).collect();
        let known = match self.scheduler.tasks(&tasks).await {
            Ok(known) => known,
            // A scheduler may be busy, or restarted.
            Err(_) if seen.failures < MOST_SILENCE => {
                seen.failures += 1;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        seen.failures = 0;
        let mut is_over = false;
        for (batch, task) in open {
            let status = known.iter().find(|it| it.task == task);
            let patience = match status.map(|it| it.phase) {
                Some(Phase::Waiting | Phase::Running) => {
                    seen.silent.remove(&batch);
                    continue;
                }
                Some(Phase::Broken) => PATIENCE_BROKEN,
                Some(Phase::Done) | None => PATIENCE,
            };
            let since = *seen.silent.entry(batch).or_insert_with(Instant::now);
            if since.elapsed() >= patience && !self.run.over()?.contains(&batch) {
                let why = self.last_words(&task, status);
                self.run.end_batch(batch, Some(why))?;
                is_over = true;
            }
        }
        Ok(is_over)
    }

    /// How a task ended that did not say so itself.
    fn last_words(&self, task: &Task, status: Option<&TaskStatus>) -> String {
        let scheduler = self.scheduler.name();
        let how = match status {
            None => format!("is not known to {scheduler} any more"),
            Some(status) if status.phase == Phase::Done => "ended without a result".to_owned(),
            Some(status) => {
                let reason = match status.reason.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", status.reason),
                };
                let node = match status.node.is_empty() {
                    true => String::new(),
                    false => format!(" on {}", status.node),
                };
                format!("ended with {}{reason}{node}", status.state)
            }
        };
        format!(
            "the {scheduler} job {task} {how}; what it printed is below `{}`",
            self.run.file("jobs").display()
        )
    }

    /// Tells what happened to packages since the last time; says whether it was something.
    fn tell(&self, over: &HashSet<usize>, seen: &mut Seen) -> Result<bool, FarmError> {
        let mut is_news = false;
        for (number, batch) in self.order.batches.iter().enumerate() {
            for index in &batch.builds {
                if seen.ended.contains(index) {
                    continue;
                }
                let file = self.package(*index)?;
                let title = self.title(*index);
                if let Some(file) = &file
                    && !seen.begun.contains_key(index)
                    && file.state != PackageState::HeldUp
                {
                    let task = TaskId::next();
                    seen.begun.insert(*index, task);
                    is_news = true;
                    self.reporter.event(Event::Started {
                        task,
                        kind: TaskKind::Other,
                        label: format!("building {title} in job {}", file.job),
                        total: None,
                    });
                }
                let state = file.as_ref().map(|it| it.state);
                let is_ended = !matches!(state, None | Some(PackageState::Building));
                if !is_ended && !over.contains(&number) {
                    continue;
                }
                seen.ended.insert(*index);
                is_news = true;
                if let Some(task) = seen.begun.get(index).copied() {
                    let outcome = match state {
                        Some(PackageState::Built) => Outcome::Done,
                        _ => Outcome::Failed(self.why_not(file.as_ref(), number)?),
                    };
                    self.reporter.event(Event::Finished { task, outcome });
                }
                self.remember(*index, file.as_ref());
            }
        }
        Ok(is_news)
    }

    fn remember(&self, index: usize, file: Option<&PackageFile>) {
        let recorded = file.and_then(|it| it.recorded.as_ref());
        let build = self.order.builds.get(index).and_then(|it| it.build());
        if let (Some(records), Some(recorded), Some(build)) = (&self.records, recorded, build) {
            // What is not remembered is found out again.
            let _ = records.keep(&build, recorded);
        }
    }

    fn package(&self, index: usize) -> Result<Option<PackageFile>, FarmError> {
        match self.order.builds.get(index).and_then(|it| it.hash()) {
            Some(hash) => self.run.package(&hash),
            None => Ok(None),
        }
    }

    fn title(&self, index: usize) -> String {
        let build = self.order.builds.get(index);
        build.map(|it| it.title.clone()).unwrap_or_default()
    }

    /// Why a package of a batch that is over is not in the mirror.
    fn why_not(&self, file: Option<&PackageFile>, batch: usize) -> Result<String, FarmError> {
        if let Some(message) = file.and_then(|it| it.message.clone()) {
            return Ok(message);
        }
        let end = self.run.batch_end(batch)?;
        let why = end.and_then(|it| it.error);
        Ok(why.unwrap_or_else(|| "its job ended without a result".to_owned()))
    }

    /// What came of all packages, in the order of the plan.
    fn report(&self) -> Result<Report, FarmError> {
        let mut report = Report::default();
        let batches = self.order.batches.iter().enumerate();
        let mut builds: Vec<(usize, usize)> = batches
            .flat_map(|(number, batch)| batch.builds.iter().map(move |it| (*it, number)))
            .collect();
        builds.sort_unstable();
        for (index, batch) in builds {
            let file = self.package(index)?;
            let package = self.title(index);
            match file.as_ref().map(|it| it.state) {
                Some(PackageState::Built) => report.built.push(package),
                Some(PackageState::HeldUp) => report.held_up.push(package),
                Some(PackageState::Failed | PackageState::Building) | None => {
                    report.failed.push(Failed {
                        package,
                        message: self.why_not(file.as_ref(), batch)?,
                        capsule: file
                            .and_then(|it| it.capsule)
                            .and_then(|folder| Capsule::open(&folder).ok()),
                    });
                }
            }
        }
        Ok(report)
    }
}

/// The task that does a batch.
pub(super) fn task(submissions: &[Submitted], batch: usize) -> Option<Task> {
    let submitted = submissions.iter().find(|it| it.batches.contains(&batch))?;
    Some(Task {
        job: submitted.job.clone()?,
        index: match submitted.batches.len() {
            1 => None,
            _ => submitted.batches.iter().position(|it| *it == batch),
        },
    })
}

/// How a package ended, as a file.
pub(super) fn package_file(ended: &Ended<'_>, job: &str) -> PackageFile {
    let (state, message, capsule, recorded) = match ended {
        Ended::Built(recorded) => (PackageState::Built, None, None, recorded.copied()),
        Ended::Failed(message, capsule) => {
            let folder = capsule.map(|it| it.folder.clone());
            (
                PackageState::Failed,
                Some((*message).to_owned()),
                folder,
                None,
            )
        }
        Ended::HeldUp => (PackageState::HeldUp, None, None, None),
    };
    PackageFile {
        state,
        job: job.to_owned(),
        message,
        capsule,
        recorded,
    }
}
