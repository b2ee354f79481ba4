//! Packages that shall lie elsewhere than where they were built.
//!
//! ```text
//! archive ──► tar members ──► [`rewrite`] ──► tar members ──► relocated archive, in the local cache
//!                 │               │
//!                 │               ├─ listed by Spack: text, binary, link   spack_format::relocation
//!                 │               ├─ any other file                        as it is, but looked through
//!                 │               └─ what is still there of old prefixes   [`Left`], or an error
//!                 └─ [`Rules`]: all that decides the bytes, and with the blob's digest the key to find them again
//! ```
//!
//! A relocated archive is an archive like any other: it is scanned, is a layer of its own or is packed with others. Each is
//! made once, by [`relocate_all`]. Nothing but the file at hand is in memory, and that only if Spack lists it.
//!
//! Which files are touched, and how, is Spack's decision (`relocate_package` in `lib/spack/spack/binary_distribution.py`),
//! with what its hooks do after an installation from a build cache (`hooks/sbang.py`, `hooks/drop_redundant_rpaths.py`).

mod all;
mod error;
mod file;
mod left;
mod places;
mod rewrite;
mod rules;
#[cfg(test)]
mod tests;

pub use all::{RelocateJob, Relocated, relocate_all};
pub use error::RelocateError;
pub use left::{Left, LeftBecause};
pub use places::Places;
pub use rewrite::{Members, rewrite};
pub use rules::Rules;
