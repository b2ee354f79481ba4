//! `container`, which only `spack containerize` reads. [Spack: `schema/container.py`]

use super::optional;
use crate::yaml::shape::{MapShape, Others, STRINGS, Shape, outdated, required};

pub(super) static CONTAINER: Shape = Shape::Map(&MapShape {
    name: "`container`",
    keys: &[
        optional("format", Shape::Word(&["docker", "singularity"])),
        optional(
            "images",
            Shape::Either(&[Shape::Map(&FROM_SPACK), Shape::Map(&OWN_IMAGES)]),
        ),
        optional("strip", Shape::Boolean),
        optional("os_packages", Shape::Map(&OS_PACKAGES)),
        optional(
            "labels",
            Shape::Map(&MapShape {
                name: "`labels`",
                keys: &[],
                others: Others::Anything,
            }),
        ),
        optional("template", Shape::String),
        optional("singularity", Shape::Map(&SINGULARITY)),
        optional(
            "docker",
            Shape::Map(&MapShape {
                name: "`container:docker`",
                keys: &[],
                others: Others::Refused,
            }),
        ),
        optional("depfile", Shape::Boolean),
        outdated(
            "extra_instructions",
            Shape::Any,
            "use a template: `container:template`",
        ),
    ],
    others: Others::Refused,
});

static FROM_SPACK: MapShape = MapShape {
    name: "`container:images`",
    keys: &[
        required("os", Shape::String),
        required(
            "spack",
            Shape::Either(&[Shape::String, Shape::Map(&SPACK_SOURCE)]),
        ),
    ],
    others: Others::Refused,
};

static SPACK_SOURCE: MapShape = MapShape {
    name: "`container:images:spack`",
    keys: &[
        optional("url", Shape::String),
        optional("ref", Shape::String),
        optional("resolve_sha", Shape::Boolean),
        optional("verify", Shape::Boolean),
    ],
    others: Others::Refused,
};

static OWN_IMAGES: MapShape = MapShape {
    name: "`container:images`",
    keys: &[
        required("build", Shape::String),
        required("final", Shape::String),
    ],
    others: Others::Refused,
};

static OS_PACKAGES: MapShape = MapShape {
    name: "`container:os_packages`",
    keys: &[
        optional(
            "command",
            Shape::Word(&["apt", "yum", "zypper", "apk", "yum_amazon"]),
        ),
        optional("update", Shape::Boolean),
        optional("build", STRINGS),
        optional("final", STRINGS),
    ],
    others: Others::Refused,
};

static SINGULARITY: MapShape = MapShape {
    name: "`container:singularity`",
    keys: &[
        optional("runscript", Shape::String),
        optional("startscript", Shape::String),
        optional("test", Shape::String),
        optional("help", Shape::String),
    ],
    others: Others::Refused,
};
