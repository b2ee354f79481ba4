//! How far a candidate is from what would be best, in Spack's order.
//!
//! Spack minimises a list of sums, the first that differs decides. What it asks the recipes for is taken from the cache
//! itself here: the default of a variant is the value that most specs of the package have.
//!
//! | here | priority in Spack 1.1 |
//! |---|---|
//! | roots without a choice (`unify: when_possible`) | 320 |
//! | externals that the configuration does not name | not allowed |
//! | `require` and `prefer`: how far down the chosen alternative stands | 310 |
//! | versions of roots: how many newer ones the caches have | 70 |
//! | variants of roots that are not as usual | 65, 55 |
//! | providers that are roots: how far down `packages:all:providers` | 60 |
//! | variants of dependencies | 50, 20 |
//! | providers below roots | 48 |
//! | versions of dependencies | 25 |
//! | dependencies built for another target than their dependents | 10 |
//! | targets: how many better ones there are | 7 |
//! | versions of compilers' runtime libraries | 4 |
//!
//! What is still equal is decided by the hash, the smaller first.
//!
//! Source: `lib/spack/spack/solver/concretize.lp` in Spack 1.1.0.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use spack_format::concrete::{DepTypes, VariantValue};
use spack_format::microarchitecture::Microarchitecture;
use spack_format::version::Version;

use super::check::{Checker, LIBCS};
use super::nodes::Nodes;
use super::reason::is_value;
use super::rules::Rules;
use crate::index::{SpecId, Symbol};

/// How many criteria there are.
const CRITERIA: usize = 12;

pub(super) const UNSOLVED: usize = 0;
const EXTERNALS: usize = 1;
const RULES: usize = 2;
pub(super) const ROOT_VERSIONS: usize = 3;
const ROOT_VARIANTS: usize = 4;
const ROOT_PROVIDERS: usize = 5;
const VARIANTS: usize = 6;
const PROVIDERS: usize = 7;
const VERSIONS: usize = 8;
const MISMATCHES: usize = 9;
const TARGETS: usize = 10;
const RUNTIMES: usize = 11;

/// What the criteria are called, for people.
pub const CRITERIA_NAMES: [&str; CRITERIA] = [
    "roots without a choice",
    "externals that are not configured",
    "alternatives of require and prefer",
    "versions of roots",
    "variants of roots",
    "providers among roots",
    "variants of dependencies",
    "providers among dependencies",
    "versions of dependencies",
    "targets that differ from their dependents'",
    "targets",
    "versions of runtimes",
];

/// Libraries that belong to a compiler: several may be there, the newest counts.
pub(super) const RUNTIME_LIBRARIES: [&str; 2] = ["gcc-runtime", "intel-oneapi-runtime"];

/// Virtual packages whose providers nobody prefers.
const LANGUAGES: [&str; 4] = ["c", "cxx", "fortran", "libc"];

/// Sums by criterion; the smaller is the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cost(pub [u32; CRITERIA]);

impl Cost {
    pub(super) fn plus(mut self, other: &Self) -> Self {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum = sum.saturating_add(*more);
        }
        self
    }
}

/// Ranks nodes, each once.
pub(super) struct Ranking<'a, 'k> {
    nodes: &'a Nodes<'k>,
    rules: &'a Rules,
    /// Variants that somebody asked for by name: `(package, variant)`.
    asked: HashSet<(String, String)>,
    packages: RefCell<HashMap<Symbol, Rc<PackageFacts>>>,
    dependencies: RefCell<HashMap<SpecId, Cost>>,
}

/// What the caches say of a package as a whole.
struct PackageFacts {
    /// Versions, the best first: how many are better.
    versions: HashMap<Symbol, u32>,
    /// What most specs have.
    usual: HashMap<String, VariantValue>,
}

impl<'a, 'k> Ranking<'a, 'k> {
    pub(super) fn new(
        nodes: &'a Nodes<'k>,
        rules: &'a Rules,
        asked: HashSet<(String, String)>,
    ) -> Self {
        Self {
            nodes,
            rules,
            asked,
            packages: RefCell::default(),
            dependencies: RefCell::default(),
        }
    }

    /// What a candidate costs as a root, without what lies below it.
    pub(super) fn root(&self, id: SpecId, wanted: &str, checker: &Checker<'_, '_>) -> Cost {
        let mut cost = Cost::default();
        cost.0[RULES] = checker.node(id).weight;
        cost.0[ROOT_VERSIONS] = self.version(id);
        cost.0[ROOT_VARIANTS] = self.variants(id);
        if wanted != self.nodes.name_of(id) && self.nodes.virtuals.contains(wanted) {
            cost.0[ROOT_PROVIDERS] = self.provider(id, wanted);
        }
        cost.0[TARGETS] = self.target(id);
        cost
    }

    /// What a node costs as a dependency.
    pub(super) fn dependency(&self, id: SpecId, checker: &Checker<'_, '_>) -> Cost {
        if let Some(known) = self.dependencies.borrow().get(&id) {
            return *known;
        }
        let name = self.nodes.name_of(id);
        let mut cost = Cost::default();
        if RUNTIME_LIBRARIES.contains(&name) {
            cost.0[RUNTIMES] = self.version(id);
        } else if !LIBCS.contains(&name) {
            cost.0[EXTERNALS] = u32::from(checker.node(id).is_unconfigured);
            cost.0[RULES] = checker.node(id).weight;
            cost.0[VARIANTS] = self.variants(id);
            cost.0[VERSIONS] = self.version(id);
            cost.0[TARGETS] = self.target(id);
            cost.0[MISMATCHES] = self.mismatches(id);
            cost.0[PROVIDERS] = self.providers(id);
        }
        self.dependencies.borrow_mut().insert(id, cost);
        cost
    }

