//! What an image says of itself, for people, for schedulers and for the next run.

use indexmap::IndexMap;
use oci_format::{Digest, annotation};
use spack_format::concrete::ConcreteSpec;

use crate::base::LockedBase;
use crate::lock::Lock;

/// What is known of an image besides its lock.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Digest of the lock's text.
    pub lock_digest: Digest,
    /// Packages of the image.
    pub packages: &'a [&'a ConcreteSpec],
    /// Root specs as asked for.
    pub roots: Vec<String>,
    /// The highest version of glibc's symbols that any program or library of the packages needs: `2.36`.
    pub glibc: Option<String>,
}

/// The labels of the image of `lock`.
///
/// `org.spacktainers.definition.digest` and `…lock.digest` tell the next run whether the image is up to date.
#[must_use]
pub fn labels(lock: &Lock, facts: &Facts<'_>) -> IndexMap<String, String> {
    let mut labels = IndexMap::new();
    let mut say = |key: &str, value: String| {
        labels.insert(key.to_owned(), value);
    };
    say(annotation::TITLE, lock.container.name.clone());
    say(annotation::VERSION, lock.container.version.clone());
    say(annotation::BASE_NAME, lock.base.summary());
    if let LockedBase::Registry(image) | LockedBase::Layout(image) = &lock.base {
        say(annotation::BASE_DIGEST, image.manifest.to_string());
    }
    say(
        annotation::DEFINITION_DIGEST,
        lock.container.definition.to_string(),
    );
    say(annotation::LOCK_DIGEST, facts.lock_digest.to_string());
    say(annotation::SPACK_LOCK_DIGEST, lock.spack.lock.to_string());
    say(annotation::SPECS, facts.roots.join(" "));
    if let Some(target) = &lock.spack.target {
        say(annotation::MICROARCHITECTURE, target.clone());
    }
    if let Some(glibc) = &facts.glibc {
        say(annotation::GLIBC_FLOOR, glibc.clone());
    }
    if let Some((family, abi)) = mpi(facts.packages) {
        say(annotation::MPI_FAMILY, family);
        say(annotation::MPI_ABI, abi.to_owned());
    }
    labels
}

/// MPI implementations in Spack's builtin repository, with the ABI that a host's MPI must have to take their place.
///
/// Source: the MPICH ABI Compatibility Initiative's list of members; Open MPI's ABI is its own.
const MPI_ABI: &[(&str, &str)] = &[
    ("cray-mpich", "mpich"),
    ("cray-mvapich2", "mpich"),
    ("hpcx-mpi", "openmpi"),
    ("intel-mpi", "mpich"),
    ("intel-oneapi-mpi", "mpich"),
    ("mpich", "mpich"),
    ("mvapich", "mpich"),
    ("mvapich-plus", "mpich"),
    ("mvapich2", "mpich"),
    ("openmpi", "openmpi"),
];

/// `name@version` and ABI of the MPI among `packages`.
fn mpi(packages: &[&ConcreteSpec]) -> Option<(String, &'static str)> {
    packages.iter().find_map(|package| {
        let (_, abi) = MPI_ABI.iter().find(|(name, _)| *name == package.name)?;
        Some((format!("{}@{}", package.name, package.version), *abi))
    })
}
