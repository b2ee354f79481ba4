//! Short sections: `env_vars`, `modules:prefix_inspections`, `concretizer:unify`, `include`.

use super::Environment;
use super::views::texts;
use crate::yaml::{Mapping, Node, ScalarKind, Span, Value};

/// One change to a variable, from `env_vars`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableChange {
    /// What is done.
    pub kind: ChangeKind,
    /// The variable.
    pub name: String,
    /// The value; empty for [`ChangeKind::Unset`].
    pub value: String,
}

/// What is done to a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// `set`
    Set,
    /// `unset`
    Unset,
    /// `prepend_path`
    PrependPath,
    /// `append_path`
    AppendPath,
    /// `remove_path`
    RemovePath,
}

/// `concretizer:unify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unify {
    /// One solution for all roots: the default.
    #[default]
    Together,
    /// As few solutions as possible.
    WhenPossible,
    /// Each root by itself.
    Separately,
}

/// One item of `include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// A path or URL as written; for repositories, the paths within them.
    pub paths: Vec<String>,
    /// The repository, if the paths lie in one.
    pub git: Option<String>,
    /// Whether it may be absent.
    pub optional: bool,
    /// The condition, if there is one.
    pub when: Option<String>,
    /// Where it was written.
    pub span: Span,
}

impl Environment {
    /// `env_vars`, in the order in which they are written, which is the order in which Spack applies them.
    #[must_use]
    pub fn variable_changes(&self) -> Vec<VariableChange> {
        let mut changes = Vec::new();
        for entry in entries(self.section("env_vars")) {
            let kind = match entry.0 {
                "set" => ChangeKind::Set,
                "unset" => ChangeKind::Unset,
                "prepend_path" => ChangeKind::PrependPath,
                "append_path" => ChangeKind::AppendPath,
                "remove_path" => ChangeKind::RemovePath,
                _ => continue,
            };
            match &entry.1.value {
                Value::Sequence(names) => {
                    let names = names.iter().filter_map(scalar_text);
                    changes.extend(names.map(|name| VariableChange {
                        kind,
                        name,
                        value: String::new(),
                    }));
                }
                Value::Mapping(values) => changes.extend(values.iter().filter_map(|value| {
                    Some(VariableChange {
                        kind,
                        name: value.key.text.clone(),
                        value: scalar_text(&value.value)?,
                    })
                })),
                Value::Scalar(_) => {}
            }
        }
        changes
    }

    /// `modules:prefix_inspections`, if said: variables by directory below a prefix, in order.
    #[must_use]
    pub fn prefix_inspections(&self) -> Option<Vec<(String, Vec<String>)>> {
        let node = self.section("modules")?.get("prefix_inspections")?;
        Some(
            entries(Some(node))
                .map(|(directory, names)| (directory.to_owned(), texts(names)))
                .collect(),
        )
    }

    /// `concretizer:unify`.
    #[must_use]
    pub fn unify(&self) -> Unify {
        let Some(node) = self
            .section("concretizer")
            .and_then(|node| node.get("unify"))
        else {
            return Unify::default();
        };
        match (node.as_bool(), node.as_str()) {
            (Some(false), _) => Unify::Separately,
            (_, Some("when_possible")) => Unify::WhenPossible,
            _ => Unify::Together,
        }
    }

    /// `include`, highest scope first.
    #[must_use]
    pub fn includes(&self) -> Vec<Include> {
        includes(&self.sections)
    }
}

/// `include` of one file's sections.
pub(super) fn includes(sections: &Node) -> Vec<Include> {
    let items = sections
        .get("include")
        .and_then(Node::as_sequence)
        .unwrap_or_default();
    items.iter().filter_map(read_include).collect()
}

fn read_include(node: &Node) -> Option<Include> {
    if let Some(path) = node.as_str() {
        let paths = vec![path.to_owned()];
        return Some(Include {
            paths,
            git: None,
            optional: false,
            when: None,
            span: node.span,
        });
    }
    let text = |key| node.get(key).and_then(Node::as_str).map(str::to_owned);
    let git = text("git");
    let paths = match git {
        Some(_) => node.get("paths").map(texts).unwrap_or_default(),
        None => vec![text("path")?],
    };
    let span = node
        .get("path")
        .or_else(|| node.get("git"))
        .map_or(node.span, |node| node.span);
    let optional = node
        .get("optional")
        .and_then(Node::as_bool)
        .unwrap_or_default();
    Some(Include {
        paths,
        git,
        optional,
        when: text("when"),
        span,
    })
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    node.and_then(Node::as_mapping)
        .into_iter()
        .flat_map(Mapping::iter)
        .map(|entry| (entry.key.text.as_str(), &entry.value))
}

/// A text or number as Spack writes it into a variable.
fn scalar_text(node: &Node) -> Option<String> {
    let scalar = node.scalar()?;
    match scalar.kind {
        ScalarKind::String | ScalarKind::Float(_) => Some(scalar.text.clone()),
        ScalarKind::Integer(number) => Some(number.to_string()),
        ScalarKind::Null | ScalarKind::Boolean(_) | ScalarKind::Timestamp => None,
    }
}
