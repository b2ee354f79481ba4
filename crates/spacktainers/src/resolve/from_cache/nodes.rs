//! [`KnownSpecs`] as `satisfies` wants to see them: texts parsed, each once and only when somebody asks.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashSet};

use indexmap::IndexMap;
use serde_json::{Map, Value};
use spack_format::concrete::{DepTypes, VariantValue};
use spack_format::dag_hash::DagHash;
use spack_format::microarchitecture::Microarchitecture;
use spack_format::spec::{ConcreteEdge, ConcreteNodes, NodeId, Scratch, Spec, Virtuals};
use spack_format::version::Version;

use crate::index::{KnownSpecs, SpecId, Symbol};

/// What a symbol means, once it is known.
type Meanings<T> = Vec<OnceCell<Box<T>>>;

/// Variants by name.
pub(super) type Variants = IndexMap<String, VariantValue>;

/// Platform, operating system, target.
pub(super) struct System {
    pub(super) platform: String,
    pub(super) os: String,
    pub(super) target: Microarchitecture,
}

/// Specs with meanings.
pub(super) struct Nodes<'k> {
    pub(super) known: &'k KnownSpecs,
    pub(super) virtuals: Virtuals,
    /// Packages with binaries, by name.
    by_name: BTreeMap<Symbol, Vec<SpecId>>,
    /// Packages and the virtual ones that some edge has them stand for.
    provided: HashSet<(&'k str, &'k str)>,
    versions: Meanings<Option<Version>>,
    variants: Meanings<Variants>,
    systems: Meanings<System>,
    flags: Meanings<IndexMap<String, Vec<String>>>,
    lists: Meanings<Vec<String>>,
    compilers: Meanings<Option<Spec>>,
    scratch: RefCell<Scratch>,
}

fn meanings<T>(count: usize) -> Meanings<T> {
    (0..count).map(|_| OnceCell::new()).collect()
}

impl<'k> Nodes<'k> {
    pub(super) fn new(known: &'k KnownSpecs) -> Self {
        let mut virtuals = Virtuals::builtin();
        let mut provided = HashSet::new();
        let mut by_name: BTreeMap<Symbol, Vec<SpecId>> = BTreeMap::new();
        let mut seen: HashSet<(Symbol, Symbol)> = HashSet::new();
        for (id, spec) in known.iter() {
            if spec.in_build_cache && !spec.is_external {
                by_name.entry(spec.name).or_default().push(id);
            }
            for edge in known.edges(id) {
                let child = known.get(edge.child);
                if known.text(edge.virtuals).is_empty() || !seen.insert((child.name, edge.virtuals))
                {
                    continue;
                }
                for name in known.text(edge.virtuals).split(',') {
                    provided.insert((known.text(child.name), name));
                    virtuals.insert(name);
                }
            }
        }
        let count = known.symbols();
        Self {
            known,
            virtuals,
            by_name,
            provided,
            versions: meanings(count),
            variants: meanings(count),
            systems: meanings(count),
            flags: meanings(count),
            lists: meanings(count),
            compilers: meanings(count),
            scratch: RefCell::default(),
        }
    }

    /// Packages of this name with a binary.
    pub(super) fn named(&self, name: &str) -> &[SpecId] {
        let symbol = self.known.symbol(name);
        symbol.map_or(&[], |it| self.of_package(it))
    }

    pub(super) fn of_package(&self, name: Symbol) -> &[SpecId] {
        self.by_name.get(&name).map_or(&[], Vec::as_slice)
    }

    /// Packages with binaries, by name.
    pub(super) fn names(&self) -> impl Iterator<Item = &'k str> + '_ {
        self.by_name.keys().map(|it| self.known.text(*it))
    }

