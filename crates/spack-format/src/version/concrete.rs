//! One version: plain, or a git reference.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::{StandardVersion, VersionError};

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Version {
    /// A plain one.
    Standard(StandardVersion),
    /// A git reference.
    Git(GitVersion),
}

/// A git reference as a version: `git.main`, `git.main=1.2`, a commit, a commit `=1.2`.
///
/// It is ordered by the version that it is said to be, just above that version, and equals no plain version.
/// Spack looks references without a version up in the package's repository; here they are in no range at all.
#[derive(Debug, Clone)]
pub struct GitVersion {
    reference: Box<str>,
    has_prefix: bool,
    version: Option<StandardVersion>,
}

impl Version {
    /// Reads a version, without the `@` or `=` in front of it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        Ok(if is_git(text) {
            Self::Git(GitVersion::parse(text)?)
        } else {
            Self::Standard(StandardVersion::parse(text)?)
        })
    }

    /// The version by which it is compared; `None` for a git reference without one.
    #[must_use]
    pub fn standard(&self) -> Option<&StandardVersion> {
        match self {
            Self::Standard(version) => Some(version),
            Self::Git(git) => git.version(),
        }
    }
}

/// Whether a text is read as a git reference. [Spack: `version/common.py`, `is_git_version`]
pub(super) fn is_git(text: &str) -> bool {
    text.starts_with("git.") || is_commit(text) || text.get(1..).is_some_and(|it| it.contains('='))
}

/// Digits in upper case make a plain version. [Spack: `COMMIT_VERSION` in `util/git.py`]
fn is_commit(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

impl GitVersion {
    /// Reads a git version: a reference, with or without `git.` before it and `=VERSION` after it.
    ///
    /// # Errors
    /// When the version is none, or there are several.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let (has_prefix, rest) = match text.strip_prefix("git.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (reference, version) = match rest.split_once('=') {
            Some((_, version)) if version.contains('=') => {
                return Err(VersionError::GitVersions {
                    text: text.to_owned(),
                });
            }
            Some((reference, version)) => (reference, Some(StandardVersion::parse(version)?)),
            None => (rest, None),
        };
        Ok(Self {
            reference: reference.into(),
            has_prefix,
            version,
        })
    }

    /// The branch, tag or commit.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The version that it is said to be.
    #[must_use]
    pub const fn version(&self) -> Option<&StandardVersion> {
        self.version.as_ref()
    }
}

impl PartialEq for GitVersion {
    fn eq(&self, other: &Self) -> bool {
        // The prefix only tells that it is a reference.
        self.version == other.version && self.reference == other.reference
    }
}

impl Eq for GitVersion {}

impl Hash for GitVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reference.hash(state);
    }
}

impl Ord for GitVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.version, &self.reference).cmp(&(&other.version, &other.reference))
    }
}

impl PartialOrd for GitVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Standard(a), Self::Standard(b)) => a.cmp(b),
            (Self::Git(a), Self::Git(b)) => a.cmp(b),
            // A reference is just above the version that it is said to be.
            (Self::Standard(a), Self::Git(b)) => Some(a).cmp(&b.version()).then(Ordering::Less),
            (Self::Git(a), Self::Standard(b)) => a.version().cmp(&Some(b)).then(Ordering::Greater),
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for GitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_prefix {
            f.write_str("git.")?;
        }
        f.write_str(&self.reference)?;
        match &self.version {
            Some(version) => write!(f, "={version}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(version) => version.fmt(f),
            Self::Git(git) => git.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_references_are_just_above_their_version() {
        let version = |text| Version::parse(text).expect(text);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let sorted = [
            version("1.1"),
            version("1.2"),
            version("git.main=1.2"),
            version("git.topic/x=1.2"),
            version("1.2.0"),
        ];
        assert!(sorted.is_sorted_by(|a, b| a < b));
        assert_eq!(version(commit).to_string(), commit);
        assert_eq!(version("git.v1").standard(), None);
        assert_eq!(
            version(&format!("{commit}=1.2")).standard(),
            version("1.2").standard()
        );
        assert!(Version::parse("git.a=1=2").is_err());
        assert!(Version::parse("git.a=").is_err());
    }
}
