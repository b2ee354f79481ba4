//! `[slim]`, `[limits]` and how layers are compressed: in `spacktainers.toml`, and the first two in `container.toml`.

use spack_format::yaml::Node;
use spack_format::yaml::shape::{KeyShape, MapShape, Others, Shape, TextFault, TextShape, key};

use crate::build::Limits;
use crate::diagnostic::Diagnostic;
use crate::layer::Compress;
use crate::layer::slim::{Glob, PackageRules, Profile, SlimRules};
use crate::layer::strip::Symbols;

const fn closed(name: &'static str, keys: &'static [KeyShape]) -> MapShape {
    MapShape {
        name,
        keys,
        others: Others::Refused,
    }
}

/// `[slim]`.
pub(super) static SLIM: MapShape = closed(
    "`[slim]`",
    &[
        key("profile", Shape::Word(&Profile::NAMES)),
        key("debug", Shape::Word(&Symbols::NAMES)),
        key("keep", GLOBS),
        key("drop", GLOBS),
        key("strip", Shape::Map(&STRIP)),
        key("packages", Shape::Map(&PACKAGES)),
    ],
);

static STRIP: MapShape = closed("`[slim.strip]`", &[key("keep", GLOBS)]);

static PACKAGES: MapShape = MapShape {
    name: "`[slim.packages]`",
    keys: &[],
    others: Others::Named(Shape::Map(&PACKAGE)),
};

static PACKAGE: MapShape = closed(
    "`[slim.packages.…]`",
    &[
        key("profile", Shape::Word(&Profile::NAMES)),
        key("debug", Shape::Word(&Symbols::NAMES)),
        key("keep", GLOBS),
        key("drop", GLOBS),
    ],
);

const GLOBS: Shape = Shape::List(&Shape::Text(&GLOB));

static GLOB: TextShape = TextShape {
    noun: "a pattern of paths",
    check: |text| {
        match Glob::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(TextFault {
            range: 0..text.len(),
            message: error.to_string(),
            label: "no pattern".to_owned(),
            hint: Some(
                "write paths as they are below the package's prefix: `share/locale/**`, `lib/*.so.1`"
                    .to_owned(),
            ),
        }),
    }
    },
};

/// `[limits]`.
pub(super) static LIMITS: MapShape = closed(
    "`[limits]`",
    &[
        key("size", Shape::Text(&SIZE)),
        key("unpacked_size", Shape::Text(&SIZE)),
    ],
);

static SIZE: TextShape = TextShape {
    noun: "a size",
    check: |text| match Limits::parse_size(text) {
        Some(_) => Ok(()),
        None => Err(TextFault {
            range: 0..text.len(),
            message: "this is not a size".to_owned(),
            label: "no size".to_owned(),
            hint: Some("write a number and a unit: `2 GB`, `750 MB`, `1.5 GiB`".to_owned()),
        }),
    },
};

/// The words of `[layers] compression`.
pub(super) const COMPRESSIONS: [&str; 3] = ["as-is", "gzip", "zstd"];

/// What `root` says below `slim`. Faults were told when shapes were checked.
pub(super) fn slim(root: &Node) -> SlimRules {
    let Some(node) = root.get("slim") else {
        return SlimRules::default();
    };
    let packages = node.get("packages").and_then(Node::as_mapping);
    let packages = packages.into_iter().flat_map(|it| it.iter());
    SlimRules {
        profile: word(node, "profile", Profile::parse),
        symbols: word(node, "debug", Symbols::parse),
        keep: globs(node.get("keep")),
        drop: globs(node.get("drop")),
        keep_symbols: globs(node.at(&["strip", "keep"])),
        packages: packages
            .map(|entry| {
                let node = &entry.value;
                let rules = PackageRules {
                    profile: word(node, "profile", Profile::parse),
                    symbols: word(node, "debug", Symbols::parse),
                    keep: globs(node.get("keep")),
                    drop: globs(node.get("drop")),
                };
                (entry.key.text.clone(), rules)
            })
            .collect(),
    }
}

fn word<T>(node: &Node, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    node.get(name).and_then(Node::as_str).and_then(parse)
}

fn globs(node: Option<&Node>) -> Vec<Glob> {
    let all = node.and_then(Node::as_sequence).unwrap_or_default();
    all.iter()
        .filter_map(|it| Glob::parse(it.as_str()?).ok())
        .collect()
}

/// What `root` says below `limits`.
pub(super) fn limits(root: &Node) -> Limits {
    let size = |name: &str| {
        let text = root.at(&["limits", name]).and_then(Node::as_str);
        text.and_then(Limits::parse_size)
    };
    Limits {
        size: size("size"),
        unpacked_size: size("unpacked_size"),
    }
}

/// `[layers] compression` and `level`; none for `as-is`.
pub(super) fn compression(root: &Node, faults: &mut Vec<Diagnostic>) -> Option<Compress> {
    let name = root.at(&["layers", "compression"]).and_then(Node::as_str);
    let level = root.at(&["layers", "level"]);
    let fault = |hint: &str| {
        let place = level.map(|it| it.span).unwrap_or_default();
        Diagnostic::error(place, "this level says nothing here")
            .label("no such level")
            .hint(hint)
    };
    let Some(name) = name.filter(|it| *it != "as-is") else {
        if level.is_some() {
            faults.push(fault(
                "add `compression = \"gzip\"` or `\"zstd\"`: archives that stay as they are have no level of ours",
            ));
        }
        return None;
    };
    let compress = Compress::parse(name, level.and_then(Node::as_integer));
    if compress.is_none() && COMPRESSIONS.contains(&name) {
        faults.push(fault(
            "gzip has levels 1 to 9, and layers in zstd have 1 to 19: higher ones ask more memory of who unpacks them",
        ));
    }
    compress
}
