//! What `spacktainers.toml` may hold.

use spack_format::yaml::shape::{
    COUNT, KeyShape, MapShape, Others, POSITIVE, STRINGS, Shape, TextFault, TextShape, key,
    required,
};

use super::building_settings::{BUILDER, ROOM, RUNTIME, SOURCE_MIRROR};
use super::farm_settings::{parse_size, parse_time};
use super::slim_settings::{COMPRESSIONS, LIMITS, SLIM};
use super::trust_settings::{SECRETS, TRUST};
use crate::base::BaseSource;
use crate::base::debian::DebianVariant;
use crate::cpu::CpuPolicy;
use crate::farm::ExecutorKind;
use crate::publish::check_template;

const fn closed(name: &'static str, keys: &'static [KeyShape]) -> MapShape {
    MapShape {
        name,
        keys,
        others: Others::Refused,
    }
}

/// The whole file.
pub(super) static SETTINGS: MapShape = closed(
    "the settings",
    &[
        key("definitions", Shape::String),
        key("mirror", Shape::List(&Shape::Map(&MIRROR))),
        key("install", Shape::Map(&INSTALL)),
        key("layers", Shape::Map(&LAYERS)),
        key("slim", Shape::Map(&SLIM)),
        key("limits", Shape::Map(&LIMITS)),
        key("image", Shape::Map(&IMAGE)),
        key("arch", Shape::Map(&ARCHITECTURES)),
        key("base", Shape::Map(&BASE)),
        key("registry", Shape::Map(&REGISTRY)),
        key("publish", Shape::Map(&PUBLISH)),
        key("ecr", Shape::Map(&ECR)),
        key("trust", Shape::Map(&TRUST)),
        key("secrets", Shape::Map(&SECRETS)),
        key("sif", Shape::Map(&SIF)),
        key("spack", Shape::Map(&SPACK)),
        key("farm", Shape::Map(&FARM)),
        key("source_mirror", Shape::List(&Shape::Map(&SOURCE_MIRROR))),
        key("ci", Shape::Map(&super::ci_settings::CI)),
    ],
);

static FARM: MapShape = closed(
    "`[farm]`",
    &[
        key("builder", Shape::Text(&ROOM)),
        key("network", STRINGS),
        key("executor", Shape::Word(&ExecutorKind::NAMES)),
        key("at_once", POSITIVE),
        key("memory", Shape::Text(&SIZE)),
        key("class", Shape::List(&Shape::Map(&CLASS))),
        key("slurm", Shape::Map(&SLURM)),
    ],
);

static CLASS: MapShape = closed(
    "`[[farm.class]]`",
    &[
        required("packages", STRINGS),
        key("cores", POSITIVE),
        key("memory", Shape::Text(&SIZE)),
        key("time", Shape::Text(&TIME)),
    ],
);

static SLURM: MapShape = closed(
    "`[farm.slurm]`",
    &[
        key("partition", Shape::Text(&SLURM_NAME)),
        key("account", Shape::Text(&SLURM_NAME)),
        key("qos", Shape::Text(&SLURM_NAME)),
        key("options", Shape::List(&Shape::Text(&SBATCH_OPTION))),
        key("time", Shape::Text(&TIME)),
        key("cores", POSITIVE),
        key("memory", Shape::Text(&SIZE)),
        key("packed", Shape::Text(&TIME)),
        key("most", POSITIVE),
        key("scratch", Shape::Text(&NODE_FOLDER)),
        key("shared", Shape::String),
    ],
);

static SIZE: TextShape = TextShape {
    noun: "a size",
    check: |text| match parse_size(text) {
        Some(_) => Ok(()),
        None => Err(whole(
            text,
            "this is not a size",
            "write a number and `MB`, `GB` or `TB`, such as `8GB`",
        )),
    },
};

static TIME: TextShape = TextShape {
    noun: "a time",
    check: |text| match parse_time(text) {
        Some(_) => Ok(()),
        None => Err(whole(
            text,
            "this is not a time",
            "write numbers with `d`, `h`, `m` or `s`, such as `90m` or `1d12h`",
        )),
    },
};

static SLURM_NAME: TextShape = TextShape {
    noun: "a name that Slurm knows",
    check: |text| match !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.,+".contains(&b))
    {
        true => Ok(()),
        false => Err(whole(
            text,
            "this is not a name of Slurm's",
            "write the name that `sinfo` or `sacctmgr` shows",
        )),
    },
};

static SBATCH_OPTION: TextShape = TextShape {
    noun: "an option of sbatch",
    check: |text| match text.starts_with("--") && text.len() > 2 && !text.contains('\n') {
        true => Ok(()),
        false => Err(whole(
            text,
            "this is not an option of sbatch",
            "write its long form in one word, such as `--constraint=cpu`",
        )),
    },
};

static NODE_FOLDER: TextShape = TextShape {
    noun: "an absolute path",
    check: |text| match text.starts_with('/') && !text.split('/').any(|part| part == "..") {
        true => Ok(()),
        false => Err(whole(
            text,
            "this is not an absolute path",
            "begin it with `/`: it is a folder of the nodes, such as `/tmp`",
        )),
    },
};

static SIF: MapShape = closed("`[sif]`", &[key("keys", STRINGS)]);

static PUBLISH: MapShape = MapShape {
    name: "`[publish]`",
    keys: &[],
    others: Others::Named(Shape::Map(&ENVIRONMENT)),
};

static ENVIRONMENT: MapShape = closed(
    "`[publish.…]`",
    &[
        required("targets", Shape::List(&Shape::Text(&PUBLISH_TARGET))),
        key("established", Shape::List(&Shape::Text(&PUBLISH_TARGET))),
        key("main", Shape::String),
        key("replace", Shape::Boolean),
    ],
);

