//! What a layer costs.

use std::collections::HashMap;

use spack_format::dag_hash::DagHash;

use super::bits::Bits;
use super::{HORIZON, PlanInput};

/// How much a byte counts that lies in the registry twice: it is stored twice, and whoever has both containers pulls it twice.
const TWICE: u128 = 2;

/// Rates and sizes count at most so much: a million packages with all of it cost less than a number has room for.
const HIGHEST_RATE: u128 = 1 << 20;
const LARGEST: u128 = 1 << 50;

/// Packages that are one layer. Members are numbers in canonical order, ascending.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) members: Vec<usize>,
    pub(super) size: u128,
    /// What changes it.
    pub(super) causes: Bits,
    /// Sum of the rates of [`Self::causes`].
    weight: u128,
    /// Other containers that have all of its packages.
    pub(super) users: Bits,
    /// Price of the packages that lie elsewhere as well, because those who have them cannot have this layer.
    twice: u128,
    /// Price of all its packages if all of them did.
    all_twice: u128,
    /// A name of the set of members.
    name: u128,
}

/// Who has a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Users of the image before.
    pub(super) previous: bool,
    /// Another container: the layer's number among those.
    pub(super) elsewhere: Option<usize>,
}

/// All that deciding needs, with packages as numbers in canonical order.
///
/// Costs are bytes times [`Self::total`], so that all of them are whole numbers.
pub(super) struct Costs {
    singles: Vec<Group>,
    rates: Vec<u128>,
    /// Sum of all rates: the chance that a change is one of this container is `weight / total`.
    total: u128,
    known: HashMap<u128, Known>,
    /// Layers before whose packages are all here, as sets of members.
    pub(super) previous: Vec<Vec<usize>>,
    /// Layers of several packages of other containers whose packages are all here.
    pub(super) elsewhere: Vec<Vec<usize>>,
}

impl Costs {
    pub(super) fn new(input: &PlanInput<'_>, order: &[usize]) -> Self {
        let rates: Vec<u128> = input
            .rates
            .iter()
            .map(|rate| u128::from(*rate).clamp(1, HIGHEST_RATE))
            .collect();
        let packages: Vec<_> = order
            .iter()
            .filter_map(|it| input.packages.get(*it))
            .collect();
        let users = packages.iter().flat_map(|it| it.used_by.iter().copied());
        let user_length = users.max().map_or(0, |most| most.saturating_add(1));
        // Whoever has numbers beyond all bounds gets sets without them.
        let user_length = user_length.min(1 << 16);
        let mut concerned = Bits::empty(rates.len());
        for cause in packages.iter().flat_map(|it| &it.causes) {
            concerned.insert(*cause);
        }
        let weigh =
            |causes: &Bits| -> u128 { causes.iter().filter_map(|cause| rates.get(cause)).sum() };
        let total = weigh(&concerned).max(1);
        let singles: Vec<Group> = packages
            .iter()
            .enumerate()
            .map(|(number, package)| {
                let mut causes = Bits::empty(rates.len());
                package.causes.iter().for_each(|it| causes.insert(*it));
                let mut users = Bits::empty(user_length);
                package.used_by.iter().for_each(|it| users.insert(*it));
                let size = u128::from(package.size).min(LARGEST);
                let weight = weigh(&causes);
                Group {
                    members: vec![number],
                    size,
                    causes,
                    weight,
                    users,
                    twice: 0,
                    all_twice: TWICE * size * (total + u128::from(HORIZON) * weight),
                    name: name(number),
                }
            })
            .collect();
        let numbers: HashMap<DagHash, usize> = packages
            .iter()
            .enumerate()
            .map(|(number, package)| (package.hash, number))
            .collect();
        let mut costs = Self {
            singles,
            rates,
            total,
            known: HashMap::new(),
            previous: Vec::new(),
            elsewhere: Vec::new(),
        };
        for layer in input.previous {
            if let Some(members) = members(layer, &numbers) {
                costs.known.entry(name_of(&members)).or_default().previous = true;
                costs.previous.push(members);
            }
        }
        for (which, layer) in input.elsewhere.iter().enumerate() {
            if let Some(members) = members(layer, &numbers) {
                let known = costs.known.entry(name_of(&members)).or_default();
                if known.elsewhere.is_none() {
                    known.elsewhere = Some(which);
                    if members.len() > 1 {
                        costs.elsewhere.push(members);
                    }
                }
            }
        }
        costs
    }

