//! Looking for the cheapest grouping.
//!
//! From several starts, because what is best from nothing is not what is best from what users have: each is merged until the
//! budget holds and then improved step by step; the cheapest ends as the plan.

use std::collections::BTreeSet;

use super::cost::{Costs, Group};

/// Steps of improvement per package: each step costs less than the one before, so this only bounds the time.
const STEPS: usize = 16;

/// Groups at most `budget`, at the least cost that was found.
pub(super) fn cheapest(costs: &Costs, budget: usize) -> Vec<Group> {
    let mut starts = Vec::new();
    for keeps in [true, false] {
        for adopts in [true, false] {
            let start = start(costs, keeps, adopts);
            let sets: BTreeSet<Vec<usize>> = start.iter().map(|it| it.members.clone()).collect();
            if !starts.iter().any(|(known, _)| *known == sets) {
                starts.push((sets, start));
            }
        }
    }
    let mut best: Option<(u128, Vec<Group>)> = None;
    for (_, start) in starts {
        let mut groups = start;
        merge(costs, &mut groups, budget);
        improve(costs, &mut groups, budget);
        let cost = groups.iter().map(|group| costs.of(group)).sum();
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, groups));
        }
    }
    best.map(|(_, groups)| groups).unwrap_or_default()
}

/// What users have and what other containers have, as far as wanted; all other packages alone.
fn start(costs: &Costs, keeps: bool, adopts: bool) -> Vec<Group> {
    let mut is_free = vec![true; costs.len()];
    let mut groups = Vec::new();
    let mut take = |sets: &[Vec<usize>], groups: &mut Vec<Group>| {
        for set in sets {
            if set.iter().all(|it| is_free.get(*it) == Some(&true)) {
                for member in set {
                    if let Some(free) = is_free.get_mut(*member) {
                        *free = false;
                    }
                }
                groups.extend(costs.group(set.iter().copied()));
            }
        }
    };
    if keeps {
        take(&costs.previous, &mut groups);
    }
    if adopts {
        // The larger saves more.
        let mut sets = costs.elsewhere.clone();
        let size = |set: &Vec<usize>| costs.group(set.iter().copied()).map_or(0, |it| it.size);
        sets.sort_by_cached_key(|set| (std::cmp::Reverse(size(set)), set.clone()));
        take(&sets, &mut groups);
    }
    let alone: Vec<Vec<usize>> = (0..costs.len()).map(|number| vec![number]).collect();
    take(&alone, &mut groups);
    groups
}

/// Merges the two that cost least together, until there are at most `budget`, and as long as that saves.
fn merge(costs: &Costs, groups: &mut Vec<Group>, budget: usize) {
    let mut own: Vec<u128> = groups.iter().map(|group| costs.of(group)).collect();
    let more = |groups: &[Group], own: &[u128], a: usize, b: usize| -> i128 {
        difference(costs.of_merged(&groups[a], &groups[b]), own[a] + own[b])
    };
    // For each group the best among those behind it.
    let best_behind = |groups: &[Group], own: &[u128], a: usize| -> Option<(i128, usize)> {
        ((a + 1)..groups.len())
            .map(|b| (more(groups, own, a, b), b))
            .min()
    };
    let mut best: Vec<Option<(i128, usize)>> = (0..groups.len())
        .map(|a| best_behind(groups, &own, a))
        .collect();
    loop {
        let cheapest = best
            .iter()
            .enumerate()
            .filter_map(|(a, it)| it.map(|(cost, b)| (cost, a, b)))
            .min();
        let Some((cost, a, b)) = cheapest else { break };
        if groups.len() <= budget && cost >= 0 {
            break;
        }
        // The later one goes, and the last takes its place: only what named either has to look again.
        let last = groups.len() - 1;
        groups[a] = costs.merged(&groups[a], &groups[b]);
        own[a] = costs.of(&groups[a]);
        groups.swap_remove(b);
        own.swap_remove(b);
        best.swap_remove(b);
        for (it, known) in best.iter_mut().enumerate() {
            let names = known.map(|(_, other)| other);
            let is_lost = it == a
                || it == b
                || names.is_some_and(|other| other == a || other == b || other == last);
            if is_lost {
                *known = best_behind(groups, &own, it);
                continue;
            }
            for changed in [a, b] {
                if changed > it && changed < groups.len() {
                    let candidate = (more(groups, &own, it, changed), changed);
                    if known.is_none_or(|known| candidate < known) {
                        *known = Some(candidate);
                    }
                }
            }
        }
    }
}

/// One way to make a grouping cheaper.
enum Step {
    /// A package into another group.
    Move {
        package: usize,
        from: usize,
        to: usize,
    },
    /// A package into a group of its own; two others are merged if there is no room.
    Part {
        package: usize,
        from: usize,
        merge: Option<(usize, usize)>,
    },
    /// Packages into the layer that somebody has.
    Take { set: Vec<usize> },
}

/// Takes steps that save until none is left.
fn improve(costs: &Costs, groups: &mut Vec<Group>, budget: usize) {
    for _ in 0..costs.len().saturating_mul(STEPS) {
        let step = best_move(costs, groups, budget)
            .or_else(|| best_part(costs, groups, budget))
            .or_else(|| best_take(costs, groups, budget));
        match step {
            Some(step) => apply(costs, groups, step),
            None => return,
        }
    }
}

