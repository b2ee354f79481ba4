//! `view`: which views an environment has.

use super::Environment;
use super::install_tree::pairs;
use crate::yaml::{Node, ScalarKind, Span, Value};

/// What an environment says about views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Views {
    /// Nothing: Spack makes its default view.
    Unsaid,
    /// `true`: the default view.
    Default,
    /// `false`: none.
    None,
    /// These. A single path is the view called `default`.
    Declared(Vec<ViewDeclaration>),
}

/// One view as declared. [Spack: `schema/view.py`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDeclaration {
    /// Its name; the one called `default` is activated with the environment.
    pub name: String,
    /// Its root as written.
    pub root: String,
    /// Where the root was written.
    pub span: Span,
    /// `all`, `run` or `roots`.
    pub link: Option<String>,
    /// `symlink`, `hardlink`, `copy` or another name of these.
    pub link_type: Option<String>,
    /// Specs of which one must be satisfied, if there are any.
    pub select: Vec<String>,
    /// Specs of which none may be satisfied.
    pub exclude: Vec<String>,
    /// Places within the view by spec, in order.
    pub projections: Vec<(String, String)>,
}

impl ViewDeclaration {
    fn plain(name: &str, root: &str, span: Span) -> Self {
        Self {
            name: name.to_owned(),
            root: root.to_owned(),
            span,
            link: None,
            link_type: None,
            select: Vec::new(),
            exclude: Vec::new(),
            projections: Vec::new(),
        }
    }

    fn read(name: &str, node: &Node) -> Option<Self> {
        let root = node.get("root")?;
        let text = |key| node.get(key).and_then(Node::as_str).map(str::to_owned);
        let list = |key| node.get(key).map(texts).unwrap_or_default();
        Some(Self {
            link: text("link"),
            link_type: text("link_type"),
            select: list("select"),
            exclude: list("exclude"),
            projections: node.get("projections").map(pairs).unwrap_or_default(),
            ..Self::plain(name, root.as_str()?, root.span)
        })
    }
}

impl Environment {
    /// The views. Parts that Spack's schema refuses are left out.
    #[must_use]
    pub fn views(&self) -> Views {
        let Some(node) = self.section("view") else {
            return Views::Unsaid;
        };
        match &node.value {
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Boolean(true) => Views::Default,
                ScalarKind::Boolean(false) => Views::None,
                _ => Views::Declared(vec![ViewDeclaration::plain(
                    "default",
                    &scalar.text,
                    node.span,
                )]),
            },
            Value::Mapping(mapping) => Views::Declared(
                mapping
                    .iter()
                    .filter_map(|entry| ViewDeclaration::read(&entry.key.text, &entry.value))
                    .collect(),
            ),
            Value::Sequence(_) => Views::Unsaid,
        }
    }
}

/// The texts of a list.
pub(super) fn texts(node: &Node) -> Vec<String> {
    node.as_sequence()
        .unwrap_or_default()
        .iter()
        .filter_map(Node::as_str)
        .map(str::to_owned)
        .collect()
}
