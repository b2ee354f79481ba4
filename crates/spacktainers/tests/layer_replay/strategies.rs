//! How others cut images into layers, from what they say in public, and how we do.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use spack_format::dag_hash::DagHash;
use spacktainers::layer::{Observed, PlanInput, PlanPackage, plan, rate};

use super::fleet::{Image, size};

/// One layer: which packages.
pub(crate) type Layer = BTreeSet<DagHash>;

/// What a strategy may look at.
pub(crate) struct Situation<'a> {
    pub(crate) fleet: &'a [Image],
    pub(crate) image: usize,
    pub(crate) budget: usize,
    pub(crate) salt: u64,
    /// The layers of every image, as they were before; of those that were planned already, as they are.
    pub(crate) layers: &'a [Vec<Layer>],
    /// What was seen of each name so far.
    pub(crate) observed: &'a BTreeMap<String, Observed>,
}

impl Situation<'_> {
    fn image(&self) -> &Image {
        &self.fleet[self.image]
    }

    fn size(&self, hash: &DagHash) -> u64 {
        size(&self.image().nodes[hash].name, self.salt)
    }
}

/// A way to cut an image into layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Ours,
    /// What a plain `COPY` from a build stage gives.
    OneLayer,
    /// A layer per package, as `spack buildcache push` to a registry does; the last takes what there is no room for.
    PerPackage,
    /// The same, where the largest come first.
    LargestFirst,
    /// apko, `layering: {strategy: origin, budget: 10}`: groups of one origin (a recipe gives one package, so each is its own
    /// origin), the largest alone, the rest in one. Source: `pkg/build/layers.go` in chainguard-dev/apko.
    Origin,
    /// Nix, `dockerTools.buildLayeredImage`: what most paths through the graph of references lead to is alone, the rest in one.
    /// Source: `pkgs/build-support/references-by-popularity` in nixpkgs.
    Popularity,
}

/// apko's own example and default of its catalogue.
const ORIGIN_BUDGET: usize = 10;

impl Strategy {
    pub(crate) const ALL: [Self; 6] = [
        Self::Ours,
        Self::OneLayer,
        Self::PerPackage,
        Self::LargestFirst,
        Self::Origin,
        Self::Popularity,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OneLayer => "one layer",
            Self::PerPackage => "per package",
            Self::LargestFirst => "per package, largest first",
            Self::Origin => "apko origin, budget 10",
            Self::Popularity => "Nix popularity",
        }
    }

    pub(crate) fn layers(self, situation: &Situation<'_>) -> Vec<Layer> {
        let order = &situation.image().order;
        match self {
            Self::Ours => ours(situation),
            Self::OneLayer => vec![order.iter().copied().collect()],
            Self::PerPackage => first_alone(order, situation.budget),
            Self::LargestFirst => first_alone(&by_size(situation), situation.budget),
            Self::Origin => first_alone(&by_size(situation), ORIGIN_BUDGET.min(situation.budget)),
            Self::Popularity => first_alone(&by_popularity(situation), situation.budget),
        }
    }
}

/// The first ones each in a layer, the rest in the last.
fn first_alone(order: &[DagHash], budget: usize) -> Vec<Layer> {
    if order.len() <= budget {
        return order.iter().map(|hash| Layer::from([*hash])).collect();
    }
    let (alone, rest) = order.split_at(budget.max(1) - 1);
    let alone = alone.iter().map(|hash| Layer::from([*hash]));
    alone.chain([rest.iter().copied().collect()]).collect()
}

fn by_size(situation: &Situation<'_>) -> Vec<DagHash> {
    let mut order = situation.image().order.clone();
    let name = |hash: &DagHash| situation.image().nodes[hash].name.clone();
    order.sort_by_key(|hash| (std::cmp::Reverse(situation.size(hash)), name(hash)));
    order
}

/// Counts the paths that lead to each package from the image's roots.
fn by_popularity(situation: &Situation<'_>) -> Vec<DagHash> {
    let image = situation.image();
    let mut paths: HashMap<DagHash, f64> = HashMap::new();
    for root in &image.roots {
        *paths.entry(*root).or_default() += 1.0;
    }
    // Dependents come after their dependencies.
    for hash in image.order.iter().rev() {
        let here = *paths.entry(*hash).or_default();
        for below in &image.nodes[hash].below {
            if image.nodes.get(below).is_some_and(|it| it.is_inside) {
                *paths.entry(*below).or_default() += here;
            }
        }
    }
    let mut order = image.order.clone();
    order.sort_by(|a, b| {
        let name = |hash: &DagHash| &image.nodes[hash].name;
        paths[b]
            .total_cmp(&paths[a])
            .then_with(|| name(a).cmp(name(b)))
    });
    order
}

fn ours(situation: &Situation<'_>) -> Vec<Layer> {
    let image = situation.image();
    let numbers: HashMap<DagHash, usize> = image
        .nodes
        .keys()
        .enumerate()
        .map(|(number, hash)| (*hash, number))
        .collect();
    let rates: Vec<u32> = image
        .nodes
        .iter()
        .map(|(hash, node)| {
            let observed = situation.observed.get(&node.name).copied();
            rate(observed.unwrap_or_default(), image.roots.contains(hash))
        })
        .collect();
    let others = || {
        let all = situation.fleet.iter().enumerate();
        all.filter(|(index, _)| *index != situation.image)
    };
    let packages: Vec<PlanPackage> = image
        .order
        .iter()
        .map(|hash| PlanPackage {
            hash: *hash,
            name: image.nodes[hash].name.clone(),
            size: situation.size(hash),
            used_by: others()
                .filter(|(_, it)| it.nodes.get(hash).is_some_and(|node| node.is_inside))
                .map(|(index, _)| index)
                .collect(),
            causes: image.causes(*hash).iter().map(|it| numbers[it]).collect(),
        })
        .collect();
    let lists = |layers: &[Layer]| -> Vec<Vec<DagHash>> {
        layers
            .iter()
            .map(|it| it.iter().copied().collect())
            .collect()
    };
    let elsewhere: Vec<Vec<DagHash>> = others()
        .filter_map(|(index, _)| situation.layers.get(index))
        .flat_map(|layers| lists(layers))
        .collect();
    let previous = situation.layers.get(situation.image);
    let plan = plan(&PlanInput {
        packages: &packages,
        rates: &rates,
        budget: situation.budget,
        previous: &previous.map(|it| lists(it)).unwrap_or_default(),
        elsewhere: &elsewhere,
    });
    let layers = plan.layers.into_iter();
    layers.map(|it| it.packages.into_iter().collect()).collect()
}
