//! The ways in which a tree is not what it should be.

use std::ops::Range;

use thiserror::Error;

use crate::yaml::Span;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can be done with the file until it is mended.
    Error,
    /// Worth knowing.
    Warning,
}

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeFault {
    /// Where.
    pub span: Span,
    /// What.
    pub error: ShapeError,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A key that has no meaning here.
    #[error("`{key}` is not a key of {place}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The mapping.
        place: &'static str,
        /// The nearest key that has one.
        nearest: Option<&'static str>,
        /// All that have one.
        known: Vec<&'static str>,
    },
    /// A key that must be there is not.
    #[error("{place} lacks the key `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The mapping.
        place: &'static str,
    },
    /// Another kind of value.
    #[error("{} must be {expected}, and this is {found}", subject(key.as_deref()))]
    WrongType {
        /// The key whose value it is, or the list it is in.
        key: Option<String>,
        /// What would be right.
        expected: String,
        /// What is there.
        found: &'static str,
        /// Whether quotes would mend it: the text to put into them.
        quote: Option<String>,
    },
    /// A word that is none of the allowed ones.
    #[error("`{value}` is not a value of `{key}`")]
    UnknownWord {
        /// The word.
        value: String,
        /// The key.
        key: String,
        /// The nearest allowed one.
        nearest: Option<&'static str>,
        /// All allowed ones.
        allowed: Vec<&'static str>,
    },
    /// A number beyond its bounds.
    #[error("`{key}` must be {}, and this is {value}", bounds(*least, *most))]
    OutOfRange {
        /// The key.
        key: String,
        /// The number.
        value: i64,
        /// The least allowed.
        least: i64,
        /// The most allowed.
        most: i64,
    },
    /// A key that only older Spacks know.
    #[error("Spack no longer reads the key `{key}` of {place}")]
    Outdated {
        /// The key.
        key: &'static str,
        /// The mapping.
        place: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// Text that breaks its grammar.
    #[error("{}", .0.message)]
    Text(TextFault),
}

/// What is wrong with a text, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFault {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// A few words for the place.
    pub label: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ShapeError {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Outdated { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// A few words for the place itself.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::UnknownKey { .. } => "unknown key".to_owned(),
            Self::MissingKey { key, .. } => format!("`{key}` is missing"),
            Self::WrongType { expected, .. } => format!("expected {expected}"),
            Self::UnknownWord { .. } => "unknown value".to_owned(),
            Self::OutOfRange { .. } => "out of range".to_owned(),
            Self::Outdated { .. } => "ignored by Spack".to_owned(),
            Self::Text(fault) => fault.label.clone(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest, known, .. } => Some(did_you_mean(*nearest, "keys", known)),
            Self::UnknownWord {
                nearest, allowed, ..
            } => Some(did_you_mean(*nearest, "values", allowed)),
            Self::WrongType {
                quote: Some(text), ..
            } => Some(format!("write it in quotes: \"{text}\"")),
            Self::Outdated { instead, .. } => Some((*instead).to_owned()),
            Self::Text(fault) => fault.hint.clone(),
            Self::MissingKey { .. } | Self::WrongType { .. } | Self::OutOfRange { .. } => None,
        }
    }
}

/// `did you mean …? The keys are …`
fn did_you_mean(nearest: Option<&str>, noun: &str, all: &[&str]) -> String {
    let list = all
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match (nearest, all) {
        (Some(nearest), _) => format!("did you mean `{nearest}`? The {noun} are {list}"),
        (None, []) => format!("there are no {noun} here"),
        (None, _) => format!("the {noun} are {list}"),
    }
}

fn subject(key: Option<&str>) -> String {
    key.map_or_else(|| "the file".to_owned(), |key| format!("`{key}`"))
}

fn bounds(least: i64, most: i64) -> String {
    match most {
        i64::MAX => format!("{least} or more"),
        _ => format!("between {least} and {most}"),
    }
}
