//! [`Lock`] ↔ text.

use std::collections::HashSet;
use std::ops::Range;

use super::{LOCK_VERSION, Lock};

/// The first lines of every lock.
const HEADER: &str = "# Written by `spacktainers lock`: what was decided for this container. Do not edit it;\n\
                      # change the definition and lock again.\n\n";

/// Why a text is not a lock that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not TOML, or not of a lock's form.
    #[error("{message}")]
    Malformed {
        /// What is wrong.
        message: String,
        /// Where, in bytes.
        span: Option<Range<usize>>,
    },
    /// Written by a newer program.
    #[error(
        "this lock has version {found}, and this program reads up to {LOCK_VERSION}: use a newer spacktainers, or lock again"
    )]
    Newer {
        /// The version it says.
        found: u64,
    },
    /// A value that does not fit the rest of the lock.
    #[error("{0}")]
    Inconsistent(String),
}

/// The deterministic text of `lock`.
///
/// # Errors
/// When a value cannot be written as TOML, which no value that [`parse`] gave can cause.
pub fn print(lock: &Lock) -> Result<String, LockError> {
    let body = toml::to_string_pretty(lock).map_err(|error| LockError::Malformed {
        message: error.to_string(),
        span: None,
    })?;
    Ok(format!("{HEADER}{body}"))
}

/// Reads any version ever released.
///
/// # Errors
/// When the text is not a lock, is newer than this program, or contradicts itself.
pub fn parse(text: &str) -> Result<Lock, LockError> {
    let malformed = |error: toml::de::Error| LockError::Malformed {
        message: error.message().to_owned(),
        span: error.span(),
    };
    // The version first: a newer lock may have keys that this program would call faults.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u64,
    }
    let Version { version } = toml::from_str(text).map_err(malformed)?;
    if version > u64::from(LOCK_VERSION) {
        return Err(LockError::Newer { found: version });
    }
    let lock: Lock = toml::from_str(text).map_err(malformed)?;
    check(&lock)?;
    Ok(lock)
}

/// Every package is in exactly one layer, and no layer names a package that is not there.
fn check(lock: &Lock) -> Result<(), LockError> {
    let known: HashSet<_> = lock.packages.iter().map(|package| package.hash).collect();
    let mut placed = HashSet::new();
    for layer in &lock.layers {
        for hash in &layer.packages {
            if !known.contains(hash) {
                return Err(LockError::Inconsistent(format!(
                    "a layer names the package /{hash}, which is not in the lock"
                )));
            }
            if !placed.insert(*hash) {
                return Err(LockError::Inconsistent(format!(
                    "the package /{hash} is in two layers"
                )));
            }
        }
    }
    match lock
        .packages
        .iter()
        .find(|package| !placed.contains(&package.hash))
    {
        Some(package) => Err(LockError::Inconsistent(format!(
            "{}@{} /{} is in no layer",
            package.name, package.version, package.hash
        ))),
        None => Ok(()),
    }
}
