//! Spec files: a package and all that it depends on.
//!
//! ```text
//! {"spec": {"_meta": {"version": 5}, "nodes": [root, ...]},
//!  "buildcache_layout_version": 2,
//!  "binary_cache_checksum": {"hash_algorithm": "sha256", "hash": "..."}}     layouts up to 2, OCI
//! ```
//!
//! The same text is a spec blob, a `.spec.json`, the config of an image in an OCI build cache, and
//! `.spack/spec.json` in a prefix.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Checksum, ChecksumError};
use crate::concrete::{
    ConcreteSpec, ConcreteSpecs, GraphError, JsonFault, NodeError, NodeFormat, read_node,
};
use crate::dag_hash::DagHash;

/// The newest layout that a spec file may name.
const NEWEST_LAYOUT: u32 = 3;

/// A spec file.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecFile {
    /// The package itself.
    pub root: DagHash,
    /// The package and all its dependencies, build dependencies included.
    pub specs: ConcreteSpecs,
    /// How its nodes are written.
    pub format: NodeFormat,
    /// The layout that its tarball has, where stated: 1 and later are one tar of full paths (0.21
    /// and later) or of one top directory (before); 0 is a tar within a tar.
    pub layout_version: Option<u32>,
    /// The checksum of the tarball, where stated (not in layout 3, where the manifest states it).
    pub tarball_checksum: Option<Checksum>,
}

/// Why a text is not a spec file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecFileError {
    /// Not JSON, or of another shape.
    #[error("{0}")]
    Json(JsonFault),
    /// A format that cannot be read.
    #[error("spec format {0} cannot be read: formats 3 to 5 can (Spack 0.18 and later)")]
    Format(u32),
    /// A layout that is not known.
    #[error("build cache layout {0} is newer than {NEWEST_LAYOUT}, the newest that is known")]
    Layout(u32),
    /// No nodes.
    #[error("the spec file holds no nodes")]
    Empty,
    /// A checksum of another kind than sha256.
    #[error("the tarball's checksum is a `{0}`: only sha256 is supported")]
    Algorithm(String),
    /// A checksum that is none.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    /// A node that cannot be read.
    #[error("{0}")]
    Node(#[from] NodeError),
    /// Edges that lead nowhere or in circles.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl SpecFile {
    /// Reads the text of a spec file, without a signature around it.
    ///
    /// # Errors
    /// When it is none, or of a format or layout that is not known.
    pub fn parse(text: &str) -> Result<Self, SpecFileError> {
        let file: File<'_> = serde_json::from_str(text)
            .map_err(|error| SpecFileError::Json(JsonFault::within(text, text, &error)))?;
        let version = file.spec.meta.version;
        let format = NodeFormat::from_number(version)
            .filter(|format| *format >= NodeFormat::V3)
            .ok_or(SpecFileError::Format(version))?;
        if let Some(layout) = file
            .buildcache_layout_version
            .filter(|it| *it > NEWEST_LAYOUT)
        {
            return Err(SpecFileError::Layout(layout));
        }
        let nodes = file
            .spec
            .nodes
            .into_iter()
            .map(|raw| read_node(text, raw, format, None))
            .collect::<Result<Vec<_>, _>>()?;
        let root = nodes.first().ok_or(SpecFileError::Empty)?.hash;
        let tarball_checksum = match file.binary_cache_checksum {
            None => None,
            Some(it) if it.hash_algorithm == "sha256" => Some(it.hash.parse()?),
            Some(it) => return Err(SpecFileError::Algorithm(it.hash_algorithm)),
        };
        Ok(Self {
            root,
            specs: ConcreteSpecs::new(nodes)?,
            format,
            layout_version: file.buildcache_layout_version,
            tarball_checksum,
        })
    }

    /// The package itself.
    #[must_use]
    pub fn root(&self) -> Option<&ConcreteSpec> {
        self.specs.get(&self.root)
    }
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    spec: Spec<'a>,
    buildcache_layout_version: Option<u32>,
    binary_cache_checksum: Option<BinaryCacheChecksum>,
}

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(rename = "_meta")]
    meta: Meta,
    #[serde(borrow)]
    nodes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta {
    version: u32,
}

#[derive(Deserialize)]
struct BinaryCacheChecksum {
    hash_algorithm: String,
    hash: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r#"{"name":"a","version":"1","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64"},"namespace":"builtin","parameters":{},"annotations":{"original_specfile_version":5},"hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;

    #[test]
    fn a_spec_file_states_its_root_first() {
        let other = NODE
            .replace("aaaaaaaa", "bbbbbbbb")
            .replace(r#""a""#, r#""b""#);
        let text = format!(
            r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{NODE},{other}]}},"buildcache_layout_version":2,"binary_cache_checksum":{{"hash_algorithm":"sha256","hash":"{}"}}}}"#,
            "0f".repeat(32)
        );
        let file = SpecFile::parse(&text).expect("a spec file");
        assert_eq!(file.root().map(|it| it.name.as_str()), Some("a"));
        assert_eq!(file.layout_version, Some(2));
        assert_eq!(
            file.tarball_checksum.map(|it| it.to_string()),
            Some("0f".repeat(32))
        );
        assert_eq!(file.specs.len(), 2);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let file = |version: u32, nodes: &str, rest: &str| {
            SpecFile::parse(&format!(
                r#"{{"spec":{{"_meta":{{"version":{version}}},"nodes":[{nodes}]}}{rest}}}"#
            ))
        };
        assert_eq!(file(6, NODE, ""), Err(SpecFileError::Format(6)));
        assert_eq!(file(5, "", ""), Err(SpecFileError::Empty));
        let layout = file(5, NODE, r#","buildcache_layout_version":4"#);
        assert_eq!(layout, Err(SpecFileError::Layout(4)));
        let no_hash = NODE.replace(r#","hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#, "");
        assert!(matches!(
            file(5, &no_hash, ""),
            Err(SpecFileError::Node(NodeError::NoHash { .. }))
        ));
    }
}
