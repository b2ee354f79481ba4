//! Packages that shall lie elsewhere than where they were built.
//!
//! ```text
//! members of an archive ──► Rewrite ──► [`Members`]: a new archive, or a folder
//!                              │
//!                              ├─ listed by Spack: text, binary, link   spack_format::relocation
//!                              ├─ any other file                        as it is, but looked through
//!                              └─ what is still there of old prefixes   [`Left`], or an error
//!
//! [`Rules`]: all that decides the bytes of one package
//! ```
//!
//! One of the transforms of an archive: [`super::transform`] reads the members, and remembers what came of them. Nothing but the
//! file at hand is in memory, and that only if Spack lists it.
//!
//! Which files are touched, and how, is Spack's decision (`relocate_package` in `lib/spack/spack/binary_distribution.py`),
//! with what its hooks do after an installation from a build cache (`hooks/sbang.py`, `hooks/drop_redundant_rpaths.py`).

mod file;
mod left;
mod places;
mod rewrite;
mod rules;
#[cfg(test)]
mod tests;

pub(in crate::layer) use file::WHOLE_FILE_LIMIT;
pub use left::{Left, LeftBecause};
pub use places::Places;
pub use rewrite::Members;
pub(in crate::layer) use rewrite::Rewrite;
pub use rules::Rules;
