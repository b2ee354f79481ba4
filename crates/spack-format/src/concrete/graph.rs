//! Sets of concrete specs, closures and orders.
//!
//! Source of the orders: `lib/spack/spack/traverse.py` in Spack.

use std::collections::{HashMap, HashSet, VecDeque};

use indexmap::IndexMap;

use super::{ConcreteSpec, DepTypes, Edge};
use crate::dag_hash::DagHash;

/// Concrete specs by hash, in the order of the file that they come from.
///
/// Every edge and every `build_spec` leads to a member, and no edges form a cycle: the walks
/// below therefore end and miss nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConcreteSpecs {
    nodes: IndexMap<DagHash, ConcreteSpec>,
}

/// Why some nodes are no complete, acyclic graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An edge leads to a node that is not there.
    #[error(
        "`{from}`/{from_hash} depends on `{to}`/{to_hash}, which is not among the concrete specs"
    )]
    Dangling {
        /// The dependent's name.
        from: String,
        /// The dependent's hash.
        from_hash: DagHash,
        /// The missing dependency's name.
        to: String,
        /// The missing dependency's hash.
        to_hash: DagHash,
    },
    /// A node depends on itself by way of others.
    #[error("`{name}`/{hash} depends on itself")]
    Cycle {
        /// A node on the cycle.
        name: String,
        /// Its hash.
        hash: DagHash,
    },
}

/// An edge on a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalkedEdge {
    /// The dependent; `None` for a root.
    pub(crate) parent: Option<DagHash>,
    /// The dependency.
    pub(crate) child: DagHash,
    /// The types of the edge; none for a root.
    pub(crate) deptypes: DepTypes,
}

/// What an image needs of a DAG.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeClosure<'a> {
    /// Packages to put in, dependencies first.
    pub packages: Vec<&'a ConcreteSpec>,
    /// Externals that they count on being there, dependencies first.
    pub externals: Vec<&'a ConcreteSpec>,
}

impl ConcreteSpecs {
    /// Takes nodes, each under its own hash.
    ///
    /// # Errors
    /// When an edge leads nowhere or in a circle.
    pub fn new(nodes: impl IntoIterator<Item = ConcreteSpec>) -> Result<Self, GraphError> {
        let mut map = IndexMap::new();
        for node in nodes {
            map.entry(node.hash).or_insert(node);
        }
        let specs = Self { nodes: map };
        specs.check_edges()?;
        specs.check_acyclic()?;
        Ok(specs)
    }

    /// The node of this hash.
    #[must_use]
    pub fn get(&self, hash: &DagHash) -> Option<&ConcreteSpec> {
        self.nodes.get(hash)
    }

    /// All nodes in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ConcreteSpec> {
        self.nodes.values()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes that can be reached from `roots` over edges of these types, roots included,
    /// dependencies before dependents; among equals, the order of roots and then of names
    /// decides. Roots that are not members are left out.
    #[must_use]
    pub fn closure(
        &self,
        roots: impl IntoIterator<Item = DagHash>,
        deptypes: DepTypes,
    ) -> Vec<&ConcreteSpec> {
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        // An explicit stack: depth is the input's choice.
        let mut stack: Vec<(&ConcreteSpec, std::vec::IntoIter<&Edge>)> = Vec::new();
        for root in roots {
            let Some(root) = self.get(&root) else {
                continue;
            };
            if seen.insert(root.hash) {
                stack.push((root, sorted_edges(root, deptypes).into_iter()));
            }
            while let Some((node, edges)) = stack.last_mut() {
                let Some(edge) = edges.next() else {
                    out.push(*node);
                    stack.pop();
                    continue;
                };
                if let Some(child) = self.get(&edge.hash)
                    && seen.insert(child.hash)
                {
                    stack.push((child, sorted_edges(child, deptypes).into_iter()));
                }
            }
        }
        out
    }

