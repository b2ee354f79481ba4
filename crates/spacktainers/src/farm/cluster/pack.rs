//! Builds into batches: what one task does. Pure.
//!
//! A batch has a level, and what a build needs lies in batches of lower levels, or in its own before it; so batches never
//! wait for each other in a circle. A build joins the batch of all that it waits for, if that is one, else another batch of
//! its level, as long as the batch takes no longer than is worth a job of its own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::needs::Need;
use super::super::plan::Plan;
use super::BatchSettings;
use super::scheduler::Limits;

/// A task may take this many times as long as was estimated.
const SLACK: u64 = 3;

/// Seconds that no task has less of.
const SHORTEST: u64 = 1800;

/// What one task does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// Places of its builds in the plan, dependencies first.
    pub(super) builds: Vec<usize>,
    /// Places of the batches that have to be over before.
    pub(super) after: Vec<usize>,
    pub(super) cores: usize,
    /// Bytes.
    pub(super) memory: u64,
    /// Seconds that it may take; none: nobody knows.
    pub(super) limit: Option<u64>,
    /// Seconds of the longest chain of batches that begins with it.
    pub(super) remaining: u64,
}

/// A batch that is being filled.
struct Open {
    builds: Vec<usize>,
    after: BTreeSet<usize>,
    level: usize,
    cores: usize,
    memory: u64,
    seconds: u64,
    is_known: bool,
}

/// Batches for the builds of `plan`, in an order in which each stands behind those that it waits for.
pub(super) fn pack(
    plan: &Plan,
    needs: &[Need],
    settings: &BatchSettings,
    limits: &Limits,
) -> Vec<Batch> {
    let mut open: Vec<Open> = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    for (index, (build, need)) in plan.builds.iter().zip(needs).enumerate() {
        let after: BTreeSet<usize> = build
            .after
            .iter()
            .filter_map(|before| places.get(*before).copied())
            .collect();
        let cores = need.cores.unwrap_or(settings.cores);
        let cores = cores.min(limits.cores.unwrap_or(usize::MAX)).max(1);
        let memory = need
            .asked_memory
            .unwrap_or(need.memory.max(settings.memory));
        let memory = memory.min(limits.memory.unwrap_or(u64::MAX));
        let fits = |batch: &Open| {
            (batch.cores, batch.memory) == (cores, memory)
                && batch.seconds.saturating_add(need.weight()) <= settings.packed
        };
        let level = after
            .iter()
            .filter_map(|it| open.get(*it))
            .map(|batch| batch.level + 1)
            .max()
            .unwrap_or(0);
        let same = after.first().copied().filter(|_| after.len() == 1);
        let same = same.filter(|it| open.get(*it).is_some_and(&fits));
        let place = same.or_else(|| {
            open.iter()
                .position(|batch| batch.level == level && fits(batch))
        });
        let place = place.unwrap_or_else(|| {
            open.push(Open {
                builds: Vec::new(),
                after: BTreeSet::new(),
                level,
                cores,
                memory,
                seconds: 0,
                is_known: true,
            });
            open.len() - 1
        });
        if let Some(batch) = open.get_mut(place) {
            batch.builds.push(index);
            batch.after.extend(after.iter().filter(|it| **it != place));
            batch.seconds = batch.seconds.saturating_add(need.weight());
            batch.is_known &= need.seconds.is_some();
        }
        places.push(place);
    }
    finish(open, settings, limits)
}

