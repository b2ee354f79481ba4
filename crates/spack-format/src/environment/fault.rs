//! What can be wrong with a manifest.

use thiserror::Error;

use super::ConditionError;
use crate::yaml::shape::{Severity, ShapeError, ShapeFault};
use crate::yaml::{Span, YamlError, YamlFault};

/// A fault and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestFault {
    /// Where; its source tells in which file.
    pub span: Span,
    /// What.
    pub error: ManifestError,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ManifestError {
    /// The text is not YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A key, type or value that Spack's schemas do not allow.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// `$name` without a definition of that name before it.
    #[error("there is no definition `{name}`")]
    UnknownDefinition {
        /// The name.
        name: String,
        /// The nearest that there is.
        nearest: Option<String>,
    },
    /// A definition without a name, or with several.
    #[error("a definition must have exactly one name, and this one has {found}")]
    DefinitionNames {
        /// How many it has.
        found: usize,
    },
    /// `when` of a definition cannot be decided.
    #[error("this condition cannot be decided: {0}")]
    Condition(ConditionError),
    /// A matrix without rows, or with an empty one: it expands to nothing.
    #[error("this matrix has an empty row, so it stands for no spec at all")]
    EmptyMatrix,
    /// A matrix that stands for too many specs.
    #[error("these matrices stand for more than {limit} specs")]
    MatrixTooLarge {
        /// The most that are expanded.
        limit: usize,
    },
    /// A mirror without an address.
    #[error("this mirror has no address")]
    MirrorWithoutUrl,
    /// A group with both a list and a matrix, or neither.
    #[error("a group needs either `specs` or `matrix`")]
    GroupContent,
    /// A group that needs one that is not there.
    #[error("there is no group `{name}`")]
    UnknownGroup {
        /// The name.
        name: String,
        /// The nearest that there is.
        nearest: Option<String>,
    },
    /// The parts of a combination contradict each other.
    #[error("the parts of this matrix do not go together: {message}")]
    Contradiction {
        /// What the parts are, and why.
        message: String,
    },
    /// A text that Spack reads without the colon at its end.
    #[error("Spack reads `{text}` without the colon at its end")]
    LostColon {
        /// The text, as written.
        text: String,
    },
    /// A toolchain that cannot be used, or not here.
    #[error("this toolchain cannot be used: {message}")]
    Toolchain {
        /// Why.
        message: String,
    },
}

impl ManifestError {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Shape(error) => error.severity(),
            Self::EmptyMatrix | Self::LostColon { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// A few words for the place itself.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Yaml(error) => error.label().to_owned(),
            Self::Shape(error) => error.label(),
            Self::UnknownDefinition { .. } => "not defined before".to_owned(),
            Self::DefinitionNames { .. } => "one name".to_owned(),
            Self::Condition(_) => "undecided".to_owned(),
            Self::EmptyMatrix => "nothing".to_owned(),
            Self::MatrixTooLarge { .. } => "too many".to_owned(),
            Self::MirrorWithoutUrl => "`url` is missing".to_owned(),
            Self::GroupContent => "this group".to_owned(),
            Self::UnknownGroup { .. } => "unknown group".to_owned(),
            Self::Contradiction { .. } => "this matrix".to_owned(),
            Self::Toolchain { .. } => "this toolchain".to_owned(),
            Self::LostColon { .. } => "the colon is lost".to_owned(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml(error) => error.hint(),
            Self::Shape(error) => error.hint(),
            Self::UnknownDefinition {
                nearest: Some(nearest),
                ..
            } => Some(format!(
                "did you mean `${nearest}`? A definition must stand before its use"
            )),
            Self::UnknownDefinition {
                nearest: None,
                name,
            } => Some(format!(
                "add `- {name}: [...]` to `definitions`, before its use"
            )),
            Self::DefinitionNames { .. } => {
                Some("write one list item per definition: `- name: [specs]`".to_owned())
            }
            Self::Condition(error) => Some(error.hint()),
            Self::EmptyMatrix => None,
            Self::MatrixTooLarge { .. } => Some("split the container into several".to_owned()),
            Self::MirrorWithoutUrl => Some("add `url: …`, or `fetch: …` and `push: …`".to_owned()),
            Self::GroupContent => Some("give it a list of specs under `specs`".to_owned()),
            Self::UnknownGroup {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownGroup { nearest: None, .. } => None,
            Self::Contradiction { .. } => {
                Some("leave the combination out with `exclude`, or change the rows".to_owned())
            }
            Self::LostColon { .. } => Some(
                "name the upper end of the range too, or any version (`@:`): texts with `@` keep their colon"
                    .to_owned(),
            ),
            Self::Toolchain { .. } => {
                Some("make it of compilers and flags that go together: `%c=gcc@12`".to_owned())
            }
        }
    }
}

impl From<YamlFault> for ManifestFault {
    fn from(fault: YamlFault) -> Self {
        Self {
            span: fault.span,
            error: fault.error.into(),
        }
    }
}

impl From<ShapeFault> for ManifestFault {
    fn from(fault: ShapeFault) -> Self {
        Self {
            span: fault.span,
            error: fault.error.into(),
        }
    }
}
