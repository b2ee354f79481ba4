//! `compilers`: read by every Spack up to 1.x, written by none since 1.0. [Spack: `schema/compilers.py`]

use super::{MODIFICATIONS, ONE_SPEC, optional};
use crate::yaml::shape::{MapShape, Others, STRING_OR_NULL, STRINGS, Shape, required};

pub(super) static COMPILERS: Shape = Shape::List(&Shape::Map(&MapShape {
    name: "an item of `compilers`",
    keys: &[optional("compiler", Shape::Map(&COMPILER))],
    others: Others::Refused,
}));

static COMPILER: MapShape = MapShape {
    name: "`compiler`",
    keys: &[
        required("spec", ONE_SPEC),
        required("paths", Shape::Map(&PATHS)),
        required("modules", Shape::OrNull(&STRINGS)),
        required("operating_system", Shape::String),
        optional("target", Shape::String),
        optional("alias", STRING_OR_NULL),
        optional("flags", Shape::Map(&FLAGS)),
        optional("implicit_rpaths", IMPLICIT_RPATHS),
        optional("extra_rpaths", STRINGS),
        optional("environment", Shape::Map(&MODIFICATIONS)),
    ],
    others: Others::Refused,
};

static PATHS: MapShape = MapShape {
    name: "the `paths` of a compiler",
    keys: &[
        required("cc", STRING_OR_NULL),
        required("cxx", STRING_OR_NULL),
        required("f77", STRING_OR_NULL),
        required("fc", STRING_OR_NULL),
    ],
    others: Others::Refused,
};

pub(super) static FLAGS: MapShape = MapShape {
    name: "compiler flags",
    keys: &[
        optional("cflags", STRING_OR_NULL),
        optional("cxxflags", STRING_OR_NULL),
        optional("fflags", STRING_OR_NULL),
        optional("cppflags", STRING_OR_NULL),
        optional("ldflags", STRING_OR_NULL),
        optional("ldlibs", STRING_OR_NULL),
    ],
    others: Others::Refused,
};

pub(super) const IMPLICIT_RPATHS: Shape = Shape::Either(&[STRINGS, Shape::Boolean]);
