//! `config`. Spack lets unknown keys pass here. [Spack: `schema/config.py`]

use super::{PROJECTIONS, optional};
use crate::yaml::shape::{COUNT, MapShape, Others, POSITIVE, STRINGS, Shape, outdated};

pub(super) static CONFIG: Shape = Shape::Map(&MapShape {
    name: "`config`",
    keys: &[
        optional(
            "flags",
            Shape::Map(&MapShape {
                name: "`config:flags`",
                keys: &[optional(
                    "keep_werror",
                    Shape::Word(&["all", "specific", "none"]),
                )],
                others: Others::Anything,
            }),
        ),
        optional(
            "shared_linking",
            Shape::Either(&[
                Shape::Word(&["rpath", "runpath"]),
                Shape::Map(&SHARED_LINKING),
            ]),
        ),
        // Text alone is the form before 0.15, which every Spack up to 0.23 still read.
        optional(
            "install_tree",
            Shape::Either(&[Shape::Map(&INSTALL_TREE), Shape::String]),
        ),
        optional("install_hash_length", POSITIVE),
        optional("build_stage", Shape::Either(&[Shape::String, STRINGS])),
        optional("stage_name", Shape::String),
        optional("develop_stage_link", Shape::String),
        optional("test_stage", Shape::String),
        optional("extensions", STRINGS),
        optional("template_dirs", STRINGS),
        optional("license_dir", Shape::String),
        optional("source_cache", Shape::String),
        optional("misc_cache", Shape::String),
        outdated(
            "environments_root",
            Shape::String,
            "remove it: Spack refuses it in an environment",
        ),
        optional("connect_timeout", COUNT),
        optional("verify_ssl", Shape::Boolean),
        optional("ssl_certs", Shape::String),
        optional("suppress_gpg_warnings", Shape::Boolean),
        optional("debug", Shape::Boolean),
        optional("checksum", Shape::Boolean),
        optional("deprecated", Shape::Boolean),
        optional("locks", Shape::Boolean),
        optional("dirty", Shape::Boolean),
        optional("build_language", Shape::String),
        optional("build_jobs", POSITIVE),
        optional("concurrent_packages", POSITIVE),
        optional("ccache", Shape::Boolean),
        optional("db_lock_timeout", POSITIVE),
        optional("package_lock_timeout", Shape::OrNull(&POSITIVE)),
        optional("allow_sgid", Shape::Boolean),
        optional("install_status", Shape::Boolean),
        optional("binary_index_root", Shape::String),
        // `urllib`, `curl`, or `curl` with options.
        optional("url_fetch_method", Shape::String),
        optional("additional_external_search_paths", STRINGS),
        optional("binary_index_ttl", COUNT),
        optional(
            "aliases",
            Shape::Map(&MapShape {
                name: "`aliases`",
                keys: &[],
                others: Others::Named(Shape::String),
            }),
        ),
        optional("installer", Shape::Word(&["old", "new"])),
        outdated(
            "install_path_scheme",
            Shape::String,
            "use `install_tree:projections:all`",
        ),
        outdated(
            "install_missing_compilers",
            Shape::Boolean,
            "remove it: compilers are packages since Spack 1.0",
        ),
        outdated(
            "concretizer",
            Shape::String,
            "remove it: there is only one concretizer since Spack 0.23",
        ),
        outdated("module_roots", Shape::Any, "use `modules:<set>:roots`"),
    ],
    others: Others::Anything,
});

static SHARED_LINKING: MapShape = MapShape {
    name: "`shared_linking`",
    keys: &[
        optional("type", Shape::Word(&["rpath", "runpath"])),
        optional("bind", Shape::Boolean),
        optional(
            "missing_library_policy",
            Shape::Word(&["error", "warn", "ignore"]),
        ),
    ],
    others: Others::Anything,
};

/// Unknown keys are refused, although Spack lets them pass: a misspelled `padded_length` would put every package at another
/// place, and nobody would be told.
static INSTALL_TREE: MapShape = MapShape {
    name: "`install_tree`",
    keys: &[
        optional("root", Shape::String),
        optional("padded_length", Shape::Either(&[COUNT, Shape::Boolean])),
        optional("projections", Shape::Map(&PROJECTIONS)),
    ],
    others: Others::Refused,
};
