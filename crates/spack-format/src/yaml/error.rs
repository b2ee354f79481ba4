//! What can be wrong with a text as YAML.

use thiserror::Error;

use super::Span;

/// A fault and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct YamlFault {
    /// Where.
    pub span: Span,
    /// What.
    pub error: YamlError,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum YamlError {
    /// The text is not YAML.
    #[error("this is not valid YAML: {message}")]
    Syntax {
        /// The parser's reason.
        message: String,
        /// What to do, where the usual mistake can be recognized.
        hint: Option<String>,
    },
    /// A key is given twice in one mapping.
    #[error("the key `{key}` is given twice")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The line of the first one, counted from 1.
        first_line: usize,
    },
    /// A list or mapping is used as a key.
    #[error("a key must be text")]
    KeyIsNotText,
    /// `<<:` with something that cannot be merged.
    #[error("`<<` merges mappings, and this is none")]
    MergeOfNoMapping,
    /// More than one document.
    #[error("a second YAML document begins here, and only one can be read")]
    SecondDocument,
    /// A tag that is not one of YAML's own.
    #[error("the tag `{tag}` has no meaning here")]
    UnknownTag {
        /// The tag.
        tag: String,
    },
    /// The value does not fit its tag.
    #[error("this is not a value for the tag `{tag}`")]
    TagMismatch {
        /// The tag.
        tag: String,
    },
    /// An alias inside the node that it stands for.
    #[error("this alias is inside the value that it stands for")]
    AliasOfItself,
    /// Beyond the size limit.
    #[error("the text is {size} bytes long, and at most {limit} are read")]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Bytes that are read.
        limit: usize,
    },
    /// Beyond the depth limit.
    #[error("lists and mappings are nested more than {limit} deep")]
    TooDeep {
        /// Levels that are read.
        limit: usize,
    },
    /// Beyond the node limit, aliases expanded.
    #[error("with its aliases expanded the text holds more than {limit} values")]
    TooManyNodes {
        /// Values that are read.
        limit: usize,
    },
}

impl YamlError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { hint, .. } => hint.clone(),
            Self::DuplicateKey { first_line, .. } => Some(format!(
                "the first one is on line {first_line}: join the two, or remove one"
            )),
            Self::KeyIsNotText => Some("write the key in quotes if it is meant as text".to_owned()),
            Self::MergeOfNoMapping => {
                Some("give an alias of a mapping, or a list of such aliases".to_owned())
            }
            Self::SecondDocument => Some("remove the `---` or `...` before it".to_owned()),
            Self::UnknownTag { .. } | Self::TagMismatch { .. } => {
                Some("remove the tag; write text that looks like a number in quotes".to_owned())
            }
            Self::AliasOfItself
            | Self::TooLarge { .. }
            | Self::TooDeep { .. }
            | Self::TooManyNodes { .. } => None,
        }
    }

    /// A few words for the place itself.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "here",
            Self::DuplicateKey { .. } => "given again",
            Self::KeyIsNotText => "not text",
            Self::MergeOfNoMapping => "not a mapping",
            Self::SecondDocument => "second document",
            Self::UnknownTag { .. } | Self::TagMismatch { .. } => "tag",
            Self::AliasOfItself => "alias",
            Self::TooLarge { .. } => "too large",
            Self::TooDeep { .. } => "too deep",
            Self::TooManyNodes { .. } => "too many values",
        }
    }
}
