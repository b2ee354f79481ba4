//! What can be wrong with a spec.

use std::ops::Range;

use super::Contradiction;
use crate::version::VersionError;
use crate::yaml::shape::TextFault;

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct SpecFault {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What.
    pub error: SpecError,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A character that begins nothing.
    #[error("`{character}` means nothing here")]
    Unexpected {
        /// The character.
        character: char,
    },
    /// More text after a whole spec.
    #[error("one spec is expected, and a second one begins here")]
    SeveralSpecs,
    /// No text.
    #[error("a spec is expected, and there is none")]
    NoSpec,
    /// A second `@`.
    #[error("a package cannot have two constraints on its version")]
    SecondVersion,
    /// What stands after `@`.
    #[error(transparent)]
    Version(VersionError),
    /// A variant, key or part of the architecture that is given twice.
    #[error("`{name}` is given twice")]
    Twice {
        /// Its name.
        name: String,
    },
    /// A part of the architecture where all of it is given.
    #[error("the architecture is given twice")]
    SecondArchitecture,
    /// `==` for what dependencies do not inherit.
    #[error("`{name}` cannot be passed on to dependencies with `==`")]
    Propagation {
        /// Its name.
        name: String,
    },
    /// `+x` for what has values.
    #[error("`{name}` has a value and is not switched on or off")]
    Switched {
        /// Its name.
        name: String,
    },
    /// `*` among values.
    #[error("`*` stands for any value and cannot be one of several")]
    Star,
    /// Between the brackets of an edge.
    #[error("only `deptypes`, `virtuals` and `when` can stand between these brackets")]
    EdgeAttribute,
    /// A dependency type that there is not.
    #[error("`{word}` is not a type of dependency")]
    DepType {
        /// The word.
        word: String,
    },
    /// `%` at the end.
    #[error("a dependency is missing after `%`")]
    NoDependency,
    /// A path to a spec file.
    #[error("files of specs are not read here")]
    SpecFile,
    /// A dependency that is asked for twice, and cannot be both.
    #[error("this dependency contradicts an earlier one: {0}")]
    Dependency(Contradiction),
    /// Conditions within conditions within conditions.
    #[error("conditions are nested too deeply")]
    TooDeep,
    /// A text that nobody wrote by hand.
    #[error("this is too long for a spec: {length} bytes, where {limit} are enough")]
    TooLong {
        /// Its length.
        length: usize,
        /// The most that is read.
        limit: usize,
    },
}

impl SpecError {
    /// A few words for the place itself.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unexpected { .. } => "unexpected",
            Self::SeveralSpecs => "a second spec",
            Self::NoSpec => "nothing",
            Self::SecondVersion => "a second version",
            Self::Version(_) => "not a version",
            Self::Twice { .. } => "given before",
            Self::SecondArchitecture => "given before",
            Self::Propagation { .. } => "write `=`",
            Self::Switched { .. } => "has a value",
            Self::Star => "`*`",
            Self::EdgeAttribute => "not an attribute of an edge",
            Self::DepType { .. } => "unknown type",
            Self::NoDependency => "nothing after this",
            Self::SpecFile => "a file",
            Self::Dependency(_) => "contradicts an earlier one",
            Self::TooDeep => "too deep",
            Self::TooLong { .. } => "too long",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unexpected { character } => {
                return unexpected_hint(*character).map(str::to_owned);
            }
            Self::SeveralSpecs => {
                "a dependency begins with `^` or `%`, and there are no blanks around `=`; \
                 separate specs are separate items of the list"
            }
            Self::NoSpec => "write the name of a package",
            Self::SecondVersion => "write several versions as one list: `@1.2,1.4:1.6`",
            Self::Version(error) => error.hint(),
            Self::Twice { .. } | Self::SecondArchitecture => "keep one of the two",
            Self::Propagation { name } => return Some(format!("write `{name}=…`")),
            Self::Switched { name } => return Some(format!("write `{name}=…`")),
            Self::Star => "write `*` alone, or leave it out",
            Self::EdgeAttribute => "write `%[virtuals=c,cxx] gcc`, or `%c,cxx=gcc` for short",
            Self::DepType { .. } => "the types are `build`, `link`, `run` and `test`",
            Self::NoDependency => "write the name of a compiler or another direct dependency",
            Self::SpecFile => "write the spec itself",
            Self::Dependency(_) => "ask for the dependency once",
            Self::TooDeep => "write the conditions as one",
            Self::TooLong { .. } => "split it into several specs",
        };
        Some(hint.to_owned())
    }

    /// The exception that Spack 1.1.0 raises for it.
    #[must_use]
    pub const fn spack_exception(&self) -> &'static str {
        match self {
            Self::Unexpected { .. } => "SpecTokenizationError",
            Self::Version(VersionError::EmptyRange { .. }) => "EmptyRangeError",
            Self::SeveralSpecs | Self::NoSpec | Self::Version(_) | Self::DepType { .. } => {
                "ValueError"
            }
            Self::NoDependency => "AttributeError",
            Self::SpecFile => "NoSuchSpecFileError",
            Self::TooDeep | Self::TooLong { .. } => "RecursionError",
            Self::SecondVersion
            | Self::Twice { .. }
            | Self::SecondArchitecture
            | Self::Propagation { .. }
            | Self::Switched { .. }
            | Self::Star
            | Self::EdgeAttribute
            | Self::Dependency(_) => "SpecParsingError",
        }
    }
}

fn unexpected_hint(character: char) -> Option<&'static str> {
    Some(match character {
        '@' => "a version follows `@`: `@1.2`, `@1.2:1.4`, `@=1.2`",
        '+' | '~' | '-' => "the name of a variant follows; `-x` needs a blank before it",
        '/' => "the first characters of a hash follow `/`",
        '=' => "write `name=value` without blanks; values with other characters need quotes",
        '\'' | '"' => "quotes are for values: `name='a value'`",
        '[' => "attributes of an edge follow `^` or `%`: `%[virtuals=c] gcc`",
        ',' => "commas separate versions (`@1,2`) and values (`name=a,b`)",
        ':' => "a colon makes a range of versions: `@1:2`",
        '$' => "a reference to a definition stands alone: `$name`",
        _ => return None,
    })
}

/// As faults of manifests are told.
impl From<SpecFault> for TextFault {
    fn from(fault: SpecFault) -> Self {
        Self {
            range: fault.range,
            message: fault.error.to_string(),
            label: fault.error.label().to_owned(),
            hint: fault.error.hint(),
        }
    }
}
