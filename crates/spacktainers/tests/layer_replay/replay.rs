//! A history, replayed: what a registry stores and what users pull.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use spacktainers::layer::Observed;

use super::fleet::{Change, Image, apply, mix, size};
use super::strategies::{Layer, Situation, Strategy};

/// A fleet over time.
pub(crate) struct History {
    pub(crate) name: String,
    /// The fleet at the beginning, and after each change.
    states: Vec<State>,
}

struct State {
    fleet: Vec<Image>,
    /// The images that differ from the state before.
    changed: Vec<usize>,
    /// What was seen of each name so far.
    observed: BTreeMap<String, Observed>,
}

impl History {
    fn of(name: &str, fleet: &[Image], changes: &[Change]) -> Self {
        let mut states = vec![State {
            fleet: fleet.to_vec(),
            changed: (0..fleet.len()).collect(),
            observed: BTreeMap::new(),
        }];
        for (number, change) in (1..).zip(changes) {
            let before = &states[states.len() - 1];
            let mut fleet = before.fleet.clone();
            let mut observed = before.observed.clone();
            let changed = apply(&mut fleet, change, number);
            for index in &changed {
                observe(&before.fleet[*index], change, &mut observed);
            }
            states.push(State {
                fleet,
                changed,
                observed,
            });
        }
        Self {
            name: name.to_owned(),
            states,
        }
    }
}

/// What a history costs under one strategy, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    /// Stored before the first change.
    pub(crate) first: u64,
    /// All that was ever stored.
    pub(crate) stored: u64,
    /// Pulled by users of each image, who have what the image was before.
    pub(crate) pulled: u64,
    /// Pulled by a machine that has all images.
    pub(crate) pulled_by_all: u64,
}

impl Bill {
    pub(crate) fn add(&mut self, other: &Self) {
        self.first += other.first;
        self.stored += other.stored;
        self.pulled += other.pulled;
        self.pulled_by_all += other.pulled_by_all;
    }

