//! Definition + what the caches hold → `spack.lock`, without Spack.
//!
//! ```text
//! Environment ──rules──► what packages must and should be
//! KnownSpecs ───nodes──► what there is, as `satisfies` wants it
//!         root by root:  all specs of the package ──check──► candidates ──cost──► in order
//!         all together:  search ──► one per root ──output──► read, hashes verified ──► spack.lock
//! ```
//!
//! Start at [`resolve`]. Nothing below a root is free: a spec of a cache brings all its dependencies with it. So a solution
//! is one spec per root, and with `unify: true` no two of them may need different specs of one package to link or run.
//! (What they were built with does not lie in the image, and may differ.)
//!
//! What is chosen is what Spack would accept for the request. Which of several it is follows Spack's order as far as the
//! caches tell it, see [`Cost`]; there is no recipe here that knows defaults. With equal input the answer is the same.
//!
//! - Whatever `concretizer:reuse` says of *whether* to reuse is not looked at; its `include` and `exclude` are.
//! - Operating systems are not compared, C libraries are (see [`Request::libc`]): so does Spack on Linux.
//! - Externals must be those that the configuration names for the package; where it names none, one is the last resort.
//! - A spec whose content has another hash than it states is not chosen.
//!
//! Source: `lib/spack/spack/solver/reuse.py`, `requirements.py`, `concretize.lp`, `libc_compatibility.lp` in Spack 1.1.0.

mod candidates;
mod check;
mod cost;
mod error;
mod nodes;
mod output;
mod providers;
mod reason;
mod rules;
mod search;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use spack_format::dag_hash::DagHash;
use spack_format::environment::{Environment, Unify, UserSpec};
use spack_format::lockfile::SpackLockfile;
use spack_format::spec::Spec;
use spack_format::yaml::Span;

pub use cost::{CRITERIA_NAMES, Cost};
pub use error::{Nearest, NoCandidate, ResolveError};
pub use reason::Reason;

use self::candidates::Pool;
use self::nodes::Nodes;
use self::rules::Rules;
use self::search::{Candidate, Clash, Search};
use crate::index::{KnownSpecs, SpecId};
use crate::libraries::Libc;

/// The most roots that are unified: the search goes one level down per root.
const MOST_UNIFIED: usize = 1_000;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The definition after merging.
    pub environment: &'a Environment,
    /// Its specs.
    pub specs: &'a [UserSpec],
    /// The processor family of the image, such as `x86_64`.
    pub family: &'a str,
    /// The target that every package must be built for.
    pub target: Option<&'a str>,
    /// The C library of the image: what was built against a newer one cannot be chosen. None if it is not known; then it
    /// is found out when the image is checked.
    pub libc: Option<&'a BaseLibc>,
    /// Solved environments that are included (`include_concrete`): with `unify: true` the roots go together with theirs.
    pub included: &'a [Included<'a>],
    /// Whether to find out, too, why other specs do not fit: [`ChosenRoot::excluded`].
    pub explains: bool,
}

/// A solved environment whose decisions are taken over.
#[derive(Debug, Clone, Copy)]
pub struct Included<'a> {
    /// Its folder, as it stands in locks.
    pub path: &'a str,
    /// The text of its `spack.lock`.
    pub text: &'a str,
    /// The same, read.
    pub lock: &'a SpackLockfile,
}

/// The C library of a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseLibc {
    /// What it is.
    pub libc: Libc,
    /// What people call the base image: `debian bookworm`.
    pub base: String,
}

/// What was chosen.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// One per spec that is asked for, in order; the same spec twice is one.
    pub roots: Vec<ChosenRoot>,
    /// The text of the `spack.lock`.
    pub lock: String,
}

/// What a spec that is asked for became, and why.
#[derive(Debug, Clone)]
pub struct ChosenRoot {
    /// As written.
    pub text: String,
    /// As locks write it.
    pub canonical: String,
    /// Where it is written.
    pub place: Span,
    /// The hash of what was chosen.
    pub hash: DagHash,
    /// The same for people: `zlib@1.3.1 /v2xkvre`.
    pub title: String,
    /// What it costs with all below it.
    pub cost: Cost,
    /// How many specs of the package there are.
    pub considered: usize,
    /// How many of them fit this root.
    pub fitting: usize,
    /// Other candidates that fit this root, the best first: at most [`MOST_RIVALS`].
    pub rivals: Vec<Rival>,
    /// Specs that do not fit, the nearest first, if [`Request::explains`].
    pub excluded: Vec<Nearest>,
}

/// The most rivals that are told of.
pub const MOST_RIVALS: usize = 3;

