//! Instructions that are above what an image says it needs.
//!
//! ```text
//! archive or layer ──► [`scan`]: every x86-64 ELF file ──► decode ──► [`CpuRecord`], remembered by the blob's digest
//! records, target ──► [`above`] ──► what a processor of the target would stop at
//! ```
//!
//! A target that is required of packages is what they were *told* to be built for. Some do not listen: they add `-march=native`,
//! or carry code for newer processors that nothing chooses at run time. Whoever runs them on a machine of the target meets
//! SIGILL. So executable sections are decoded, and each instruction is asked which level it belongs to.
//!
//! Levels are those of the x86-64 psABI ("Micro-Architecture Levels"). Instructions that belong to no level, such as those of
//! AES and SHA, are never counted: no target of a level has or lacks them. `tzcnt` is not counted as BMI1, as compilers write
//! it where `bsf` does (older processors ignore the prefix that makes the difference).
//!
//! Code that is chosen at run time is no fault. It is known by
//! - the function's name (`memcpy_avx2`, `sum.arch_haswell`, `dgemm_kernel_SKYLAKEX`);
//! - the file's way to ask the processor: a `cpuid` instruction, GCC's `__cpu_model`, or functions that the linker chooses
//!   (`STT_GNU_IFUNC`): then all of the file counts as chosen;
//! - the folder: `glibc-hwcaps` is searched by the dynamic linker by level;
//! - the settings: `[arch.amd64] cpu_allow`.
//!
//! Only x86-64 is decoded. Start at [`scan`] and [`above`].

mod decode;
mod elf;
mod judge;
mod level;
mod scan;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use judge::{CpuFinding, CpuPolicy, CpuSettings, above};
pub use level::Level;
pub use scan::{CpuScanError, CpuScanJob, scan, scan_all};

/// What the programs and libraries of one blob use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuRecord {
    /// Those that use more than the first level, in the blob's order.
    pub files: Vec<CpuFile>,
    /// Files too large to be looked into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// What one file uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuFile {
    /// Its path in the blob.
    pub path: String,
    /// Whether it asks the processor what it can, and so chooses by itself.
    pub chooses: bool,
    /// What it uses, lowest level first, outside of functions whose names say that they are chosen.
    pub uses: Vec<Use>,
}

/// Instructions of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The level that it belongs to.
    pub level: Level,
    /// The feature, in the words of Intel's manual: `AVX2`.
    pub feature: String,
    /// How many instructions.
    pub count: u64,
    /// The first of them: its mnemonic.
    pub instruction: String,
    /// Its address in the file's own address space.
    pub address: u64,
    /// The function that it is in, where the file still says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
}
