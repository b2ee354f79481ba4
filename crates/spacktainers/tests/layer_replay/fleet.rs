//! Containers as graphs of packages, read from real locks, and what happens to them over time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use spack_format::concrete::{ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

/// Where the locks are, or nothing where there are none.
pub(crate) fn locks() -> Option<PathBuf> {
    let fixtures = std::env::var_os("SPACKTAINERS_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let locks = fixtures.join("locks");
    locks.is_dir().then_some(locks)
}

/// One package.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Direct dependencies of all kinds: a DAG hash covers them.
    pub(crate) below: Vec<DagHash>,
    /// Whether it is in the image, or only built the others.
    pub(crate) is_inside: bool,
}

/// One container.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) nodes: BTreeMap<DagHash, Node>,
    /// What is in the image, dependencies first.
    pub(crate) order: Vec<DagHash>,
    pub(crate) roots: Vec<DagHash>,
}

impl Image {
    /// The container of a lock in `folder`.
    pub(crate) fn read(folder: &std::path::Path, name: &str) -> Self {
        let text = std::fs::read_to_string(folder.join(name).join("spack.lock")).expect("a lock");
        let lock = SpackLockfile::parse(&text).expect("a sound lock");
        let roots = lock.all_root_hashes();
        Self::of(name, &lock.specs, roots)
    }

    fn of(name: &str, specs: &ConcreteSpecs, roots: Vec<DagHash>) -> Self {
        let inside = specs.runtime_closure(roots.iter().copied()).packages;
        let order: Vec<DagHash> = inside.iter().map(|it| it.hash).collect();
        let is_inside: BTreeSet<DagHash> = order.iter().copied().collect();
        let all = specs.closure(roots.iter().copied(), DepTypes::ALL);
        let nodes = all
            .into_iter()
            .map(|spec| {
                let node = Node {
                    name: spec.name.clone(),
                    below: spec.edges.iter().map(|edge| edge.hash).collect(),
                    is_inside: is_inside.contains(&spec.hash),
                };
                (spec.hash, node)
            })
            .collect();
        Self {
            name: name.to_owned(),
            nodes,
            order,
            roots,
        }
    }

    /// Everything that changes `hash` when it changes, itself included.
    pub(crate) fn causes(&self, hash: DagHash) -> BTreeSet<DagHash> {
        let mut causes = BTreeSet::new();
        let mut pending = vec![hash];
        while let Some(hash) = pending.pop() {
            if let Some(node) = self.nodes.get(&hash)
                && causes.insert(hash)
            {
                pending.extend(&node.below);
            }
        }
        causes
    }

    /// Gives new hashes to packages, and to whatever depends on them.
    fn rehash(&mut self, changed: impl Fn(&Node) -> bool, change: u64) -> bool {
        let mut renamed: HashMap<DagHash, DagHash> = HashMap::new();
        for hash in self.nodes.keys() {
            let causes = self.causes(*hash);
            if causes.iter().any(|it| changed(&self.nodes[it])) {
                renamed.insert(*hash, derived(*hash, change));
            }
        }
        let new = |hash: &DagHash| renamed.get(hash).copied().unwrap_or(*hash);
        let old = std::mem::take(&mut self.nodes);
        for (hash, mut node) in old {
            node.below = node.below.iter().map(new).collect();
            self.nodes.insert(new(&hash), node);
        }
        self.order = self.order.iter().map(new).collect();
        self.roots = self.roots.iter().map(new).collect();
        !renamed.is_empty()
    }

    /// What is left when packages that nothing needs any more are gone.
    fn tidy(&mut self) {
        let mut needed = BTreeSet::new();
        for root in &self.roots {
            needed.extend(self.causes(*root));
        }
        self.nodes.retain(|hash, _| needed.contains(hash));
        self.order.retain(|hash| needed.contains(hash));
    }
}

/// What happens to a fleet.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A package gets a new version, wherever it is.
    Upgrade(String),
    /// A container gets a new package, on top of some that it has.
    Add { image: usize, name: String },
    /// A container loses what it got last, or its last root.
    Remove { image: usize },
    /// A container becomes another one.
    Replace { image: usize, by: Box<Image> },
}

/// Applies a change to all images; says which have changed.
pub(crate) fn apply(fleet: &mut [Image], change: &Change, number: u64) -> Vec<usize> {
    let mut changed = Vec::new();
    match change {
        Change::Upgrade(name) => {
            for (index, image) in fleet.iter_mut().enumerate() {
                if image.rehash(|node| node.name == *name, number) {
                    changed.push(index);
                }
            }
        }
        Change::Add { image: index, name } => {
            let image = &mut fleet[*index];
            let step = (image.order.len() / 3).max(1);
            let node = Node {
                name: name.clone(),
                below: image.order.iter().copied().step_by(step).collect(),
                is_inside: true,
            };
            let hash = derived(image.roots[0], number);
            image.nodes.insert(hash, node);
            image.order.push(hash);
            image.roots.push(hash);
            changed.push(*index);
        }
        Change::Remove { image: index } => {
            let image = &mut fleet[*index];
            if image.roots.len() > 1 {
                image.roots.pop();
                image.tidy();
                changed.push(*index);
            }
        }
        Change::Replace { image: index, by } => {
            fleet[*index] = Image {
                name: fleet[*index].name.clone(),
                ..(**by).clone()
            };
            changed.push(*index);
        }
    }
    changed
}

/// Bytes of a package's archive. No archive of these locks is left, so this is a model: sizes of real packages go evenly over
/// the orders of magnitude, from 8 KB to 256 MB, so that a few hold most of the bytes. The name decides: versions of one
/// package are about as large as each other. Other `salt`s are other worlds.
pub(crate) fn size(name: &str, salt: u64) -> u64 {
    let mixed = mix(name
        .bytes()
        .fold(salt, |sum, byte| mix(sum ^ u64::from(byte))));
    let order = 13 + mixed % 15;
    (1 << order) + ((mixed >> 32) % (1 << order))
}

/// Another hash.
fn derived(hash: DagHash, change: u64) -> DagHash {
    let seed = hash
        .to_string()
        .bytes()
        .fold(change, |sum, byte| mix(sum ^ u64::from(byte)));
    let text: String = (0..32u64)
        .map(|place| {
            char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(mix(seed ^ place) % 32) as usize])
        })
        .collect();
    text.parse().expect("a DAG hash")
}

/// SplitMix64.
pub(crate) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
