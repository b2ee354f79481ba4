//! The variables of the image: what activating the environment does to those of the base.

use std::collections::{BTreeMap, HashMap, HashSet};

use indexmap::IndexMap;
use oci_format::config::ImageConfig;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};
use spack_format::dag_hash::DagHash;
use spack_format::environment_modifications::{
    EnvironmentRequest, Modification, ViewPlaces, for_prefixes, for_view, is_in_table,
};

use super::BuildInput;
use crate::layer::PackageEntryKind;
use crate::libraries::{BaseRecord, Tree};
use crate::lock::{LockedModification, LockedRecipes};
use crate::site::SitePackage;

/// What `PATH` is where the base does not say: the kernel's own idea of a system.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables and their values, sorted, without those that the base has with the same value; and where they come from, in
/// words for the lock.
pub(super) fn variables(
    input: &BuildInput<'_>,
    specs: &ConcreteSpecs,
    roots: &[DagHash],
    packages: &[SitePackage<'_>],
    recipes: Option<&LockedRecipes>,
    base: Option<&ImageConfig>,
    base_records: &[BaseRecord],
) -> (IndexMap<String, String>, String) {
    let prefixes: HashMap<DagHash, &str> = packages
        .iter()
        .map(|package| (package.spec.hash, package.prefix))
        .collect();
    let prefix = |spec: &ConcreteSpec| match &spec.external {
        Some(external) => external.path.clone(),
        None => prefixes.get(&spec.hash).map(|prefix| (*prefix).to_owned()),
    };
    let folders = folders(packages);
    let mut tree = Tree::default();
    for record in base_records {
        record.apply(&mut tree);
    }
    let request = EnvironmentRequest {
        specs,
        roots,
        prefix: &prefix,
        is_directory: &|path| folders.contains(path) || tree.has_folder(path),
        inspections: input.inspections,
        env_vars: input.env_vars,
        recipes: &|spec| asked(recipes?, spec, specs, &prefix),
    };
    // As `spack env activate`: the view named `default`, here the first that there is.
    let modifications = match input.views.first() {
        Some(view) => for_view(
            &request,
            &ViewPlaces {
                root: &view.root,
                place: &|spec| match view.relative_projection(spec, specs, input.satisfies) {
                    Ok(below) if !below.is_empty() => format!("{}/{below}", view.root),
                    _ => view.root.clone(),
                },
            },
        ),
        None => for_prefixes(&request),
    };
    let before = base_environment(base);
    let after = modifications.apply(&before);
    let variables = after
        .into_iter()
        .filter(|(name, value)| before.get(name) != Some(value))
        .collect();
    (variables, source(packages, recipes))
}

/// Where the variables come from, in words for the lock.
fn source(packages: &[SitePackage<'_>], recipes: Option<&LockedRecipes>) -> String {
    let is_open = |package: &&SitePackage<'_>| match recipes {
        Some(recipes) => recipes.unknown.contains(&package.spec.hash),
        None => true,
    };
    let open: Vec<_> = packages.iter().filter(is_open).collect();
    let known = open
        .iter()
        .filter(|package| is_in_table(&package.spec.name))
        .count();
    let mut parts = vec!["prefix inspections".to_owned()];
    if let Some(recipes) = recipes {
        parts.push(format!("recipes, asked with Spack {}", recipes.spack));
    }
    if known > 0 {
        parts.push(format!("what is known of {known} packages' recipes"));
    }
    let mut text = parts.join(" and ");
    if recipes.is_some() && open.len() > known {
        text.push_str(&format!("; {} recipes could not say", open.len() - known));
    }
    text
}

/// What the recipe of `spec` said; nothing if it could not say.
fn asked(
    recipes: &LockedRecipes,
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
    prefix: &dyn Fn(&ConcreteSpec) -> Option<String>,
) -> Option<Vec<Modification>> {
    if recipes.unknown.contains(&spec.hash) {
        return None;
    }
    let recipe = recipes.packages.iter().find(|it| it.hash == spec.hash);
    let sets = recipe.map(|it| it.sets.as_slice()).unwrap_or_default();
    let modification = |it: &LockedModification| {
        let value = placed(&it.value, specs, prefix);
        let separator = it.separator.chars().next().unwrap_or(':');
        let name = it.name.clone();
        match it.command.as_str() {
            "prepend_path" => Some(Modification::PrependPath {
                name,
                value,
                separator,
            }),
            "append_path" => Some(Modification::AppendPath {
                name,
                value,
                separator,
            }),
            command => Modification::from_command(command, &name, &value).ok(),
        }
    };
    Some(sets.iter().filter_map(modification).collect())
}

/// `{HASH}` replaced by the prefix of that package.
fn placed(
    value: &str,
    specs: &ConcreteSpecs,
    prefix: &dyn Fn(&ConcreteSpec) -> Option<String>,
) -> String {
    let mut parts = value.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let found = part.split_once('}').and_then(|(hash, rest)| {
            let spec = specs.get(&hash.parse().ok()?)?;
            Some((prefix(spec)?, rest))
        });
        match found {
            Some((prefix, rest)) => {
                out.push_str(&prefix);
                out.push_str(rest);
            }
            None => {
                out.push('{');
                out.push_str(part);
            }
        }
    }
    out
}

/// The base's variables, with a `PATH` in any case: without one, only the packages' programs would be found.
fn base_environment(base: Option<&ImageConfig>) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = base
        .iter()
        .flat_map(|config| &config.config.env)
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    environment
        .entry("PATH".to_owned())
        .or_insert_with(|| DEFAULT_PATH.to_owned());
    environment
}

/// Every folder of every package, absolute.
fn folders(packages: &[SitePackage<'_>]) -> HashSet<String> {
    let below = packages.iter().flat_map(|package| {
        package
            .record
            .entries
            .iter()
            .filter(|entry| entry.kind == PackageEntryKind::Directory)
            .map(|entry| format!("{}/{}", package.prefix, entry.path))
    });
    below
        .chain(packages.iter().map(|package| package.prefix.to_owned()))
        .collect()
}
