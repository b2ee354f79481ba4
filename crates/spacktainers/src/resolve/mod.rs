//! Definition + `spack.lock` → what goes into the image, or why the two do not fit.
//!
//! Pure. A `spack.lock` that somebody solved once is a decision; here it is only checked that it is the decision for
//! *this* definition, that its hashes are what they say, and that it keeps the project's requirements. Start at
//! [`decide`]. Where there is no lock, [`from_cache`] makes one.

pub mod from_cache;

use std::collections::BTreeMap;

use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};
use spack_format::dag_hash::{DagHash, HashVerdict, verify};
use spack_format::lockfile::SpackLockfile;
use spack_format::prefix::Satisfies;

/// A spec that the definition asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As written.
    pub text: String,
    /// In the canonical form in which locks write it.
    pub canonical: String,
}

/// What goes into an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided<'a> {
    /// The environment's roots, in the order in which the definition asks for them.
    pub roots: Vec<DagHash>,
    /// The link and run closure of the roots, dependencies first, without externals.
    pub packages: Vec<&'a ConcreteSpec>,
    /// Externals of that closure: the base has to bring what they are.
    pub externals: Vec<&'a ConcreteSpec>,
}

impl Decided<'_> {
    /// The version of the container: of the first root's package.
    #[must_use]
    pub fn version(&self, specs: &ConcreteSpecs) -> Option<String> {
        Some(specs.get(self.roots.first()?)?.version.clone())
    }
}

/// One reason why a lock is not the decision for a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The definition asks for something that the lock does not have.
    #[error("`{0}` is asked for, and spack.lock was made without it")]
    NotLocked(String),
    /// The lock has a root that the definition no longer asks for.
    #[error("spack.lock has the root `{0}`, which the definition does not ask for")]
    NotWanted(String),
    /// The concrete spec is not one of those that the root allows.
    #[error("`{root}` is locked as {spec} /{hash}, which does not satisfy it")]
    Unsatisfied {
        /// What was asked for.
        root: String,
        /// What it was locked as.
        spec: String,
        /// Its hash.
        hash: DagHash,
    },
    /// A package for another processor than the project requires.
    #[error("{spec} /{hash} is built for {found}, and the project requires {required}")]
    Target {
        /// The package.
        spec: String,
        /// Its hash.
        hash: DagHash,
        /// What it is built for.
        found: String,
        /// What is required.
        required: String,
    },
    /// A node that was changed after it was hashed.
    #[error(
        "{spec} states the hash /{hash}, and its content has another: spack.lock was changed by hand"
    )]
    Hash {
        /// The node.
        spec: String,
        /// What it states.
        hash: DagHash,
    },
    /// There is nothing to put into an image.
    #[error(
        "spack.lock has no roots: the definition's `specs` are empty or were never concretized"
    )]
    Empty,
}

/// Checks that `lock` is the decision for `wanted`, and says what that puts into the image.
///
/// `target`, if given, is required of every package and not preferred.
///
/// # Errors
/// All mismatches at once, in a fixed order.
pub fn decide<'a>(
    wanted: &[Wanted],
    lock: &'a SpackLockfile,
    target: Option<&str>,
    satisfies: &Satisfies<'_>,
) -> Result<Decided<'a>, Vec<Mismatch>> {
    let mut mismatches = Vec::new();
    let roots = match_roots(wanted, lock, satisfies, &mut mismatches);
    let included = lock
        .all_root_hashes()
        .into_iter()
        .filter(|hash| !roots.contains(hash));
    let all: Vec<DagHash> = roots.iter().copied().chain(included).collect();
    if all.is_empty() && mismatches.is_empty() {
        mismatches.push(Mismatch::Empty);
    }
    let closure = lock.specs.runtime_closure(all);
    for package in &closure.packages {
        if let Some(required) = target
            && !satisfies(package, &format!("target={required}"))
        {
            mismatches.push(Mismatch::Target {
                spec: title(package),
                hash: package.hash,
                found: package.arch.target.clone(),
                required: required.to_owned(),
            });
        }
    }
    for node in lock.specs.iter() {
        // A target that is spelled out is rebuilt, in good faith, by every Spack that reads and saves the file.
        if matches!(
            verify(node),
            HashVerdict::Mismatch {
                has_target_object: false,
                ..
            }
        ) {
            mismatches.push(Mismatch::Hash {
                spec: title(node),
                hash: node.hash,
            });
        }
    }
    if mismatches.is_empty() {
        Ok(Decided {
            roots,
            packages: closure.packages,
            externals: closure.externals,
        })
    } else {
        Err(mismatches)
    }
}

/// The lock's roots in the definition's order.
///
/// Their order in the lock says nothing: Spack writes them in another one each time it solves.
fn match_roots(
    wanted: &[Wanted],
    lock: &SpackLockfile,
    satisfies: &Satisfies<'_>,
    mismatches: &mut Vec<Mismatch>,
) -> Vec<DagHash> {
    let mut unmatched: BTreeMap<usize, &spack_format::lockfile::Root> =
        lock.roots.iter().enumerate().collect();
    let mut roots = Vec::new();
    for spec in wanted {
        let found = unmatched
            .iter()
            .find(|(_, root)| root.spec == spec.canonical || root.spec == spec.text)
            .map(|(index, _)| *index);
        let Some(root) = found.and_then(|index| unmatched.remove(&index)) else {
            // The same spec twice is one root.
            let again = lock
                .roots
                .iter()
                .any(|root| root.spec == spec.canonical || root.spec == spec.text);
            if !again {
                mismatches.push(Mismatch::NotLocked(spec.text.clone()));
            }
            continue;
        };
        if let Some(node) = lock.specs.get(&root.hash)
            && !satisfies(node, &spec.canonical)
        {
            mismatches.push(Mismatch::Unsatisfied {
                root: spec.text.clone(),
                spec: title(node),
                hash: node.hash,
            });
        }
        if !roots.contains(&root.hash) {
            roots.push(root.hash);
        }
    }
    mismatches.extend(
        unmatched
            .into_values()
            .map(|root| Mismatch::NotWanted(root.spec.clone())),
    );
    roots
}

/// `zlib@1.3.1`
fn title(spec: &ConcreteSpec) -> String {
    format!("{}@{}", spec.name, spec.version)
}

#[cfg(test)]
mod tests;
