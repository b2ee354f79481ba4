//! What a dependency is needed for.

use std::fmt;
use std::ops::BitOr;

/// A set of dependency types. The numbers are Spack's (`deptypes.py`), because edges to
/// same-named nodes are ordered by them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DepTypes(u8);

impl DepTypes {
    /// No type at all.
    pub const NONE: Self = Self(0);
    /// Linked against.
    pub const LINK: Self = Self(1);
    /// Needed when run.
    pub const RUN: Self = Self(2);
    /// Needed to build.
    pub const BUILD: Self = Self(4);
    /// Needed to run tests.
    pub const TEST: Self = Self(8);
    /// Link or run: what has to be in an image.
    pub const RUNTIME: Self = Self(1 | 2);
    /// All four.
    pub const ALL: Self = Self(1 | 2 | 4 | 8);

    /// Names in the order in which Spack writes them.
    const NAMES: [(Self, &'static str); 4] = [
        (Self::BUILD, "build"),
        (Self::LINK, "link"),
        (Self::RUN, "run"),
        (Self::TEST, "test"),
    ];

    /// The type of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .into_iter()
            .find_map(|(bit, known)| (known == name).then_some(bit))
    }

    /// Whether all of `other` are in here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some of `other` are in here.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, in the order in which Spack writes them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(bit, _)| self.intersects(*bit))
            .map(|(_, name)| name)
    }
}

impl BitOr for DepTypes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for DepTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join("|"))
    }
}