/// Brings batches into the order of their levels, and works out what depends on all of them.
fn finish(open: Vec<Open>, settings: &BatchSettings, limits: &Limits) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..open.len()).collect();
    order.sort_by_key(|it| (open.get(*it).map(|batch| batch.level), *it));
    let mut places = vec![0; open.len()];
    for (place, index) in order.iter().enumerate() {
        if let Some(it) = places.get_mut(*index) {
            *it = place;
        }
    }
    let longest = [settings.longest, limits.seconds]
        .into_iter()
        .flatten()
        .min();
    let mut above: Vec<BTreeSet<usize>> = Vec::new();
    let mut batches = Vec::new();
    let mut seconds = Vec::new();
    for batch in order.iter().filter_map(|it| open.get(*it)) {
        let after: BTreeSet<usize> = batch
            .after
            .iter()
            .filter_map(|it| places.get(*it).copied())
            .collect();
        let below: BTreeSet<usize> = after
            .iter()
            .filter_map(|it| above.get(*it))
            .flatten()
            .copied()
            .collect();
        let limit = match batch.is_known {
            true => {
                let wanted = batch.seconds.saturating_mul(SLACK).max(SHORTEST);
                Some(wanted.min(longest.unwrap_or(u64::MAX)))
            }
            false => longest,
        };
        batches.push(Batch {
            builds: batch.builds.clone(),
            // Whom those wait for already need not be said.
            after: after.difference(&below).copied().collect(),
            cores: batch.cores,
            memory: batch.memory,
            limit,
            remaining: batch.seconds,
        });
        seconds.push(batch.seconds);
        above.push(after.union(&below).copied().collect());
    }
    for index in (0..batches.len()).rev() {
        let (Some(batch), true) = (batches.get(index).cloned(), index > 0) else {
            break;
        };
        for before in batch.after {
            let own = seconds.get(before).copied().unwrap_or_default();
            if let Some(it) = batches.get_mut(before) {
                it.remaining = it.remaining.max(own.saturating_add(batch.remaining));
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::super::super::plan::test_plan;
    use super::super::test_limits;
    use super::*;

    fn need(seconds: u64) -> Need {
        Need {
            seconds: Some(seconds),
            memory: 1,
            cores: None,
            asked_memory: None,
        }
    }

    fn settings() -> BatchSettings {
        BatchSettings {
            cores: 4,
            memory: 8,
            packed: 100,
            ..BatchSettings::default()
        }
    }

    fn shown(batches: &[Batch]) -> Vec<(&[usize], &[usize])> {
        let shown = batches.iter().map(|it| (&it.builds[..], &it.after[..]));
        shown.collect()
    }

    #[test]
    fn small_ones_share_a_job_and_large_ones_have_their_own() {
        // A chain of small packages, two large ones, and one that needs all.
        let plan = test_plan(&[
            ("a", &[]),
            ("b", &[0]),
            ("c", &[1]),
            ("large", &[0]),
            ("other", &[]),
            ("d", &[2, 3, 4]),
        ]);
        let needs = [10, 10, 10, 700, 700, 5].map(need);
        let batches = pack(&plan, &needs, &settings(), &test_limits());
        assert_eq!(
            shown(&batches),
            [
                (&[0, 1, 2][..], &[][..]),
                (&[4], &[]),
                (&[3], &[0]),
                (&[5], &[1, 2])
            ]
        );
        assert_eq!(batches[0].remaining, 30 + 700 + 5);
        assert_eq!(batches[0].limit, Some(SHORTEST));
        assert_eq!(batches[1].limit, Some(2100));
    }

    #[test]
    fn what_has_needs_of_its_own_is_not_packed_with_others() {
        let plan = test_plan(&[("a", &[]), ("b", &[]), ("c", &[])]);
        let mut needs = [1, 1, 1].map(need);
        needs[1].cores = Some(64);
        needs[1].asked_memory = Some(3);
        needs[2].seconds = None;
        let batches = pack(&plan, &needs, &settings(), &test_limits());
        assert_eq!(shown(&batches).len(), 3);
        assert_eq!(
            (batches[1].cores, batches[1].memory),
            (16, 3),
            "a node has 16"
        );
        assert_eq!(batches[2].limit, Some(3600), "unknown: as long as may be");
    }

    proptest::proptest! {
        #[test]
        fn every_build_is_in_one_batch_behind_what_it_needs(
            edges in proptest::collection::vec(proptest::collection::vec(0_usize..24, 0..4), 1..24),
            seconds in proptest::collection::vec(1_u64..90, 24),
        ) {
            let after: Vec<Vec<usize>> = edges
                .iter()
                .enumerate()
                .map(|(index, to)| {
                    let to: BTreeSet<usize> = to.iter().copied().filter(|it| *it < index).collect();
                    to.into_iter().collect()
                })
                .collect();
            let builds: Vec<(&str, &[usize])> = after.iter().map(|it| ("p", &it[..])).collect();
            let plan = test_plan(&builds);
            let needs: Vec<Need> = seconds.iter().map(|it| need(*it)).collect();
            let batches = pack(&plan, &needs, &settings(), &test_limits());
            let mut done = BTreeSet::new();
            let mut above: Vec<BTreeSet<usize>> = Vec::new();
            for batch in &batches {
                let mut known: BTreeSet<usize> = BTreeSet::new();
                for before in &batch.after {
                    known.extend(above[*before].iter().copied());
                }
                for build in &batch.builds {
                    for needed in &after[*build] {
                        proptest::prop_assert!(known.contains(needed));
                    }
                    known.insert(*build);
                    proptest::prop_assert!(done.insert(*build));
                }
                let sum: u64 = batch.builds.iter().map(|it| seconds[*it]).sum();
                proptest::prop_assert!(sum <= 100);
                above.push(known);
            }
            proptest::prop_assert_eq!(done.len(), after.len());
        }
    }
}
