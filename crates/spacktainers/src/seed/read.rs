//! What workflows, Dockerfiles and the README of a repository say.

use std::collections::BTreeSet;

use spack_format::yaml::{Node, Value, parse_strict};

use super::{Seed, SeedContainer, SeedFiles};
use crate::pipeline::System;

/// Where workflows lie.
const WORKFLOWS: &str = ".github/workflows/";

/// How a workflow stands for the name of a container.
const NAME: &str = "${{ matrix.spacktainer }}";

pub(super) fn seed(files: &SeedFiles, containers: Vec<SeedContainer>) -> Seed {
    let mut seed = Seed {
        containers,
        ..Seed::default()
    };
    for (path, text) in files {
        let is_workflow =
            path.starts_with(WORKFLOWS) && (path.ends_with(".yaml") || path.ends_with(".yml"));
        if is_workflow && let Ok(root) = parse_strict(text) {
            workflow(&mut seed, path, &root);
        }
    }
    if let Some(names) = files.get(".github/workflows/matrix.json") {
        seed.built = serde_json::from_str(names).ok();
    }
    systems(&mut seed, files);
    if let Some(text) = files.get("builder/Dockerfile") {
        builder(&mut seed, text);
    }
    if let Some(text) = files.get("runtime/Dockerfile") {
        seed.packages = apt_packages(text);
    }
    if let Some(text) = files.get("README.md") {
        seed.ecr_host = words(text)
            .find(|it| it.contains(".dkr.ecr."))
            .and_then(host);
    }
    // The first environment is that of pull requests: the default of what builds.
    seed.environments.dedup();
    seed
}

fn systems(seed: &mut Seed, files: &SeedFiles) {
    if !seed.jobs.is_empty() {
        seed.systems.push(System::Github);
    }
    let template = files
        .get("spack.yaml")
        .and_then(|text| parse_strict(text).ok());
    let target = template
        .as_ref()
        .and_then(|root| root.at(&["spack", "ci", "target"])?.as_str());
    if files.contains_key(".gitlab-ci.yml") || (seed.systems.is_empty() && target == Some("gitlab"))
    {
        seed.systems.push(System::Gitlab);
    }
    if seed.systems.is_empty() {
        seed.systems.push(System::Github);
    }
}

fn workflow(seed: &mut Seed, path: &str, root: &Node) {
    let jobs = root.get("jobs").and_then(Node::as_mapping);
    for entry in jobs.into_iter().flat_map(|it| it.iter()) {
        seed.jobs.push((path.to_owned(), entry.key.text.clone()));
        let labels = entry
            .value
            .get("runs-on")
            .and_then(Node::as_sequence)
            .map(texts)
            .unwrap_or_default();
        let is_small = labels.iter().any(|it| it.contains("small"));
        match (labels.is_empty(), is_small) {
            (true, _) => {}
            (false, true) => seed.small_runner = labels,
            (false, false) => seed.runner = labels,
        }
        let matrix = entry.value.at(&["strategy", "matrix", "spacktainer"]);
        if let Some(names) = matrix.and_then(Node::as_sequence) {
            seed.built = Some(texts(names).into_iter().collect());
        }
    }
    let inputs = root.at(&["on", "workflow_dispatch", "inputs", "environment"]);
    if let Some(inputs) = inputs {
        let default = inputs
            .get("default")
            .and_then(Node::as_str)
            .map(str::to_owned);
        let options = inputs.get("options").and_then(Node::as_sequence).map(texts);
        seed.environments = default.into_iter().collect();
        for option in options.unwrap_or_default() {
            if !seed.environments.contains(&option) {
                seed.environments.push(option);
            }
        }
    }
    let mut strings = Vec::new();
    collect(root, "", &mut strings, 0);
    for (key, text) in &strings {
        secrets(&mut seed.secrets, text);
        match key.as_str() {
            "GHCR_PATH" if text.contains(NAME) => {
                seed.ghcr = Some(format!("ghcr.io{}", text.replace(NAME, "{name}")));
            }
            "AWS_ECR_PATH" if text.contains(NAME) => {
                seed.ecr = Some(text.trim_start_matches('/').replace(NAME, "{name}"));
            }
            "destination" if text.starts_with("s3://") => seed.has_sif = true,
            "BUILDAH_EXTRA_ARGS" => {
                let branch = words(text).find_map(|it| it.strip_prefix("SPACK_BRANCH="));
                seed.spack = branch.map(str::to_owned).or(seed.spack.take());
            }
            _ => {}
        }
        seed.has_labels |= text.contains("pull_request.labels");
    }
}

/// All texts with the keys that they stand under.
fn collect(node: &Node, key: &str, found: &mut Vec<(String, String)>, depth: usize) {
    // What the reader takes is not deeper.
    if depth > 64 {
        return;
    }
    match &node.value {
        Value::Scalar(scalar) => found.push((key.to_owned(), scalar.text.clone())),
        Value::Sequence(items) => items
            .iter()
            .for_each(|it| collect(it, key, found, depth + 1)),
        Value::Mapping(map) => map
            .iter()
            .for_each(|it| collect(&it.value, &it.key.text, found, depth + 1)),
    }
}

fn texts(nodes: &[Node]) -> Vec<String> {
    nodes
        .iter()
        .filter_map(Node::as_str)
        .map(str::to_owned)
        .collect()
}

/// Names behind `secrets.`.
fn secrets(found: &mut BTreeSet<String>, text: &str) {
    for rest in text.split("secrets.").skip(1) {
        let name: String = rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        if !name.is_empty() {
            found.insert(name);
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "\"'`()".contains(c))
}

/// The host of `docker://HOST/path` or `HOST/path`.
fn host(word: &str) -> Option<String> {
    let word = word.rsplit("//").next()?;
    let host = word.split('/').next()?.trim_end_matches(['.', ',']);
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    let is_host = host.starts_with(|c: char| c.is_ascii_digit()) && host.chars().all(fits);
    is_host.then(|| host.to_owned())
}

fn builder(seed: &mut Seed, text: &str) {
    let argument = |name: &str| {
        let value = text.lines().find_map(|line| {
            line.strip_prefix("ARG ")?
                .strip_prefix(name)?
                .strip_prefix('=')
        });
        value.map(|it| it.trim().trim_matches('"').to_owned())
    };
    seed.base_image = argument("BASE_IMAGE");
    seed.cache = argument("CACHE_BUCKET");
    seed.spack = seed.spack.take().or_else(|| argument("SPACK_BRANCH"));
    let setting = |name: &str| {
        words(text)
            .find_map(|it| it.strip_prefix(name))
            .map(str::to_owned)
    };
    if let Some(root) = setting("config:install_tree:root:") {
        let padded = setting("config:install_tree:padded_length:").and_then(|it| it.parse().ok());
        seed.install = Some((root, padded.unwrap_or(0)));
    }
    let target = setting("packages:all:require:target=");
    seed.target = target.map(|it| it.trim_end_matches([';', '&']).to_owned());
}

/// What `apt-get install -y` names.
fn apt_packages(text: &str) -> Vec<String> {
    let line = text
        .lines()
        .find_map(|line| line.split_once("apt-get install -y ").map(|it| it.1));
    let names = line.unwrap_or_default().split_whitespace();
    let fits = |name: &&str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !name.starts_with('-')
    };
    names
        .take_while(|it| *it != "\\" && *it != "&&")
        .filter(fits)
        .map(str::to_owned)
        .collect()
}