    /// The same nodes as [`closure`](Self::closure), dependents before dependencies, in the order
    /// in which Spack lists them for views and search paths: topological, and as breadth-first
    /// as that allows, roots in the order given.
    #[must_use]
    pub fn topological(
        &self,
        roots: impl IntoIterator<Item = DagHash>,
        deptypes: DepTypes,
    ) -> Vec<&ConcreteSpec> {
        let mut out = Vec::new();
        let mut in_edges: HashMap<DagHash, usize> = HashMap::new();
        let edges = self.topological_edges(roots, deptypes);
        for edge in &edges {
            *in_edges.entry(edge.child).or_default() += 1;
        }
        for edge in &edges {
            let Some(count) = in_edges.get_mut(&edge.child) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                out.extend(self.get(&edge.child));
            }
        }
        out
    }

    /// Every edge on the way of [`topological`](Self::topological), roots first: all edges into a
    /// node come before those that lead out of it.
    pub(crate) fn topological_edges(
        &self,
        roots: impl IntoIterator<Item = DagHash>,
        deptypes: DepTypes,
    ) -> Vec<WalkedEdge> {
        let root = |child| WalkedEdge {
            parent: None,
            child,
            deptypes: DepTypes::NONE,
        };
        let roots: Vec<WalkedEdge> = roots
            .into_iter()
            .filter(|hash| self.get(hash).is_some())
            .map(root)
            .collect();
        // First all reachable edges, counted at their lower end...
        let mut in_edges: HashMap<DagHash, usize> = HashMap::new();
        let mut below: HashMap<DagHash, Vec<WalkedEdge>> = HashMap::new();
        let mut queue: VecDeque<DagHash> = roots.iter().map(|edge| edge.child).collect();
        while let Some(hash) = queue.pop_front() {
            *in_edges.entry(hash).or_default() += 1;
            if below.contains_key(&hash) {
                continue;
            }
            let Some(node) = self.get(&hash) else {
                continue;
            };
            let edges: Vec<WalkedEdge> = sorted_edges(node, deptypes)
                .into_iter()
                .map(|edge| WalkedEdge {
                    parent: Some(hash),
                    child: edge.hash,
                    deptypes: edge.deptypes,
                })
                .collect();
            queue.extend(edges.iter().map(|edge| edge.child));
            below.insert(hash, edges);
        }
        // ...then a node's own edges follow when the last edge into it has been seen.
        let mut out = Vec::new();
        let mut queue = VecDeque::from([roots]);
        while let Some(edges) = queue.pop_front() {
            for edge in edges {
                if let Some(count) = in_edges.get_mut(&edge.child) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        queue.extend(below.remove(&edge.child));
                    }
                }
                out.push(edge);
            }
        }
        out
    }

    /// What has to be in an image for `roots` to run: their link and run closure, with externals
    /// apart.
    #[must_use]
    pub fn runtime_closure(&self, roots: impl IntoIterator<Item = DagHash>) -> RuntimeClosure<'_> {
        let (externals, packages) = self
            .closure(roots, DepTypes::RUNTIME)
            .into_iter()
            .partition(|node| node.is_external());
        RuntimeClosure {
            packages,
            externals,
        }
    }

    fn check_edges(&self) -> Result<(), GraphError> {
        for node in self.nodes.values() {
            let edges = node.edges.iter().map(|edge| (&edge.name, edge.hash));
            let build_spec = node.build_spec.iter().map(|it| (&it.name, it.hash));
            for (to, to_hash) in edges.chain(build_spec) {
                if !self.nodes.contains_key(&to_hash) {
                    return Err(GraphError::Dangling {
                        from: node.name.clone(),
                        from_hash: node.hash,
                        to: to.clone(),
                        to_hash,
                    });
                }
            }
        }
        Ok(())
    }

    fn check_acyclic(&self) -> Result<(), GraphError> {
        // Taking away nodes without dependents, again and again, leaves exactly the cycles and
        // what hangs below them.
        let mut dependents: IndexMap<DagHash, usize> =
            self.nodes.keys().map(|hash| (*hash, 0)).collect();
        for edge in self.nodes.values().flat_map(|node| &node.edges) {
            if let Some(count) = dependents.get_mut(&edge.hash) {
                *count += 1;
            }
        }
        let mut free: Vec<DagHash> = dependents
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(hash, _)| *hash)
            .collect();
        let mut removed = 0;
        while let Some(hash) = free.pop() {
            removed += 1;
            let Some(node) = self.nodes.get(&hash) else {
                continue;
            };
            for edge in &node.edges {
                if let Some(count) = dependents.get_mut(&edge.hash) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(edge.hash);
                    }
                }
            }
        }
        if removed == self.nodes.len() {
            return Ok(());
        }
        // From any node that is left, a dependent that is left can be found; going up long enough
        // ends on the cycle itself.
        let left = |hash: &DagHash| dependents.get(hash).is_some_and(|count| *count > 0);
        let mut above: HashMap<DagHash, DagHash> = HashMap::new();
        for node in self.nodes.values().filter(|node| left(&node.hash)) {
            for edge in node.edges.iter().filter(|edge| left(&edge.hash)) {
                above.insert(edge.hash, node.hash);
            }
        }
        let mut at = above.keys().min().copied();
        for _ in 0..self.nodes.len() {
            at = at.and_then(|hash| above.get(&hash).copied()).or(at);
        }
        let node = at.and_then(|hash| self.nodes.get(&hash));
        match node {
            Some(node) => Err(GraphError::Cycle {
                name: node.name.clone(),
                hash: node.hash,
            }),
            None => Ok(()),
        }
    }
}

/// Edges of these types in Spack's order: by name, then by deptype number, then by virtuals.
fn sorted_edges(node: &ConcreteSpec, deptypes: DepTypes) -> Vec<&Edge> {
    let mut edges: Vec<&Edge> = node.edges_of(deptypes).collect();
    edges.sort_by(|a, b| {
        (&a.name, a.deptypes, &a.virtuals).cmp(&(&b.name, b.deptypes, &b.virtuals))
    });
    edges
}
