//! Which packages share a layer. Pure.
//!
//! ```text
//! PlanInput ──► start: what the lock before and other containers have, or a layer per package
//!               merge: the cheapest two, until the budget holds          ──► the cheapest of all ──► Plan
//!               improve: move, take out, take over, while that saves
//! ```
//!
//! While there are no more packages than layers, each package is a layer of its own: its archive as the cache has it,
//! shared with every image that has the same package. Beyond that, packages have to share, and each way to share has a price
//! in bytes, which `cost` works out:
//!
//! - *now*: a layer that users of the image do not have is pulled; one that nobody has is stored;
//! - *later*: a layer is stored and pulled again whenever one of its packages changes. Which ones change together is known: a
//!   DAG hash covers all that a package was built from, so a package changes when anything below it does. How often something
//!   changes by itself is a [`rate`], from the history of the locks where there is one;
//! - *twice*: a package that other containers have too, in a layer that they cannot have, lies in the registry twice.
//!
//! `search` looks for the cheapest grouping. What was decided before is a grouping like others whose layers cost nothing
//! now: a package moves only if that saves more bytes over the next [`HORIZON`] changes than it costs those who pull.
//!
//! Start at [`plan()`].

mod bits;
mod cost;
mod rate;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use spack_format::dag_hash::DagHash;

use cost::{Costs, Group};

pub use rate::{Observed, rate};

/// Over how many changes of the container a layer is reckoned. A change is one package's, with all that depends on it.
pub const HORIZON: u64 = 4;

/// One package of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPackage {
    /// Which package.
    pub hash: DagHash,
    /// Its name.
    pub name: String,
    /// Bytes of its archive.
    pub size: u64,
    /// Other containers of the project that have this very package, by numbers of the caller's choice.
    pub used_by: BTreeSet<usize>,
    /// What changes it: indices into [`PlanInput::rates`], its own among them.
    pub causes: Vec<usize>,
}

/// What the plan looks at.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The image's packages, dependencies first.
    pub packages: &'a [PlanPackage],
    /// How often things change, each relative to the others. Zero counts as 1.
    pub rates: &'a [u32],
    /// The most layers; 0 counts as 1.
    pub budget: usize,
    /// The layers that users of the image have: those of the lock before.
    pub previous: &'a [Vec<DagHash>],
    /// Layers of other containers of the project.
    pub elsewhere: &'a [Vec<DagHash>],
}

/// Which packages share a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The layers, lowest first: each is where the first of its packages is among those given.
    pub layers: Vec<PlannedLayer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLayer {
    /// Its packages, by name and then by hash: the same set has the same bytes in every image.
    pub packages: Vec<DagHash>,
    /// Bytes of their archives.
    pub size: u64,
    /// Why it is one.
    pub why: Why,
    /// How many other containers have all of its packages.
    pub shared: usize,
    /// Of a thousand changes of the container, how many change this layer.
    pub changes: u32,
}

/// Why packages are a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// They were one before: users have it.
    Kept,
    /// Another container has it: this one of [`PlanInput::elsewhere`].
    Elsewhere(usize),
    /// One package: there is room for it, or whatever it would share a layer with would cost more.
    Alone,
    /// Several that cost least together: small, or used by the same containers and changing at the same times.
    Together,
}

impl Plan {
    /// Bytes of layers that a user of the image before has to pull.
    #[must_use]
    pub fn pulled(&self) -> u64 {
        let news = self.layers.iter().filter(|layer| layer.why != Why::Kept);
        news.fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

/// Groups packages into layers. The same input gives the same plan on every machine, whatever the order of the packages.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let order = canonical_order(input.packages);
    let costs = Costs::new(input, &order);
    let groups = search::cheapest(&costs, input.budget.max(1));
    let mut layers: Vec<(usize, PlannedLayer)> = groups
        .iter()
        .map(|group| planned(group, &costs, input, &order))
        .collect();
    layers.sort_by_key(|(place, _)| *place);
    Plan {
        layers: layers.into_iter().map(|(_, layer)| layer).collect(),
    }
}

/// The layers of [`PlanInput::previous`] as they are and in their order, if they are a plan: of all packages, of nothing else,
/// within the budget.
#[must_use]
pub fn stay(input: &PlanInput<'_>) -> Option<Plan> {
    let placed: Vec<DagHash> = input.previous.iter().flatten().copied().collect();
    let wanted: BTreeSet<DagHash> = input.packages.iter().map(|package| package.hash).collect();
    let is_plan = input.previous.len() <= input.budget.max(1)
        && placed.len() == wanted.len()
        && placed.into_iter().collect::<BTreeSet<_>>() == wanted;
    if !is_plan {
        return None;
    }
    let order = canonical_order(input.packages);
    let costs = Costs::new(input, &order);
    let groups = costs.previous.iter();
    let layers = groups
        .filter_map(|members| costs.group(members.iter().copied()))
        .zip(input.previous)
        .map(|(group, packages)| PlannedLayer {
            packages: packages.clone(),
            ..planned(&group, &costs, input, &order).1
        })
        .collect();
    Some(Plan { layers })
}

/// Indices of the packages by name and hash: what is decided does not depend on the order in which they come.
fn canonical_order(packages: &[PlanPackage]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by(|a, b| {
        let key = |index: &usize| packages.get(*index).map(|it| (&it.name, it.hash));
        key(a).cmp(&key(b))
    });
    order
}

/// A group as the caller sees it, with the place of its first package.
fn planned(
    group: &Group,
    costs: &Costs,
    input: &PlanInput<'_>,
    order: &[usize],
) -> (usize, PlannedLayer) {
    let places = group.members.iter().filter_map(|member| order.get(*member));
    let packages = places
        .clone()
        .filter_map(|place| input.packages.get(*place))
        .map(|package| package.hash)
        .collect();
    let known = costs.known(group);
    let why = match (known.previous, known.elsewhere, group.members.len()) {
        (true, _, _) => Why::Kept,
        (false, Some(which), _) => Why::Elsewhere(which),
        (false, None, 1) => Why::Alone,
        (false, None, _) => Why::Together,
    };
    let layer = PlannedLayer {
        packages,
        size: u64::try_from(group.size).unwrap_or(u64::MAX),
        why,
        shared: group.users.count(),
        changes: costs.permille(group),
    };
    (places.min().copied().unwrap_or(0), layer)
}
