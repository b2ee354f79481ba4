//! The manifest as a whole, and its short sections.
//! [Spack: `schema/env.py`, `merged.py`, `view.py`, `include.py`, `repos.py`, `develop.py`, `toolchains.py`, `upstreams.py`, `cdash.py`]

use super::{
    MODIFICATIONS, ONE_SPEC, PROJECTIONS, SPECS, bootstrap, ci, compilers, concretizer, config,
    container, lists, mirrors, modules, optional, packages,
};
use crate::yaml::shape::{KeyShape, MapShape, Others, STRINGS, Shape, outdated, required};

/// `spack.yaml`.
pub(in super::super) static MANIFEST: MapShape = MapShape {
    name: "a `spack.yaml`",
    keys: &[required("spack", Shape::OrNull(&Shape::Map(&ENVIRONMENT)))],
    others: Others::Refused,
};

/// What is below `spack:`. Sections may be empty, which is as if they were absent.
pub(in super::super) static ENVIRONMENT: MapShape = MapShape {
    name: "`spack`",
    keys: &ENVIRONMENT_KEYS,
    others: Others::Refused,
};

static ENVIRONMENT_KEYS: [KeyShape; 21] = [
    section("specs", &lists::USER_SPECS),
    section("include_concrete", &STRINGS),
    section("bootstrap", &bootstrap::BOOTSTRAP),
    section("cdash", &CDASH),
    section("ci", &ci::CI),
    section("compilers", &compilers::COMPILERS),
    section("concretizer", &concretizer::CONCRETIZER),
    section("config", &config::CONFIG),
    section("container", &container::CONTAINER),
    section("definitions", &lists::DEFINITIONS),
    section("develop", &DEVELOP),
    section("env_vars", &ENV_VARS),
    section("include", &INCLUDE),
    section("mirrors", &mirrors::MIRRORS),
    section("modules", &modules::MODULES),
    section("packages", &packages::PACKAGES),
    section("repos", &REPOS),
    section("toolchains", &TOOLCHAINS),
    section("upstreams", &UPSTREAMS),
    section("view", &VIEW),
    outdated(
        "gitlab-ci",
        Shape::Any,
        "rename it to `ci`, and write its jobs under `pipeline-gen`",
    ),
];

/// A section of configuration as a file of its own holds it, which `include` may name.
pub(in super::super) static CONFIGURATION_FILE: MapShape = MapShape {
    name: "a configuration file",
    keys: &ENVIRONMENT_KEYS,
    others: Others::Refused,
};

const fn section(name: &'static str, shape: &'static Shape) -> KeyShape {
    optional(name, Shape::OrNull(shape))
}

static ENV_VARS: Shape = Shape::Map(&MODIFICATIONS);
static VIEW: Shape = Shape::Either(&[Shape::Boolean, Shape::String, Shape::Map(&VIEWS)]);
static VIEWS: MapShape = MapShape {
    name: "`view`",
    keys: &[],
    others: Others::Named(Shape::Map(&VIEW_DESCRIPTOR)),
};
static VIEW_DESCRIPTOR: MapShape = MapShape {
    name: "a view",
    keys: &[
        required("root", Shape::String),
        optional("link", Shape::Word(&["roots", "all", "run"])),
        // Spack's schema takes any text, and stops later at any other than these.
        optional(
            "link_type",
            Shape::Word(&[
                "symlink", "hardlink", "copy", "soft", "add", "hard", "relocate",
            ]),
        ),
        optional("select", SPECS),
        optional("exclude", SPECS),
        optional("projections", Shape::Map(&PROJECTIONS)),
        // 1.2
        optional("group", Shape::Either(&[Shape::String, STRINGS])),
    ],
    others: Others::Refused,
};

static DEVELOP: Shape = Shape::Map(&MapShape {
    name: "`develop`",
    keys: &[],
    others: Others::Named(Shape::Map(&MapShape {
        name: "a package under `develop`",
        keys: &[required("spec", ONE_SPEC), optional("path", Shape::String)],
        others: Others::Refused,
    })),
});

static INCLUDE: Shape = Shape::List(&Shape::Either(&[
    Shape::String,
    Shape::Map(&INCLUDED_PATH),
    Shape::Map(&INCLUDED_GIT),
]));
static INCLUDED_PATH: MapShape = MapShape {
    name: "an included path",
    keys: &[
        required("path", Shape::String),
        optional("name", Shape::String),
        optional("when", Shape::String),
        optional("optional", Shape::Boolean),
        optional("sha256", Shape::String),
        optional("prefer_modify", Shape::Boolean),
        optional("path_override_env_var", Shape::String),
    ],
    others: Others::Refused,
};
static INCLUDED_GIT: MapShape = MapShape {
    name: "an included repository",
    keys: &[
        required("git", Shape::String),
        required("paths", STRINGS),
        optional("branch", Shape::String),
        optional("commit", Shape::String),
        optional("tag", Shape::String),
        optional("name", Shape::String),
        optional("when", Shape::String),
        optional("optional", Shape::Boolean),
    ],
    others: Others::Refused,
};

static REPOS: Shape = Shape::Either(&[
    STRINGS,
    Shape::Map(&MapShape {
        name: "`repos`",
        keys: &[],
        others: Others::Named(Shape::Either(&[Shape::String, Shape::Map(&REPOSITORY)])),
    }),
]);
static REPOSITORY: MapShape = MapShape {
    name: "a recipe repository",
    keys: &[
        optional("git", Shape::String),
        optional("branch", Shape::String),
        optional("commit", Shape::String),
        optional("tag", Shape::String),
        optional("destination", Shape::String),
        optional("paths", STRINGS),
    ],
    others: Others::Refused,
};

static TOOLCHAINS: Shape = Shape::Map(&MapShape {
    name: "`toolchains`",
    keys: &[],
    others: Others::Named(Shape::Either(&[
        ONE_SPEC,
        Shape::List(&Shape::Map(&MapShape {
            name: "a part of a toolchain",
            keys: &[optional("spec", ONE_SPEC), optional("when", ONE_SPEC)],
            others: Others::Anything,
        })),
    ])),
});

static UPSTREAMS: Shape = Shape::Map(&MapShape {
    name: "`upstreams`",
    keys: &[],
    others: Others::Named(Shape::Map(&MapShape {
        name: "an upstream",
        keys: &[
            optional("install_tree", Shape::String),
            optional(
                "modules",
                Shape::Map(&MapShape {
                    name: "the modules of an upstream",
                    keys: &[
                        optional("tcl", Shape::String),
                        optional("lmod", Shape::String),
                    ],
                    others: Others::Anything,
                }),
            ),
        ],
        others: Others::Refused,
    })),
});

static CDASH: Shape = Shape::Map(&MapShape {
    name: "`cdash`",
    keys: &[
        required("build-group", Shape::String),
        optional("url", Shape::String),
        optional("project", Shape::String),
        optional("site", Shape::String),
    ],
    others: Others::Refused,
});
