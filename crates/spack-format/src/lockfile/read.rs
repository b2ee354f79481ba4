//! A lock from its text.

use std::borrow::Cow;
use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    IncludedEnvironment, LockfileError, NEWEST_VERSION, OLDEST_READABLE_VERSION, Root,
    SpackLockfile, SpackRelease,
};
use crate::concrete::{
    ConcreteSpec, ConcreteSpecs, GraphError, JsonFault, NodeFormat, read_node_with_keys,
};
use crate::dag_hash::DagHash;

pub(super) fn parse(text: &str) -> Result<SpackLockfile, LockfileError> {
    let json_fault = |error| LockfileError::Json(JsonFault::within(text, text, &error));
    // The version is looked at first: an unknown version may have another shape.
    let meta: MetaOnly = serde_json::from_str(text).map_err(json_fault)?;
    if meta.meta.file_type != "spack-lockfile" {
        return Err(LockfileError::FileType {
            found: meta.meta.file_type,
        });
    }
    let version = meta.meta.lockfile_version;
    let format = node_format(version)?;
    let file: File<'_> = serde_json::from_str(text).map_err(json_fault)?;

    let mut raw_nodes: IndexMap<Cow<'_, str>, &RawValue> = file.concrete_specs;
    let mut included = Vec::new();
    flatten_includes(file.include_concrete, &mut included, &mut raw_nodes);

    let mut nodes = IndexMap::with_capacity(raw_nodes.len());
    for (key, raw) in raw_nodes {
        let (key, node) = read_entry(text, version, format, &key, raw)?;
        nodes.entry(key).or_insert(node);
    }
    let mut lock = SpackLockfile {
        version,
        format,
        spack: file.spack.map(|it| SpackRelease {
            version: it.version,
            kind: it.kind,
            commit: it.commit,
        }),
        roots: file.roots,
        included,
        specs: ConcreteSpecs::default(),
    };
    if version == 3 {
        rename_keys(&mut lock, &mut nodes)?;
    }
    lock.specs = ConcreteSpecs::new(nodes.into_values())?;
    for root in lock
        .roots
        .iter()
        .chain(lock.included.iter().flat_map(|it| &it.roots))
    {
        if lock.specs.get(&root.hash).is_none() {
            return Err(LockfileError::MissingRoot {
                spec: root.spec.clone(),
                hash: root.hash,
            });
        }
    }
    Ok(lock)
}

/// The node format follows from the lock version alone; Spack looks at nothing else either.
fn node_format(version: u32) -> Result<NodeFormat, LockfileError> {
    match version {
        0..OLDEST_READABLE_VERSION => Err(LockfileError::TooOld(version)),
        3 => Ok(NodeFormat::V2),
        4 => Ok(NodeFormat::V3),
        5 => Ok(NodeFormat::V4),
        6..=NEWEST_VERSION => Ok(NodeFormat::V5),
        _ => Err(LockfileError::TooNew(version)),
    }
}

fn read_entry(
    text: &str,
    version: u32,
    format: NodeFormat,
    key: &str,
    raw: &RawValue,
) -> Result<(DagHash, ConcreteSpec), LockfileError> {
    let hash = key.parse::<DagHash>().map_err(|error| {
        LockfileError::Json(JsonFault::at(
            text,
            raw.get(),
            format!("the key of this node: {error}"),
        ))
    })?;
    let keyed = read_node_with_keys(text, raw, format, Some(hash)).map_err(|source| {
        LockfileError::Node {
            key: key.to_owned(),
            source,
        }
    })?;
    // Keys of version 3 are build hashes, which differ from the node's own.
    if version > 3 && keyed.states_hash && keyed.node.hash != hash {
        return Err(LockfileError::KeyMismatch {
            name: keyed.node.name,
            key: hash,
            hash: keyed.node.hash,
        });
    }
    Ok((hash, keyed.node))
}

