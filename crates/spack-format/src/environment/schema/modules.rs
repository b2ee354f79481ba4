//! `modules`. [Spack: `schema/modules.py`]

use super::{MODIFICATIONS, PROJECTIONS, SPECS, optional};
use crate::environment::spec_text::SPEC;
use crate::yaml::shape::{COUNT, MapShape, Others, STRINGS, Shape, outdated};

pub(super) static MODULES: Shape = Shape::Map(&MapShape {
    name: "`modules`",
    keys: &[optional("prefix_inspections", Shape::Map(&INSPECTIONS))],
    others: Others::Named(Shape::Map(&MODULE_SET)),
});

/// Variables by directory below a prefix.
static INSPECTIONS: MapShape = MapShape {
    name: "`prefix_inspections`",
    keys: &[],
    others: Others::Named(STRINGS),
};

static MODULE_SET: MapShape = MapShape {
    name: "a set of modules",
    keys: &[
        optional("use_view", Shape::Either(&[Shape::String, Shape::Boolean])),
        optional("arch_folder", Shape::Boolean),
        optional(
            "roots",
            Shape::Map(&MapShape {
                name: "`roots`",
                keys: &[
                    optional("tcl", Shape::String),
                    optional("lmod", Shape::String),
                ],
                others: Others::Anything,
            }),
        ),
        optional("enable", Shape::List(&Shape::Word(&["tcl", "lmod"]))),
        optional("lmod", Shape::Map(&LMOD)),
        optional("tcl", Shape::Map(&TCL)),
        optional("prefix_inspections", Shape::Map(&INSPECTIONS)),
    ],
    others: Others::Refused,
};

macro_rules! module_system {
    ($name:literal, [$($more:expr),*]) => {
        MapShape {
            name: $name,
            keys: &[
                optional("verbose", Shape::Boolean),
                optional("hash_length", COUNT),
                optional("include", SPECS),
                optional("exclude", SPECS),
                optional("exclude_implicits", Shape::Boolean),
                optional("hide_implicits", Shape::Boolean),
                optional("defaults", SPECS),
                optional("naming_scheme", Shape::String),
                optional("projections", Shape::Map(&PROJECTIONS)),
                optional("all", Shape::Map(&MODULE_FILE)),
                outdated("whitelist", STRINGS, "use `include`"),
                outdated("blacklist", STRINGS, "use `exclude`"),
                outdated("blacklist_implicits", Shape::Boolean, "use `exclude_implicits`"),
                $($more),*
            ],
            others: Others::Texts(&SPEC, Shape::Map(&MODULE_FILE)),
        }
    };
}

static TCL: MapShape = module_system!("`tcl`", []);
static LMOD: MapShape = module_system!(
    "`lmod`",
    [
        optional("core_compilers", SPECS),
        optional("hierarchy", STRINGS),
        optional("core_specs", SPECS),
        optional(
            "filter_hierarchy_specs",
            Shape::Map(&MapShape {
                name: "`filter_hierarchy_specs`",
                keys: &[],
                others: Others::Texts(&SPEC, STRINGS),
            })
        )
    ]
);

const SELECTION: Shape = Shape::Word(&["none", "run", "direct", "all"]);

static MODULE_FILE: MapShape = MapShape {
    name: "the configuration of module files",
    keys: &[
        optional(
            "filter",
            Shape::Map(&MapShape {
                name: "`filter`",
                keys: &[
                    optional("exclude_env_vars", STRINGS),
                    outdated("environment_blacklist", STRINGS, "use `exclude_env_vars`"),
                ],
                others: Others::Refused,
            }),
        ),
        optional("template", Shape::String),
        optional("autoload", SELECTION),
        optional("prerequisites", SELECTION),
        optional("conflict", STRINGS),
        optional("load", STRINGS),
        optional(
            "suffixes",
            Shape::Map(&MapShape {
                name: "`suffixes`",
                keys: &[],
                others: Others::Texts(&SPEC, Shape::String),
            }),
        ),
        optional("environment", Shape::Map(&MODIFICATIONS)),
    ],
    others: Others::Refused,
};
