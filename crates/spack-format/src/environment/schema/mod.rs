//! What the sections of a manifest may hold.
//!
//! One table per section, after the JSON schemas of Spack 1.1.0 (`lib/spack/spack/schema/*.py`). Keys that Spacks from
//! 0.20 on accepted are accepted too: as warnings where Spack 1.1 has dropped them. Keys of 1.2 (spec groups, views of
//! mirrors) are accepted. As in Spack, most sections refuse unknown keys, and some (`config`, `ci`, `bootstrap`, …) let them
//! pass; for those a likely misspelling is all that could be told, so they are left alone here too.

mod bootstrap;
mod ci;
mod compilers;
mod concretizer;
mod config;
mod container;
mod environment;
mod lists;
mod mirrors;
mod modules;
mod packages;

pub(super) use environment::{CONFIGURATION_FILE, ENVIRONMENT, MANIFEST};

use super::spec_text::SPEC;
use crate::yaml::shape::{KeyShape, MapShape, Others, Shape};

/// A list of specs.
const SPECS: Shape = Shape::List(&Shape::Text(&SPEC));
/// One spec.
const ONE_SPEC: Shape = Shape::Text(&SPEC);

/// `projections`: format strings by spec.
static PROJECTIONS: MapShape = MapShape {
    name: "`projections`",
    keys: &[],
    others: Others::Texts(&SPEC, Shape::String),
};

/// `env_vars`, and `environment` of externals, compilers and modules.
static MODIFICATIONS: MapShape = MapShape {
    name: "a set of changes to environment variables",
    keys: &[
        optional("set", Shape::Map(&VARIABLES)),
        optional("unset", Shape::List(&Shape::StringOrNumber)),
        optional("prepend_path", Shape::Map(&VARIABLES)),
        optional("append_path", Shape::Map(&VARIABLES)),
        optional("remove_path", Shape::Map(&VARIABLES)),
    ],
    others: Others::Refused,
};

static VARIABLES: MapShape = MapShape {
    name: "variables",
    keys: &[],
    others: Others::Named(Shape::StringOrNumber),
};

const fn optional(name: &'static str, shape: Shape) -> KeyShape {
    crate::yaml::shape::key(name, shape)
}
