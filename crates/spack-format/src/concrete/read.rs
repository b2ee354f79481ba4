//! One node from its JSON text.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{
    Annotations, Arch, BuildSpec, CompilerAttribute, ConcreteSpec, DepTypes, Edge, External,
    NodeFormat, VariantValue,
};
use crate::dag_hash::DagHash;

/// Where and why a JSON text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault {
    /// Line in the whole text, from 1.
    pub line: usize,
    /// Column in that line in bytes, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.message
        )
    }
}

impl JsonFault {
    /// A fault that `serde_json` found in `part`, which is a slice of `whole`.
    pub(crate) fn within(whole: &str, part: &str, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let mut message = error.to_string();
        let suffix = format!(" at line {line} column {column}");
        if message.ends_with(&suffix) {
            message.truncate(message.len() - suffix.len());
        }
        let start = locate(whole, part);
        if line <= 1 {
            // Column 1 of the part is the very byte at which it starts.
            Self {
                line: start.0,
                column: start.1 + column.saturating_sub(1),
                message,
            }
        } else {
            Self {
                line: start.0 + line - 1,
                column,
                message,
            }
        }
    }

    /// A fault found by looking at `part`, which is a slice of `whole`.
    pub(crate) fn at(whole: &str, part: &str, message: impl Into<String>) -> Self {
        let (line, column) = locate(whole, part);
        Self {
            line,
            column,
            message: message.into(),
        }
    }
}

/// Line and column, from 1, at which `part`, a slice of `whole`, starts. (1, 1) if it is none.
pub(crate) fn locate(whole: &str, part: &str) -> (usize, usize) {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    let Some(before) = whole.as_bytes().get(..offset) else {
        return (1, 1);
    };
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = 1 + memchr::memrchr(b'\n', before).map_or(offset, |newline| offset - newline - 1);
    (line, column)
}

/// Why a JSON value is not a concrete spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Not the shape of a node.
    #[error("{0}")]
    Json(JsonFault),
    /// A node without a hash, where nothing beside the node tells it.
    #[error("line {line}, column {column}: `{name}` has no `hash`")]
    NoHash {
        /// The node's name.
        name: String,
        /// Line of the node.
        line: usize,
        /// Column of the node.
        column: usize,
    },
}

/// A node whose edges may still name keys of the file instead of DAG hashes (format 2 in locks).
pub(crate) struct KeyedNode {
    pub(crate) node: ConcreteSpec,
    /// Whether the text has a `hash` of its own (else the fallback was taken).
    pub(crate) states_hash: bool,
}

impl ConcreteSpec {
    /// Reads the JSON of one node, such as one that was kept from an index; `key` is its hash if the node does not tell.
    ///
    /// # Errors
    /// When the text is no node of this format.
    pub fn from_json(
        text: &str,
        format: NodeFormat,
        key: Option<DagHash>,
    ) -> Result<Self, NodeError> {
        let raw: &RawValue = serde_json::from_str(text)
            .map_err(|error| NodeError::Json(JsonFault::within(text, text, &error)))?;
        read_node(text, raw, format, key)
    }
}

/// Reads the node in `raw`, a slice of `whole`; `key` is its hash if the node does not tell.
pub(crate) fn read_node(
    whole: &str,
    raw: &RawValue,
    format: NodeFormat,
    key: Option<DagHash>,
) -> Result<ConcreteSpec, NodeError> {
    read_node_with_keys(whole, raw, format, key).map(|keyed| keyed.node)
}

/// As [`read_node`], and says whether the node told its hash.
pub(crate) fn read_node_with_keys(
    whole: &str,
    raw: &RawValue,
    format: NodeFormat,
    key: Option<DagHash>,
) -> Result<KeyedNode, NodeError> {
    let text = raw.get();
    let node: Node = serde_json::from_str(text)
        .map_err(|error| NodeError::Json(JsonFault::within(whole, text, &error)))?;
    let fault = |message: String| NodeError::Json(JsonFault::at(whole, text, message));

    let states_hash = node.hash.is_some();
    let Some(hash) = node.hash.or(key) else {
        let (line, column) = locate(whole, text);
        return Err(NodeError::NoHash {
            name: node.name.into_owned(),
            line,
            column,
        });
    };
    if node.concrete == Some(false) {
        return Err(fault(format!(
            "`{}` is an abstract spec, not a concrete one",
            node.name
        )));
    }
    if !is_package_name(&node.name) {
        return Err(fault(format!(
            "`{}` is not the name of a package",
            node.name
        )));
    }
    if node.version.is_empty() {
        return Err(fault(format!("the version of `{}` is empty", node.name)));
    }
    if format >= NodeFormat::V5 && node.compiler.is_some() && node.annotations.is_none() {
        return Err(fault(format!(
            "`{}` has a `compiler`, which a node of format 5 cannot have",
            node.name
        )));
    }

    let (variants, flags) = split_parameters(node.parameters);
    let edges = node
        .dependencies
        .into_iter()
        .map(|edge| edge.read(format))
        .collect::<Result<_, _>>();
    let edges = edges.map_err(|message| fault(format!("in `{}`: {message}", node.name)))?;
    let node = ConcreteSpec {
        name: node.name.into_owned(),
        version: node.version.into_owned(),
        arch: Arch {
            platform: node.arch.platform,
            os: node.arch.platform_os,
            target: match node.arch.target {
                TargetJson::Name(name) | TargetJson::Object { name } => name,
            },
        },
        compiler: node.compiler.map(|it| CompilerAttribute {
            name: it.name,
            version: it.version,
        }),
        namespace: node.namespace,
        variants,
        flags,
        external: node.external.map(ExternalJson::read),
        patches: node.patches,
        package_hash: node.package_hash,
        edges,
        build_spec: node.build_spec.map(|it| BuildSpec {
            name: it.name,
            hash: it.hash,
        }),
        annotations: node.annotations.map(|it| Annotations {
            original_specfile_version: it.original_specfile_version,
            compiler: it.compiler,
        }),
        hash,
        format,
        raw: Arc::from(text),
    };
    Ok(KeyedNode { node, states_hash })
}

