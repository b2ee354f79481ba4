//! From choices to a `spack.lock`.

use std::collections::{HashMap, HashSet};

use spack_format::concrete::{ConcreteSpec, DepTypes};
use spack_format::dag_hash::{HashVerdict, verify};
use spack_format::lockfile::{self, IncludedLock, Root as LockRoot};

use super::nodes::Nodes;
use super::{Included, ResolveError, Root};
use crate::index::SpecId;

pub(super) enum Output {
    /// The text of the lock.
    Lock(String),
    /// Specs that are needed and are not what their hash says.
    Forged(Vec<SpecId>),
}

/// The lock of these choices, one per root.
pub(super) fn lock(
    nodes: &Nodes<'_>,
    roots: &[Root],
    chosen: &[SpecId],
    included: &[Included<'_>],
) -> Result<Output, ResolveError> {
    let mut read: HashMap<SpecId, ConcreteSpec> = HashMap::new();
    let mut order: Vec<SpecId> = Vec::new();
    let mut stack: Vec<SpecId> = chosen.iter().rev().copied().collect();
    while let Some(id) = stack.pop() {
        if read.contains_key(&id) || !nodes.known.get(id).is_recorded {
            continue;
        }
        let spec = nodes.known.read(id).map_err(|source| ResolveError::Read {
            spec: nodes.title(id),
            source,
        })?;
        let below = nodes.known.edges(id).iter().rev().map(|it| it.child);
        stack.extend(below);
        let build_spec = spec.build_spec.as_ref();
        stack.extend(build_spec.and_then(|it| nodes.known.find(&it.hash)));
        read.insert(id, spec);
        order.push(id);
    }
    let forged: HashSet<SpecId> = read
        .iter()
        .filter(|(_, spec)| is_forged(spec))
        .map(|(id, _)| *id)
        .collect();
    let needed = runtime(nodes, chosen);
    let found: Vec<SpecId> = needed
        .iter()
        .copied()
        .filter(|it| forged.contains(it))
        .collect();
    if !found.is_empty() {
        return Ok(Output::Forged(found));
    }
    let kept = kept(nodes, &read, &forged, &needed);
    let lock_roots: Vec<LockRoot> = roots
        .iter()
        .zip(chosen)
        .map(|(root, id)| LockRoot {
            hash: nodes.known.get(*id).hash,
            spec: root.canonical.clone(),
            group: None,
        })
        .collect();
    let specs = order
        .iter()
        .filter(|it| kept.contains(it))
        .filter_map(|it| read.get(it));
    let included: Vec<IncludedLock<'_>> = included
        .iter()
        .map(|it| IncludedLock {
            path: it.path,
            text: it.text,
        })
        .collect();
    let text = lockfile::to_text_including(&lock_roots, specs, &included)?;
    Ok(Output::Lock(text))
}

/// Whether a spec is not what its hash says. What newer Spacks wrote again in good faith is no sign of that.
fn is_forged(spec: &ConcreteSpec) -> bool {
    matches!(
        verify(spec),
        HashVerdict::Mismatch {
            has_target_object: false,
            ..
        }
    )
}

/// What is linked and run.
fn runtime(nodes: &Nodes<'_>, chosen: &[SpecId]) -> HashSet<SpecId> {
    let mut found = HashSet::new();
    let mut stack = chosen.to_vec();
    while let Some(id) = stack.pop() {
        if found.insert(id) {
            let edges = nodes.known.edges(id).iter();
            let below = edges.filter(|it| it.deptypes.intersects(DepTypes::RUNTIME));
            stack.extend(below.map(|it| it.child));
        }
    }
    found
}

/// The specs that go into the lock. What was needed for building alone is left out where the index does not have all that
/// it links and runs itself, or where it is not what its hash says.
fn kept(
    nodes: &Nodes<'_>,
    read: &HashMap<SpecId, ConcreteSpec>,
    forged: &HashSet<SpecId>,
    needed: &HashSet<SpecId>,
) -> HashSet<SpecId> {
    let mut kept: HashSet<SpecId> = read
        .keys()
        .copied()
        .filter(|it| !forged.contains(it))
        .collect();
    loop {
        let is_whole = |id: &SpecId| {
            let edges = nodes.known.edges(*id).iter();
            let mut below = edges.filter(|it| it.deptypes.intersects(DepTypes::RUNTIME));
            needed.contains(id) || below.all(|it| kept.contains(&it.child))
        };
        let broken: Vec<SpecId> = kept.iter().copied().filter(|it| !is_whole(it)).collect();
        if broken.is_empty() {
            return kept;
        }
        for id in broken {
            kept.remove(&id);
        }
    }
}
