//! Environments: `spack.yaml`.
//!
//! ```text
//! text ──Manifest::parse──► Manifest      one file: its tree, and every fault in it by Spack's schemas
//! Manifest (+ lower ones) ──Environment::new──► Environment      what holds for this environment after merging
//! Environment ──user_specs──► the specs that are asked for, definitions, matrices and toolchains expanded
//!             ──views, install_tree, changes, …──► the sections that decide what an image looks like
//! ```
//!
//! Every fault ([`ManifestFault`]) says where, what, and what to do about it. Faults of several files have spans with
//! different [`SourceId`](crate::yaml::SourceId)s.
//!
//! Sources: `lib/spack/spack/schema/*.py`, `environment/environment.py`, `environment/list.py` and `config.py` in Spack 1.1.0.

mod colons;
mod condition;
mod expand;
mod fault;
mod install_tree;
mod manifest;
mod merge;
mod schema;
mod sections;
mod spec_text;
mod toolchains;
mod views;

pub use condition::{Condition, ConditionError, Machine};
pub use expand::{Expansion, UserSpec};
pub use fault::{ManifestError, ManifestFault};
pub use install_tree::InstallTreeSection;
pub use manifest::{Environment, Manifest};
pub use merge::merge;
pub use sections::{ChangeKind, Include, Unify, VariableChange};
pub use spec_text::is_placeholder;
pub use toolchains::Toolchains;
pub use views::{ViewDeclaration, Views};
