//! Which prefixes change when one package moves.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{PrefixMap, PrefixMapError};
use crate::build_cache::BinaryDistribution;
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use crate::dag_hash::DagHash;
use crate::version::Version;

/// A package, where it was built, and where it shall lie.
pub struct Move<'a> {
    /// What was recorded when it was pushed.
    pub built: &'a BinaryDistribution,
    /// The package.
    pub spec: &'a ConcreteSpec,
    /// The DAG that it belongs to, with its build spec's if it is spliced.
    pub specs: &'a ConcreteSpecs,
    /// The new root before padding: `bin/sbang` lies below it.
    pub root: &'a str,
    /// The new root with padding.
    pub store: &'a str,
    /// Where a package lies in the new store, by its DAG hash.
    pub prefix: &'a dyn Fn(&DagHash) -> Option<String>,
}

impl Move<'_> {
    /// Old prefixes and new ones, in Spack's order: `sbang`; the package and what it may refer to; the store for the rest.
    ///
    /// Source: `relocate_package` and `specs_to_relocate` in `lib/spack/spack/binary_distribution.py` of Spack.
    ///
    /// # Errors
    /// When a recorded prefix is not one.
    pub fn map(&self) -> Result<PrefixMap, PrefixMapError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        if let Some(sbang) = &self.built.sbang_install_path {
            pairs.push((sbang.clone(), format!("{}/bin/sbang", self.root)));
        }
        let original = self
            .spec
            .build_spec
            .as_ref()
            .and_then(|it| self.specs.get(&it.hash));
        let before = original.map(|original| {
            let types = DepTypes::LINK | DepTypes::RUN | DepTypes::TEST;
            (original, self.specs.closure([original.hash], types))
        });
        for spec in self.referred() {
            // A splice has the old prefix of what it replaces in its files.
            let recorded = match &before {
                Some((original, nodes)) if !nodes.iter().any(|it| it.hash == spec.hash) => {
                    self.analog(spec, original, nodes).unwrap_or(spec)
                }
                _ => spec,
            };
            if let Some(old) = self.built.hash_to_prefix.get(&recorded.hash)
                && let Some(new) = (self.prefix)(&spec.hash)
            {
                pairs.push((old.clone(), new));
            }
        }
        pairs.push((self.built.build_path.clone(), self.store.to_owned()));
        PrefixMap::new(pairs)
    }

    /// The package, what it links to (breadth first) and what it runs directly, without externals.
    fn referred(&self) -> Vec<&ConcreteSpec> {
        let mut seen = HashSet::from([self.spec.hash]);
        let mut queue = VecDeque::from([self.spec]);
        let mut all = Vec::new();
        let run = self.spec.edges_of(DepTypes::RUN);
        let run: Vec<&ConcreteSpec> = run.filter_map(|edge| self.specs.get(&edge.hash)).collect();
        while let Some(spec) = queue.pop_front() {
            all.push(spec);
            let mut edges: Vec<_> = spec.edges_of(DepTypes::LINK).collect();
            edges.sort_by(|a, b| a.name.cmp(&b.name));
            for child in edges
                .into_iter()
                .filter_map(|edge| self.specs.get(&edge.hash))
            {
                if seen.insert(child.hash) {
                    queue.push_back(child);
                }
            }
        }
        all.extend(run.into_iter().filter(|spec| seen.insert(spec.hash)));
        all.retain(|spec| !spec.is_external());
        all
    }

    /// What `spec` took the place of: a package of the same name, or one that stood for all virtuals that it stands for;
    /// the same name first, then the higher version.
    fn analog<'n>(
        &self,
        spec: &ConcreteSpec,
        original: &ConcreteSpec,
        nodes: &[&'n ConcreteSpec],
    ) -> Option<&'n ConcreteSpec> {
        let mine = virtuals(self.specs, self.spec.hash);
        let theirs = virtuals(self.specs, original.hash);
        let none = HashSet::new();
        let stands_for = mine.get(&spec.hash).unwrap_or(&none);
        nodes
            .iter()
            .copied()
            .filter(|node| {
                let theirs = theirs.get(&node.hash).unwrap_or(&none);
                node.name == spec.name || !stands_for.is_empty() && stands_for.is_subset(theirs)
            })
            .max_by(|a, b| {
                let key =
                    |it: &ConcreteSpec| (it.name == spec.name, Version::parse(&it.version).ok());
                let (a, b) = (key(a), key(b));
                a.0.cmp(&b.0)
                    .then_with(|| a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal))
            })
    }
}

/// The virtual packages that each package below `root` stands for there.
fn virtuals(specs: &ConcreteSpecs, root: DagHash) -> HashMap<DagHash, HashSet<&str>> {
    let types = DepTypes::LINK | DepTypes::RUN | DepTypes::BUILD | DepTypes::TEST;
    let mut all: HashMap<DagHash, HashSet<&str>> = HashMap::new();
    for node in specs.closure([root], types) {
        for edge in &node.edges {
            let known = all.entry(edge.hash).or_default();
            known.extend(edge.virtuals.iter().map(String::as_str));
        }
    }
    all
}
