//! `plan --layers`: which packages share a layer, why, and what of it a user of the image before has to pull.

use std::collections::{HashMap, HashSet};

use oci_format::Digest;
use serde_json::{Value, json};
use spack_format::dag_hash::DagHash;
use spacktainers::build::{Container, LayerQuestion, LockState, Sharing, plan_layers};
use spacktainers::fetch::CacheEntry;
use spacktainers::layer::{Plan, PlannedLayer, Why};
use spacktainers::lock::Lock;
use spacktainers::publish::Existing;
use spacktainers::resolve::Decided;

use crate::printer::bytes;

/// Packages that a line names; of more, only how many there are.
const NAMED: usize = 6;

/// A plan with all that telling it takes.
pub(super) struct LayerPlan<'a> {
    plan: Plan,
    sharing: &'a Sharing,
    titles: HashMap<DagHash, String>,
    /// Packages whose size nobody knows, as they are in no mirror: they count nothing.
    unknown: usize,
    lock: Option<&'a Lock>,
    budget: usize,
}

/// What a user of some image has to pull.
pub(super) struct Pull {
    /// Of which image.
    against: String,
    /// For each layer, whether they have it.
    has: Vec<bool>,
    /// Bytes of the others.
    size: u64,
}

impl<'a> LayerPlan<'a> {
    /// Decides as `lock` would.
    pub(super) fn new(
        container: &'a Container<'_>,
        decided: &Decided<'_>,
        entries: &[&CacheEntry],
        sharing: &'a Sharing,
    ) -> Self {
        let lock = container.lock_state.lock();
        let mut sizes: HashMap<DagHash, u64> = lock
            .iter()
            .flat_map(|lock| &lock.packages)
            .map(|package| (package.hash, package.size))
            .collect();
        sizes.extend(entries.iter().map(|it| (it.hash, it.tarball.size)));
        let packages: Vec<(DagHash, u64)> = decided
            .packages
            .iter()
            .map(|spec| (spec.hash, sizes.get(&spec.hash).copied().unwrap_or(0)))
            .collect();
        let budget = container.layer_budget();
        let plan = plan_layers(&LayerQuestion {
            packages: &packages,
            specs: &container.spack_lock.specs,
            roots: &decided.roots,
            sharing,
            budget,
            before: container.layers_before(),
        });
        let titles = decided.packages.iter();
        Self {
            plan,
            sharing,
            titles: titles
                .map(|spec| (spec.hash, format!("{}@{}", spec.name, spec.version)))
                .collect(),
            unknown: packages
                .iter()
                .filter(|(hash, _)| !sizes.contains_key(hash))
                .count(),
            lock,
            budget,
        }
    }

    /// What a user has to pull who has the image that was locked last; none if none was.
    pub(super) fn against_lock(&self, container: &Container<'_>) -> Option<Pull> {
        self.lock?;
        let against = match container.lock_state {
            LockState::Current(..) => "the image of container.lock",
            _ => "the image of the last container.lock",
        };
        let layers = self.plan.layers.iter();
        Some(self.pull(against, layers.map(|it| it.why == Why::Kept).collect()))
    }

    /// What a user has to pull who has the image at `target`.
    pub(super) fn against_image(
        &self,
        target: &str,
        existing: &Existing,
        entries: &[&CacheEntry],
    ) -> Pull {
        let there: HashSet<Digest> = existing
            .manifest
            .layers
            .iter()
            .map(|it| it.digest)
            .collect();
        let blobs: HashMap<DagHash, Digest> = entries
            .iter()
            .map(|entry| (entry.hash, entry.tarball.digest))
            .collect();
        let locked: HashMap<&[DagHash], Digest> = self
            .lock
            .iter()
            .flat_map(|lock| &lock.layers)
            .map(|layer| (&*layer.packages, layer.digest))
            .collect();
        let has = |layer: &PlannedLayer| {
            let known = locked.get(&*layer.packages).copied();
            // The archive of one package is the layer, unless it is relocated: then its digest is another, and not there.
            let alone = match &*layer.packages {
                [package] => blobs.get(package).copied(),
                _ => None,
            };
            known
                .or(alone)
                .is_some_and(|digest| there.contains(&digest))
        };
        self.pull(target, self.plan.layers.iter().map(has).collect())
    }