    /// All packages with binaries.
    pub(super) fn all(&self) -> impl Iterator<Item = SpecId> + '_ {
        self.by_name.values().flatten().copied()
    }

    pub(super) fn satisfies(&self, id: SpecId, wanted: &Spec) -> bool {
        let node = NodeId::new(id.number());
        wanted.is_satisfied_by(node, self, &self.virtuals, &mut self.scratch.borrow_mut())
    }

    pub(super) fn name_of(&self, id: SpecId) -> &'k str {
        self.known.text(self.known.get(id).name)
    }

    pub(super) fn version_text(&self, id: SpecId) -> &'k str {
        self.known.text(self.known.get(id).version)
    }

    pub(super) fn version_of(&self, symbol: Symbol) -> Option<&Version> {
        let text = self.known.text(symbol);
        let cell = self.versions.get(symbol.index())?;
        cell.get_or_init(|| Box::new(Version::parse(text).ok()))
            .as_ref()
            .as_ref()
    }

    pub(super) fn variants_of(&self, symbol: Symbol) -> &Variants {
        let text = self.known.text(symbol);
        self.variants[symbol.index()].get_or_init(|| Box::new(read_variants(text)))
    }

    pub(super) fn system_of(&self, id: SpecId) -> &System {
        let symbol = self.known.get(id).arch;
        let text = self.known.text(symbol);
        self.systems[symbol.index()].get_or_init(|| {
            let mut parts = text.splitn(3, ' ');
            let mut part = || parts.next().unwrap_or_default();
            let (platform, os) = (part().to_owned(), part().to_owned());
            let target = Microarchitecture::from_name(part());
            Box::new(System {
                platform,
                os,
                target,
            })
        })
    }

    /// Parts between commas.
    pub(super) fn list(&self, symbol: Symbol) -> &[String] {
        let text = self.known.text(symbol);
        self.lists[symbol.index()].get_or_init(|| {
            let parts = text.split(',').filter(|it| !it.is_empty());
            Box::new(parts.map(str::to_owned).collect())
        })
    }

    /// `zlib@1.3.1 /v2xkvre`
    pub(super) fn title(&self, id: SpecId) -> String {
        let hash = self.known.get(id).hash;
        format!(
            "{}@{} /{}",
            self.name_of(id),
            self.version_text(id),
            hash.short()
        )
    }

    /// The spec and what it links and runs, itself first.
    pub(super) fn closure(&self, id: SpecId, stamps: &mut Stamps) -> Box<[SpecId]> {
        stamps.begin(self.known.len());
        let mut found = vec![id];
        stamps.is_new(id);
        let mut at = 0;
        while let Some(next) = found.get(at).copied() {
            at += 1;
            for edge in self.known.edges(next) {
                if edge.deptypes.intersects(DepTypes::RUNTIME) && stamps.is_new(edge.child) {
                    found.push(edge.child);
                }
            }
        }
        found.into_boxed_slice()
    }
}

/// Which specs were seen on a walk, without clearing a table before each.
#[derive(Default)]
pub(super) struct Stamps {
    stamps: Vec<u32>,
    walk: u32,
}

impl Stamps {
    fn begin(&mut self, count: usize) {
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 || self.stamps.len() != count {
            self.stamps = vec![0; count];
            self.walk = 1;
        }
    }

    fn is_new(&mut self, id: SpecId) -> bool {
        let walk = self.walk;
        self.stamps
            .get_mut(id.index())
            .is_some_and(|it| std::mem::replace(it, walk) != walk)
    }
}

fn read_variants(text: &str) -> Variants {
    let object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let value = |value| match value {
        Value::Bool(value) => VariantValue::Bool(value),
        Value::Array(values) => VariantValue::Multi(values.into_iter().map(plain).collect()),
        other => VariantValue::Single(plain(other)),
    };
    object
        .into_iter()
        .map(|(name, it)| (name, value(it)))
        .collect()
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl ConcreteNodes for Nodes<'_> {
    fn count(&self) -> usize {
        self.known.len()
    }

    fn name(&self, node: NodeId) -> &str {
        self.name_of(spec(node))
    }

    fn hash(&self, node: NodeId) -> DagHash {
        self.known.get(spec(node)).hash
    }

    fn namespace(&self, node: NodeId) -> Option<&str> {
        let namespace = self.known.text(self.known.get(spec(node)).namespace);
        (!namespace.is_empty()).then_some(namespace)
    }

    fn version(&self, node: NodeId) -> Option<&Version> {
        self.version_of(self.known.get(spec(node)).version)
    }

    fn variant(&self, node: NodeId, name: &str) -> Option<&VariantValue> {
        self.variants_of(self.known.get(spec(node)).variants)
            .get(name)
    }

    fn patches(&self, node: NodeId) -> &[String] {
        self.list(self.known.get(spec(node)).patches)
    }

    fn system(&self, node: NodeId) -> (&str, &str) {
        let system = self.system_of(spec(node));
        (&system.platform, &system.os)
    }

    fn target(&self, node: NodeId) -> &Microarchitecture {
        &self.system_of(spec(node)).target
    }

    fn flags(&self, node: NodeId) -> &IndexMap<String, Vec<String>> {
        let symbol = self.known.get(spec(node)).flags;
        let text = self.known.text(symbol);
        self.flags[symbol.index()]
            .get_or_init(|| Box::new(serde_json::from_str(text).unwrap_or_default()))
    }

    fn edge(&self, node: NodeId, number: usize) -> Option<ConcreteEdge<'_>> {
        let edge = self.known.edges(spec(node)).get(number)?;
        Some(ConcreteEdge {
            child: NodeId::new(edge.child.number()),
            deptypes: edge.deptypes,
            virtuals: self.list(edge.virtuals),
        })
    }

    fn has_edges(&self, node: NodeId) -> bool {
        self.known.get(spec(node)).has_edges
    }

    fn compiler(&self, node: NodeId) -> Option<&Spec> {
        let symbol = self.known.get(spec(node)).compiler;
        let text = self.known.text(symbol);
        let parse = || Box::new(Spec::parse(text).ok().filter(|it| it.name.is_some()));
        self.compilers
            .get(symbol.index())?
            .get_or_init(parse)
            .as_ref()
            .as_ref()
    }

    fn provides(&self, package: &str, name: &str) -> bool {
        self.provided.contains(&(package, name))
    }
}

fn spec(node: NodeId) -> SpecId {
    SpecId::new(u32::try_from(node.index()).unwrap_or(u32::MAX))
}
