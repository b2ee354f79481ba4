//! Whether a graph of specs satisfies an abstract spec. [Spack: `Spec._satisfies` in `spec.py`]
//!
//! The left side is a [`Graph`]: concrete specs, or an abstract one. The right side is walked once; nothing is allocated
//! that the [`Scratch`] does not keep.
//!
//! Odd but so in Spack 1.1.0, and kept:
//! - The package that `a %b` hangs on is looked for by name in the whole left side, direct build dependencies first, so
//!   for a compiler that was built with an older one of the same name it is the older one.
//! - `^mpi` on the right wants an edge that carries the virtual `mpi`; a left side that only says `^mpi` has none.
//! - A provider that is found for a virtual name is not asked for versions or variants.

use super::{Dependency, Spec, Virtuals};
use crate::concrete::DepTypes;

/// Buffers that are used again from one question to the next.
#[derive(Debug)]
pub(super) struct Buffers<N> {
    /// When a node was last seen, by its number.
    pub(super) seen: Vec<u32>,
    /// The walk that is going on.
    pub(super) walk: u32,
    /// Lists to use again.
    spare: Vec<Vec<N>>,
}

impl<N> Buffers<N> {
    pub(super) const fn new() -> Self {
        Self {
            seen: Vec::new(),
            walk: 0,
            spare: Vec::new(),
        }
    }

    pub(super) fn take(&mut self) -> Vec<N> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, mut list: Vec<N>) {
        list.clear();
        self.spare.push(list);
    }
}

/// An edge of the left side.
pub(super) struct GraphEdge<'g, N> {
    pub(super) child: N,
    pub(super) deptypes: DepTypes,
    pub(super) virtuals: &'g [String],
    /// Its condition; `None` for none.
    pub(super) when: Option<&'g Spec>,
}

/// What is known of the direct dependencies of a node.
pub(super) enum DirectDependencies<'g> {
    /// All of them, as edges.
    Edges,
    /// Only the compiler, if even that: nodes of old formats, and externals.
    Compiler(Option<&'g Spec>),
}

/// The left side.
pub(super) trait Graph {
    type Node: Copy;

    fn name(&self, node: Self::Node) -> Option<&str>;

    /// The edge of this number.
    fn edge(&self, node: Self::Node, number: usize) -> Option<GraphEdge<'_, Self::Node>>;

    fn direct_dependencies(&self, node: Self::Node) -> DirectDependencies<'_>;

    /// Whether the hash begins with these characters.
    fn hash_begins_with(&self, node: Self::Node, prefix: &str) -> bool;

    /// Whether the package is known to stand for a virtual one.
    fn provides(&self, node: Self::Node, name: &str) -> bool;

    /// Whether all but name, hash and dependencies satisfies `wanted`.
    fn attributes_satisfy(
        &self,
        node: Self::Node,
        wanted: &Spec,
        buffers: &mut Buffers<Self::Node>,
    ) -> bool;

    /// Whether the condition of an edge can apply to the node.
    fn may_meet(
        &self,
        node: Self::Node,
        condition: &Spec,
        virtuals: &Virtuals,
        buffers: &mut Buffers<Self::Node>,
    ) -> bool;

    /// The node and what can be reached from it over edges of these types, breadth first.
    fn reach(
        &self,
        node: Self::Node,
        deptypes: DepTypes,
        buffers: &mut Buffers<Self::Node>,
    ) -> Vec<Self::Node>;
}

/// Edges of a node that have one of the types, or none at all (those of abstract specs).
pub(super) fn edges_of<G: Graph>(
    graph: &G,
    node: G::Node,
    deptypes: DepTypes,
) -> impl Iterator<Item = GraphEdge<'_, G::Node>> {
    (0..)
        .map_while(move |number| graph.edge(node, number))
        .filter(move |edge| edge.deptypes.is_empty() || edge.deptypes.intersects(deptypes))
}

