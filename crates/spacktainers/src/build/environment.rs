//! The variables of the image: what activating the environment does to those of the base.

use std::collections::{BTreeMap, HashMap, HashSet};

use indexmap::IndexMap;
use oci_format::config::ImageConfig;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};
use spack_format::dag_hash::DagHash;
use spack_format::environment_modifications::{
    EnvironmentRequest, ViewPlaces, for_prefixes, for_view, is_in_table,
};

use super::BuildInput;
use crate::layer::PackageEntryKind;
use crate::libraries::{BaseRecord, Tree};
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
    let known = packages
        .iter()
        .filter(|package| is_in_table(&package.spec.name))
        .count();
    let source = format!(
        "prefix inspections{}",
        if known > 0 {
            format!(" and what is known of {known} packages' recipes")
        } else {
            String::new()
        }
    );
    (variables, source)
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
