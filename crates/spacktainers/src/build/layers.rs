//! Packages into layers: which share one, and the layers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci_format::Digest;
use spack_format::concrete::{ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;

use super::gather::Package;
use super::{BuildError, Sharing, World};
use crate::content::Content;
use crate::image::{RecordedLayer, RegistryOrigin};
use crate::layer::{
    Compress, PackInput, PackageRecord, Plan, PlanInput, PlanPackage, PlannedLayer, pack, plan,
    rate, stay,
};
use crate::lock::LockedLayer;

/// The layers that were decided before.
#[derive(Debug, Clone, Copy)]
pub struct LayersBefore<'a> {
    /// Which.
    pub layers: &'a [LockedLayer],
    /// Whether the lock is up to date: then they are not decided again.
    pub are_decided: bool,
}

/// What deciding about layers takes.
pub struct LayerQuestion<'a> {
    /// The packages of the image, dependencies first, and the bytes of their archives.
    pub packages: &'a [(DagHash, u64)],
    /// All nodes of `spack.lock`.
    pub specs: &'a ConcreteSpecs,
    /// The roots.
    pub roots: &'a [DagHash],
    /// What other containers have, and the history of locks.
    pub sharing: &'a Sharing,
    /// The most layers.
    pub budget: usize,
    /// What was decided before.
    pub before: Option<LayersBefore<'a>>,
}

/// Decides which packages share a layer. What was decided before holds while the lock is up to date and the budget allows it.
#[must_use]
pub fn plan_layers(question: &LayerQuestion<'_>) -> Plan {
    let mut causes = Causes::default();
    let packages: Vec<PlanPackage> = question
        .packages
        .iter()
        .map(|(hash, size)| PlanPackage {
            hash: *hash,
            name: question
                .specs
                .get(hash)
                .map(|it| it.name.clone())
                .unwrap_or_default(),
            size: *size,
            used_by: question.sharing.users(hash),
            causes: causes.of(*hash, question),
        })
        .collect();
    let before = question.before.map(|it| it.layers).unwrap_or_default();
    let previous: Vec<Vec<DagHash>> = before.iter().map(|it| it.packages.clone()).collect();
    let input = PlanInput {
        packages: &packages,
        rates: &causes.rates,
        budget: question.budget,
        previous: &previous,
        elsewhere: question.sharing.layers(),
    };
    let decided = question.before.filter(|it| it.are_decided);
    decided
        .and_then(|_| stay(&input))
        .unwrap_or_else(|| plan(&input))
}

/// Everything that changes packages, numbered.
#[derive(Default)]
struct Causes {
    numbers: HashMap<DagHash, usize>,
    rates: Vec<u32>,
}

impl Causes {
    /// The package itself and all that it was built from: its DAG hash covers them.
    fn of(&mut self, hash: DagHash, question: &LayerQuestion<'_>) -> Vec<usize> {
        let below = question.specs.closure([hash], DepTypes::ALL);
        below
            .into_iter()
            .map(|node| {
                *self.numbers.entry(node.hash).or_insert_with(|| {
                    let is_named = question.roots.contains(&node.hash);
                    self.rates
                        .push(rate(question.sharing.observed(&node.name), is_named));
                    self.rates.len() - 1
                })
            })
            .collect()
    }
}

/// Writes the layers of a plan, those that are not archives of the build cache as they are.
pub(super) async fn write_layers(
    plan: &Plan,
    packages: &[Package<'_>],
    prefixes: &[String],
    compress: Compress,
    world: &World<'_>,
) -> Result<(Vec<RecordedLayer>, Vec<LockedLayer>), BuildError> {
    let index: BTreeMap<DagHash, (&Package<'_>, &String)> = packages
        .iter()
        .zip(prefixes)
        .map(|(package, prefix)| (package.spec.hash, (package, prefix)))
        .collect();
    let mut layers = Vec::new();
    let mut locked = Vec::new();
    for PlannedLayer { packages, .. } in &plan.layers {
        let owned: Vec<OwnedPackInput> = packages
            .iter()
            .filter_map(|hash| index.get(hash))
            .map(|(package, prefix)| OwnedPackInput::of(package, prefix))
            .collect();
        let cache = world.cache.clone();
        let written = tokio::task::spawn_blocking(move || {
            let inputs: Vec<PackInput<'_>> = owned.iter().map(OwnedPackInput::borrow).collect();
            pack(&inputs, compress, &cache)
        });
        let layer = match written.await {
            Ok(layer) => layer?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        locked.push(LockedLayer {
            packages: packages.clone(),
            digest: layer.descriptor.digest,
            size: layer.descriptor.size,
            diff_id: layer.diff_id,
            media_type: layer.descriptor.media_type.clone(),
        });
        layers.push(layer);
    }
    Ok((layers, locked))
}

/// A [`PackInput`] that can go to another thread.
struct OwnedPackInput {
    title: String,
    blob: Digest,
    size: u64,
    content: Content,
    record: Arc<PackageRecord>,
    prefix: String,
    origins: Vec<RegistryOrigin>,
}

impl OwnedPackInput {
    fn of(package: &Package<'_>, prefix: &str) -> Self {
        let tarball = &package.entry.tarball;
        let (blob, size) = match &package.moved {
            Some(moved) => (moved.digest, package.content.len()),
            None => (tarball.digest, tarball.size),
        };
        // No registry has the new archive because it has the one of the build cache.
        let origin = package.entry.origin.iter();
        let origins = origin.filter(|_| blob == tarball.digest).cloned().collect();
        Self {
            title: package.entry.package.clone(),
            blob,
            size,
            content: package.content.clone(),
            record: Arc::clone(&package.record),
            prefix: prefix.trim_start_matches('/').to_owned(),
            origins,
        }
    }

    fn borrow(&self) -> PackInput<'_> {
        PackInput {
            title: self.title.clone(),
            blob: self.blob,
            size: self.size,
            content: self.content.clone(),
            record: &self.record,
            prefix: &self.prefix,
            origins: self.origins.clone(),
        }
    }
}
