//! In which way each package of a closure is used at run time.
//!
//! Source: `effective_deptypes` in `lib/spack/spack/build_environment.py` of Spack 1.1.

use indexmap::IndexMap;

use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use crate::dag_hash::DagHash;

/// A package that is used at run time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used<'a> {
    pub(super) spec: &'a ConcreteSpec,
    /// Whether its programs are called: it is a root, or somebody's run dependency.
    pub(super) is_runnable: bool,
}

/// All packages that `roots` use at run time, in the order in which they have their say: externals
/// first, then leaves to roots, so that dependents override dependencies.
pub(super) fn in_order_of_effect<'a>(specs: &'a ConcreteSpecs, roots: &[DagHash]) -> Vec<Used<'a>> {
    // Nodes are final in the order of their first outgoing edge, leaves after all others.
    let mut modes: IndexMap<DagHash, Used<'a>> = IndexMap::new();
    let mut inner: IndexMap<DagHash, ()> = IndexMap::new();
    for edge in specs.topological_edges(roots.iter().copied(), DepTypes::RUNTIME) {
        let Some(spec) = specs.get(&edge.child) else {
            continue;
        };
        let runnable = match edge.parent {
            None => true,
            Some(parent) => {
                inner.insert(parent, ());
                edge.deptypes.intersects(DepTypes::RUN)
            }
        };
        let used = modes.entry(edge.child).or_insert(Used {
            spec,
            is_runnable: false,
        });
        used.is_runnable |= runnable;
    }
    let inner_first = inner.keys().filter_map(|hash| modes.get(hash));
    let leaves = modes
        .values()
        .filter(|used| !inner.contains_key(&used.spec.hash));
    let mut all: Vec<Used<'a>> = inner_first.chain(leaves).copied().collect();
    all.reverse();
    // Stable, so the order within each kind stays.
    all.sort_by_key(|used| !used.spec.is_external());
    all
}
