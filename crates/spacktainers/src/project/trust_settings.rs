//! `[trust]` and `[secrets]`: who signs images, and what is no secret.

use std::path::{Path, PathBuf};

use spack_format::yaml::shape::{
    KeyShape, MapShape, Others, STRINGS, Shape, TextFault, TextShape, key,
};
use spack_format::yaml::{Node, Span};

/// What the settings say about trust.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustSettings {
    /// The private key that signs images, where it is a file; `COSIGN_PRIVATE_KEY` holds one otherwise.
    pub key: Option<PathBuf>,
    /// The public key that `verify` uses, and where it was written.
    pub public_key: Option<(PathBuf, Span)>,
    /// Whether bills of materials and, with a key, signatures are attached to what is published.
    pub attaches: bool,
    /// Whether images are tried before anybody gets them.
    pub tries: bool,
    /// Whether what is published is searched for secrets.
    pub searches: bool,
    /// Paths that hold no secrets, whatever they look like.
    pub allowed: Vec<glob::Pattern>,
}

impl Default for TrustSettings {
    fn default() -> Self {
        Self {
            key: None,
            public_key: None,
            attaches: true,
            tries: true,
            searches: true,
            allowed: Vec::new(),
        }
    }
}

impl TrustSettings {
    pub(super) fn read(root: &Node, folder: &Path) -> Self {
        let text = |key: &str| {
            root.at(&["trust", key])
                .and_then(|it| Some((it.as_str()?, it.span)))
        };
        let is = |path: &[&str]| root.at(path).and_then(Node::as_bool).unwrap_or(true);
        let allowed = root.at(&["secrets", "allow"]).and_then(Node::as_sequence);
        let patterns = allowed.unwrap_or_default().iter();
        Self {
            key: text("key").map(|(path, _)| folder.join(path)),
            public_key: text("public_key").map(|(path, span)| (PathBuf::from(path), span)),
            attaches: is(&["trust", "attach"]),
            tries: is(&["trust", "smoke_tests"]),
            searches: is(&["secrets", "search"]),
            allowed: patterns
                .filter_map(|it| glob::Pattern::new(it.as_str()?).ok())
                .collect(),
        }
    }
}

const fn closed(name: &'static str, keys: &'static [KeyShape]) -> MapShape {
    MapShape {
        name,
        keys,
        others: Others::Refused,
    }
}

pub(super) static TRUST: MapShape = closed(
    "`[trust]`",
    &[
        key("key", Shape::String),
        key("public_key", Shape::String),
        key("attach", Shape::Boolean),
        key("smoke_tests", Shape::Boolean),
    ],
);

pub(super) static SECRETS: MapShape = closed(
    "`[secrets]`",
    &[
        key("search", Shape::Boolean),
        key("allow", Shape::List(&Shape::Text(&PATTERN))),
    ],
);

static PATTERN: TextShape = TextShape {
    noun: "a pattern of paths",
    check: |text| match glob::Pattern::new(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(TextFault {
            range: 0..text.len(),
            message: format!("this is no pattern of paths: {error}"),
            label: "not a pattern".to_owned(),
            hint: Some("write `opt/*/share/example.pem`".to_owned()),
        }),
    },
};

/// `tests` of `container.toml`.
pub(super) const TESTS: Shape = STRINGS;