    /// What it says, this one's first.
    pub(crate) fn beside(&self, other: &Self) -> [(&'static str, u64, u64); 4] {
        [
            ("stored at first", self.first, other.first),
            ("stored", self.stored, other.stored),
            ("pulled", self.pulled, other.pulled),
            ("pulled by all", self.pulled_by_all, other.pulled_by_all),
        ]
    }
}

/// Replays `history` under `strategy`, with sizes of the world `salt`.
pub(crate) fn replay(history: &History, strategy: Strategy, budget: usize, salt: u64) -> Bill {
    let mut layers: Vec<Vec<Layer>> = Vec::new();
    let mut stored: HashSet<Layer> = HashSet::new();
    let mut bill = Bill::default();
    for (number, state) in history.states.iter().enumerate() {
        layers.resize(state.fleet.len(), Vec::new());
        let mut at_machine: HashSet<Layer> = layers.iter().flatten().cloned().collect();
        for index in state.changed.iter().copied() {
            let image = &state.fleet[index];
            let now = strategy.layers(&Situation {
                fleet: &state.fleet,
                image: index,
                budget,
                salt,
                layers: &layers,
                observed: &state.observed,
            });
            assert!(now.len() <= budget, "{strategy:?} keeps the budget");
            let placed: usize = now.iter().map(BTreeSet::len).sum();
            assert_eq!(
                placed,
                image.order.len(),
                "{strategy:?} places each package"
            );
            for layer in &now {
                let names = layer.iter().map(|hash| &image.nodes[hash].name);
                let bytes: u64 = names.map(|name| size(name, salt)).sum();
                if stored.insert(layer.clone()) {
                    bill.stored += bytes;
                }
                if number == 0 {
                    continue;
                }
                if !layers[index].contains(layer) {
                    bill.pulled += bytes;
                }
                if at_machine.insert(layer.clone()) {
                    bill.pulled_by_all += bytes;
                }
            }
            layers[index] = now;
        }
        if number == 0 {
            bill.first = bill.stored;
        }
    }
    bill
}

/// What the history of a lock would say of one change.
fn observe(before: &Image, change: &Change, observed: &mut BTreeMap<String, Observed>) {
    let names: BTreeSet<&String> = before.nodes.values().map(|node| &node.name).collect();
    for name in names {
        let seen = observed.entry(name.clone()).or_default();
        seen.times += 1;
        if matches!(change, Change::Upgrade(upgraded) if upgraded == name) {
            seen.changed += 1;
        }
    }
}

/// The fleet of all locks but the one that is a later state of another.
pub(crate) fn fleet(locks: &Path) -> Vec<Image> {
    let mut names: Vec<String> = std::fs::read_dir(locks)
        .expect("a folder")
        .filter_map(|it| it.ok()?.file_name().into_string().ok())
        .filter(|name| name != "hpc-next")
        .collect();
    names.sort();
    names.iter().map(|name| Image::read(locks, name)).collect()
}

/// Histories over the locks: the one change that they really hold, and made-up ones of each kind and of all kinds, for
/// each of `seeds`.
pub(crate) fn histories(locks: &Path, seeds: &[u64]) -> Vec<History> {
    let fleet = fleet(locks);
    let hpc = fleet
        .iter()
        .position(|it| it.name == "hpc")
        .expect("is there");
    let next = Image::read(locks, "hpc-next");
    let history = |name: &str, changes: Vec<Change>| History::of(name, &fleet, &changes);
    let root_names: Vec<String> = fleet
        .iter()
        .flat_map(|image| image.roots.iter().map(|it| image.nodes[it].name.clone()))
        .collect();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for image in &fleet {
        let names: BTreeSet<&str> = image
            .order
            .iter()
            .map(|it| &*image.nodes[it].name)
            .collect();
        names
            .into_iter()
            .for_each(|it| *uses.entry(it).or_default() += 1);
    }
    let all_names: Vec<String> = uses.keys().map(|it| (*it).to_owned()).collect();
    let mut wide: Vec<(usize, String)> = uses
        .iter()
        .map(|(name, n)| (*n, (*name).to_owned()))
        .collect();
    wide.sort_by(|a, b| b.cmp(a));
    let upgrade = |names: &[String], count: u64, seed: u64| -> Vec<Change> {
        let pick = |step: u64| mix(mix(seed) ^ step) as usize % names.len();
        (0..count)
            .map(|step| Change::Upgrade(names[pick(step)].clone()))
            .collect()
    };
    let wide: Vec<String> = wide.into_iter().take(20).map(|(_, name)| name).collect();
    let add_and_remove = |seed: u64| -> Vec<Change> {
        (0..12)
            .map(|step| {
                let image = mix(mix(seed) ^ step) as usize % fleet.len();
                match mix(mix(seed) ^ step ^ 77) % 3 {
                    0 => Change::Remove { image },
                    _ => Change::Add {
                        image,
                        name: format!("new-{seed}-{step}"),
                    },
                }
            })
            .collect()
    };
    let mut all = vec![history(
        "hpc to hpc-next",
        vec![Change::Replace {
            image: hpc,
            by: Box::new(next.clone()),
        }],
    )];
    for seed in seeds.iter().copied() {
        all.push(history(
            &format!("roots {seed}"),
            upgrade(&root_names, 12, seed),
        ));
        all.push(history(
            &format!("wide libraries {seed}"),
            upgrade(&wide, 6, seed),
        ));
        all.push(history(
            &format!("any package {seed}"),
            upgrade(&all_names, 16, seed),
        ));
        all.push(history(
            &format!("add and remove {seed}"),
            add_and_remove(seed),
        ));
        let mut mixed = Vec::new();
        let parts = [
            upgrade(&root_names, 12, seed + 10),
            upgrade(&all_names, 6, seed + 20),
            upgrade(&wide, 2, seed + 30),
            add_and_remove(seed + 40),
        ];
        let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        for step in 0..24u64 {
            let which = [0, 3, 0, 1, 0, 3, 1, 2][step as usize % 8];
            mixed.extend(parts[which].next());
        }
        mixed.insert(
            10,
            Change::Replace {
                image: hpc,
                by: Box::new(next.clone()),
            },
        );
        all.push(history(&format!("mixed {seed}"), mixed));
    }
    all
}
