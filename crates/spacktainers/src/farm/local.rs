//! Running a plan on this machine: what is ready is built, several at a time, within its processors and its memory.
//!
//! What the longest chain of builds waits for comes first. Processors are shared by a [jobserver](super::jobserver):
//! each build takes one to begin, and more as others leave them. Memory is what builds are expected to need at most.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use spack_format::dag_hash::DagHash;

use super::estimate::remaining;
use super::executor::{Ended, Executor, Journal, Planned, Work};
use super::jobserver::Jobserver;
use super::needs::Need;
use super::package::Yard;
use super::plan::{Build, Plan};
use super::records::{Recorded, Records};
use super::{Failed, FarmError, Report, sources};
use crate::event::Event;

/// How soon it is looked again whether a processor is free.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

#[async_trait(?Send)]
impl Executor for Local {
    async fn resume(&self, _work: &Work<'_>) -> Result<Report, FarmError> {
        // What was underway ended with whoever waited for it.
        Ok(Report::default())
    }

    async fn execute(&self, planned: &Planned<'_>, work: &Work<'_>) -> Result<Report, FarmError> {
        let journal = Remember {
            records: Records::new(work.world.cache),
            work,
        };
        run(planned.plan, work, &journal).await
    }
}

/// Keeps what builds took, in the local cache.
struct Remember<'a> {
    records: Records<'a>,
    work: &'a Work<'a>,
}

impl Journal for Remember<'_> {
    fn began(&self, _build: &Build) {}

    fn ended(&self, build: &Build, ended: &Ended<'_>) {
        if let Ended::Built(Some(recorded)) = ended
            && let Err(error) = self.records.keep(build, recorded)
        {
            let why = crate::base::one_line(&error);
            let warning = format!("how long {} took cannot be remembered: {why}", build.title);
            self.work.world.reporter.event(Event::Warning(warning));
        }
    }
}

/// Builds `plan`.
pub(super) async fn run(
    plan: &Plan,
    work: &Work<'_>,
    journal: &dyn Journal,
) -> Result<Report, FarmError> {
    let mut yard = Yard::open(work).await?;
    yard.check(plan)?;
    let mut report = Report::default();
    let sources = sources::fetch_ahead(plan, &yard).await?;
    let rest = sources.without_missing(plan.clone(), &mut report);
    tell_missing(plan, &rest, &report, journal);
    yard.knows(sources, &rest);
    if rest.builds.is_empty() {
        return Ok(report);
    }
    yard.lay_down(&rest.laid_down_first).await?;
    let needs = work
        .options
        .needs
        .of(&rest, &Records::new(work.world.cache));
    let weights: Vec<u64> = needs.iter().map(Need::weight).collect();
    let mut line = Line {
        states: vec![State::Waiting; rest.builds.len()],
        remaining: remaining(&rest, &weights),
        needs,
        at_once: work.options.at_once.get(),
        memory: work.options.memory(),
    };
    report.extend(build_all(&rest, &yard, &mut line, journal).await);
    if !report.built.is_empty() {
        yard.update_index().await;
    }
    Ok(report)
}

/// Says of what was taken out of a plan why it was.
fn tell_missing(plan: &Plan, rest: &Plan, report: &Report, journal: &dyn Journal) {
    let kept: HashSet<DagHash> = rest.builds.iter().map(|it| it.hash).collect();
    for build in plan.builds.iter().filter(|it| !kept.contains(&it.hash)) {
        let failed = report.failed.iter().find(|it| it.package == build.title);
        match failed {
            Some(failed) => journal.ended(build, &Ended::Failed(&failed.message, None)),
            None => journal.ended(build, &Ended::HeldUp),
        }
    }
}

async fn build_all(plan: &Plan, yard: &Yard<'_>, line: &mut Line, journal: &dyn Journal) -> Report {
    let jobserver = yard.jobserver();
    let mut report = Report::default();
    let mut running = FuturesUnordered::new();
    loop {
        for build in line
            .lose(plan)
            .into_iter()
            .filter_map(|it| plan.builds.get(it))
        {
            journal.ended(build, &Ended::HeldUp);
            report.held_up.push(build.title.clone());
        }
        let mut waits_for_processor = false;
        while let Some(index) = line.next(plan) {
            if let (true, Some(jobserver)) = (running.is_empty(), jobserver) {
                jobserver.reset();
            }
            if !jobserver.is_none_or(Jobserver::take) {
                waits_for_processor = true;
                break;
            }
            line.set(index, State::Running);
            if let Some(build) = plan.builds.get(index) {
                journal.began(build);
                running.push(async move { (index, build, yard.build(build).await) });
            }
        }
        let ended = tokio::select! {
            ended = running.next() => ended,
            () = tokio::time::sleep(LOOK_AGAIN), if waits_for_processor => continue,
        };
        let Some((index, build, result)) = ended else {
            return report;
        };
        if let Some(jobserver) = jobserver {
            jobserver.give();
        }
        line.set(index, tell(build, result, journal, &mut report));
    }
}