    /// How many packages there are.
    pub(super) fn len(&self) -> usize {
        self.singles.len()
    }

    /// The group of these members; none if there are none.
    pub(super) fn group(&self, members: impl IntoIterator<Item = usize>) -> Option<Group> {
        let mut singles = members.into_iter().filter_map(|it| self.singles.get(it));
        let mut group = singles.next()?.clone();
        for single in singles {
            self.absorb(&mut group, single);
        }
        group.members.sort_unstable();
        Some(group)
    }

    /// Both as one.
    pub(super) fn merged(&self, a: &Group, b: &Group) -> Group {
        let mut both = a.clone();
        self.absorb(&mut both, b);
        both.members.sort_unstable();
        both
    }

    fn absorb(&self, group: &mut Group, other: &Group) {
        group.weight += self.more_weight(group, other);
        group.twice = twice(group, other);
        group.users.intersect(&other.users);
        group.causes.union(&other.causes);
        group.size += other.size;
        group.all_twice += other.all_twice;
        group.name = group.name.wrapping_add(other.name);
        group.members.extend_from_slice(&other.members);
    }

    fn more_weight(&self, group: &Group, other: &Group) -> u128 {
        let more = other.causes.without(&group.causes);
        more.filter_map(|cause| self.rates.get(cause)).sum()
    }

    pub(super) fn known(&self, group: &Group) -> Known {
        self.known.get(&group.name).copied().unwrap_or_default()
    }

    /// What a layer costs, in bytes times the sum of all rates.
    pub(super) fn of(&self, group: &Group) -> u128 {
        self.price(group.size, group.weight, group.twice, group.name)
    }

    /// What both would cost as one.
    pub(super) fn of_merged(&self, a: &Group, b: &Group) -> u128 {
        self.price(
            a.size + b.size,
            a.weight + self.more_weight(a, b),
            twice(a, b),
            a.name.wrapping_add(b.name),
        )
    }

    fn price(&self, size: u128, weight: u128, twice: u128, name: u128) -> u128 {
        let known = self.known.get(&name).copied().unwrap_or_default();
        let is_stored = known.previous || known.elsewhere.is_some();
        let now = u128::from(!known.previous) + u128::from(!is_stored);
        // Each change is stored once and pulled once.
        let later = 2 * u128::from(HORIZON) * weight;
        let twice = if known.elsewhere.is_some() { 0 } else { twice };
        size * (now * self.total + later) + twice
    }

    /// Of a thousand changes, how many change the group.
    pub(super) fn permille(&self, group: &Group) -> u32 {
        u32::try_from(group.weight * 1000 / self.total).unwrap_or(1000)
    }
}

/// Price of what lies elsewhere too if both are one: all packages of one of them, as soon as somebody who has that one does
/// not have the other.
fn twice(a: &Group, b: &Group) -> u128 {
    let part = |group: &Group, other: &Group| match group.users.is_within(&other.users) {
        true => group.twice,
        false => group.all_twice,
    };
    part(a, b) + part(b, a)
}

/// The members of a layer, ascending, if all of them are here.
fn members(layer: &[DagHash], numbers: &HashMap<DagHash, usize>) -> Option<Vec<usize>> {
    let mut members = layer
        .iter()
        .map(|hash| numbers.get(hash).copied())
        .collect::<Option<Vec<usize>>>()?;
    members.sort_unstable();
    members.dedup();
    (!members.is_empty()).then_some(members)
}

fn name_of(members: &[usize]) -> u128 {
    members
        .iter()
        .fold(0, |sum: u128, number| sum.wrapping_add(name(*number)))
}

/// A number of 128 bits that sums tell sets apart by: two rounds of SplitMix64.
fn name(number: usize) -> u128 {
    let mix = |seed: u64| {
        let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let low = mix(number as u64);
    (u128::from(mix(low)) << 64) | u128::from(low)
}
