//! `ci`. Attributes of jobs are the CI system's own and pass through. [Spack: `schema/ci.py`]

use super::{SPECS, optional};
use crate::yaml::shape::{COUNT, MapShape, Others, STRINGS, Shape, required};

pub(super) static CI: Shape = Shape::Map(&MapShape {
    name: "`ci`",
    keys: &[
        optional(
            "pipeline-gen",
            Shape::List(&Shape::Either(&[
                Shape::Map(&JOB),
                Shape::Map(&SUBMAPPING),
                Shape::Map(&DYNAMIC),
            ])),
        ),
        optional("rebuild-index", Shape::Boolean),
        optional("broken-specs-url", Shape::String),
        optional("broken-tests-packages", STRINGS),
        optional("target", Shape::String),
    ],
    others: Others::Anything,
});

/// Spack takes one of these pairs per item.
static JOB: MapShape = MapShape {
    name: "an item of `pipeline-gen`",
    keys: &[
        optional("any-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("any-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
        optional("build-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("build-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
        optional("cleanup-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("cleanup-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
        optional("copy-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("copy-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
        optional("noop-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("noop-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
        optional("reindex-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("reindex-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
        optional("signing-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("signing-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
    ],
    others: Others::Refused,
};

static SUBMAPPING: MapShape = MapShape {
    name: "an item of `pipeline-gen`",
    keys: &[
        required("submapping", Shape::List(&Shape::Map(&MATCH))),
        optional("match_behavior", Shape::Word(&["first", "merge"])),
    ],
    others: Others::Refused,
};

static MATCH: MapShape = MapShape {
    name: "an item of `submapping`",
    keys: &[
        required("match", SPECS),
        optional("build-job", Shape::Map(&JOB_ATTRIBUTES)),
        optional("build-job-remove", Shape::Map(&JOB_ATTRIBUTES)),
    ],
    others: Others::Refused,
};

static DYNAMIC: MapShape = MapShape {
    name: "an item of `pipeline-gen`",
    keys: &[required("dynamic-mapping", Shape::Map(&DYNAMIC_MAPPING))],
    others: Others::Refused,
};

static DYNAMIC_MAPPING: MapShape = MapShape {
    name: "`dynamic-mapping`",
    keys: &[
        required("endpoint", Shape::String),
        optional("name", Shape::String),
        optional("timeout", COUNT),
        optional("verify_ssl", Shape::Boolean),
        optional(
            "header",
            Shape::Map(&MapShape {
                name: "`header`",
                keys: &[],
                others: Others::Named(Shape::String),
            }),
        ),
        optional("allow", STRINGS),
        optional("require", STRINGS),
        optional("ignore", STRINGS),
    ],
    others: Others::Anything,
};

const SCRIPT: Shape = Shape::List(&Shape::Either(&[Shape::String, STRINGS]));

static JOB_ATTRIBUTES: MapShape = MapShape {
    name: "a CI job",
    keys: &[
        optional("image", Shape::Either(&[Shape::String, Shape::Map(&IMAGE)])),
        optional("tags", STRINGS),
        optional(
            "variables",
            Shape::Map(&MapShape {
                name: "`variables`",
                keys: &[],
                others: Others::Named(Shape::StringOrNumber),
            }),
        ),
        optional("before_script", SCRIPT),
        optional("script", SCRIPT),
        optional("after_script", SCRIPT),
    ],
    others: Others::Anything,
};

static IMAGE: MapShape = MapShape {
    name: "the image of a CI job",
    keys: &[
        optional("name", Shape::String),
        optional("entrypoint", STRINGS),
    ],
    others: Others::Anything,
};
