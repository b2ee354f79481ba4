//! `concretizer`. [Spack: `schema/concretizer.py`]

use super::{ONE_SPEC, SPECS, optional};
use crate::yaml::shape::{COUNT, MapShape, Others, POSITIVE, Shape, required};

pub(super) static CONCRETIZER: Shape = Shape::Map(&MapShape {
    name: "`concretizer`",
    keys: &[
        optional("force", Shape::Boolean),
        optional(
            "reuse",
            Shape::Either(&[
                Shape::Boolean,
                Shape::Word(&["dependencies"]),
                Shape::Map(&REUSE),
            ]),
        ),
        optional("enable_node_namespace", Shape::Boolean),
        optional("targets", Shape::Map(&TARGETS)),
        optional(
            "unify",
            Shape::Either(&[Shape::Boolean, Shape::Word(&["when_possible"])]),
        ),
        optional(
            "compiler_mixing",
            Shape::Either(&[Shape::Boolean, Shape::List(&Shape::Any)]),
        ),
        optional("splice", Shape::Map(&SPLICE)),
        optional("duplicates", Shape::Map(&DUPLICATES)),
        optional("static_analysis", Shape::Boolean),
        optional("timeout", COUNT),
        optional("error_on_timeout", Shape::Boolean),
        optional(
            "os_compatible",
            Shape::Map(&MapShape {
                name: "`os_compatible`",
                keys: &[],
                others: Others::Named(Shape::List(&Shape::Any)),
            }),
        ),
        optional("concretization_cache", Shape::Map(&CACHE)),
        optional(
            "externals",
            Shape::Map(&MapShape {
                name: "`concretizer:externals`",
                keys: &[optional(
                    "completion",
                    Shape::Word(&["architecture_only", "default_variants"]),
                )],
                others: Others::Anything,
            }),
        ),
    ],
    others: Others::Refused,
});

static REUSE: MapShape = MapShape {
    name: "`reuse`",
    keys: &[
        optional("roots", Shape::Boolean),
        optional("include", SPECS),
        optional("exclude", SPECS),
        optional("from", Shape::List(&Shape::Map(&REUSE_FROM))),
    ],
    others: Others::Anything,
};

static REUSE_FROM: MapShape = MapShape {
    name: "an item of `reuse:from`",
    keys: &[
        optional(
            "type",
            Shape::Word(&["local", "buildcache", "external", "environment"]),
        ),
        optional("path", Shape::String),
        optional("include", SPECS),
        optional("exclude", SPECS),
    ],
    others: Others::Anything,
};

static TARGETS: MapShape = MapShape {
    name: "`concretizer:targets`",
    keys: &[
        optional("host_compatible", Shape::Boolean),
        optional(
            "granularity",
            Shape::Word(&["generic", "microarchitectures"]),
        ),
    ],
    others: Others::Anything,
};

static SPLICE: MapShape = MapShape {
    name: "`splice`",
    keys: &[
        optional(
            "explicit",
            Shape::List(&Shape::Map(&MapShape {
                name: "an item of `splice:explicit`",
                keys: &[
                    required("target", ONE_SPEC),
                    required("replacement", ONE_SPEC),
                    optional("transitive", Shape::Boolean),
                ],
                others: Others::Refused,
            })),
        ),
        optional("automatic", Shape::Boolean),
    ],
    others: Others::Refused,
};

static DUPLICATES: MapShape = MapShape {
    name: "`duplicates`",
    keys: &[
        optional("strategy", Shape::Word(&["none", "minimal", "full"])),
        optional(
            "max_dupes",
            Shape::Map(&MapShape {
                name: "`max_dupes`",
                keys: &[],
                others: Others::Named(POSITIVE),
            }),
        ),
    ],
    others: Others::Anything,
};

static CACHE: MapShape = MapShape {
    name: "`concretization_cache`",
    keys: &[
        optional("enable", Shape::Boolean),
        optional("url", Shape::String),
        optional("entry_limit", COUNT),
    ],
    others: Others::Anything,
};
