//! Should minus is: what containers lack, asked of mirrors and of the places where they are published.
//!
//! An edge: the answers are [`Work`], which `pipeline` turns into jobs.

use std::collections::HashMap;

use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;

use crate::build::{Container, World, staleness};
use crate::farm::{self, FarmError, Order};
use crate::local_cache::LocalCache;
use crate::pipeline::{Wanted, Work};
use crate::project::{Definition, Settings};
use crate::publish::{PublishContext, Target, existing};

/// A container that shall be published.
pub struct Asked<'a> {
    /// Its definition.
    pub definition: &'a Definition,
    /// The same with its locks, where it has been solved.
    pub container: Option<&'a Container<'a>>,
    /// What mirrors have to hold for it, where its lock fits its definition.
    pub order: Option<Order<'a>>,
    /// Where it goes; nowhere: it is always built.
    pub targets: Vec<Target>,
}

/// Why `asked` has to be published; nothing where every target holds it as it is. A target that cannot be asked counts as
/// one that does not: publishing will say what is wrong with it.
pub async fn reason(asked: &Asked<'_>, context: &PublishContext) -> Option<String> {
    let Some(container) = asked.container else {
        return Some("it was never solved".to_owned());
    };
    if asked.targets.is_empty() {
        return Some("it goes nowhere".to_owned());
    }
    // Of an index, the image for this container's platform is meant.
    let context = PublishContext {
        platform: Some(container.definition.platform()),
        ..context.clone()
    };
    for target in &asked.targets {
        let found = match existing(target, &context).await {
            Ok(found) => found,
            Err(error) => return Some(format!("{target} cannot be asked: {error}")),
        };
        let labels = found.as_ref().map(|found| &found.config.config.labels);
        let lock = container.lock_state.current();
        if let Some(why) = staleness(labels, &container.spack.digest, lock.as_ref()) {
            return Some(format!("{target}: {why}"));
        }
    }
    None
}

/// What is missing of all that is asked.
///
/// # Errors
/// When mirrors cannot be asked.
pub async fn outstanding(
    asked: &[Asked<'_>],
    settings: &Settings,
    world: &World<'_>,
    context: &PublishContext,
) -> Result<Work, FarmError> {
    let mut reasons = Vec::with_capacity(asked.len());
    let mut mirrors: HashMap<DagHash, bool> = HashMap::new();
    for it in asked {
        let why = reason(it, context).await;
        if let (Some(_), Some(order)) = (&why, &it.order) {
            // One by one: what was asked for one container is known for the next.
            mirrors.extend(farm::ask(std::slice::from_ref(order), world).await?);
        }
        reasons.push(why);
    }
    let wanted: Vec<Wanted<'_>> = wanted(asked, &reasons);
    let is_there = |hash: &DagHash| mirrors.get(hash).copied().unwrap_or(true);
    let seconds = |spec: &ConcreteSpec| seconds(settings, Some(world.cache), spec);
    Ok(Work::missing(&wanted, is_there, seconds))
}

/// All that could ever have to be done for what is asked: as if mirrors and targets were empty. What it takes is known by
/// the settings alone, so that the answer is the same on all machines.
#[must_use]
pub fn everything(asked: &[Asked<'_>], settings: &Settings) -> Work {
    let reasons = vec![Some(String::new()); asked.len()];
    let seconds = |spec: &ConcreteSpec| seconds(settings, None, spec);
    Work::missing(&wanted(asked, &reasons), |_| false, seconds)
}

/// Seconds that a package takes: by `[ci] minutes`, else by what `[farm]` or the local cache knows.
fn seconds(settings: &Settings, cache: Option<&LocalCache>, spec: &ConcreteSpec) -> Option<u64> {
    let said = settings.ci.minutes.get(&spec.name);
    let said = said.map(|minutes| minutes.saturating_mul(60));
    said.or_else(|| farm::seconds(&settings.farm.needs, cache, spec))
}

fn wanted<'a>(asked: &'a [Asked<'_>], reasons: &'a [Option<String>]) -> Vec<Wanted<'a>> {
    let all = asked.iter().zip(reasons);
    all.map(|(it, why)| Wanted {
        name: &it.definition.name,
        architecture: it.definition.architecture,
        packages: it
            .order
            .as_ref()
            .map(|order| (order.specs(), order.wanted())),
        is_solved: it.container.is_some() || it.definition.as_spack().is_none(),
        why: why.as_deref(),
    })
    .collect()
}
