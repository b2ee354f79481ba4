//! `packages`. [Spack: `schema/packages.py`]

use super::compilers::{FLAGS, IMPLICIT_RPATHS};
use super::{MODIFICATIONS, ONE_SPEC, SPECS, optional};
use crate::yaml::shape::{KeyShape, MapShape, Others, STRINGS, Shape, outdated, required};

pub(super) static PACKAGES: Shape = Shape::Map(&MapShape {
    name: "`packages`",
    keys: &[optional("all", Shape::OrNull(&Shape::Map(&ALL)))],
    others: Others::Named(Shape::OrNull(&Shape::Map(&PACKAGE))),
});

static REQUIREMENTS: [Shape; 2] = [
    ONE_SPEC,
    Shape::List(&Shape::Either(&[ONE_SPEC, Shape::Map(&REQUIREMENT)])),
];
static PREFERENCES: Shape = Shape::Either(&[ONE_SPEC, Shape::Map(&PREFERENCE)]);
const BUILDABLE: KeyShape = optional("buildable", Shape::Boolean);
const ATTRIBUTES: KeyShape = optional(
    "package_attributes",
    Shape::Map(&MapShape {
        name: "`package_attributes`",
        keys: &[],
        others: Others::Anything,
    }),
);
const VARIANTS: KeyShape = optional("variants", Shape::Either(&[ONE_SPEC, SPECS]));

static ALL: MapShape = MapShape {
    name: "`packages:all`",
    keys: &[
        optional("require", Shape::Either(&REQUIREMENTS)),
        optional("prefer", Shape::List(&PREFERENCES)),
        optional("conflict", Shape::List(&PREFERENCES)),
        optional("target", STRINGS),
        outdated(
            "compiler",
            SPECS,
            "require a compiler instead: `require: \"%gcc@12\"`",
        ),
        BUILDABLE,
        optional("permissions", Shape::Map(&ACCESS)),
        ATTRIBUTES,
        optional(
            "providers",
            Shape::Map(&MapShape {
                name: "`providers`",
                keys: &[],
                others: Others::Named(SPECS),
            }),
        ),
        VARIANTS,
        outdated(
            "version",
            VERSIONS,
            "versions are preferred per package: remove it",
        ),
    ],
    others: Others::Refused,
};

static PACKAGE: MapShape = MapShape {
    name: "a package under `packages`",
    keys: &[
        optional("require", Shape::Either(&REQUIREMENTS)),
        optional("prefer", Shape::List(&PREFERENCES)),
        optional("conflict", Shape::List(&PREFERENCES)),
        optional("version", VERSIONS),
        BUILDABLE,
        optional("permissions", Shape::Map(&ACCESS)),
        ATTRIBUTES,
        VARIANTS,
        optional("externals", Shape::List(&Shape::Map(&EXTERNAL))),
        outdated(
            "target",
            STRINGS,
            "require it instead: `require: target=x86_64_v3`",
        ),
        outdated(
            "compiler",
            SPECS,
            "require it instead: `require: \"%gcc@12\"`",
        ),
        outdated(
            "providers",
            Shape::Map(&MapShape {
                name: "`providers`",
                keys: &[],
                others: Others::Named(SPECS),
            }),
            "set providers under `packages:all`",
        ),
    ],
    others: Others::Refused,
};

const VERSIONS: Shape = Shape::List(&Shape::StringOrNumber);

static REQUIREMENT: MapShape = MapShape {
    name: "a requirement",
    keys: &[
        optional("one_of", SPECS),
        optional("any_of", SPECS),
        optional("spec", ONE_SPEC),
        optional("message", Shape::String),
        optional("when", ONE_SPEC),
    ],
    others: Others::Refused,
};

static PREFERENCE: MapShape = MapShape {
    name: "a preference or conflict",
    keys: &[
        optional("spec", ONE_SPEC),
        optional("message", Shape::String),
        optional("when", ONE_SPEC),
    ],
    others: Others::Refused,
};

const WHO: Shape = Shape::Word(&["user", "group", "world"]);
static ACCESS: MapShape = MapShape {
    name: "`permissions`",
    keys: &[
        optional("read", WHO),
        optional("write", WHO),
        optional("group", Shape::String),
    ],
    others: Others::Refused,
};

static EXTERNAL: MapShape = MapShape {
    name: "an external",
    keys: &[
        required("spec", ONE_SPEC),
        optional("prefix", Shape::String),
        optional("modules", STRINGS),
        optional("id", Shape::String),
        optional("extra_attributes", Shape::Map(&EXTRA_ATTRIBUTES)),
        optional("dependencies", Shape::List(&Shape::Map(&DEPENDENCY))),
    ],
    others: Others::Refused,
};

/// Up to 0.23 anything was allowed here.
static EXTRA_ATTRIBUTES: MapShape = MapShape {
    name: "`extra_attributes`",
    keys: &[
        optional(
            "compilers",
            Shape::Map(&MapShape {
                name: "`compilers`",
                keys: &[],
                others: Others::Named(Shape::String),
            }),
        ),
        optional("environment", Shape::Map(&MODIFICATIONS)),
        optional("extra_rpaths", STRINGS),
        optional("implicit_rpaths", IMPLICIT_RPATHS),
        optional("flags", Shape::Map(&FLAGS)),
    ],
    others: Others::Anything,
};

static DEPENDENCY: MapShape = MapShape {
    name: "a dependency of an external",
    keys: &[
        optional("id", Shape::String),
        optional("spec", ONE_SPEC),
        optional("deptypes", Shape::Either(&[Shape::String, STRINGS])),
        optional("virtuals", Shape::String),
    ],
    others: Others::Anything,
};
