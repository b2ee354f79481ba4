//! How long a plan takes. Pure.

use std::time::Duration;

use super::needs::Need;
use super::plan::Plan;

/// How long building what is missing takes, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Packages to build, dependencies first.
    pub packages: Vec<String>,
    /// Those of them that nobody has built here and of which the settings say nothing: they count as no time.
    pub unknown: Vec<String>,
    /// All builds one after the other.
    pub total: Duration,
    /// The longest chain of builds that wait for each other: no machine is faster.
    pub longest: Duration,
    /// The packages of that chain.
    pub path: Vec<String>,
}

impl Estimate {
    /// What is at least needed where `at_once` packages are built at the same time.
    #[must_use]
    pub fn at_least(&self, at_once: usize) -> Duration {
        let shared = self.total / u32::try_from(at_once.max(1)).unwrap_or(u32::MAX);
        shared.max(self.longest)
    }
}

/// For each build the seconds from its start to the end of the longest chain that waits for it.
pub(super) fn remaining(plan: &Plan, weights: &[u64]) -> Vec<u64> {
    let weight = |index: usize| weights.get(index).copied().unwrap_or_default();
    let mut remaining: Vec<u64> = (0..plan.builds.len()).map(weight).collect();
    // Dependents stand behind in the plan, so going backwards sees each of them first.
    for (index, build) in plan.builds.iter().enumerate().rev() {
        let below = remaining.get(index).copied().unwrap_or_default();
        for before in &build.after {
            if let Some(it) = remaining.get_mut(*before) {
                *it = (*it).max(below.saturating_add(weight(*before)));
            }
        }
    }
    remaining
}

/// The estimate for `plan`, whose builds need `needs`.
pub(super) fn estimate(plan: &Plan, needs: &[Need]) -> Estimate {
    let known: Vec<u64> = needs
        .iter()
        .map(|need| need.seconds.unwrap_or_default())
        .collect();
    let remaining = remaining(plan, &known);
    let mut path = Vec::new();
    let mut next = (0..plan.builds.len()).max_by_key(|it| (remaining.get(*it), usize::MAX - it));
    while let Some(index) = next {
        path.push(title(plan, index));
        next = plan
            .builds
            .iter()
            .enumerate()
            .skip(index + 1)
            .filter(|(_, build)| build.after.contains(&index))
            .map(|(dependent, _)| dependent)
            .max_by_key(|it| (remaining.get(*it), usize::MAX - it));
    }
    let unknown = plan.builds.iter().zip(needs);
    Estimate {
        packages: plan.builds.iter().map(|it| it.title.clone()).collect(),
        unknown: unknown
            .filter(|(_, need)| need.seconds.is_none())
            .map(|(build, _)| build.title.clone())
            .collect(),
        total: Duration::from_secs(known.iter().fold(0, |sum, it| sum.saturating_add(*it))),
        longest: Duration::from_secs(remaining.iter().copied().max().unwrap_or_default()),
        path,
    }
}

fn title(plan: &Plan, index: usize) -> String {
    let build = plan.builds.get(index);
    build.map(|it| it.title.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::plan::test_plan;
    use super::*;

    fn need(seconds: Option<u64>) -> Need {
        Need {
            seconds,
            memory: 1,
            cores: None,
            asked_memory: None,
        }
    }

    #[test]
    fn the_longest_chain_and_the_whole_are_told() {
        let plan = test_plan(&[
            ("a", &[]),
            ("b", &[0]),
            ("c", &[0]),
            ("d", &[1, 2]),
            ("e", &[]),
        ]);
        assert_eq!(remaining(&plan, &[1, 10, 2, 3, 20]), [14, 13, 5, 3, 20]);
        let needs: Vec<Need> = [Some(1), Some(30), Some(2), None, Some(20)]
            .into_iter()
            .map(need)
            .collect();
        let estimate = estimate(&plan, &needs);
        assert_eq!(estimate.total, Duration::from_secs(53));
        assert_eq!(estimate.longest, Duration::from_secs(31));
        let path: String = estimate.path.iter().map(|it| &it[..1]).collect();
        assert_eq!(path, "abd");
        assert_eq!(estimate.unknown, [plan.builds[3].title.clone()]);
        assert_eq!(estimate.at_least(1), Duration::from_secs(53));
        assert_eq!(estimate.at_least(4), Duration::from_secs(31));
        assert_eq!(Estimate::default().at_least(0), Duration::ZERO);
    }
}