/// Names become path components of caches and prefixes, so nothing but an identifier will do.
fn is_package_name(name: &str) -> bool {
    let mut characters = name.bytes();
    characters
        .next()
        .is_some_and(|it| it.is_ascii_alphanumeric() || it == b'_')
        && characters.all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-'))
}

/// The names that `parameters` uses for compiler flags; all others are variants.
const FLAGS: [&str; 6] = [
    "cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs",
];

type Parameters = (
    IndexMap<String, VariantValue>,
    IndexMap<String, Vec<String>>,
);

fn split_parameters(parameters: IndexMap<String, Value>) -> Parameters {
    let mut variants = IndexMap::new();
    let mut flags = IndexMap::new();
    for (name, value) in parameters {
        if FLAGS.contains(&name.as_str()) {
            let values = match value {
                Value::Array(values) => values.into_iter().map(plain).collect(),
                Value::Null => Vec::new(),
                other => vec![plain(other)],
            };
            flags.insert(name, values);
        } else {
            let value = match value {
                Value::Bool(value) => VariantValue::Bool(value),
                Value::Array(values) => {
                    VariantValue::Multi(values.into_iter().map(plain).collect())
                }
                // Spack reads the words as booleans in whatever case they are written.
                Value::String(text) if text.eq_ignore_ascii_case("true") => {
                    VariantValue::Bool(true)
                }
                Value::String(text) if text.eq_ignore_ascii_case("false") => {
                    VariantValue::Bool(false)
                }
                other => VariantValue::Single(plain(other)),
            };
            variants.insert(name, value);
        }
    }
    (variants, flags)
}

/// A scalar as Spack would print it.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    arch: ArchJson,
    compiler: Option<CompilerJson>,
    namespace: Option<String>,
    #[serde(default)]
    parameters: IndexMap<String, Value>,
    external: Option<ExternalJson>,
    #[serde(default)]
    patches: Vec<String>,
    package_hash: Option<String>,
    #[serde(default)]
    dependencies: Vec<EdgeJson>,
    build_spec: Option<BuildSpecJson>,
    annotations: Option<AnnotationsJson>,
    concrete: Option<bool>,
    hash: Option<DagHash>,
}

#[derive(Deserialize)]
struct ArchJson {
    platform: String,
    platform_os: String,
    target: TargetJson,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TargetJson {
    Name(String),
    Object { name: String },
}

#[derive(Deserialize)]
struct CompilerJson {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct ExternalJson {
    path: Option<String>,
    #[serde(default)]
    module: Value,
    #[serde(default)]
    extra_attributes: Option<Map<String, Value>>,
}

impl ExternalJson {
    fn read(self) -> External {
        let modules = match self.module {
            Value::Array(modules) => modules.into_iter().map(plain).collect(),
            Value::String(module) => vec![module],
            // `false` was written for "none" once.
            _ => Vec::new(),
        };
        External {
            path: self.path,
            modules,
            extra_attributes: self.extra_attributes.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct EdgeJson {
    name: String,
    hash: Option<DagHash>,
    build_hash: Option<DagHash>,
    #[serde(rename = "type")]
    kind: Option<Vec<String>>,
    parameters: Option<EdgeParametersJson>,
}

#[derive(Deserialize)]
struct EdgeParametersJson {
    deptypes: Vec<String>,
    #[serde(default)]
    virtuals: Vec<String>,
    #[serde(default)]
    direct: bool,
}

impl EdgeJson {
    fn read(self, format: NodeFormat) -> Result<Edge, String> {
        let name = self.name;
        let hash = if format <= NodeFormat::V2 {
            self.build_hash.or(self.hash)
        } else {
            self.hash
        };
        let hash = hash.ok_or_else(|| format!("the edge to `{name}` has no `hash`"))?;
        let (types, virtuals, direct) = if format <= NodeFormat::V3 {
            let types = self
                .kind
                .ok_or_else(|| format!("the edge to `{name}` has no `type`"))?;
            (types, Vec::new(), true)
        } else {
            let parameters = self
                .parameters
                .ok_or_else(|| format!("the edge to `{name}` has no `parameters`"))?;
            let direct = format <= NodeFormat::V4 || parameters.direct;
            (parameters.deptypes, parameters.virtuals, direct)
        };
        let mut deptypes = DepTypes::NONE;
        for word in &types {
            let bit = DepTypes::from_name(word).ok_or_else(|| {
                format!("the edge to `{name}` has the unknown dependency type `{word}`")
            })?;
            deptypes = deptypes | bit;
        }
        Ok(Edge {
            name,
            hash,
            deptypes,
            virtuals,
            direct,
        })
    }
}

#[derive(Deserialize)]
struct BuildSpecJson {
    name: String,
    #[serde(alias = "build_hash")]
    hash: DagHash,
}

#[derive(Deserialize)]
struct AnnotationsJson {
    original_specfile_version: u32,
    compiler: Option<String>,
}