/// A candidate that was not chosen.
#[derive(Debug, Clone)]
pub struct Rival {
    /// For people: `zlib@1.3.1 /v2xkvre`.
    pub title: String,
    /// What it costs with all below it.
    pub cost: Cost,
    /// The first criterion in which it differs from what was chosen; none where only the hash decided, and whether it is
    /// worse there: a better one did not go together with the other roots.
    pub differs: Option<(&'static str, bool)>,
}

/// A root that is asked for.
struct Root {
    spec: Spec,
    text: String,
    canonical: String,
    place: Span,
}

/// Chooses one spec of the caches per root.
///
/// # Errors
/// When no spec fits a root, the fitting ones do not go together, or what was chosen cannot be read.
pub fn resolve(request: &Request<'_>, known: &KnownSpecs) -> Result<Resolution, ResolveError> {
    let rules = Rules::read(request.environment);
    let nodes = Nodes::new(known);
    let roots = roots(request)?;
    if roots.is_empty() {
        return Err(ResolveError::Empty);
    }
    if let Some(place) = rules.splices {
        return Err(ResolveError::Splices { place });
    }
    let unify = request.environment.unify();
    if unify != Unify::Separately && roots.len() > MOST_UNIFIED {
        return Err(ResolveError::TooManyRoots {
            count: roots.len(),
            most: MOST_UNIFIED,
        });
    }
    // Hashes are verified of what is chosen, not of all there is; each round that finds a forged spec excludes it.
    let mut forged = HashSet::new();
    loop {
        let pool = Pool::new(&nodes, &rules, request, &forged, &roots);
        let candidates = pool.candidates()?;
        let chosen = choose(&pool, &candidates, request, unify)?;
        let ids: Vec<SpecId> = chosen
            .iter()
            .zip(&candidates)
            .map(|(number, candidates)| candidates[*number].id)
            .collect();
        match output::lock(&nodes, &roots, &ids, request.included)? {
            output::Output::Lock(lock) => {
                return Ok(Resolution {
                    roots: pool.explained(&candidates, &chosen),
                    lock,
                });
            }
            output::Output::Forged(found) => {
                drop(pool);
                forged.extend(found);
            }
        }
    }
}

fn roots(request: &Request<'_>) -> Result<Vec<Root>, ResolveError> {
    let mut roots: Vec<Root> = Vec::new();
    for user in request.specs {
        let spec = Spec::parse(&user.text).map_err(|fault| ResolveError::Spec {
            text: user.text.clone(),
            place: user.span,
            message: fault.to_string(),
        })?;
        let canonical = recorded(&spec, &user.text);
        if roots.iter().any(|it| it.canonical == canonical) {
            continue;
        }
        roots.push(Root {
            spec,
            text: user.text.clone(),
            canonical,
            place: user.span,
        });
    }
    Ok(roots)
}

/// How a lock records what was asked for.
///
/// Spack writes `ns.pkg` without the namespace, does not recognise it then, and solves the environment again each time; with
/// the namespace it does.
fn recorded(spec: &Spec, text: &str) -> String {
    let canonical = spec.to_string();
    match &spec.namespace {
        Some(namespace) if format!("{namespace}.{canonical}") == text => text.to_owned(),
        _ => canonical,
    }
}

/// The number of the candidate of each root.
fn choose(
    pool: &Pool<'_, '_>,
    candidates: &[Vec<Candidate>],
    request: &Request<'_>,
    unify: Unify,
) -> Result<Vec<usize>, ResolveError> {
    let search = |candidates: &[Vec<Candidate>], may_skip| {
        Search::new(
            pool.nodes,
            &pool.ranking,
            &pool.checker,
            candidates,
            may_skip,
        )
        .run()
    };
    let refused = |clash: Option<Clash>| pool.clash(clash);
    match unify {
        Unify::Separately => Ok(vec![0; candidates.len()]),
        Unify::Together => {
            let (_, choice) =
                Search::new(pool.nodes, &pool.ranking, &pool.checker, candidates, false)
                    .beside(request.included)
                    .run()
                    .map_err(refused)?;
            Ok(choice.into_iter().map(Option::unwrap_or_default).collect())
        }
        Unify::WhenPossible => {
            let mut decided: Vec<Option<usize>> = vec![None; candidates.len()];
            loop {
                let open: Vec<usize> = (0..candidates.len())
                    .filter(|it| decided[*it].is_none())
                    .collect();
                if open.is_empty() {
                    return Ok(decided.into_iter().map(Option::unwrap_or_default).collect());
                }
                let lists: Vec<Vec<Candidate>> =
                    open.iter().map(|it| candidates[*it].clone()).collect();
                let (_, choice) = search(&lists, true).map_err(refused)?;
                if choice.iter().all(Option::is_none) {
                    return Err(refused(None));
                }
                for (root, number) in open.into_iter().zip(choice) {
                    decided[root] = number;
                }
            }
        }
    }
}
