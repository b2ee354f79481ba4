//! Writing the index of a build cache.
//!
//! ```text
//! BuildCacheIndex (what it said before) ─┐
//! ConcreteSpec of a package and below ───┼─► CacheIndexBuilder ──to_text──► {"database": {"version": "8", ...}}
//! a shard: an index of few packages ─────┘
//! ```
//!
//! The text depends on what is in the cache and on nothing else, so two who put the same packages together write the
//! same bytes.
//!
//! Source: `Database._write_to_file`, `InstallRecord.to_dict` in `lib/spack/spack/database.py`, `BuildCacheDatabase` in
//! `binary_distribution.py` of Spack 1.1.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::BuildCacheIndex;
use crate::build_cache::v3::spec_manifest_path;
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes, NodeFormat};
use crate::dag_hash::DagHash;

/// The database version that is written: that of Spack 1.0 and later.
const VERSION: u32 = 8;

/// The index of a build cache, put together from parts.
#[derive(Debug, Clone, Default)]
pub struct CacheIndexBuilder {
    records: BTreeMap<DagHash, Record>,
}

#[derive(Debug, Clone)]
struct Record {
    /// Where layout 3 has the entry.
    manifest_path: Arc<str>,
    /// The node as format 5 has it.
    node: Arc<str>,
    below: Vec<DagHash>,
    in_build_cache: bool,
}

impl CacheIndexBuilder {
    /// Adds all that another index says. Of two records of one hash the first stays.
    pub fn add_index(&mut self, index: &BuildCacheIndex) {
        for (hash, record) in &index.records {
            self.add_node(&record.spec);
            if record.in_build_cache {
                self.mark(*hash);
            }
        }
    }

    /// Adds a package that is in the build cache, with nodes for all that it depends on.
    pub fn add_package(&mut self, root: DagHash, specs: &ConcreteSpecs) {
        for spec in specs.closure([root], DepTypes::ALL) {
            self.add_node(spec);
            // A splice is read together with the spec that it was built as.
            if let Some(built) = &spec.build_spec {
                for spec in specs.closure([built.hash], DepTypes::ALL) {
                    self.add_node(spec);
                }
            }
        }
        self.mark(root);
    }

    /// Whether the package is known to be in the build cache.
    #[must_use]
    pub fn holds(&self, hash: &DagHash) -> bool {
        self.records.get(hash).is_some_and(|it| it.in_build_cache)
    }

    /// Whether anything is known of this node, so that it can be marked.
    #[must_use]
    pub fn knows(&self, hash: &DagHash) -> bool {
        self.records.contains_key(hash)
    }

    /// Says that a known package is in the build cache.
    pub fn mark(&mut self, hash: DagHash) {
        if let Some(record) = self.records.get_mut(&hash) {
            record.in_build_cache = true;
        }
    }

    /// Where the manifest of a package lies that is known to be in the build cache.
    #[must_use]
    pub fn manifest_path(&self, hash: &DagHash) -> Option<String> {
        let record = self.records.get(hash).filter(|it| it.in_build_cache)?;
        Some(record.manifest_path.to_string())
    }

    /// Says of all packages but those in `present` that they are not in the build cache.
    pub fn keep_only(&mut self, present: &BTreeSet<DagHash>) {
        for (hash, record) in &mut self.records {
            record.in_build_cache &= present.contains(hash);
        }
    }

    /// The packages that are in the build cache, in order.
    pub fn packages(&self) -> impl Iterator<Item = DagHash> {
        self.records
            .iter()
            .filter(|(_, record)| record.in_build_cache)
            .map(|(hash, _)| *hash)
    }

    /// The text of the index: the packages of the build cache and all nodes below them.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut counts: HashMap<DagHash, usize> = HashMap::new();
        let mut reached = BTreeSet::new();
        let mut pending: Vec<DagHash> = self.packages().collect();
        while let Some(hash) = pending.pop() {
            let Some(record) = self.records.get(&hash) else {
                continue;
            };
            if !reached.insert(hash) {
                continue;
            }
            for below in &record.below {
                *counts.entry(*below).or_default() += 1;
                pending.push(*below);
            }
        }
        let mut out = format!("{{\"database\":{{\"version\":\"{VERSION}\",\"installs\":{{");
        for (number, hash) in reached.iter().enumerate() {
            let Some(record) = self.records.get(hash) else {
                continue;
            };
            if number > 0 {
                out.push(',');
            }
            let count = counts.get(hash).copied().unwrap_or_default();
            // Writing to a String does not fail.
            let _ = write!(
                out,
                "\"{hash}\":{{\"spec\":{},\"ref_count\":{count},\"in_buildcache\":{}}}",
                record.node, record.in_build_cache
            );
        }
        out.push_str("}}}");
        out
    }

    fn add_node(&mut self, spec: &ConcreteSpec) {
        self.records.entry(spec.hash).or_insert_with(|| {
            let edges = spec.edges.iter().map(|edge| edge.hash);
            let below: BTreeSet<DagHash> = edges
                .chain(spec.build_spec.iter().map(|it| it.hash))
                .collect();
            Record {
                manifest_path: spec_manifest_path(spec).into(),
                node: as_format_5(spec),
                below: below.into_iter().collect(),
                in_build_cache: false,
            }
        });
    }
}

