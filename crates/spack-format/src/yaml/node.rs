//! The tree.

use super::{Mapping, Scalar, ScalarKind, Span};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// From its first to its last byte; empty where nothing was written.
    pub span: Span,
    /// The value.
    pub value: Value,
    /// Byte at which the text of a scalar stands verbatim in the source, when it does: not where escapes
    /// or folded lines make the text differ from what was written.
    pub verbatim: Option<u32>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values.
    Mapping(Mapping),
}

impl Node {
    /// A node that is nowhere verbatim.
    #[must_use]
    pub fn new(span: Span, value: Value) -> Self {
        Self {
            span,
            value,
            verbatim: None,
        }
    }

    /// The null of an empty document.
    #[must_use]
    pub fn null(span: Span) -> Self {
        Self::new(span, Value::Scalar(Scalar::plain("")))
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.scalar()
            .is_some_and(|scalar| scalar.kind == ScalarKind::Null)
    }

    /// The scalar, if it is one.
    #[must_use]
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// The text of a scalar that is text (not a number, boolean or null).
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.scalar()
            .filter(|scalar| scalar.kind == ScalarKind::String)
            .map(|scalar| scalar.text.as_str())
    }

    /// The boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.scalar()?.kind {
            ScalarKind::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// The whole number.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self.scalar()?.kind {
            ScalarKind::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The list.
    #[must_use]
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            Value::Scalar(_) | Value::Mapping(_) => None,
        }
    }

    /// The mapping.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            Value::Scalar(_) | Value::Sequence(_) => None,
        }
    }

    /// The value under a key, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key)
    }

    /// The value under several keys in turn.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The place of a byte range of a scalar's text, as exact as the way it was written allows.
    #[must_use]
    pub fn text_span(&self, range: std::ops::Range<usize>) -> Span {
        match self.verbatim {
            Some(start) => Span::from_range(
                self.span.source,
                start as usize + range.start..start as usize + range.end,
            ),
            None => self.span,
        }
    }

    /// Whether two trees hold the same values, wherever they were written.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => {
                a.kind == b.kind && (a.text == b.text || a.kind != ScalarKind::String)
            }
            (Value::Sequence(a), Value::Sequence(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_value(b))
            }
            (Value::Mapping(a), Value::Mapping(b)) => {
                a.len() == b.len()
                    && a.iter().all(|entry| {
                        b.get(&entry.key.text)
                            .is_some_and(|other| entry.value.same_value(other))
                    })
            }
            _ => false,
        }
    }
}