/// Takes note of how a build ended.
fn tell(
    build: &Build,
    result: Result<Option<Recorded>, (super::PackageError, Option<super::Capsule>)>,
    journal: &dyn Journal,
    report: &mut Report,
) -> State {
    match result {
        Ok(recorded) => {
            journal.ended(build, &Ended::Built(recorded.as_ref()));
            report.built.push(build.title.clone());
            State::Built
        }
        Err((error, capsule)) => {
            let message = crate::base::one_line(&error);
            journal.ended(build, &Ended::Failed(&message, capsule.as_ref()));
            report.failed.push(Failed {
                package: build.title.clone(),
                message,
                capsule,
            });
            State::Lost
        }
    }
}

/// Where a build is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Something that it needs is not done, or there is no room.
    Waiting,
    Running,
    Built,
    /// It failed, or something that it needs did.
    Lost,
}

/// Who waits, who runs, and for what there is room.
struct Line {
    states: Vec<State>,
    needs: Vec<Need>,
    /// Seconds of the longest chain that begins with each.
    remaining: Vec<u64>,
    at_once: usize,
    /// Bytes.
    memory: u64,
}

impl Line {
    fn state(&self, index: usize) -> State {
        self.states.get(index).copied().unwrap_or(State::Lost)
    }

    fn set(&mut self, index: usize, state: State) {
        if let Some(it) = self.states.get_mut(index) {
            *it = state;
        }
    }

    /// Gives up what waits for something that is lost. It stands behind that in the plan, so one pass sees all.
    fn lose(&mut self, plan: &Plan) -> Vec<usize> {
        let mut lost = Vec::new();
        for (index, build) in plan.builds.iter().enumerate() {
            if self.state(index) == State::Waiting
                && build.after.iter().any(|it| self.state(*it) == State::Lost)
            {
                self.set(index, State::Lost);
                lost.push(index);
            }
        }
        lost
    }

    /// The build to start now: of those that are ready and fit into memory the one that most waits for. One that needs
    /// more than there is runs alone.
    fn next(&self, plan: &Plan) -> Option<usize> {
        let memory = |index: usize| self.needs.get(index).map_or(0, |need| need.memory);
        let running = || (0..self.states.len()).filter(|it| self.state(*it) == State::Running);
        if running().count() >= self.at_once {
            return None;
        }
        let taken = running().map(memory).fold(0, u64::saturating_add);
        let is_alone = running().next().is_none();
        let is_ready = |build: &Build| build.after.iter().all(|it| self.state(*it) == State::Built);
        plan.builds
            .iter()
            .enumerate()
            .filter(|(index, build)| self.state(*index) == State::Waiting && is_ready(build))
            .filter(|(index, _)| is_alone || taken.saturating_add(memory(*index)) <= self.memory)
            .map(|(index, _)| index)
            // The first of equals, as the plan has them.
            .max_by_key(|index| (self.remaining.get(*index), std::cmp::Reverse(*index)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::test_plan;
    use super::*;

    fn line(plan: &Plan, memory: &[u64], weights: &[u64]) -> Line {
        let need = |memory: &u64| Need {
            seconds: None,
            memory: *memory,
            cores: None,
            asked_memory: None,
        };
        Line {
            states: vec![State::Waiting; plan.builds.len()],
            needs: memory.iter().map(need).collect(),
            remaining: remaining(plan, weights),
            at_once: 2,
            memory: 10,
        }
    }

    #[test]
    fn a_failure_stops_only_what_depends_on_it() {
        let plan = test_plan(&[
            ("a", &[]),
            ("b", &[]),
            ("c", &[1]),
            ("d", &[2]),
            ("e", &[0]),
        ]);
        let mut line = line(&plan, &[1; 5], &[1; 5]);
        line.set(0, State::Built);
        line.set(1, State::Lost);
        assert_eq!(line.lose(&plan), [2, 3]);
        assert_eq!(line.next(&plan), Some(4));
        assert_eq!(line.lose(&plan), Vec::<usize>::new());
    }

    #[test]
    fn what_most_waits_for_is_built_first() {
        let plan = test_plan(&[("a", &[]), ("b", &[]), ("c", &[1]), ("d", &[])]);
        let mut line = line(&plan, &[1; 4], &[5, 1, 9, 5]);
        for expected in [1, 0] {
            assert_eq!(line.next(&plan), Some(expected));
            line.set(expected, State::Running);
        }
        assert_eq!(line.next(&plan), None, "two at once");
        line.set(0, State::Built);
        assert_eq!(line.next(&plan), Some(3), "the other one is not ready");
    }

    #[test]
    fn memory_bounds_how_many_run() {
        let plan = test_plan(&[("a", &[]), ("b", &[]), ("c", &[])]);
        let mut line = line(&plan, &[20, 7, 3], &[3, 2, 1]);
        assert_eq!(line.next(&plan), Some(0), "too large, and so alone");
        line.set(0, State::Running);
        assert_eq!(line.next(&plan), None);
        line.set(0, State::Built);
        line.set(1, State::Running);
        assert_eq!(line.next(&plan), Some(2));
    }
}
