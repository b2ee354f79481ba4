//! Ranges of versions.

use std::cmp::Ordering;
use std::fmt;

use super::{StandardVersion, VersionError};

/// All versions from one up to those that begin like another: `1.2:1.4`, `1.2:`, `:1.4`, `:`.
///
/// The range `1.2` is short for `1.2:1.2`: all that begin with 1.2.
#[derive(Debug, Clone)]
pub struct VersionRange {
    /// The least version; `None` for no bound.
    first: Option<StandardVersion>,
    /// What the greatest versions begin with, and the least version above them; `None` for no bound.
    last: Option<(StandardVersion, StandardVersion)>,
}

impl VersionRange {
    /// The range of all versions.
    pub const ANY: Self = Self {
        first: None,
        last: None,
    };

    /// The range from `first` up to what begins with `last`.
    ///
    /// # Errors
    /// When it ends before it begins. (Spack lets a range pass that ends just where it begins, such as `2:1`; it holds
    /// nothing.)
    pub fn new(
        first: Option<StandardVersion>,
        last: Option<StandardVersion>,
    ) -> Result<Self, VersionError> {
        let last = last.map(|last| {
            let end = last.next();
            (last, end)
        });
        let range = Self { first, last };
        match (&range.first, &range.last) {
            (Some(first), Some((_, end))) if end < first => Err(VersionError::EmptyRange {
                range: range.to_string(),
            }),
            _ => Ok(range),
        }
    }

    /// All that begin with `version`.
    #[must_use]
    pub fn of(version: StandardVersion) -> Self {
        let end = version.next();
        Self {
            first: Some(version.clone()),
            last: Some((version, end)),
        }
    }

    /// The least version; `None` for no bound.
    #[must_use]
    pub const fn first(&self) -> Option<&StandardVersion> {
        self.first.as_ref()
    }

    /// The least version above the range; `None` for no bound.
    pub(super) fn end(&self) -> Option<&StandardVersion> {
        self.last.as_ref().map(|(_, end)| end)
    }

    /// Whether the version is inside.
    #[must_use]
    pub fn contains(&self, version: &StandardVersion) -> bool {
        self.first.as_ref().is_none_or(|first| first <= version)
            && self.end().is_none_or(|end| version < end)
    }

    /// Whether all of this range is inside the other.
    #[must_use]
    pub fn satisfies(&self, other: &Self) -> bool {
        self.first >= other.first && compare_ends(self, other) != Ordering::Greater
    }

    /// Whether some version may be inside both.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        starts_before_end(self, other) && starts_before_end(other, self)
    }

    /// What is inside both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let lower = if self.first >= other.first {
            self
        } else {
            other
        };
        let upper = if compare_ends(self, other) == Ordering::Greater {
            other
        } else {
            self
        };
        starts_before_end(lower, upper).then(|| Self {
            first: lower.first.clone(),
            last: upper.last.clone(),
        })
    }

    /// Both as one range, if they overlap or touch.
    pub(super) fn union(&self, other: &Self) -> Option<Self> {
        let reaches = |a: &Self, b: &Self| match (&a.first, b.end()) {
            (Some(first), Some(end)) => first <= end,
            _ => true,
        };
        if !reaches(self, other) || !reaches(other, self) {
            return None;
        }
        // Of equal bounds, this range's text is kept.
        let lower = if other.first < self.first {
            other
        } else {
            self
        };
        let upper = if compare_ends(other, self) == Ordering::Greater {
            other
        } else {
            self
        };
        Some(Self {
            first: lower.first.clone(),
            last: upper.last.clone(),
        })
    }
}

fn starts_before_end(a: &VersionRange, b: &VersionRange) -> bool {
    match (&a.first, b.end()) {
        (Some(first), Some(end)) => first < end,
        _ => true,
    }
}

fn compare_ends(a: &VersionRange, b: &VersionRange) -> Ordering {
    match (a.end(), b.end()) {
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

impl PartialEq for VersionRange {
    fn eq(&self, other: &Self) -> bool {
        self.first == other.first && self.end() == other.end()
    }
}

impl Eq for VersionRange {}

impl Ord for VersionRange {
    fn cmp(&self, other: &Self) -> Ordering {
        // No lower bound is `None`, which is the least.
        self.first
            .cmp(&other.first)
            .then_with(|| compare_ends(self, other))
    }
}

impl PartialOrd for VersionRange {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.last.as_ref().map(|(last, _)| last);
        if let Some(first) = &self.first {
            write!(f, "{first}")?;
            if Some(first) == last {
                return Ok(());
            }
        }
        f.write_str(":")?;
        match last {
            Some(last) => f.write_str(&last.normalized()),
            None => Ok(()),
        }
    }
}