static ECR: MapShape = closed(
    "`[ecr]`",
    &[
        key("hosts", STRINGS),
        key("create", Shape::Boolean),
        key("immutable", Shape::Boolean),
        key("scan_on_push", Shape::Boolean),
        key("tags", Shape::Map(&ECR_TAGS)),
    ],
);

static ECR_TAGS: MapShape = MapShape {
    name: "`[ecr.tags]`",
    keys: &[],
    others: Others::Named(Shape::String),
};

static MIRROR: MapShape = closed(
    "`[[mirror]]`",
    &[
        required("name", Shape::String),
        required("url", Shape::String),
        key("endpoint", Shape::String),
        key("signed", Shape::Boolean),
        key("keys", STRINGS),
        key("push", Shape::Boolean),
        key("private", Shape::Boolean),
    ],
);

static INSTALL: MapShape = closed(
    "`[install]`",
    &[
        key("root", Shape::Text(&ABSOLUTE)),
        key("padded_length", COUNT),
        key("view", Shape::Text(&ABSOLUTE)),
    ],
);

static IMAGE: MapShape = closed("`[image]`", &[key("tree_digest", Shape::Boolean)]);

static LAYERS: MapShape = closed(
    "`[layers]`",
    &[
        key("budget", POSITIVE),
        key("compression", Shape::Word(&COMPRESSIONS)),
        key("level", POSITIVE),
    ],
);

static ARCHITECTURES: MapShape = closed(
    "`[arch]`",
    &[
        key("amd64", Shape::Map(&ARCHITECTURE)),
        key("arm64", Shape::Map(&ARCHITECTURE)),
    ],
);

static ARCHITECTURE: MapShape = closed(
    "`[arch.…]`",
    &[
        key("base", Shape::Text(&BASE_SOURCE)),
        key("target", Shape::Text(&TARGET)),
        key("cpu", Shape::Text(&CPU)),
        key("cpu_allow", STRINGS),
    ],
);

static BASE: MapShape = closed(
    "`[base]`",
    &[
        key("debian", Shape::Map(&DEBIAN)),
        key("builder", Shape::Map(&BUILDER)),
        key("runtime", Shape::Map(&RUNTIME)),
    ],
);

static DEBIAN: MapShape = closed(
    "`[base.debian]`",
    &[
        required("suite", Shape::String),
        key("components", STRINGS),
        key("mirror", Shape::String),
        key("pockets", STRINGS),
        key("security_mirror", Shape::String),
        key("snapshot", Shape::String),
        key("packages", STRINGS),
        key("variant", Shape::Word(&DebianVariant::NAMES)),
        key("keyring", Shape::String),
        key("check_valid_until", Shape::Word(&["warn", "strict"])),
    ],
);

static REGISTRY: MapShape = closed("`[registry]`", &[key("insecure", STRINGS)]);

static SPACK: MapShape = closed(
    "`[spack]`",
    &[
        key("root", Shape::String),
        key("url", Shape::String),
        key("commit", Shape::Text(&COMMIT)),
        key("python", Shape::String),
        key("signing_key", Shape::String),
        key("repo", Shape::List(&Shape::Map(&RECIPES))),
    ],
);

static RECIPES: MapShape = closed(
    "`[[spack.repo]]`",
    &[
        required("name", Shape::String),
        key("path", Shape::String),
        key("url", Shape::String),
        key("commit", Shape::Text(&COMMIT)),
        key("folder", Shape::String),
    ],
);

static COMMIT: TextShape = TextShape {
    noun: "a commit",
    check: |text| match text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(whole(
            text,
            "this is not a commit",
            "write the 40 digits that `git rev-parse HEAD` prints: branches and tags move",
        )),
    },
};

static ABSOLUTE: TextShape = TextShape {
    noun: "an absolute path",
    check: |text| match text {
        "/" => Err(whole(
            text,
            "the root directory itself cannot be used here",
            "name a directory below it",
        )),
        _ if text.starts_with('/') && !text.split('/').any(|part| part == "..") => Ok(()),
        _ => Err(whole(
            text,
            "this is not an absolute path",
            "begin it with `/`, without `..`: it is a place in the image",
        )),
    },
};

static BASE_SOURCE: TextShape = TextShape {
    noun: "a base image",
    check: |text| match BaseSource::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(TextFault {
            range: 0..text.len(),
            message: error.to_string(),
            label: "no base image".to_owned(),
            hint: None,
        }),
    },
};

static PUBLISH_TARGET: TextShape = TextShape {
    noun: "a target to publish to",
    check: |text| match check_template(text) {
        Ok(()) => Ok(()),
        Err(error) => Err(whole(
            text,
            &error.to_string(),
            "`{name}`, `{version}`, `{tag}` and `{arch}` are filled in by each container: `docker://HOST/{name}`",
        )),
    },
};

static TARGET: TextShape = TextShape {
    noun: "a processor target",
    check: |text| match text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.is_empty()
    {
        true => Ok(()),
        false => Err(whole(
            text,
            "this is not a processor target",
            "write one name, such as `x86_64_v3` or `neoverse_n1`",
        )),
    },
};

static CPU: TextShape = TextShape {
    noun: "what to do about instructions above the target",
    check: |text| match CpuPolicy::parse(text) {
        Some(_) => Ok(()),
        None => Err(whole(
            text,
            "nobody knows what to do about instructions by this word",
            "write `require`, `report` or `ignore`",
        )),
    },
};

fn whole(text: &str, message: &str, hint: &str) -> TextFault {
    TextFault {
        range: 0..text.len(),
        message: message.to_owned(),
        label: "here".to_owned(),
        hint: Some(hint.to_owned()),
    }
}
