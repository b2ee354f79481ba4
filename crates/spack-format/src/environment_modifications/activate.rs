//! The modifications of a view, or of prefixes.

use std::collections::HashSet;

use super::inspections::{PrefixInspections, is_system_path};
use super::modification::{Modification, Modifications};
use super::recipes::{self, Surroundings};
use super::use_modes::in_order_of_effect;
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use crate::dag_hash::DagHash;

/// All that the environment depends on.
pub struct EnvironmentRequest<'a> {
    /// All nodes.
    pub specs: &'a ConcreteSpecs,
    /// The installed roots of the environment, in order.
    pub roots: &'a [DagHash],
    /// The prefix of a package; that of an external is its path.
    pub prefix: &'a dyn Fn(&ConcreteSpec) -> Option<String>,
    /// Whether a directory is there, be it a package's or the base's.
    pub is_directory: &'a dyn Fn(&str) -> bool,
    /// Which directories variables name.
    pub inspections: &'a PrefixInspections,
    /// The section `env_vars` of the environment, applied first.
    pub env_vars: &'a Modifications,
    /// What a package's recipe sets for its dependents and itself, where somebody has asked Spack; for other packages the
    /// table serves.
    pub recipes: &'a dyn Fn(&ConcreteSpec) -> Option<Vec<Modification>>,
}

/// Where packages are in a view.
pub struct ViewPlaces<'a> {
    /// The root of the view, not its real root.
    pub root: &'a str,
    /// The place of a package: the root, or the projection below it.
    pub place: &'a dyn Fn(&ConcreteSpec) -> String,
}

/// What `spack env activate` does with a view. (`SPACK_ENV` and `SPACK_ENV_VIEW`, which name the
/// environment itself, are left to the caller.)
#[must_use]
pub fn for_view(request: &EnvironmentRequest<'_>, view: &ViewPlaces<'_>) -> Modifications {
    let mut out = request.env_vars.clone();
    // Of the view, also what is not there: it may come with the next package.
    out.extend(request.inspections.of(view.root, &|_| true));
    let mut of_specs = of_specs(request);
    project(request, view, &mut of_specs);
    out.extend(of_specs);
    out.prune_duplicate_paths();
    out
}

/// What `spack load` of the roots does, after `env_vars`, for environments without a view. Of equal
/// paths only the first is kept, which changes nothing that a search would find.
#[must_use]
pub fn for_prefixes(request: &EnvironmentRequest<'_>) -> Modifications {
    let mut out = request.env_vars.clone();
    out.extend(of_specs(request));
    out.prune_duplicate_paths();
    out
}

fn of_specs(request: &EnvironmentRequest<'_>) -> Modifications {
    let mut out = Modifications::new();
    let topological = request
        .specs
        .topological(request.roots.iter().copied(), DepTypes::RUNTIME);
    let keep = |path: &str| (request.is_directory)(path) && !is_system_path(path);
    for spec in topological.iter().rev() {
        if let Some(prefix) = (request.prefix)(spec) {
            out.extend(request.inspections.of(&prefix, &keep));
        }
    }
    let closure: HashSet<DagHash> = topological.iter().map(|spec| spec.hash).collect();
    for used in in_order_of_effect(request.specs, request.roots) {
        let Some(prefix) = (request.prefix)(used.spec) else {
            continue;
        };
        if used.is_runnable && !is_system_path(&prefix) {
            for folder in ["bin", "bin64"] {
                let path = format!("{prefix}/{folder}");
                if (request.is_directory)(&path) {
                    out.push(Modification::prepend_path("PATH", path));
                }
            }
        }
        let dependents = dependents(request.specs, &closure, used.spec);
        let surroundings = Surroundings {
            specs: request.specs,
            prefix: request.prefix,
            is_directory: request.is_directory,
            dependents: &dependents,
        };
        out.extend(match (request.recipes)(used.spec) {
            Some(asked) => asked,
            None => recipes::modifications(used.spec, &prefix, &surroundings),
        });
        out.extend(of_external(used.spec));
    }
    out
}

/// Who in the closure links or runs `spec`, in the order of the file.
fn dependents<'a>(
    specs: &'a ConcreteSpecs,
    closure: &HashSet<DagHash>,
    spec: &ConcreteSpec,
) -> Vec<&'a ConcreteSpec> {
    let depends = |other: &&ConcreteSpec| {
        let mut edges = other.edges_of(DepTypes::RUNTIME);
        closure.contains(&other.hash) && edges.any(|edge| edge.hash == spec.hash)
    };
    specs.iter().filter(depends).collect()
}

/// What the configuration says of an external's environment. What cannot be understood there has
/// been said when the configuration was read, and does not hinder the rest.
fn of_external(spec: &ConcreteSpec) -> Modifications {
    let section = spec
        .external
        .as_ref()
        .and_then(|it| it.extra_attributes.get("environment"));
    match section.and_then(serde_json::Value::as_object) {
        Some(section) => Modifications::from_json(section).unwrap_or_default(),
        None => Modifications::new(),
    }
}

/// Replaces prefixes by places in the view, wherever they stand in values.
fn project(request: &EnvironmentRequest<'_>, view: &ViewPlaces<'_>, out: &mut Modifications) {
    let places: Vec<(String, String)> = request
        .specs
        .topological(request.roots.iter().copied(), DepTypes::RUNTIME)
        .into_iter()
        .filter(|spec| !spec.is_external())
        .filter_map(|spec| Some(((request.prefix)(spec)?, (view.place)(spec))))
        .filter(|(prefix, _)| !prefix.is_empty())
        .collect();
    for value in out.iter_mut().filter_map(Modification::value_mut) {
        *value = replaced(value, &places);
    }
}

/// At every position the first prefix that fits is replaced, from left to right.
fn replaced(text: &str, places: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let found = places
            .iter()
            .find_map(|(from, to)| Some((rest.strip_prefix(from.as_str())?, to)));
        if let Some((after, to)) = found {
            out.push_str(to);
            rest = after;
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}
