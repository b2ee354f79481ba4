//! Sets of versions as specs write them: `@=1.2,1.4:1.6`.

use std::fmt;

use super::concrete::is_git;
use super::{GitVersion, StandardVersion, Version, VersionError, VersionRange};

/// An element of a [`VersionList`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionItem {
    /// This version and no other: `=1.2`.
    Exact(StandardVersion),
    /// This git reference.
    Git(GitVersion),
    /// All versions of a range.
    Range(VersionRange),
}

/// Versions and ranges, sorted; ranges that overlap or touch are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionList {
    items: Vec<VersionItem>,
}

impl VersionItem {
    /// Reads one element of a list.
    fn parse(text: &str) -> Result<Self, VersionError> {
        if let Some((first, last)) = text.split_once(':') {
            if last.contains(':') {
                return Err(VersionError::Colons {
                    range: text.to_owned(),
                });
            }
            let bound = |text: &str| match text {
                "" => Ok(None),
                text => StandardVersion::parse(text).map(Some),
            };
            return VersionRange::new(bound(first)?, bound(last)?).map(Self::Range);
        }
        if let Some(exact) = text.strip_prefix('=') {
            return Version::parse(exact).map(Self::from);
        }
        if is_git(text) {
            return GitVersion::parse(text).map(Self::Git);
        }
        StandardVersion::parse(text).map(|version| Self::Range(VersionRange::of(version)))
    }

    /// The version by which it is compared with ranges: that of a git reference, if known.
    fn standard(&self) -> Option<&StandardVersion> {
        match self {
            Self::Exact(version) => Some(version),
            Self::Git(git) => git.version(),
            Self::Range(_) => None,
        }
    }

    /// Spack's order, in which the lower bound of a range stands for it: exact versions come before a range that begins
    /// with them, and a git reference comes just after the version that it is said to be.
    fn is_less(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a < b,
            (Self::Git(a), Self::Git(b)) => a < b,
            (Self::Range(a), Self::Range(b)) => a < b,
            (Self::Exact(a), Self::Git(b)) => b.version().is_some_and(|b| b >= a),
            (Self::Git(a), Self::Exact(b)) => a.version().is_none_or(|a| a < b),
            (_, Self::Range(range)) => self.standard() <= range.first(),
            (Self::Range(range), _) => range.first() < other.standard(),
        }
    }

    fn intersects(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Git(a), Self::Git(b)) => a == b,
            (Self::Range(a), Self::Range(b)) => a.intersects(b),
            (Self::Range(range), it) | (it, Self::Range(range)) => {
                it.standard().is_some_and(|it| range.contains(it))
            }
            (Self::Exact(_), Self::Git(_)) | (Self::Git(_), Self::Exact(_)) => false,
        }
    }

    fn satisfies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Range(a), Self::Range(b)) => a.satisfies(b),
            (Self::Range(_), _) => false,
            _ => self.intersects(other),
        }
    }

    fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Range(a), Self::Range(b)) => a.intersection(b).map(Self::Range),
            (Self::Range(_), version) => self.intersects(version).then(|| version.clone()),
            (version, _) => self.intersects(other).then(|| version.clone()),
        }
    }

    fn is_version(&self, version: &Version) -> bool {
        match (self, version) {
            (Self::Range(range), _) => version.standard().is_some_and(|it| range.contains(it)),
            (Self::Exact(exact), Version::Standard(version)) => exact == version,
            (Self::Git(git), Version::Git(version)) => git == version,
            (Self::Exact(_) | Self::Git(_), _) => false,
        }
    }
}

impl From<Version> for VersionItem {
    fn from(version: Version) -> Self {
        match version {
            Version::Standard(version) => Self::Exact(version),
            Version::Git(git) => Self::Git(git),
        }
    }
}

impl VersionList {
    /// The list of all versions.
    #[must_use]
    pub fn any() -> Self {
        Self {
            items: vec![VersionItem::Range(VersionRange::ANY)],
        }
    }

    /// Reads a list as it stands after `@`.
    ///
    /// # Errors
    /// When an element is neither a version nor a range.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let mut list = Self { items: Vec::new() };
        for item in text.split(',') {
            let item: String = item.split_whitespace().collect();
            list.add(VersionItem::parse(&item)?);
        }
        Ok(list)
    }

    /// This version and no other.
    #[must_use]
    pub fn exactly(version: Version) -> Self {
        Self {
            items: vec![version.into()],
        }
    }

    /// The elements, sorted.
    #[must_use]
    pub fn items(&self) -> &[VersionItem] {
        &self.items
    }

    /// Whether it is the list of all versions.
    #[must_use]
    pub fn is_any(&self) -> bool {
        matches!(self.items.as_slice(), [VersionItem::Range(range)] if *range == VersionRange::ANY)
    }

    /// The one version that the list holds, if it holds one and no range.
    #[must_use]
    pub fn concrete(&self) -> Option<Version> {
        match self.items.as_slice() {
            [VersionItem::Exact(version)] => Some(Version::Standard(version.clone())),
            [VersionItem::Git(git)] => Some(Version::Git(git.clone())),
            _ => None,
        }
    }

    /// Adds an element, merging ranges.
    pub fn add(&mut self, item: VersionItem) {
        let mut at = self.position(&item);
        let VersionItem::Range(mut range) = item else {
            let touches = |at: Option<usize>| {
                at.and_then(|at| self.items.get(at))
                    .is_some_and(|it| it.intersects(&item))
            };
            if !touches(at.checked_sub(1)) && !touches(Some(at)) {
                self.items.insert(at, item);
            }
            return;
        };
        // The range may swallow elements on both sides.
        while let Some(before) = at.checked_sub(1)
            && let Some(union) = self.items.get(before).and_then(|it| swallow(&range, it))
        {
            range = union;
            self.items.remove(before);
            at = before;
        }
        while let Some(union) = self.items.get(at).and_then(|it| swallow(&range, it)) {
            range = union;
            self.items.remove(at);
        }
        self.items.insert(at, VersionItem::Range(range));
    }

    fn position(&self, item: &VersionItem) -> usize {
        self.items.partition_point(|it| it.is_less(item))
    }

    /// Whether the version is in the list. Allocates nothing.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        self.items.iter().any(|item| item.is_version(version))
    }

    /// Whether every element is inside some element of the other.
    #[must_use]
    pub fn satisfies(&self, other: &Self) -> bool {
        self.items
            .iter()
            .all(|item| other.items.iter().any(|whole| item.satisfies(whole)))
    }

    /// Whether some version may be in both.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        let (mut left, mut right) = (self.items.iter().peekable(), other.items.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            if a.intersects(b) {
                return true;
            }
            if a.is_less(b) {
                left.next();
            } else {
                right.next();
            }
        }
        false
    }

    /// What is in both; it may be nothing.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Self { items: Vec::new() };
        for (from, within) in [(self, other), (other, self)] {
            for item in &from.items {
                let at = within.position(item);
                for neighbour in [at.checked_sub(1), Some(at)].into_iter().flatten() {
                    let common = within.items.get(neighbour);
                    if let Some(common) = common.and_then(|it| it.intersection(item)) {
                        out.add(common);
                    }
                }
            }
        }
        out
    }
}

