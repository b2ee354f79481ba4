//! Running a plan on this machine: what is ready is built, several at a time.

use std::num::NonZeroUsize;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::package::Yard;
use super::plan::Plan;
use super::{Failed, Report};

/// Where a build is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Something that it needs is not done.
    Waiting,
    Running,
    Built,
    /// It failed, or something that it needs did.
    Lost,
}

/// Builds all of `plan`.
pub(super) async fn run(plan: &Plan, yard: &Yard<'_>, at_once: NonZeroUsize) -> Report {
    let mut states = vec![State::Waiting; plan.builds.len()];
    let mut report = Report::default();
    let mut running = FuturesUnordered::new();
    loop {
        for (index, build) in plan.builds.iter().enumerate() {
            if states.get(index) != Some(&State::Waiting) {
                continue;
            }
            let next = next(&states, &build.after, running.len() < at_once.get());
            if next == State::Lost {
                report.held_up.push(build.title.clone());
            }
            if next == State::Running {
                running.push(async move { (index, yard.build(build).await) });
            }
            set(&mut states, index, next);
        }
        let Some((index, result)) = running.next().await else {
            return report;
        };
        let title = plan.builds.get(index).map(|it| it.title.clone());
        let title = title.unwrap_or_default();
        match result {
            Ok(()) => {
                report.built.push(title);
                set(&mut states, index, State::Built);
            }
            Err((error, capsule)) => {
                report.failed.push(Failed {
                    package: title,
                    message: crate::base::one_line(&error),
                    capsule,
                });
                set(&mut states, index, State::Lost);
            }
        }
    }
}

/// What becomes of a build that waits for those at `after`. They stand before it in the plan, so one pass sees all.
fn next(states: &[State], after: &[usize], has_room: bool) -> State {
    let state = |index: &usize| states.get(*index).copied().unwrap_or(State::Lost);
    if after.iter().any(|it| state(it) == State::Lost) {
        State::Lost
    } else if has_room && after.iter().all(|it| state(it) == State::Built) {
        State::Running
    } else {
        State::Waiting
    }
}

fn set(states: &mut [State], index: usize, state: State) {
    if let Some(it) = states.get_mut(index) {
        *it = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stops_only_what_depends_on_it() {
        let states = [State::Built, State::Lost, State::Running];
        assert_eq!(next(&states, &[0], true), State::Running);
        assert_eq!(next(&states, &[0, 2], true), State::Waiting);
        assert_eq!(next(&states, &[0, 1, 2], true), State::Lost);
        assert_eq!(next(&states, &[], false), State::Waiting);
    }
}
