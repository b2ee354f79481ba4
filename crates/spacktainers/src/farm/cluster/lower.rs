//! Batches into submissions: what a scheduler is given next, within its limits. Pure.

use super::pack::Batch;
use super::scheduler::Limits;

/// Where a batch is on its way, as far as submitting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has it.
    Held,
    /// The scheduler has it.
    Submitted,
    /// It ended.
    Over,
}

/// Batches that are submitted as one array: they need the same, and wait for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) batches: Vec<usize>,
    /// Batches that have to be over before.
    pub(super) after: Vec<usize>,
}

/// What to submit next; none: nothing can be, or there is no room. What most waits for is first.
pub(super) fn next_group(
    batches: &[Batch],
    stages: &[Stage],
    limits: &Limits,
    room: usize,
) -> Option<Group> {
    let stage = |index: &usize| stages.get(*index).copied().unwrap_or(Stage::Held);
    let open = |batch: &Batch| -> Vec<usize> {
        let after = batch.after.iter().copied();
        after.filter(|it| stage(it) != Stage::Over).collect()
    };
    let is_ready = |batch: &Batch| {
        open(batch)
            .iter()
            .all(|it| limits.has_dependencies && stage(it) == Stage::Submitted)
    };
    let mut ready: Vec<(usize, &Batch)> = batches
        .iter()
        .enumerate()
        .filter(|(index, batch)| stage(index) == Stage::Held && is_ready(batch))
        .collect();
    ready.sort_by_key(|(index, batch)| (std::cmp::Reverse(batch.remaining), *index));
    let (_, first) = *ready.first()?;
    let after = open(first);
    let is_alike = |batch: &Batch| {
        (batch.cores, batch.memory, batch.limit) == (first.cores, first.memory, first.limit)
            && open(batch) == after
    };
    let batches: Vec<usize> = ready
        .iter()
        .filter(|(_, batch)| is_alike(batch))
        .map(|(index, _)| *index)
        .take(limits.array.max(1).min(room))
        .collect();
    (!batches.is_empty()).then_some(Group { batches, after })
}

#[cfg(test)]
mod tests {
    use super::super::test_limits;
    use super::*;

    fn batch(after: &[usize], cores: usize, remaining: u64) -> Batch {
        Batch {
            builds: Vec::new(),
            after: after.to_vec(),
            cores,
            memory: 1,
            limit: None,
            remaining,
        }
    }

    /// All groups, one after the other.
    fn groups(
        batches: &[Batch],
        limits: &Limits,
        mut room: usize,
    ) -> Vec<(Vec<usize>, Vec<usize>)> {
        let mut stages = vec![Stage::Held; batches.len()];
        let mut groups = Vec::new();
        while let Some(group) = next_group(batches, &stages, limits, room) {
            room -= group.batches.len();
            for index in &group.batches {
                stages[*index] = Stage::Submitted;
            }
            groups.push((group.batches, group.after));
        }
        groups
    }

    #[test]
    fn what_is_alike_is_one_array_as_long_as_arrays_may_be() {
        let batches = [
            batch(&[], 1, 1),
            batch(&[], 1, 9),
            batch(&[], 2, 5),
            batch(&[], 1, 1),
            batch(&[0, 1], 1, 1),
            batch(&[0, 1], 1, 1),
            batch(&[2], 1, 1),
        ];
        let limits = Limits {
            array: 2,
            ..test_limits()
        };
        let all = groups(&batches, &limits, 100);
        let expected = [
            (vec![1, 0], vec![]),
            (vec![2], vec![]),
            (vec![3], vec![]),
            (vec![4, 5], vec![0, 1]),
            (vec![6], vec![2]),
        ];
        assert_eq!(all, expected);
        let few = groups(&batches, &limits, 3);
        assert_eq!(few, expected[..2], "there is room for three");
    }

    #[test]
    fn without_dependencies_tasks_wait_here() {
        let batches = [batch(&[], 1, 2), batch(&[0], 1, 1)];
        let limits = Limits {
            has_dependencies: false,
            ..test_limits()
        };
        assert_eq!(groups(&batches, &limits, 9), [(vec![0], vec![])]);
        let stages = [Stage::Over, Stage::Held];
        let group = next_group(&batches, &stages, &limits, 9).expect("a group");
        assert_eq!((group.batches, group.after), (vec![1], vec![]));
    }
}
