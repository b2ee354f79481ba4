//! ELF: the paths that the kernel and the dynamic linker read.
//!
//! ```text
//! program headers ── PT_INTERP ────────────► "/old/…/ld.so"
//!                 └─ PT_DYNAMIC ── DT_STRTAB ─► .dynstr
//!                               └─ DT_RPATH or DT_RUNPATH ─► "/old/…/lib:/old/…/lib64" in .dynstr
//! ```
//!
//! A new path that fits is written over the old one and the rest is filled with zeros, as Spack does; which files count as
//! sound enough for that, and which are left to the replacement of strings alone, is Spack's decision too, condition by
//! condition ([`read`]). A path that does not fit, where Spack runs `patchelf`, goes behind the last segment ([`grow`]). Unlike
//! `patchelf --force-rpath`, that leaves a `DT_RUNPATH` a `DT_RUNPATH`.
//!
//! Start at [`relocate`].
//!
//! Sources: `lib/spack/spack/util/elf.py` and `hooks/drop_redundant_rpaths.py` in Spack; System V ABI, "Program Header" and
//! "Dynamic Section".

mod change;
mod class;
mod grow;
mod paths;
mod read;
#[cfg(test)]
pub(crate) mod sample;

pub use change::{Changes, Splice};
pub use class::ReadAt;
pub use grow::GrowError;
pub use paths::{ElfError, relocate};