/// The node's text in the format that goes with [`VERSION`]. What older formats have in other places is moved as Spack
/// moves it when it reads and saves such a node: the compiler into the annotations, `direct` onto every edge.
fn as_format_5(spec: &ConcreteSpec) -> Arc<str> {
    if spec.format == NodeFormat::V5 {
        return Arc::clone(&spec.raw);
    }
    // A node that was read from its own text has members.
    let members: IndexMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(&spec.raw).unwrap_or_default();
    let mut out = String::from("{");
    let mut member = |name: &str, value: &str| {
        if out.len() > 1 {
            out.push(',');
        }
        let _ = write!(out, "\"{name}\":{value}");
    };
    for (name, value) in &members {
        match name.as_ref() {
            "compiler" | "annotations" | "hash" => {}
            "dependencies" => member("dependencies", &edges(spec)),
            _ => member(name, value.get()),
        }
    }
    let annotations = match &spec.compiler {
        Some(compiler) => serde_json::json!({
            "original_specfile_version": spec.format.number(),
            "compiler": format!("{}@={}", compiler.name, compiler.version),
        }),
        None => serde_json::json!({"original_specfile_version": spec.format.number()}),
    };
    member("annotations", &annotations.to_string());
    member("hash", &format!("\"{}\"", spec.hash));
    out.push('}');
    out.into()
}

fn edges(spec: &ConcreteSpec) -> String {
    let edges: Vec<serde_json::Value> = spec
        .edges
        .iter()
        .map(|edge| {
            serde_json::json!({
                "name": edge.name,
                "hash": edge.hash,
                "parameters": {
                    "deptypes": edge.deptypes.names().collect::<Vec<_>>(),
                    "virtuals": edge.virtuals,
                    "direct": true,
                },
            })
        })
        .collect();
    serde_json::Value::from(edges).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_cache::SpecFile;
    use crate::concrete::test_specs;

    fn names(builder: &CacheIndexBuilder) -> Vec<(String, bool)> {
        let read = BuildCacheIndex::parse(&builder.to_text()).expect("an index");
        let mut names: Vec<_> = read
            .records
            .values()
            .map(|it| (it.spec.name.clone(), it.in_build_cache))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn packages_bring_the_nodes_below_them() {
        let specs = test_specs::small();
        let hash = |name| test_specs::named(&specs, name).hash;
        let mut builder = CacheIndexBuilder::default();
        builder.add_package(hash("lib"), &specs);
        let of_lib = [("lib".to_owned(), true), ("libc".to_owned(), false)];
        assert_eq!(names(&builder), of_lib);
        let mut other = CacheIndexBuilder::default();
        other.add_package(hash("app"), &specs);
        other.add_index(&BuildCacheIndex::parse(&builder.to_text()).expect("an index"));
        builder.add_index(&BuildCacheIndex::parse(&other.to_text()).expect("an index"));
        assert_eq!(builder.to_text(), other.to_text(), "whatever the order");
        assert!(builder.holds(&hash("lib")) && builder.holds(&hash("app")));
        assert!(!builder.holds(&hash("tool")) && builder.knows(&hash("libc")));
        builder.keep_only(&[hash("lib")].into());
        assert_eq!(names(&builder), of_lib, "what nobody needs is gone");
    }

    #[test]
    fn nodes_of_older_formats_are_written_as_spack_writes_them_again() {
        let text = r#"{"spec":{"_meta":{"version":4},"nodes":[
            {"name":"a","version":"1","arch":{"platform":"linux","platform_os":"d","target":"x86_64"},"compiler":{"name":"gcc","version":"12"},"namespace":"builtin","parameters":{},"dependencies":[{"name":"b","hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","parameters":{"deptypes":["build","link"],"virtuals":["v"]}}],"hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
            {"name":"b","version":"1","arch":{"platform":"linux","platform_os":"d","target":"x86_64"},"parameters":{},"hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}]}}"#;
        let file = SpecFile::parse(text).expect("a spec file");
        let mut builder = CacheIndexBuilder::default();
        builder.add_package(file.root, &file.specs);
        let text = builder.to_text();
        assert!(!text.contains("\"compiler\":{"), "{text}");
        let index = BuildCacheIndex::parse(&text).expect("an index of version 8");
        let spec = &index.records[&file.root].spec;
        let annotations = spec.annotations.as_ref().expect("annotations");
        assert_eq!(annotations.original_specfile_version, 4);
        assert_eq!(annotations.compiler.as_deref(), Some("gcc@=12"));
        assert!(spec.edges[0].direct && spec.edges[0].virtuals == ["v"]);
    }
}
