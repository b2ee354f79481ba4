//! Concrete specs, prepared for being asked what they satisfy.

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;

use super::matching::Buffers;
use super::{ConcreteEdge, ConcreteNodes, Spec, Virtuals};
use crate::concrete::{ConcreteSpec, ConcreteSpecs, Edge, VariantValue};
use crate::dag_hash::DagHash;
use crate::microarchitecture::Microarchitecture;
use crate::version::{Version, VersionList};

/// A node of a [`ConcreteIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The node of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number, as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Buffers for [`ConcreteIndex::satisfies`]: keep one per thread and pass it again.
#[derive(Debug)]
pub struct Scratch(pub(super) Buffers<NodeId>);

/// The nodes of a [`ConcreteSpecs`] with all that a comparison needs read once: versions, targets, edges as numbers.
///
/// Making one takes a pass over all nodes; a question then allocates nothing (but for the first ones, which fill the
/// [`Scratch`]).
#[derive(Debug)]
pub struct ConcreteIndex<'s> {
    nodes: Vec<Node<'s>>,
    by_hash: HashMap<DagHash, NodeId>,
    virtuals: Virtuals,
    /// Packages and the virtual ones that some edge has them stand for.
    provided: BTreeSet<(&'s str, &'s str)>,
}

#[derive(Debug)]
struct Node<'s> {
    spec: &'s ConcreteSpec,
    /// `None` if the version's text is none, so that it is in no range.
    version: Option<Version>,
    target: Microarchitecture,
    /// In Spack's order: by name, deptypes, virtuals.
    edges: Vec<(NodeId, &'s Edge)>,
    /// Whether edges tell of direct dependencies.
    has_edges: bool,
    compiler: Option<Spec>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self(Buffers::new())
    }
}

impl<'s> ConcreteIndex<'s> {
    /// Prepares all nodes. Virtuals are those of the repository `builtin` and all on edges.
    #[must_use]
    pub fn new(specs: &'s ConcreteSpecs) -> Self {
        let by_hash: HashMap<DagHash, NodeId> = (0..)
            .zip(specs.iter())
            .map(|(number, spec)| (spec.hash, NodeId(number)))
            .collect();
        let mut virtuals = Virtuals::builtin();
        let mut provided = BTreeSet::new();
        for edge in specs.iter().flat_map(|spec| &spec.edges) {
            for name in &edge.virtuals {
                if provided.insert((edge.name.as_str(), name.as_str())) {
                    virtuals.insert(name);
                }
            }
        }
        let nodes = specs.iter().map(|spec| Node::new(spec, &by_hash)).collect();
        Self {
            nodes,
            by_hash,
            virtuals,
            provided,
        }
    }

    /// The node of this hash.
    #[must_use]
    pub fn node(&self, hash: &DagHash) -> Option<NodeId> {
        self.by_hash.get(hash).copied()
    }

    /// All nodes, in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &'s ConcreteSpec)> + '_ {
        (0..)
            .map(NodeId)
            .zip(self.nodes.iter().map(|node| node.spec))
    }

    /// The names that count as virtual.
    #[must_use]
    pub const fn virtuals(&self) -> &Virtuals {
        &self.virtuals
    }

    /// Whether the node, with all below it, satisfies `wanted`. For concrete specs this is also whether they intersect.
    #[must_use]
    pub fn satisfies(&self, node: NodeId, wanted: &Spec, scratch: &mut Scratch) -> bool {
        node.index() < self.nodes.len()
            && wanted.is_satisfied_by(node, self, &self.virtuals, scratch)
    }

    /// The node of a number, which only this value gives out.
    fn get(&self, node: NodeId) -> &Node<'s> {
        &self.nodes[node.index()]
    }
}

impl<'s> Node<'s> {
    fn new(spec: &'s ConcreteSpec, by_hash: &HashMap<DagHash, NodeId>) -> Self {
        let mut edges: Vec<(NodeId, &Edge)> = spec
            .edges
            .iter()
            .filter_map(|edge| Some((*by_hash.get(&edge.hash)?, edge)))
            .collect();
        edges.sort_by(|(_, a), (_, b)| {
            (&a.name, a.deptypes, &a.virtuals).cmp(&(&b.name, b.deptypes, &b.virtuals))
        });
        let original = match &spec.annotations {
            Some(annotations) => annotations.original_specfile_version,
            None => spec.format.number(),
        };
        let is_bare_external = spec.is_external() && edges.is_empty();
        Self {
            spec,
            version: Version::parse(&spec.version).ok(),
            target: Microarchitecture::from_name(&spec.arch.target),
            has_edges: original >= 5 && !is_bare_external,
            compiler: recorded_compiler(spec),
            edges,
        }
    }
}

/// The compiler that is an attribute and not a node, as the abstract spec that Spack makes of it.
fn recorded_compiler(spec: &ConcreteSpec) -> Option<Spec> {
    if let Some(annotations) = &spec.annotations {
        return Spec::parse(annotations.compiler.as_ref()?).ok();
    }
    let compiler = spec.compiler.as_ref()?;
    Some(Spec {
        name: Some(compiler.name.clone()),
        versions: VersionList::exactly(Version::parse(&compiler.version).ok()?),
        ..Spec::default()
    })
}

impl ConcreteNodes for ConcreteIndex<'_> {
    fn count(&self) -> usize {
        self.nodes.len()
    }

    fn name(&self, node: NodeId) -> &str {
        &self.get(node).spec.name
    }

    fn hash(&self, node: NodeId) -> DagHash {
        self.get(node).spec.hash
    }

    fn namespace(&self, node: NodeId) -> Option<&str> {
        self.get(node).spec.namespace.as_deref()
    }

    fn version(&self, node: NodeId) -> Option<&Version> {
        self.get(node).version.as_ref()
    }

    fn variant(&self, node: NodeId, name: &str) -> Option<&VariantValue> {
        self.get(node).spec.variants.get(name)
    }

    fn patches(&self, node: NodeId) -> &[String] {
        &self.get(node).spec.patches
    }

    fn system(&self, node: NodeId) -> (&str, &str) {
        let arch = &self.get(node).spec.arch;
        (&arch.platform, &arch.os)
    }

    fn target(&self, node: NodeId) -> &Microarchitecture {
        &self.get(node).target
    }

    fn flags(&self, node: NodeId) -> &IndexMap<String, Vec<String>> {
        &self.get(node).spec.flags
    }

    fn edge(&self, node: NodeId, number: usize) -> Option<ConcreteEdge<'_>> {
        let (child, edge) = self.get(node).edges.get(number)?;
        Some(ConcreteEdge {
            child: *child,
            deptypes: edge.deptypes,
            virtuals: &edge.virtuals,
        })
    }

    fn has_edges(&self, node: NodeId) -> bool {
        self.get(node).has_edges
    }

    fn compiler(&self, node: NodeId) -> Option<&Spec> {
        self.get(node).compiler.as_ref()
    }

    fn provides(&self, package: &str, name: &str) -> bool {
        self.provided.contains(&(package, name))
    }
}
