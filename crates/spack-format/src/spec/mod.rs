//! The grammar of specs and what they match.
//!
//! ```text
//! text ──Spec::parse──► Spec        an abstract spec: what is asked for         Display: Spack's canonical text
//!                        │
//!                        ├─ constrain ───► the merged spec, or a Contradiction
//!                        ├─ satisfies ───┐ against another abstract spec
//!                        ├─ intersects ──┘
//!                        ▼
//! ConcreteSpecs ──ConcreteIndex::new──► index.satisfies(node, &spec, scratch)   what is there
//!                 SatisfiesIn::new ───► the same for texts, each parsed once
//! ConcreteNodes   ──Spec::is_satisfied_by──► the same for specs in a form of their owner's
//! ```
//!
//! A [`SpecFault`] says where in the text and what. Which names are virtual is asked of [`Virtuals`]: recipes, which would
//! tell it exactly, are not read here. What follows for answers is said there.
//!
//! | file | what |
//! |---|---|
//! | `scan`, `token` | characters into tokens |
//! | `parse`, `node`, `edge`, `fault` | tokens into a spec |
//! | `variant`, `flag`, `architecture`, `target` | attributes of a node |
//! | `display`, `quote` | a spec into text |
//! | `constrain` | two specs into one |
//! | `matching`, `abstract_graph`, `concrete_nodes`, `concrete_index`, `satisfies_in` | does it match |
//! | [`replay`] | answers compared with those of real Spack |
//!
//! Source: `lib/spack/spack/spec_parser.py`, `spec.py`, `variant.py`, `aliases.py` in Spack 1.1.0. Behaviour that looks
//! odd there is kept where answers depend on it, and said where it is kept.

mod abstract_graph;
mod architecture;
mod concrete_index;
mod concrete_nodes;
mod constrain;
mod display;
mod edge;
mod fault;
mod flag;
mod matching;
mod node;
mod parse;
mod quote;
pub mod replay;
mod satisfies_in;
mod scan;
mod target;
#[cfg(test)]
mod tests;
mod token;
mod variant;
mod virtuals;

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::concrete::DepTypes;
use crate::version::VersionList;

pub use architecture::Architecture;
pub use concrete_index::{ConcreteIndex, NodeId, Scratch};
pub use concrete_nodes::{ConcreteEdge, ConcreteNodes};
pub use constrain::Contradiction;
pub use fault::{SpecError, SpecFault};
pub use flag::Flag;
pub use parse::parse_specs;
pub use satisfies_in::SatisfiesIn;
pub use target::TargetSet;
pub use variant::{Variant, VariantSet};
pub use virtuals::Virtuals;

/// An abstract spec: what is asked of a package and its dependencies. The default asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// The package's name; `None` for an anonymous spec, which any package may match.
    pub name: Option<String>,
    /// The namespace of the repository that the recipe must come from.
    pub namespace: Option<String>,
    /// Versions that will do.
    pub versions: VersionList,
    /// Variants by name.
    pub variants: BTreeMap<String, Variant>,
    /// Compiler flags by kind (`cflags`, ...), in the order written.
    pub flags: BTreeMap<&'static str, Vec<Flag>>,
    /// Platform, operating system and target.
    pub architecture: Architecture,
    /// The first characters of the DAG hash.
    pub hash: Option<String>,
    /// What is asked of dependencies, by name and then by deptypes.
    pub dependencies: Vec<Dependency>,
}

/// What is asked of a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What the dependency must match.
    pub spec: Spec,
    /// Whether it must be a direct one (`%`), or may be anywhere below (`^`).
    pub direct: bool,
    /// Whether all nodes below should prefer it too (`%%`).
    pub preferred: bool,
    /// Types that the edge must have; mostly none.
    pub deptypes: DepTypes,
    /// Virtual packages that it must stand for, sorted.
    pub virtuals: Vec<String>,
    /// When this is asked for; `None` for always.
    pub when: Option<Box<Spec>>,
}

impl Spec {
    /// Reads one spec.
    ///
    /// # Errors
    /// When the text is none, or more than one.
    pub fn parse(text: &str) -> Result<Self, SpecFault> {
        parse::parse_one(text, 0)
    }

    /// Whether every concrete spec that matches this one matches `other`, as far as the two texts tell.
    #[must_use]
    pub fn satisfies(&self, other: &Self, virtuals: &Virtuals) -> bool {
        abstract_graph::satisfies(self, other, virtuals)
    }

    /// Whether some concrete spec may match both.
    #[must_use]
    pub fn intersects(&self, other: &Self, virtuals: &Virtuals) -> bool {
        abstract_graph::intersects(self, other, virtuals)
    }

    /// Orders dependencies as Spack prints them; equals keep the order in which they were added.
    fn sort_dependencies(&mut self) {
        self.dependencies
            .sort_by(|a, b| (&a.spec.name, a.deptypes).cmp(&(&b.spec.name, b.deptypes)));
    }
}

impl FromStr for Spec {
    type Err = SpecFault;

    fn from_str(text: &str) -> Result<Self, SpecFault> {
        Self::parse(text)
    }
}

/// A spec as Spack writes it where it records what was asked for, such as the roots of a lock.
///
/// The namespace of a named spec is not printed (`ns.pkg@1` gives `pkg@1`), as Spack does it; a lock whose manifest asks
/// for `ns.pkg` is therefore out of date as soon as Spack has written it.
///
/// # Errors
/// When the text is not exactly one spec.
pub fn canonical(text: &str) -> Result<String, SpecFault> {
    Spec::parse(text).map(|spec| spec.to_string())
}
