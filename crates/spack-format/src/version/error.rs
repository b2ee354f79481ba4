//! Why a text is no version.

/// Why a text is no version, range or list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing where a version should be.
    #[error("a version is missing")]
    Empty,
    /// A character that versions do not have.
    #[error("`{text}` is not a version: `{character}` cannot be part of one")]
    Character {
        /// The text.
        text: String,
        /// The first such character.
        character: char,
    },
    /// A range that ends before it begins.
    #[error("the range `{range}` is empty: it ends before it begins")]
    EmptyRange {
        /// The range.
        range: String,
    },
    /// Two colons in one range.
    #[error("`{range}` is not a range: it has more than one `:`")]
    Colons {
        /// The text.
        range: String,
    },
    /// A git reference with more than one version.
    #[error("`{text}` gives a git reference more than one version")]
    GitVersions {
        /// The text.
        text: String,
    },
}

impl VersionError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "write a version, such as `@1.2`, or a range, such as `@1.2:`",
            Self::Character { .. } => {
                "versions consist of letters, digits, `.`, `-` and `_`; an exact one begins with `@=`"
            }
            Self::EmptyRange { .. } => "put the lower version first",
            Self::Colons { .. } => "write `@from:to`, and a comma between ranges",
            Self::GitVersions { .. } => "write `@git.REFERENCE=VERSION`",
        }
    }
}
