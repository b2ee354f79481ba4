//! Patterns of paths below a package's prefix.

use std::fmt;

/// A pattern such as `share/locale/**` or `lib/*.so.1`. `*` and `?` do not match `/`, `**` does. A pattern that matches a
/// folder means all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: ::glob::Pattern,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Its signs contradict each other.
    #[error("{message}")]
    Pattern {
        /// What is wrong.
        message: &'static str,
        /// Where, in bytes.
        at: usize,
    },
    /// It begins with `/`, or leads out.
    #[error("patterns are of paths below a package's prefix")]
    NotBelow,
    /// There is nothing in it.
    #[error("a pattern of nothing matches nothing")]
    Empty,
    /// Longer than paths are.
    #[error("a pattern has at most {LONGEST} bytes")]
    TooLong,
}

/// Bytes of a pattern.
const LONGEST: usize = 1024;

/// `*` stops at `/`, and nothing is special about dots.
const OPTIONS: ::glob::MatchOptions = ::glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none, or not one of paths below a prefix.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > LONGEST {
            return Err(GlobError::TooLong);
        }
        if text.starts_with('/') || text.split('/').any(|part| matches!(part, ".." | "." | "")) {
            return Err(GlobError::NotBelow);
        }
        match ::glob::Pattern::new(text) {
            Ok(pattern) => Ok(Self { pattern }),
            Err(error) => Err(GlobError::Pattern {
                message: error.msg,
                at: error.pos,
            }),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.pattern.as_str()
    }

    /// Whether it matches a path or a folder above it.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        std::iter::once(path)
            .chain(folders)
            .any(|path| self.pattern.matches_with(path, OPTIONS))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
