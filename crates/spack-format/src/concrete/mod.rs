//! Concrete specs: nodes of a DAG in which nothing is left to choose.
//!
//! The same node lies in `spack.lock`, in `spec.json`, in a build cache's index and in a store's
//! database. [`ConcreteSpec`] is one node, whatever the file and its format number;
//! [`ConcreteSpecs`] is a set of nodes whose edges all lead to nodes of the set, without cycles,
//! and knows closures and orders.
//!
//! Source: `lib/spack/spack/spec.py` (`Spec.node_dict_with_hashes`, the `SpecfileV*` readers),
//! `deptypes.py`, `traverse.py` in Spack.

mod deptypes;
mod graph;
mod read;
#[cfg(test)]
pub(crate) mod test_specs;

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::dag_hash::DagHash;

pub use deptypes::DepTypes;
pub use graph::{ConcreteSpecs, GraphError, RuntimeClosure};
pub use read::{JsonFault, NodeError};

pub(crate) use read::{read_node, read_node_with_keys};

/// How a node is written down. Numbers are Spack's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeFormat {
    /// Spack 0.17: flat nodes; edges name `build_hash` or `hash`.
    V2,
    /// Spack 0.18 to 0.20: the DAG hash covers build dependencies and the recipe.
    V3,
    /// Spack 0.21 to 0.23: virtuals on edges.
    V4,
    /// Spack 1.0 and later: compilers are nodes.
    V5,
}

impl NodeFormat {
    /// The number that Spack writes.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }

    /// The format of this number, if it is one that can be read here.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            5 => Some(Self::V5),
            _ => None,
        }
    }
}

/// One concrete spec.
#[derive(Debug, Clone, PartialEq)]
pub struct ConcreteSpec {
    /// The package's name.
    pub name: String,
    /// The version as written: `1.2.3`, `git.REF=V`, `<40 hex>=V`.
    pub version: String,
    /// Platform, operating system and target.
    pub arch: Arch,
    /// The compiler, where it is an attribute and not a node (formats up to 4).
    pub compiler: Option<CompilerAttribute>,
    /// The namespace of the repository that holds the recipe, such as `builtin`.
    pub namespace: Option<String>,
    /// Variants in the order written (sorted by name when Spack wrote them).
    pub variants: IndexMap<String, VariantValue>,
    /// Compiler flags by kind (`cflags`, ...), empty lists included.
    pub flags: IndexMap<String, Vec<String>>,
    /// Where it is installed, if Spack did not install it.
    pub external: Option<External>,
    /// Checksums of the patches in the order of application.
    pub patches: Vec<String>,
    /// The recipe's hash. Opaque: only Spack can compute it.
    pub package_hash: Option<String>,
    /// Edges to dependencies, in the order written.
    pub edges: Vec<Edge>,
    /// The spec that was really built, if this one is a splice of it.
    pub build_spec: Option<BuildSpec>,
    /// What the writer remembers of the node's past.
    pub annotations: Option<Annotations>,
    /// The hash that the file states. Stated is not verified: see [`crate::dag_hash::verify`].
    pub hash: DagHash,
    /// How the node is written in this file.
    pub format: NodeFormat,
    /// The node's JSON exactly as it was read, for checking hashes and for writing it back.
    pub raw: Arc<str>,
}

/// Platform, operating system and target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arch {
    /// Such as `linux`.
    pub platform: String,
    /// Such as `debian12`.
    pub os: String,
    /// The microarchitecture's name, such as `x86_64_v3`. The object with features that Spack
    /// may write instead is in [`ConcreteSpec::raw`]; readers use only its name.
    pub target: String,
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.platform, self.os, self.target)
    }
}

/// A compiler as an attribute of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CompilerAttribute {
    /// Such as `gcc`.
    pub name: String,
    /// Such as `12.2.0`.
    pub version: String,
}

/// A variant's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VariantValue {
    /// On or off.
    Bool(bool),
    /// One value.
    Single(String),
    /// A set of values, in the order written.
    Multi(Vec<String>),
}

impl fmt::Display for VariantValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Single(value) => f.write_str(value),
            Self::Multi(values) => f.write_str(&values.join(",")),
        }
    }
}

/// A package that Spack did not install and only points at.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    /// Its prefix; absent for externals that are modules only.
    pub path: Option<String>,
    /// Modules to load for it.
    pub modules: Vec<String>,
    /// What the configuration says besides: compilers, environment, flags.
    pub extra_attributes: serde_json::Map<String, serde_json::Value>,
}

/// An edge to a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The dependency's name.
    pub name: String,
    /// The dependency's hash.
    pub hash: DagHash,
    /// What it is needed for.
    pub deptypes: DepTypes,
    /// The virtual packages that the dependency stands for on this edge. Never recorded before
    /// format 4.
    pub virtuals: Vec<String>,
    /// Whether the edge counts as asked for by `%`. All edges do before format 5, as when Spack
    /// reads them.
    pub direct: bool,
}

/// The spec that a spliced one was built as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuildSpec {
    /// Its name.
    pub name: String,
    /// Its hash; its node lies beside the others.
    pub hash: DagHash,
}

/// What a format 5 node remembers of its past.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Annotations {
    /// The format in which it was written first, hence hashed.
    pub original_specfile_version: u32,
    /// The compiler attribute of that time, such as `gcc@=12.2.0`.
    pub compiler: Option<String>,
}

impl ConcreteSpec {
    /// Whether Spack only points at it.
    #[must_use]
    pub const fn is_external(&self) -> bool {
        self.external.is_some()
    }

    /// Edges that have at least one of these types.
    pub fn edges_of(&self, deptypes: DepTypes) -> impl Iterator<Item = &Edge> {
        self.edges
            .iter()
            .filter(move |edge| edge.deptypes.intersects(deptypes))
    }

    /// The value of the variant `build_system`, where recorded (Spack 0.19 and later).
    #[must_use]
    pub fn build_system(&self) -> Option<&str> {
        match self.variants.get("build_system")? {
            VariantValue::Single(value) => Some(value),
            VariantValue::Multi(values) => values.first().map(String::as_str),
            VariantValue::Bool(_) => None,
        }
    }
}

/// `name@version/hash7`, for messages.
impl fmt::Display for ConcreteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.name, self.version, self.hash.short())
    }
}
