//! Concrete specs, prepared for being asked what they satisfy.

use std::collections::{BTreeSet, HashMap};

use super::matching::{Buffers, DirectDependencies, Graph, GraphEdge, Question};
use super::{Spec, Virtuals, flag};
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes, Edge};
use crate::dag_hash::DagHash;
use crate::microarchitecture::Microarchitecture;
use crate::version::{Version, VersionList};

/// A node of a [`ConcreteIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// Buffers for [`ConcreteIndex::satisfies`]: keep one per thread and pass it again.
#[derive(Debug)]
pub struct Scratch(Buffers<NodeId>);

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
        let question = Question {
            graph: self,
            virtuals: &self.virtuals,
        };
        question.satisfies(node, wanted, &mut scratch.0)
    }

    fn get(&self, node: NodeId) -> Option<&Node<'s>> {
        self.nodes.get(node.0 as usize)
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

    fn variant_satisfies(&self, name: &str, wanted: &super::Variant) -> Option<bool> {
        if name == "patches" && !self.spec.patches.is_empty() {
            return Some(wanted.value.admits_patches(&self.spec.patches));
        }
        let recorded = self.spec.variants.get(name)?;
        Some(match recorded {
            crate::concrete::VariantValue::Multi(values) if name == "patches" => {
                wanted.value.admits_patches(values)
            }
            recorded => wanted.value.admits(recorded),
        })
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

impl Graph for ConcreteIndex<'_> {
    type Node = NodeId;

    fn name(&self, node: NodeId) -> Option<&str> {
        self.get(node).map(|node| node.spec.name.as_str())
    }

    fn edge(&self, node: NodeId, number: usize) -> Option<GraphEdge<'_, NodeId>> {
        let (child, edge) = self.get(node)?.edges.get(number)?;
        Some(GraphEdge {
            child: *child,
            deptypes: edge.deptypes,
            virtuals: &edge.virtuals,
            when: None,
        })
    }

    fn direct_dependencies(&self, node: NodeId) -> DirectDependencies<'_> {
        match self.get(node) {
            Some(node) if !node.has_edges => DirectDependencies::Compiler(node.compiler.as_ref()),
            _ => DirectDependencies::Edges,
        }
    }

    fn hash_begins_with(&self, node: NodeId, prefix: &str) -> bool {
        self.get(node)
            .is_some_and(|node| node.spec.hash.as_str().starts_with(prefix))
    }

    fn provides(&self, node: NodeId, name: &str) -> bool {
        self.get(node)
            .is_some_and(|node| self.provided.contains(&(node.spec.name.as_str(), name)))
    }

    fn attributes_satisfy(&self, id: NodeId, wanted: &Spec, buffers: &mut Buffers<NodeId>) -> bool {
        let Some(node) = self.get(id) else {
            return false;
        };
        let spec = node.spec;
        let namespaces = spec.namespace.as_ref().zip(wanted.namespace.as_ref());
        namespaces.is_none_or(|(own, wanted)| own == wanted)
            && (wanted.versions.is_any()
                || node
                    .version
                    .as_ref()
                    .is_some_and(|it| wanted.versions.contains(it)))
            && wanted
                .variants
                .iter()
                .filter(|(_, it)| !it.propagate)
                .all(|(name, it)| node.variant_satisfies(name, it) == Some(true))
            && self.passed_on_satisfy(id, wanted, buffers)
            && wanted
                .architecture
                .admits(&spec.arch.platform, &spec.arch.os, &node.target)
            && flag::admits(&wanted.flags, &spec.flags)
    }

    fn may_meet(
        &self,
        node: NodeId,
        condition: &Spec,
        virtuals: &Virtuals,
        buffers: &mut Buffers<NodeId>,
    ) -> bool {
        let question = Question {
            graph: self,
            virtuals,
        };
        question.satisfies(node, condition, buffers)
    }

    fn reach(
        &self,
        node: NodeId,
        deptypes: DepTypes,
        buffers: &mut Buffers<NodeId>,
    ) -> Vec<NodeId> {
        buffers.walk = buffers.walk.wrapping_add(1);
        if buffers.walk == 0 || buffers.seen.len() != self.nodes.len() {
            buffers.seen.clear();
            buffers.seen.resize(self.nodes.len(), 0);
            buffers.walk = 1;
        }
        let mut nodes = buffers.take();
        nodes.push(node);
        if let Some(seen) = buffers.seen.get_mut(node.0 as usize) {
            *seen = buffers.walk;
        }
        let mut at = 0;
        while let Some(next) = nodes.get(at).copied() {
            at += 1;
            for (child, edge) in self.get(next).map_or(&[][..], |node| &node.edges) {
                let wanted = edge.deptypes.is_empty() || edge.deptypes.intersects(deptypes);
                let Some(seen) = buffers.seen.get_mut(child.0 as usize).filter(|_| wanted) else {
                    continue;
                };
                if *seen != buffers.walk {
                    *seen = buffers.walk;
                    nodes.push(*child);
                }
            }
        }
        nodes
    }
}

impl ConcreteIndex<'_> {
    /// Whether every node of the closure that has a variant which is to be passed on agrees with it.
    fn passed_on_satisfy(
        &self,
        node: NodeId,
        wanted: &Spec,
        buffers: &mut Buffers<NodeId>,
    ) -> bool {
        if !wanted.variants.values().any(|it| it.propagate) {
            return true;
        }
        let nodes = self.reach(node, DepTypes::ALL, buffers);
        let agrees = |node: &Node<'_>| {
            let passed_on = wanted.variants.iter().filter(|(_, it)| it.propagate);
            passed_on
                .into_iter()
                .all(|(name, it)| node.variant_satisfies(name, it) != Some(false))
        };
        let agree = nodes.iter().filter_map(|node| self.get(*node)).all(agrees);
        buffers.give_back(nodes);
        agree
    }
}