    /// What edges from a node cost: of roots too.
    pub(super) fn edges(&self, id: SpecId) -> Cost {
        let mut cost = Cost::default();
        cost.0[MISMATCHES] = self.mismatches(id);
        cost.0[PROVIDERS] = self.providers(id);
        cost
    }

    fn facts(&self, name: Symbol) -> Rc<PackageFacts> {
        if let Some(known) = self.packages.borrow().get(&name) {
            return Rc::clone(known);
        }
        let facts = Rc::new(self.find_facts(name));
        self.packages.borrow_mut().insert(name, Rc::clone(&facts));
        facts
    }

    fn find_facts(&self, name: Symbol) -> PackageFacts {
        let known = self.nodes.known;
        let mut sets: HashMap<Symbol, u32> = HashMap::new();
        let mut versions: Vec<Symbol> = Vec::new();
        let mut seen = HashSet::new();
        for id in self.nodes.of_package(name) {
            let spec = known.get(*id);
            *sets.entry(spec.variants).or_default() += 1;
            if seen.insert(spec.version) {
                versions.push(spec.version);
            }
        }
        // Plain versions before those of git, the newest first; what is no version at all comes last.
        versions.sort_by(|a, b| {
            let key = |it: &Symbol| {
                let version = self.nodes.version_of(*it);
                let kind = match version {
                    Some(Version::Git(_)) => 1,
                    Some(_) => 2,
                    None => 0,
                };
                (kind, version)
            };
            let (a_key, b_key) = (key(a), key(b));
            b_key
                .partial_cmp(&a_key)
                .unwrap_or(std::cmp::Ordering::Equal)
                .then_with(|| known.text(*a).cmp(known.text(*b)))
        });
        let mut counts: HashMap<&str, HashMap<&VariantValue, u32>> = HashMap::new();
        for (set, count) in &sets {
            for (variant, value) in self.nodes.variants_of(*set) {
                *counts.entry(variant).or_default().entry(value).or_default() += count;
            }
        }
        let usual = counts.into_iter().filter_map(|(variant, values)| {
            let most = values
                .into_iter()
                .max_by(|(a, a_count), (b, b_count)| {
                    let by_text = || b.to_string().cmp(&a.to_string());
                    a_count.cmp(b_count).then_with(by_text)
                })
                .map(|(value, _)| value.clone())?;
            Some((variant.to_owned(), most))
        });
        PackageFacts {
            versions: (0..).zip(versions).map(|(at, it)| (it, at)).collect(),
            usual: usual.collect(),
        }
    }

    fn version(&self, id: SpecId) -> u32 {
        let spec = self.nodes.known.get(id);
        let facts = self.facts(spec.name);
        facts.versions.get(&spec.version).copied().unwrap_or(0)
    }

    /// How many variants have another value than the usual one, of those that nobody asked for.
    fn variants(&self, id: SpecId) -> u32 {
        let spec = self.nodes.known.get(id);
        let name = self.nodes.name_of(id);
        let facts = self.facts(spec.name);
        let mut count = 0;
        for (variant, value) in self.nodes.variants_of(spec.variants) {
            let is_content = ["patches", "commit", "build_system"].contains(&variant.as_str());
            if is_content || self.asked.contains(&(name.to_owned(), variant.clone())) {
                continue;
            }
            let configured = self
                .rules
                .variants(name)
                .find_map(|spec| spec.variants.get(variant));
            let is_usual = match configured {
                Some(wanted) => is_value(&wanted.value, value),
                None => facts.usual.get(variant).is_none_or(|usual| usual == value),
            };
            count += u32::from(!is_usual);
        }
        count
    }

    /// How many better targets there are: by `packages:all:target`, else the more a processor needs the better.
    fn target(&self, id: SpecId) -> u32 {
        let own = &self.nodes.system_of(id).target;
        let listed = &self.rules.targets;
        if listed.is_empty() {
            return 64 - depth(own).min(64);
        }
        let at = listed.iter().position(|it| self.nodes.satisfies(id, it));
        u32::try_from(at.unwrap_or(listed.len())).unwrap_or(u32::MAX)
    }

    fn mismatches(&self, id: SpecId) -> u32 {
        let own = &self.nodes.system_of(id).target;
        let edges = self.nodes.known.edges(id).iter();
        let below = edges.filter(|it| it.deptypes.intersects(DepTypes::RUNTIME));
        let differ = below.filter(|it| {
            !self.nodes.known.get(it.child).is_external
                && self.nodes.system_of(it.child).target != *own
        });
        u32::try_from(differ.count()).unwrap_or(u32::MAX)
    }

    fn providers(&self, id: SpecId) -> u32 {
        let edges = self.nodes.known.edges(id).iter();
        let below = edges.filter(|it| it.deptypes.intersects(DepTypes::RUNTIME));
        below
            .flat_map(|edge| {
                let names = self.nodes.list(edge.virtuals).iter();
                names
                    .filter(|it| !LANGUAGES.contains(&it.as_str()))
                    .map(|it| self.provider(edge.child, it))
            })
            .fold(0, u32::saturating_add)
    }

    /// How far down a provider stands.
    fn provider(&self, id: SpecId, name: &str) -> u32 {
        let listed = self.rules.providers(name);
        let at = listed.iter().position(|it| self.nodes.satisfies(id, it));
        u32::try_from(at.unwrap_or(listed.len())).unwrap_or(u32::MAX)
    }
}

/// How many targets one is built upon.
fn depth(target: &Microarchitecture) -> u32 {
    let parents = target.parents().iter();
    let below = parents.map(|it| 1 + depth(&Microarchitecture::from_name(it)));
    below.max().unwrap_or(0)
}
