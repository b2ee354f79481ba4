//! What there is to do: packages to build, each once, and containers to publish. Should minus is.

use std::collections::{HashMap, HashSet};

use spack_format::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;

use super::pack::Task;
use crate::base::BaseArchitecture;

/// Seconds that a package of which nothing is known counts as: most are small.
const GUESSED_PACKAGE: u64 = 120;

/// Seconds that publishing a container counts as: nothing is compiled, bytes are moved.
const CONTAINER: u64 = 180;

/// Packages that take far longer than others, with minutes on a machine of eight cores.
const SLOW: &[(&str, u64)] = &[
    ("boost", 10),
    ("cmake", 12),
    ("cuda", 10),
    ("gcc", 60),
    ("hdf5", 6),
    ("llvm", 90),
    ("mesa", 20),
    ("mpich", 12),
    ("node-js", 60),
    ("openblas", 10),
    ("openmpi", 15),
    ("paraview", 75),
    ("petsc", 15),
    ("py-tensorflow", 180),
    ("py-torch", 120),
    ("python", 8),
    ("qt", 75),
    ("qt-base", 30),
    ("rust", 60),
    ("trilinos", 60),
    ("vtk", 45),
];

/// A package that is in no mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageWork {
    /// Which.
    pub hash: DagHash,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is built for.
    pub architecture: BaseArchitecture,
    /// Places in [`Work::packages`] of what has to be built before; all of them stand before this one.
    pub after: Vec<usize>,
    /// How long it takes, as far as is known.
    pub seconds: u64,
}

/// A container that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerWork {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: BaseArchitecture,
    /// Places in [`Work::packages`] of what it holds and nobody has built.
    pub after: Vec<usize>,
    /// Whether its packages are known; those of a container that nobody has solved are built as it is published.
    pub is_solved: bool,
    /// Why it is to be published, for people.
    pub why: String,
    /// How long publishing takes.
    pub seconds: u64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// Packages, dependencies before dependents.
    pub packages: Vec<PackageWork>,
    /// Containers, in the order of the project.
    pub containers: Vec<ContainerWork>,
}

/// A container as the project has it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its architecture.
    pub architecture: BaseArchitecture,
    /// The packages of its `spack.lock`, and those of them that its image holds; none where there is no lock that fits.
    pub packages: Option<(&'a ConcreteSpecs, &'a [DagHash])>,
    /// Whether what it holds is decided. If not, its packages are chosen and built as it is published.
    pub is_solved: bool,
    /// Why it has to be published; none: it is up to date.
    pub why: Option<&'a str>,
}

impl Work {
    /// What is missing of `wanted`: `is_there` tells which packages mirrors have, `seconds` how long a package takes, as far
    /// as it is known.
    ///
    /// A container that is up to date needs nothing, not even packages that mirrors have lost. As for a build on one
    /// machine, what a package of a mirror was built with is not needed; see `farm`.
    #[must_use]
    pub fn missing(
        wanted: &[Wanted<'_>],
        is_there: impl Fn(&DagHash) -> bool,
        seconds: impl Fn(&ConcreteSpec) -> Option<u64>,
    ) -> Self {
        let mut work = Self::default();
        let mut places: HashMap<DagHash, usize> = HashMap::new();
        for container in wanted {
            let Some(why) = container.why else { continue };
            let mut after = Vec::new();
            if let Some((specs, held)) = container.packages {
                for spec in missing(specs, held, &is_there) {
                    if places.contains_key(&spec.hash) {
                        continue;
                    }
                    let package = PackageWork {
                        hash: spec.hash,
                        name: spec.name.clone(),
                        version: spec.version.clone(),
                        architecture: container.architecture,
                        after: nearest(spec, specs, DepTypes::RUNTIME | DepTypes::BUILD, &places),
                        seconds: seconds(spec).unwrap_or_else(|| guessed(&spec.name)),
                    };
                    places.insert(spec.hash, work.packages.len());
                    work.packages.push(package);
                }
                after = held
                    .iter()
                    .filter_map(|it| places.get(it).copied())
                    .collect();
                after.sort_unstable();
                after.dedup();
            }
            work.containers.push(ContainerWork {
                name: container.name.to_owned(),
                architecture: container.architecture,
                after,
                is_solved: container.is_solved,
                why: why.to_owned(),
                seconds: CONTAINER,
            });
        }
        work
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    /// The same as tasks: packages, then containers.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let packages = self.packages.iter().map(|it| Task {
            seconds: it.seconds,
            after: it.after.clone(),
            kind: kind(it.architecture),
            is_last: false,
        });
        let containers = self.containers.iter().map(|it| Task {
            seconds: it.seconds,
            after: it.after.clone(),
            kind: kind(it.architecture),
            is_last: true,
        });
        packages.chain(containers).collect()
    }
}

/// Jobs of different kinds run on different machines.
fn kind(architecture: BaseArchitecture) -> usize {
    match architecture {
        BaseArchitecture::Amd64 => 0,
        BaseArchitecture::Arm64 => 1,
    }
}

/// Seconds that a package of this name takes where nobody knows.
fn guessed(name: &str) -> u64 {
    let slow = SLOW.binary_search_by_key(&name, |(slow, _)| slow);
    let slow = slow.ok().and_then(|it| SLOW.get(it));
    slow.map_or(GUESSED_PACKAGE, |(_, minutes)| minutes * 60)
}

/// What is missing of one lock, dependencies first. Only what a missing package is reached by counts.
fn missing<'a>(
    specs: &'a ConcreteSpecs,
    held: &[DagHash],
    is_there: &impl Fn(&DagHash) -> bool,
) -> Vec<&'a ConcreteSpec> {
    let mut reached = HashSet::new();
    let mut open: Vec<DagHash> = held.to_vec();
    while let Some(hash) = open.pop() {
        if let Some(spec) = specs.get(&hash).filter(|it| !it.is_external())
            && reached.insert(hash)
        {
            let needed = match is_there(&hash) {
                true => DepTypes::RUNTIME,
                false => DepTypes::RUNTIME | DepTypes::BUILD,
            };
            open.extend(spec.edges_of(needed).map(|edge| edge.hash));
        }
    }
    specs
        .closure(held.iter().copied(), DepTypes::ALL)
        .into_iter()
        .filter(|spec| reached.contains(&spec.hash) && !is_there(&spec.hash))
        .collect()
}

/// The nearest packages below `spec` that have to be built: what lies below these is built before them.
fn nearest(
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
    deptypes: DepTypes,
    places: &HashMap<DagHash, usize>,
) -> Vec<usize> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut open: Vec<DagHash> = spec.edges_of(deptypes).map(|edge| edge.hash).collect();
    while let Some(hash) = open.pop() {
        if !seen.insert(hash) {
            continue;
        }
        if let Some(place) = places.get(&hash) {
            found.push(*place);
        } else if let Some(below) = specs.get(&hash) {
            open.extend(below.edges_of(DepTypes::RUNTIME).map(|edge| edge.hash));
        }
    }
    found.sort_unstable();
    found
}
