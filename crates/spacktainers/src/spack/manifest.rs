//! Definition, site and settings as one `spack.yaml` for Spack.
//!
//! The merged tree is written as JSON, which is YAML. It will lie in another folder than the files that it was merged
//! from, so paths that Spack takes from the folder of a file become absolute; every node knows which file it was
//! written in. What was read and merged already is no longer included; what was left to Spack is.
//!
//! Source of which values are paths: `lib/spack/spack/config.py` (includes), `repo.py`, `mirrors/mirror.py`,
//! `environment/environment.py` (`develop`, `include_concrete`, views) and `util/path.py` in Spack 1.1.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use spack_format::environment::Environment;
use spack_format::microarchitecture::Microarchitecture;
use spack_format::yaml::{Entry, KeyMark, Node, ScalarKind, SourceId, Value};

use crate::diagnostic::Sources;
use crate::project::{Definition, Project};

/// The definition as one environment of Spack's; an empty one if it is none of Spack packages.
pub(crate) fn definition_manifest(project: &Project, definition: &Definition) -> Json {
    let Some(spack) = definition.as_spack() else {
        return json!({ "spack": {} });
    };
    let settings = &project.settings;
    let architecture = settings.platform(definition.architecture, definition.variant.as_deref());
    // Where there is no current folder, there are no relative paths that could be meant.
    let folder = std::path::absolute(&project.folder).unwrap_or_else(|_| project.folder.clone());
    manifest(
        &spack.environment,
        &project.sources,
        &folder,
        architecture.target.as_deref(),
    )
}

/// The sections of an environment for a `spack.yaml` in any folder. `project` is the folder that names of `sources`
/// are relative to.
fn manifest(
    environment: &Environment,
    sources: &Sources,
    project: &Path,
    required_target: Option<&str>,
) -> Json {
    let folders = Folders { sources, project };
    let mut sections = match folders.json(environment.sections(), &mut Vec::new()) {
        Json::Object(sections) => sections,
        _ => Map::new(),
    };
    // The image has the views; where packages are solved and built, none is of use.
    sections.insert("view".to_owned(), json!(false));
    reuse(&mut sections);
    target(&mut sections, required_target);
    json!({ "spack": sections })
}

/// Unless somebody says otherwise, what lies in build caches is reused, and nothing that this machine happens to have
/// installed: the same inputs are to give the same lock.
fn reuse(sections: &mut Map<String, Json>) {
    if let Some(concretizer) = object(sections, "concretizer") {
        concretizer.entry("reuse").or_insert_with(
            || json!({"roots": true, "from": [{"type": "buildcache"}, {"type": "external"}]}),
        );
    }
}

/// A target that the settings require is required of all packages, if nothing is required of all yet.
fn target(sections: &mut Map<String, Json>, target: Option<&str>) {
    let Some(target) = target else { return };
    let is_generic = Microarchitecture::from_name(target).vendor() == "generic";
    if let Some(all) = object(sections, "packages").and_then(|packages| object(packages, "all")) {
        all.entry("require")
            .or_insert_with(|| json!([format!("target={target}")]));
    }
    let targets = object(sections, "concretizer").and_then(|it| object(it, "targets"));
    if let (Some(targets), true) = (targets, is_generic) {
        targets
            .entry("granularity")
            .or_insert_with(|| json!("generic"));
    }
}

/// The mapping under a key, made if nothing is there; none if something else is.
fn object<'a>(parent: &'a mut Map<String, Json>, key: &str) -> Option<&'a mut Map<String, Json>> {
    let value = parent.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// Knows in which folder a node was written.
struct Folders<'a> {
    sources: &'a Sources,
    project: &'a Path,
}

impl Folders<'_> {
    fn json(&self, node: &Node, path: &mut Vec<String>) -> Json {
        match &node.value {
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Null => Json::Null,
                ScalarKind::Boolean(value) => json!(value),
                ScalarKind::Integer(value) => json!(value),
                ScalarKind::Float(value) if value.is_finite() => json!(value),
                ScalarKind::String if is_path(path) => {
                    json!(self.absolute(&scalar.text, node.span.source))
                }
                ScalarKind::Float(_) | ScalarKind::Timestamp | ScalarKind::String => {
                    json!(scalar.text)
                }
            },
            Value::Sequence(items) => {
                let is_include = path.len() == 1 && path[0] == "include";
                let items = items
                    .iter()
                    .filter(|item| !is_include || is_left_to_spack(item))
                    .map(|item| {
                        path.push("[]".to_owned());
                        let value = self.json(item, path);
                        path.pop();
                        value
                    });
                Json::Array(items.collect())
            }
            Value::Mapping(mapping) => {
                let mut object = Map::new();
                for entry in mapping.iter() {
                    path.push(entry.key.text.clone());
                    object.insert(marked(entry), self.json(&entry.value, path));
                    path.pop();
                }
                Json::Object(object)
            }
        }
    }

    /// A path as Spack would understand it in the file where it was written.
    fn absolute(&self, text: &str, source: SourceId) -> String {
        let is_placed = text.starts_with(['/', '$', '~']) || text.contains("://");
        if is_placed || text.is_empty() {
            return text.to_owned();
        }
        let Some(file) = self.sources.get(source) else {
            return text.to_owned();
        };
        let file = self.project.join(&file.path);
        let folder = file.parent().unwrap_or(self.project);
        normal(&folder.join(text)).display().to_string()
    }
}

/// `..` and `.` taken out, as Spack does.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether the scalar at this place is a path that may be relative to its file.
fn is_path(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path.as_slice(),
        ["repos", "[]"]
            | ["repos", _]
            | ["repos", _, "destination"]
            | ["include", "[]"]
            | ["include", "[]", "path"]
            | ["include_concrete", "[]"]
            | ["develop", _, "path"]
            | ["mirrors", _]
            | ["mirrors", _, "url" | "fetch" | "push"]
            | ["mirrors", _, "fetch" | "push", "url"]
            | ["upstreams", _, "install_tree"]
            | [
                "config",
                "install_tree"
                    | "source_cache"
                    | "misc_cache"
                    | "test_stage"
                    | "license_dir"
                    | "build_stage"
            ]
            | ["config", "install_tree", "root"]
            | [
                "config",
                "build_stage" | "template_dirs" | "extensions",
                "[]"
            ]
    )
}

/// Whether an item of `include` is one that was not read when the project was: see the loader of definitions.
fn is_left_to_spack(item: &Node) -> bool {
    let text = item
        .as_str()
        .or_else(|| item.get("path").and_then(Node::as_str));
    item.get("git").is_some()
        || item.get("when").is_some()
        || text.is_some_and(|text| text.contains("://") || text.contains('$'))
}

/// A key with its mark: what replaces lower scopes here also replaces those that only Spack knows.
fn marked(entry: &Entry) -> String {
    let mark = match entry.key.mark {
        KeyMark::Replace => ":",
        // These were applied to the lower scopes of the project; marks of strings would be applied twice.
        KeyMark::Merge | KeyMark::Prepend | KeyMark::Append => "",
    };
    format!("{}{mark}", entry.key.text)
}
