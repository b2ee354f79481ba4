//! Any set of concrete specs as the left side of a comparison.
//!
//! What `satisfies` asks of a node is little. Whoever holds very many specs in a form of their own, such as the index of a
//! build cache, tells it by [`ConcreteNodes`] and gets the same answers as for a [`ConcreteSpecs`](crate::concrete::ConcreteSpecs).

use indexmap::IndexMap;

use super::matching::{Buffers, DirectDependencies, Graph, GraphEdge, Question};
use super::{NodeId, Scratch, Spec, Variant, Virtuals, flag};
use crate::concrete::{DepTypes, VariantValue};
use crate::dag_hash::DagHash;
use crate::microarchitecture::Microarchitecture;
use crate::version::Version;

/// Concrete specs by number.
pub trait ConcreteNodes {
    /// How many there are: numbers are below.
    fn count(&self) -> usize;

    /// The package's name.
    fn name(&self, node: NodeId) -> &str;

    /// The DAG hash.
    fn hash(&self, node: NodeId) -> DagHash;

    /// The namespace of the recipe.
    fn namespace(&self, node: NodeId) -> Option<&str>;

    /// The version; `None` if its text is none, so that it is in no range.
    fn version(&self, node: NodeId) -> Option<&Version>;

    /// The value of a variant.
    fn variant(&self, node: NodeId, name: &str) -> Option<&VariantValue>;

    /// Checksums of patches in the order of application.
    fn patches(&self, node: NodeId) -> &[String];

    /// Platform and operating system.
    fn system(&self, node: NodeId) -> (&str, &str);

    /// The target.
    fn target(&self, node: NodeId) -> &Microarchitecture;

    /// Compiler flags by kind.
    fn flags(&self, node: NodeId) -> &IndexMap<String, Vec<String>>;

    /// The edge of this number; in the order of names, deptypes, virtuals.
    fn edge(&self, node: NodeId, number: usize) -> Option<ConcreteEdge<'_>>;

    /// Whether edges tell of direct dependencies. They do not in nodes that were first written before Spack 1.0, nor in
    /// externals without edges.
    fn has_edges(&self, node: NodeId) -> bool;

    /// The compiler of a node whose edges do not tell.
    fn compiler(&self, node: NodeId) -> Option<&Spec>;

    /// Whether some edge has the package stand for a virtual one.
    fn provides(&self, package: &str, name: &str) -> bool;
}

/// An edge of [`ConcreteNodes`].
#[derive(Debug, Clone, Copy)]
pub struct ConcreteEdge<'n> {
    /// The dependency.
    pub child: NodeId,
    /// What it is needed for.
    pub deptypes: DepTypes,
    /// The virtual packages that it stands for.
    pub virtuals: &'n [String],
}

impl Spec {
    /// Whether the concrete node, with all below it, satisfies this spec.
    #[must_use]
    pub fn is_satisfied_by<N: ConcreteNodes>(
        &self,
        node: NodeId,
        nodes: &N,
        virtuals: &Virtuals,
        scratch: &mut Scratch,
    ) -> bool {
        let graph = Nodes(nodes);
        let graph = &graph;
        Question { graph, virtuals }.satisfies(node, self, &mut scratch.0)
    }
}

/// [`ConcreteNodes`] as a graph.
pub(super) struct Nodes<'n, N>(pub(super) &'n N);

impl<N: ConcreteNodes> Graph for Nodes<'_, N> {
    type Node = NodeId;

    fn name(&self, node: NodeId) -> Option<&str> {
        Some(self.0.name(node))
    }

    fn edge(&self, node: NodeId, number: usize) -> Option<GraphEdge<'_, NodeId>> {
        let edge = self.0.edge(node, number)?;
        Some(GraphEdge {
            child: edge.child,
            deptypes: edge.deptypes,
            virtuals: edge.virtuals,
            when: None,
        })
    }

    fn direct_dependencies(&self, node: NodeId) -> DirectDependencies<'_> {
        if self.0.has_edges(node) {
            DirectDependencies::Edges
        } else {
            DirectDependencies::Compiler(self.0.compiler(node))
        }
    }

    fn hash_begins_with(&self, node: NodeId, prefix: &str) -> bool {
        self.0.hash(node).as_str().starts_with(prefix)
    }

    fn provides(&self, node: NodeId, name: &str) -> bool {
        self.0.provides(self.0.name(node), name)
    }

    fn attributes_satisfy(
        &self,
        node: NodeId,
        wanted: &Spec,
        buffers: &mut Buffers<NodeId>,
    ) -> bool {
        let namespaces = self.0.namespace(node).zip(wanted.namespace.as_deref());
        let (platform, os) = self.0.system(node);
        namespaces.is_none_or(|(own, wanted)| own == wanted)
            && (wanted.versions.is_any()
                || self
                    .0
                    .version(node)
                    .is_some_and(|it| wanted.versions.contains(it)))
            && wanted
                .variants
                .iter()
                .filter(|(_, it)| !it.propagate)
                .all(|(name, it)| self.variant_satisfies(node, name, it) == Some(true))
            && self.passed_on_satisfy(node, wanted, buffers)
            && wanted
                .architecture
                .admits(platform, os, self.0.target(node))
            && flag::admits(&wanted.flags, self.0.flags(node))
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
        if buffers.walk == 0 || buffers.seen.len() != self.0.count() {
            buffers.seen.clear();
            buffers.seen.resize(self.0.count(), 0);
            buffers.walk = 1;
        }
        let mut nodes = buffers.take();
        nodes.push(node);
        if let Some(seen) = buffers.seen.get_mut(node.index()) {
            *seen = buffers.walk;
        }
        let mut at = 0;
        while let Some(next) = nodes.get(at).copied() {
            at += 1;
            for edge in (0..).map_while(|number| self.0.edge(next, number)) {
                let wanted = edge.deptypes.is_empty() || edge.deptypes.intersects(deptypes);
                let seen = buffers.seen.get_mut(edge.child.index());
                let Some(seen) = seen.filter(|_| wanted) else {
                    continue;
                };
                if *seen != buffers.walk {
                    *seen = buffers.walk;
                    nodes.push(edge.child);
                }
            }
        }
        nodes
    }
}

impl<N: ConcreteNodes> Nodes<'_, N> {
    fn variant_satisfies(&self, node: NodeId, name: &str, wanted: &Variant) -> Option<bool> {
        let patches = self.0.patches(node);
        if name == "patches" && !patches.is_empty() {
            return Some(wanted.value.admits_patches(patches));
        }
        Some(match self.0.variant(node, name)? {
            VariantValue::Multi(values) if name == "patches" => wanted.value.admits_patches(values),
            recorded => wanted.value.admits(recorded),
        })
    }

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
        let agree = nodes.iter().all(|node| {
            let mut passed_on = wanted.variants.iter().filter(|(_, it)| it.propagate);
            passed_on.all(|(name, it)| self.variant_satisfies(*node, name, it) != Some(false))
        });
        buffers.give_back(nodes);
        agree
    }
}