/// A question: what is compared with what, and with which knowledge.
pub(super) struct Question<'q, G: Graph> {
    pub(super) graph: &'q G,
    pub(super) virtuals: &'q Virtuals,
}

impl<G: Graph> Question<'_, G> {
    /// Whether the node, with all below it, satisfies `wanted`.
    pub(super) fn satisfies(
        &self,
        node: G::Node,
        wanted: &Spec,
        buffers: &mut Buffers<G::Node>,
    ) -> bool {
        match self.node_satisfies(node, wanted, &[], buffers) {
            NodeVerdict::No => false,
            NodeVerdict::Provider => true,
            NodeVerdict::Yes => self.dependencies_satisfy(node, wanted, buffers),
        }
    }

    /// Whether the node alone satisfies `wanted`; `carried` are the virtuals of the edge that led to it.
    fn node_satisfies(
        &self,
        node: G::Node,
        wanted: &Spec,
        carried: &[String],
        buffers: &mut Buffers<G::Node>,
    ) -> NodeVerdict {
        if let Some(prefix) = &wanted.hash
            && !self.graph.hash_begins_with(node, prefix)
        {
            return NodeVerdict::No;
        }
        if let (Some(own), Some(name)) = (self.graph.name(node), &wanted.name)
            && own != name
        {
            let stands_for_it = !self.virtuals.contains(own)
                && self.virtuals.contains(name)
                && (carried.contains(name) || self.graph.provides(node, name));
            return if stands_for_it {
                NodeVerdict::Provider
            } else {
                NodeVerdict::No
            };
        }
        if self.graph.attributes_satisfy(node, wanted, buffers) {
            NodeVerdict::Yes
        } else {
            NodeVerdict::No
        }
    }

    /// Whether what `parent` asks of its dependencies, and they of theirs, is there.
    fn dependencies_satisfy(
        &self,
        root: G::Node,
        parent: &Spec,
        buffers: &mut Buffers<G::Node>,
    ) -> bool {
        parent.dependencies.iter().all(|edge| {
            self.edge_satisfied(root, parent, edge, buffers)
                && self.dependencies_satisfy(root, &edge.spec, buffers)
        })
    }

    fn edge_satisfied(
        &self,
        root: G::Node,
        parent: &Spec,
        wanted: &Dependency,
        buffers: &mut Buffers<G::Node>,
    ) -> bool {
        if let Some(when) = &wanted.when {
            let node = match &parent.name {
                Some(name) if self.graph.name(root) != Some(name) => self.find(root, name, buffers),
                _ => Some(root),
            };
            let applies = |node| self.graph.may_meet(node, when, self.virtuals, buffers);
            if node.map(applies) == Some(false) {
                return true;
            }
        }
        if wanted.direct {
            let node = match &parent.name {
                Some(name) if parent.name != wanted.spec.name => {
                    match self.find(root, name, buffers) {
                        Some(node) => node,
                        None => return false,
                    }
                }
                _ => root,
            };
            self.has_direct(node, wanted, buffers)
        } else {
            self.has_somewhere(root, wanted, buffers)
        }
    }

    /// `%x`: some edge of this very node.
    fn has_direct(
        &self,
        node: G::Node,
        wanted: &Dependency,
        buffers: &mut Buffers<G::Node>,
    ) -> bool {
        if let DirectDependencies::Compiler(compiler) = self.graph.direct_dependencies(node) {
            return compiler.is_some_and(|it| it.satisfies(&wanted.spec, self.virtuals));
        }
        let wanted_virtual = self.wanted_virtual(wanted);
        let name = wanted.spec.name.as_deref();
        let by_virtual = wanted_virtual.is_some() || !wanted.virtuals.is_empty();
        edges_of(self.graph, node, DepTypes::ALL).any(|edge| {
            let name_fits = wanted_virtual.is_some()
                || name.is_none_or(|name| self.graph.name(edge.child) == Some(name));
            let is_carried = |it: &str| edge.virtuals.iter().any(|carried| carried == it);
            let virtual_fits = !by_virtual
                || wanted.virtuals.iter().any(|it| is_carried(it))
                || wanted_virtual.is_some_and(is_carried);
            name_fits
                && virtual_fits
                && edge.deptypes.contains(wanted.deptypes)
                && self.condition_is_within(wanted, edge.when)
                && match self.node_satisfies(edge.child, &wanted.spec, edge.virtuals, buffers) {
                    NodeVerdict::No => false,
                    NodeVerdict::Provider => true,
                    NodeVerdict::Yes => {
                        self.dependencies_satisfy(edge.child, &wanted.spec, buffers)
                    }
                }
        })
    }

    /// `^x`: some edge of the link and run closure, or one to build with of the root itself.
    fn has_somewhere(
        &self,
        root: G::Node,
        wanted: &Dependency,
        buffers: &mut Buffers<G::Node>,
    ) -> bool {
        let nodes = self.graph.reach(root, DepTypes::RUNTIME, buffers);
        let candidates = || {
            let below = nodes
                .iter()
                .flat_map(|node| edges_of(self.graph, *node, DepTypes::RUNTIME));
            let build = edges_of(self.graph, root, DepTypes::BUILD);
            below.chain(build).filter(|edge| {
                let Some(name) = wanted.spec.name.as_deref() else {
                    return true;
                };
                let fits = self.graph.name(edge.child) == Some(name)
                    || edge.virtuals.iter().any(|it| it == name);
                fits && self.condition_is_within(wanted, edge.when)
            })
        };
        let is_carried =
            |name: &str| candidates().any(|edge| edge.virtuals.iter().any(|it| it == name));
        let found = wanted.virtuals.iter().all(|it| is_carried(it))
            && self.wanted_virtual(wanted).is_none_or(is_carried)
            && candidates().any(|edge| {
                !matches!(
                    self.node_satisfies(edge.child, &wanted.spec, edge.virtuals, buffers),
                    NodeVerdict::No
                )
            });
        buffers.give_back(nodes);
        found
    }

    /// The name of the dependency, if it is that of a virtual package.
    fn wanted_virtual<'w>(&self, wanted: &'w Dependency) -> Option<&'w str> {
        let name = wanted.spec.name.as_deref();
        name.filter(|name| self.virtuals.contains(name))
    }

    /// Whether an edge of the left side holds at least wherever the wanted one does.
    fn condition_is_within(&self, wanted: &Dependency, own: Option<&Spec>) -> bool {
        let Some(own) = own else {
            return true;
        };
        let always = Spec::default();
        let wanted = wanted.when.as_deref().unwrap_or(&always);
        wanted.satisfies(own, self.virtuals)
    }

    /// The node of this name, or that stands for it: among direct dependencies to build or test with, then the root,
    /// then what is linked or run. [Spack: `Spec.__getitem__`]
    pub(super) fn find(
        &self,
        root: G::Node,
        name: &str,
        buffers: &mut Buffers<G::Node>,
    ) -> Option<G::Node> {
        let fits = |edge: &GraphEdge<'_, G::Node>| {
            self.graph.name(edge.child) == Some(name) || edge.virtuals.iter().any(|it| it == name)
        };
        let build = DepTypes::BUILD | DepTypes::TEST;
        if let Some(edge) = edges_of(self.graph, root, build).find(fits) {
            return Some(edge.child);
        }
        if self.graph.name(root) == Some(name) {
            return Some(root);
        }
        let nodes = self.graph.reach(root, DepTypes::RUNTIME, buffers);
        let found = nodes
            .iter()
            .flat_map(|node| edges_of(self.graph, *node, DepTypes::RUNTIME))
            .find(fits)
            .map(|edge| edge.child);
        buffers.give_back(nodes);
        found
    }
}

enum NodeVerdict {
    No,
    /// Another package, that stands for the wanted one.
    Provider,
    /// The attributes will do.
    Yes,
}