/// The range with `item`, if they overlap or touch.
fn swallow(range: &VersionRange, item: &VersionItem) -> Option<VersionRange> {
    match item {
        VersionItem::Range(other) => range.union(other),
        version => version
            .standard()
            .is_some_and(|it| range.contains(it))
            .then(|| range.clone()),
    }
}

impl Default for VersionList {
    fn default() -> Self {
        Self::any()
    }
}

/// As Spack prints it after `@`: elements joined by commas, exact versions with `=`.
impl fmt::Display for VersionList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match item {
                VersionItem::Exact(version) => write!(f, "={version}")?,
                VersionItem::Git(git) => write!(f, "{git}")?,
                VersionItem::Range(range) => write!(f, "{range}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> VersionList {
        VersionList::parse(text).expect(text)
    }

    fn is_in(version: &str, text: &str) -> bool {
        list(text).contains(&Version::parse(version).expect(version))
    }

    #[test]
    fn lists_print_as_spack_prints_them() {
        for (text, printed) in [
            ("1.2", "1.2"),
            ("=1.2", "=1.2"),
            ("1.2:1.2", "1.2"),
            ("1.2 : 1.4", "1.2:1.4"),
            ("1.4,1.2", "1.2,1.4"),
            ("1.2,1.3", "1.2:1.3"),
            ("1:2,1.5:3", "1:3"),
            ("=1.2,1.2", "1.2"),
            ("1.2:,:1.1", ":"),
            (":1.02", ":1.2"),
            ("1.02", "1.02"),
            ("git.main=1.2", "git.main=1.2"),
            ("develop,1", "1,develop"),
        ] {
            assert_eq!(list(text).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn ranges_hold_what_spack_says_they_hold() {
        for (version, range, inside) in [
            ("1.2.9", "1.2", true),
            ("1.2rc1", "1.2", false),
            ("1.2rc1", ":1.1", true),
            ("develop", "1:", true),
            ("develop", ":9", false),
            ("develop.1", "develop", true),
            ("1.2", "=1.2", true),
            ("1.2.0", "=1.2", false),
            ("git.main=1.2", "1.2", true),
            ("git.main=1.2", "=1.2", false),
            ("git.main=1.2", "git.main=1.2", true),
            ("git.main", "1:", false),
            ("1.5", "1.2,1.4:1.6", true),
            ("1.3", "1.2,1.4:1.6", false),
            ("1.9", ":", true),
        ] {
            assert_eq!(is_in(version, range), inside, "{version} in {range}");
        }
    }

    #[test]
    fn lists_satisfy_intersect_and_meet() {
        assert!(list("1.2:1.3,1.5").satisfies(&list("1.2:")));
        assert!(!list("1.2:").satisfies(&list("1.2:1.3,1.5")));
        assert!(list("=1.2").satisfies(&list("1.2")));
        assert!(!list("1.2").satisfies(&list("=1.2")));
        assert!(list("1.2,3").intersects(&list("2.9:")));
        assert!(!list("1.2,3").intersects(&list("2:2.9")));
        for (a, b, both) in [
            ("1.2:1.4", "1.3:", "1.3:1.4"),
            ("1:2,4:5", "2:4", "2,4"),
            ("=1.2,=1.3", "1.3:", "=1.3"),
            ("1", "2", ""),
            ("1.2", "1.2.3:", "1.2.3:1.2"),
        ] {
            let (left, right) = (
                list(a).intersection(&list(b)),
                list(b).intersection(&list(a)),
            );
            assert_eq!(
                (left.to_string(), &left),
                (both.to_owned(), &right),
                "{a} and {b}"
            );
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(matches!(
            VersionList::parse("3:1"),
            Err(VersionError::EmptyRange { .. })
        ));
        assert!(VersionList::parse("2:1").is_ok(), "Spack lets it pass");
        assert!(matches!(
            VersionList::parse("1:2:3"),
            Err(VersionError::Colons { .. })
        ));
        assert_eq!(VersionList::parse("1,,2"), Err(VersionError::Empty));
        assert!(VersionList::parse("=1:2").is_err());
    }
}