    fn pull(&self, against: &str, has: Vec<bool>) -> Pull {
        let lacks = self.plan.layers.iter().zip(&has).filter(|(_, has)| !**has);
        Pull {
            against: against.to_owned(),
            size: lacks.map(|(layer, _)| layer.size).sum(),
            has,
        }
    }

    /// What to show people. The first of `pulls` marks the layers.
    pub(super) fn lines(&self, pulls: &[Pull]) -> Vec<String> {
        let size = self.plan.layers.iter().map(|it| it.size).sum();
        let mut lines = vec![format!(
            "  layers: {} of at most {} for packages, {} in all; history: {} changes of locks",
            self.plan.layers.len(),
            self.budget,
            bytes(size),
            self.sharing.changes(),
        )];
        for (number, layer) in self.plan.layers.iter().enumerate() {
            let mark = match pulls
                .first()
                .map(|pull| pull.has.get(number) == Some(&true))
            {
                Some(true) => "has ",
                Some(false) => "pull",
                None => "new ",
            };
            lines.push(format!(
                "    {mark} {:>9}  {}: {}{}; {} of 1000 changes",
                bytes(layer.size),
                self.names(layer),
                self.why(layer),
                match layer.shared {
                    0 => String::new(),
                    1 => "; 1 other container has it all".to_owned(),
                    shared => format!("; {shared} other containers have it all"),
                },
                layer.changes,
            ));
        }
        if self.unknown > 0 {
            lines.push(format!(
                "    {} packages are in no mirror, and count as nothing until they are built",
                self.unknown
            ));
        }
        for pull in pulls {
            lines.push(format!(
                "  who has {} pulls {} in {} of {} package layers",
                pull.against,
                bytes(pull.size),
                pull.has.iter().filter(|has| !**has).count(),
                pull.has.len(),
            ));
        }
        lines
    }

    fn title(&self, hash: &DagHash) -> &str {
        self.titles.get(hash).map_or("", String::as_str)
    }

    fn names(&self, layer: &PlannedLayer) -> String {
        let titles = layer.packages.iter().map(|hash| self.title(hash));
        let mut names: Vec<String> = titles.take(NAMED).map(str::to_owned).collect();
        if layer.packages.len() > NAMED {
            names.push(format!("{} more", layer.packages.len() - NAMED));
        }
        names.join(", ")
    }

    fn why(&self, layer: &PlannedLayer) -> String {
        match layer.why {
            Why::Kept => "as it was".to_owned(),
            Why::Elsewhere(which) => format!("as in {}", self.sharing.owner(which)),
            Why::Alone => "alone".to_owned(),
            Why::Together => "cheapest together".to_owned(),
        }
    }

    /// The same for programs.
    pub(super) fn document(&self, pulls: &[Pull]) -> Value {
        let layers: Vec<Value> = self
            .plan
            .layers
            .iter()
            .map(|layer| {
                let packages = layer.packages.iter();
                let packages: Vec<Value> = packages
                    .map(|hash| json!({"package": self.title(hash), "hash": hash.to_string()}))
                    .collect();
                let (why, owner) = match layer.why {
                    Why::Kept => ("kept", None),
                    Why::Elsewhere(which) => ("elsewhere", Some(self.sharing.owner(which))),
                    Why::Alone => ("alone", None),
                    Why::Together => ("together", None),
                };
                json!({
                    "packages": packages,
                    "size": layer.size,
                    "why": why,
                    "as_in": owner,
                    "shared_by": layer.shared,
                    "changes_permille": layer.changes,
                })
            })
            .collect();
        let pulls: Vec<Value> = pulls
            .iter()
            .map(|pull| json!({"against": pull.against, "size": pull.size, "has": pull.has}))
            .collect();
        json!({
            "budget": self.budget,
            "history": self.sharing.changes(),
            "unknown_sizes": self.unknown,
            "layers": layers,
            "pulls": pulls,
        })
    }
}
