//! What mirrors have of all that a build may need: the wanted packages, and below a missing one whatever builds it.

use std::collections::{HashMap, HashSet};

use spack_format::concrete::{ConcreteSpec, DepTypes};
use spack_format::dag_hash::DagHash;

use super::{FarmError, Order};
use crate::build::World;
use crate::fetch::{self, Found};

/// Packages that were asked for, and whether a mirror has them.
pub(super) type Survey = HashMap<DagHash, bool>;

/// Asks the mirrors, level by level: what a package needs is only asked for once it is known whether it is there.
pub(super) async fn survey(orders: &[Order<'_>], world: &World<'_>) -> Result<Survey, FarmError> {
    let mut survey = Survey::new();
    let context = fetch::Context {
        cache: world.cache,
        reporter: &*world.reporter,
        jobs: world.jobs,
        now: world.now,
    };
    for order in orders {
        let specs = &order.lock.specs;
        let mut walked = HashSet::new();
        let mut level: Vec<DagHash> = order.wanted.clone();
        while !level.is_empty() {
            let nodes: Vec<&ConcreteSpec> = level
                .iter()
                .filter(|hash| walked.insert(**hash))
                .filter_map(|hash| specs.get(hash))
                .filter(|spec| !spec.is_external())
                .collect();
            let open: Vec<&ConcreteSpec> = nodes
                .iter()
                .copied()
                .filter(|spec| !survey.contains_key(&spec.hash))
                .collect();
            let found = fetch::find_all(world.mirrors, open.iter().copied(), specs, &context).await;
            let mut errors = Vec::new();
            for (spec, found) in open.iter().zip(found) {
                match found {
                    Ok(found) => {
                        survey.insert(spec.hash, matches!(found, Found::Here(_)));
                    }
                    Err(error) => errors.push(error),
                }
            }
            if !errors.is_empty() {
                return Err(FarmError::Find(errors));
            }
            level = nodes
                .iter()
                .flat_map(|spec| spec.edges_of(needed(survey.get(&spec.hash) == Some(&true))))
                .map(|edge| edge.hash)
                .collect();
        }
    }
    Ok(survey)
}

/// Which dependencies must be there: for a package of a mirror those that it runs with, for a build all but those of its
/// tests, which nobody runs.
pub(super) fn needed(is_in_mirror: bool) -> DepTypes {
    match is_in_mirror {
        true => DepTypes::RUNTIME,
        false => DepTypes::RUNTIME | DepTypes::BUILD,
    }
}