/// Version 3 names nodes by build hash, and several of them may be one and the same DAG hash. Of
/// those, Spack keeps the first that it meets going down from the roots, and so do we; from then
/// on all is named by DAG hash as in later versions.
fn rename_keys(
    lock: &mut SpackLockfile,
    nodes: &mut IndexMap<DagHash, ConcreteSpec>,
) -> Result<(), LockfileError> {
    let names: HashMap<DagHash, DagHash> =
        nodes.iter().map(|(key, node)| (*key, node.hash)).collect();
    let mut kept: IndexMap<DagHash, DagHash> = IndexMap::new();
    let mut visited = std::collections::HashSet::new();
    let mut stack: Vec<DagHash> = lock.roots.iter().rev().map(|root| root.hash).collect();
    while let Some(key) = stack.pop() {
        if !visited.insert(key) {
            continue;
        }
        let Some(node) = nodes.get(&key) else {
            continue;
        };
        kept.entry(node.hash).or_insert(key);
        let mut below: Vec<_> = node
            .edges
            .iter()
            .map(|edge| (&edge.name, edge.hash))
            .collect();
        below.sort();
        stack.extend(below.into_iter().rev().map(|(_, hash)| hash));
    }
    nodes.retain(|key, node| kept.get(&node.hash) == Some(key));
    for node in nodes.values_mut() {
        let (from, from_hash) = (node.name.clone(), node.hash);
        for edge in &mut node.edges {
            edge.hash = *names.get(&edge.hash).ok_or_else(|| GraphError::Dangling {
                from: from.clone(),
                from_hash,
                to: edge.name.clone(),
                to_hash: edge.hash,
            })?;
        }
        if let Some(build_spec) = &mut node.build_spec {
            build_spec.hash = names
                .get(&build_spec.hash)
                .copied()
                .unwrap_or(build_spec.hash);
        }
    }
    for root in &mut lock.roots {
        root.hash = *names
            .get(&root.hash)
            .ok_or_else(|| LockfileError::MissingRoot {
                spec: root.spec.clone(),
                hash: root.hash,
            })?;
    }
    Ok(())
}

/// Nodes and roots that an earlier path has shown are not repeated under later ones, so all maps
/// are merged before anything is resolved. Nesting is bounded by the JSON parser's depth limit.
fn flatten_includes<'a>(
    includes: IndexMap<String, Environment<'a>>,
    out: &mut Vec<IncludedEnvironment>,
    nodes: &mut IndexMap<Cow<'a, str>, &'a RawValue>,
) {
    for (path, environment) in includes {
        out.push(IncludedEnvironment {
            path,
            roots: environment.roots,
        });
        for (key, raw) in environment.concrete_specs {
            nodes.entry(key).or_insert(raw);
        }
        flatten_includes(environment.include_concrete, out, nodes);
    }
}

#[derive(Deserialize)]
struct MetaOnly {
    #[serde(rename = "_meta")]
    meta: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    file_type: String,
    lockfile_version: u32,
}

#[derive(Deserialize)]
struct File<'a> {
    spack: Option<Spack>,
    #[serde(deserialize_with = "roots")]
    roots: Vec<Root>,
    #[serde(borrow)]
    concrete_specs: IndexMap<Cow<'a, str>, &'a RawValue>,
    #[serde(borrow, default = "IndexMap::new")]
    include_concrete: IndexMap<String, Environment<'a>>,
}

#[derive(Deserialize)]
struct Spack {
    version: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    commit: Option<String>,
}

#[derive(Deserialize)]
struct Environment<'a> {
    #[serde(deserialize_with = "roots")]
    roots: Vec<Root>,
    #[serde(borrow)]
    concrete_specs: IndexMap<Cow<'a, str>, &'a RawValue>,
    #[serde(borrow, default = "IndexMap::new")]
    include_concrete: IndexMap<String, Environment<'a>>,
}

fn roots<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Root>, D::Error> {
    #[derive(Deserialize)]
    struct RootJson {
        hash: DagHash,
        spec: String,
        group: Option<String>,
    }
    let roots = Vec::<RootJson>::deserialize(deserializer)?;
    Ok(roots
        .into_iter()
        .map(|root| Root {
            hash: root.hash,
            spec: root.spec,
            group: root.group,
        })
        .collect())
}