fn difference(after: u128, before: u128) -> i128 {
    let bounded = |it: u128| i128::try_from(it).unwrap_or(i128::MAX);
    bounded(after) - bounded(before)
}

/// A group without one of its members; none if that leaves nothing.
fn without(costs: &Costs, group: &Group, package: usize) -> Option<Group> {
    costs.group(group.members.iter().copied().filter(|it| *it != package))
}

/// The package whose move to another group saves most.
fn best_move(costs: &Costs, groups: &[Group], budget: usize) -> Option<Step> {
    let mut best: Option<(i128, Step)> = None;
    for (from, group) in groups.iter().enumerate() {
        for package in group.members.iter().copied() {
            let single = costs.group([package])?;
            let rest = without(costs, group, package);
            let rest_cost = rest.as_ref().map_or(0, |it| costs.of(it));
            let left = difference(rest_cost, costs.of(group));
            for (to, target) in groups.iter().enumerate() {
                if to == from {
                    continue;
                }
                let delta = left + difference(costs.of_merged(target, &single), costs.of(target));
                if delta < best.as_ref().map_or(0, |(least, _)| *least) {
                    best = Some((delta, Step::Move { package, from, to }));
                }
            }
            if rest.is_some() && groups.len() < budget {
                let delta = left + difference(costs.of(&single), 0);
                if delta < best.as_ref().map_or(0, |(least, _)| *least) {
                    best = Some((
                        delta,
                        Step::Part {
                            package,
                            from,
                            merge: None,
                        },
                    ));
                }
            }
        }
    }
    best.map(|(_, step)| step)
}

/// The package that saves most in a layer of its own, where two other groups have to become one for that.
fn best_part(costs: &Costs, groups: &[Group], budget: usize) -> Option<Step> {
    if groups.len() != budget || budget < 3 {
        return None;
    }
    let mut parts: Vec<(i128, usize, usize)> = Vec::new();
    for (from, group) in groups.iter().enumerate() {
        let best = group
            .members
            .iter()
            .filter_map(|package| {
                let rest = without(costs, group, *package)?;
                let single = costs.group([*package])?;
                let after = costs.of(&rest) + costs.of(&single);
                Some((difference(after, costs.of(group)), *package))
            })
            .min();
        parts.extend(
            best.filter(|(delta, _)| *delta < 0)
                .map(|(delta, package)| (delta, package, from)),
        );
    }
    if parts.is_empty() {
        return None;
    }
    let mut best: Option<(i128, Step)> = None;
    for a in 0..groups.len() {
        for b in (a + 1)..groups.len() {
            let before = costs.of(&groups[a]) + costs.of(&groups[b]);
            let merging = difference(costs.of_merged(&groups[a], &groups[b]), before);
            for (parting, package, from) in &parts {
                let delta = merging + parting;
                if *from != a && *from != b && delta < best.as_ref().map_or(0, |(least, _)| *least)
                {
                    let step = Step::Part {
                        package: *package,
                        from: *from,
                        merge: Some((a, b)),
                    };
                    best = Some((delta, step));
                }
            }
        }
    }
    best.map(|(_, step)| step)
}

/// The layer that somebody has, and that saves most if this image has it too.
fn best_take(costs: &Costs, groups: &[Group], budget: usize) -> Option<Step> {
    let mut best: Option<(i128, Step)> = None;
    for set in costs.previous.iter().chain(&costs.elsewhere) {
        if groups.iter().any(|group| group.members == *set) {
            continue;
        }
        let mut changed = groups.to_vec();
        apply(costs, &mut changed, Step::Take { set: set.clone() });
        if changed.len() > budget {
            continue;
        }
        let sum = |groups: &[Group]| groups.iter().map(|group| costs.of(group)).sum();
        let delta = difference(sum(&changed), sum(groups));
        if delta < best.as_ref().map_or(0, |(least, _)| *least) {
            best = Some((delta, Step::Take { set: set.clone() }));
        }
    }
    best.map(|(_, step)| step)
}

fn apply(costs: &Costs, groups: &mut Vec<Group>, step: Step) {
    match step {
        Step::Move { package, from, to } => {
            if let Some(single) = costs.group([package]) {
                groups[to] = costs.merged(&groups[to], &single);
            }
            match without(costs, &groups[from], package) {
                Some(rest) => groups[from] = rest,
                None => drop(groups.swap_remove(from)),
            }
        }
        Step::Part {
            package,
            from,
            merge,
        } => {
            if let Some(rest) = without(costs, &groups[from], package) {
                groups[from] = rest;
                groups.extend(costs.group([package]));
            }
            if let Some((a, b)) = merge {
                groups[a] = costs.merged(&groups[a], &groups[b]);
                groups.swap_remove(b);
            }
        }
        Step::Take { set } => {
            let mut changed: Vec<Group> = groups
                .iter()
                .filter_map(|group| {
                    match group.members.iter().any(|it| set.binary_search(it).is_ok()) {
                        false => Some(group.clone()),
                        true => {
                            let rest = group.members.iter().copied();
                            costs.group(rest.filter(|it| set.binary_search(it).is_err()))
                        }
                    }
                })
                .collect();
            changed.extend(costs.group(set));
            *groups = changed;
        }
    }
}
