//! YAML with places: a tree in which every key and value knows where it was written.
//!
//! ```text
//! text ──parse──► Node { span, value }        faults: syntax, duplicate keys, limits
//!                   value: Scalar | Sequence | Mapping (ordered, keys are text)
//! Node ──shape::check──► faults: unknown keys, wrong types, bad specs, …
//! ```
//!
//! Start at [`parse`] and [`Node`]. What a file may hold is described by a [`shape::Shape`].
//!
//! Scalars are resolved as Spack's reader (ruamel, YAML 1.2) does: `yes` and `on` are strings, `1.10`
//! is a number. Keys may carry Spack's marks `key::`, `key+:` and `key-:` ([`KeyMark`]).
//! Sources: the YAML 1.2.2 specification; Spack's `util/spack_yaml.py` and `config.py`.
//!
//! Hostile input is bounded: size, depth, and the number of nodes after aliases are expanded.

mod error;
mod mapping;
mod node;
mod parse;
#[cfg(test)]
mod parse_tests;
mod scalar;
pub mod shape;
mod span;
mod suggest;

pub use error::{YamlError, YamlFault};
pub use mapping::{Entry, Key, KeyMark, Mapping};
pub use node::{Node, Value};
pub use parse::{Limits, Parsed, parse, parse_bounded, parse_strict};
pub use scalar::{Scalar, ScalarKind, Style};
pub use span::{SourceId, Span};
pub use suggest::nearest;
