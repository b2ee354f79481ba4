//! Relocation: what becomes of a package's files when it lies somewhere else than where it was built.
//!
//! ```text
//! .spack/binary_distribution ─┐
//! the lock's DAG              ├─► [`Move::map`] ──► [`PrefixMap`]   old prefix → new prefix, first match wins
//! prefixes in the new store  ─┘                        │
//!                                                      ├─► [`text`]      any length, behind a delimiter only
//!                                                      ├─► [`link`]      absolute targets
//!                                                      ├─► [`elf`]       RPATH, RUNPATH, interpreter; grown where needed
//!                                                      └─► [`c_string`]  same length or an error
//! scripts whose `#!` line became too long ────────────────► [`shebang`]
//! what is still there of the old prefixes ────────────────► [`foreign`]
//! ```
//!
//! What Spack lists is in memory: [`c_string`] and the changes that [`elf::relocate`] answers with leave it where it is, and
//! only texts are copied. What Spack does not list passes by [`foreign::ForeignScanner`] in pieces of any size.
//!
//! Wherever Spack changes a file in place, the bytes here are the same as Spack's. Where Spack calls `patchelf` because a
//! path has become longer, the file is changed in a way of our own (see [`elf`]), and it says the same to the dynamic linker.
//!
//! Source: `lib/spack/spack/relocate.py`, `relocate_text.py`, `util/elf.py`, `hooks/sbang.py`,
//! `hooks/drop_redundant_rpaths.py` and `binary_distribution.py` (`relocate_package`) in Spack 1.1.

pub mod c_string;
pub mod elf;
pub mod foreign;
mod kind;
pub mod link;
mod map;
mod moved;
pub mod shebang;
pub mod text;

pub use kind::FileKind;
pub use map::{PrefixMap, PrefixMapError};
pub use moved::Move;
