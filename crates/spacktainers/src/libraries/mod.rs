//! Does every library that a program of the packages needs exist inside the image?
//!
//! ```text
//! base layers ──► BaseRecord ─┐
//! PackageRecords ─────────────┴─► Tree (files and links of the image) ──► [`check`] ──► MissingLibrary…
//! ```
//!
//! A build on a machine with more libraries than the image has can pick one up, and nobody notices before a user starts
//! the program. So the dynamic linker's search is repeated here for every ELF file of every package, without running
//! anything.
//!
//! Source: `ld.so(8)`; System V ABI, "Shared Object Dependencies".

mod base_record;
mod search;
mod tree;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use base_record::{BaseRecord, BaseScanError, scan_base};
pub use search::{Needs, check, glibc_floor};
pub use tree::Tree;

/// A library that nothing in the image provides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingLibrary {
    /// The package that needs it.
    pub package: String,
    /// The file that needs it, below the package's prefix.
    pub file: String,
    /// What it needs: a soname, or the path of a program interpreter.
    pub library: String,
}

/// A program or library that needs a newer C library than the base has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooOldGlibc {
    /// What the packages need: `2.38`.
    pub needed: String,
    /// What the base has: `2.36`.
    pub found: String,
    /// One package that needs it.
    pub package: String,
    /// One file of it that does.
    pub file: String,
}

/// A C library, which programs that were built against a newer one do not run with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libc {
    /// `glibc` or `musl`, as Spack calls the packages.
    pub name: String,
    /// Its version; none if it is not known.
    pub version: Option<String>,
}

/// `glibc 2.36`
impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} {version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Libraries that are not there, by package and file.
    pub missing: Vec<MissingLibrary>,
    /// The base's C library is too old, if it is.
    pub glibc: Option<TooOldGlibc>,
}

impl Findings {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.glibc.is_none()
    }
}

#[cfg(test)]
mod tests;
