//! `specs` and `definitions`. [Spack: `schema/spec_list.py`, `schema/definitions.py`]

use super::super::spec_text::SPEC_OR_REFERENCE;
use super::{ENVIRONMENT, SPECS, optional};
use crate::yaml::shape::{MapShape, Others, STRINGS, Shape, required};

const ITEM: Shape = Shape::Text(&SPEC_OR_REFERENCE);

/// A list of specs, references and matrices.
pub(super) static SPEC_LIST: Shape =
    Shape::List(&Shape::Either(&[ITEM, Shape::Map(&MATRIX), Shape::Null]));

/// The same, where groups may be (Spack 1.2).
pub(super) static USER_SPECS: Shape = Shape::List(&Shape::Either(&[
    ITEM,
    Shape::Map(&MATRIX),
    Shape::Map(&GROUP),
    Shape::Null,
]));

/// Rows are texts; Spack's own examples nest matrices in rows, which its schema refuses.
const ROWS: Shape = Shape::List(&Shape::List(&ITEM));

static MATRIX: MapShape = MapShape {
    name: "a matrix of specs",
    keys: &[required("matrix", ROWS), optional("exclude", SPECS)],
    others: Others::Refused,
};

static GROUP: MapShape = MapShape {
    name: "a group of specs",
    keys: &[
        required("group", Shape::String),
        optional("specs", SPEC_LIST),
        optional("matrix", ROWS),
        optional("exclude", SPECS),
        optional("needs", STRINGS),
        optional("explicit", Shape::Boolean),
        optional("override", Shape::Map(&ENVIRONMENT)),
    ],
    others: Others::Refused,
};

/// `definitions`: a list of mappings with one name each, and perhaps a condition.
pub(super) static DEFINITIONS: Shape = Shape::List(&Shape::Map(&DEFINITION));

static DEFINITION: MapShape = MapShape {
    name: "a definition",
    keys: &[optional("when", Shape::String)],
    others: Others::Named(SPEC_LIST),
};
