//! What a lock takes for granted, looked for in the image: compilers, the C library, programs of the distribution.

use std::collections::{BTreeMap, BTreeSet};

use spack_format::concrete::{ConcreteSpec, DepTypes};

use super::bubble::{Bubble, has};
use super::{Order, Plan, RoomError};
use crate::farm::survey::needed;

/// Prints a compiler's version, or what its end says.
const COMPILER: &str = "\"$1\" -dumpfullversion 2>/dev/null || \"$1\" -dumpversion";

/// Prints the version of the C library: `glibc 2.36`.
const LIBC: &str = "getconf GNU_LIBC_VERSION";

/// Refuses a plan whose builds need externals that the image does not have.
pub(super) fn check(bubble: &Bubble, plan: &Plan, orders: &[Order<'_>]) -> Result<(), RoomError> {
    let mut externals: BTreeMap<String, &ConcreteSpec> = BTreeMap::new();
    for build in &plan.builds {
        let Some(order) = orders.get(build.order) else {
            continue;
        };
        let specs = &order.lock.specs;
        let Some(spec) = specs.get(&build.hash) else {
            continue;
        };
        let direct = spec.edges_of(needed(false)).map(|edge| edge.hash);
        let all = specs.closure(direct, DepTypes::RUNTIME);
        for external in all.into_iter().filter(|it| it.is_external()) {
            externals.insert(external.hash.to_string(), external);
        }
    }
    let lacking: BTreeSet<String> = externals
        .values()
        .filter_map(|spec| lacks(bubble, spec))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(RoomError::Externals(lacking.into_iter().collect()))
}

/// Says what the image lacks of an external package.
fn lacks(bubble: &Bubble, spec: &ConcreteSpec) -> Option<String> {
    let external = spec.external.as_ref()?;
    let prefix = external.path.as_deref()?;
    let title = format!("{}@{} at {prefix}", spec.name, spec.version);
    let root = bubble.root();
    if !has(root, prefix) {
        return Some(format!("{title}: there is no `{prefix}`"));
    }
    if spec.name == "glibc" {
        let said = bubble.ask(LIBC, &[])?;
        let found = said.split_ascii_whitespace().last()?.to_owned();
        return (found != spec.version).then(|| format!("{title}: there is glibc {found}"));
    }
    let compilers = external.extra_attributes.get("compilers");
    let compilers: Vec<&str> = compilers
        .and_then(|it| it.as_object())
        .into_iter()
        .flat_map(|it| it.values())
        .filter_map(|it| it.as_str())
        .collect();
    if let Some(gone) = compilers.iter().find(|path| !has(root, path)) {
        return Some(format!("{title}: there is no `{gone}`"));
    }
    if let (Some(first), "gcc") = (compilers.first(), spec.name.as_str()) {
        let said = bubble.ask(COMPILER, &[(*first).to_owned()])?;
        let found = said.trim();
        let is_same = found == spec.version || spec.version.starts_with(&format!("{found}."));
        return (!is_same).then(|| format!("{title}: `{first}` is of version {found}"));
    }
    // A program of this machine that the solver was told of is none of the image.
    let program = format!("{prefix}/bin/{}", spec.name);
    let is_here = std::path::Path::new(&program).exists();
    (is_here && !has(root, &program)).then(|| format!("{title}: there is no `{program}`"))
}
