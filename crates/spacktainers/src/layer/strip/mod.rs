//! Programs and shared libraries without what only linkers and debuggers read.
//!
//! ```text
//! before   header, segments: code and data | .comment .symtab .strtab .debug_* .shstrtab | table of sections
//! after    the same bytes                  | .comment .shstrtab                          | table of sections
//! debug    header, .note.gnu.build-id      | all of what was taken, and what it refers to
//! ```
//!
//! A debugger finds the file with symbols by the build ID; a program that has none gets a section that names the file,
//! `.gnu_debuglink`.
//!
//! [`read`] finds tables and refuses what is damaged, [`class`] decides about files and sections, [`cut`] writes the program,
//! [`debug`] the file for debuggers. Nothing that is loaded moves or changes: sections behind the last loaded byte are left
//! out, those between loaded bytes stay. What is taken is what `strip` takes: the symbol table, its names, relocations that
//! name its symbols, and debugging sections.
//!
//! Start at [`strip`]. Sources: System V ABI, "Sections" and "Program Header"; binutils, `bfd/elf.c`
//! (`_bfd_elf_make_section_from_shdr`) for which names are debugging sections; GDB's manual, "Debugging Information in
//! Separate Files".

mod class;
mod cut;
mod debug;
mod read;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use read::Elf;

/// Bytes of the largest file that is looked at: it has to be in memory.
pub const LARGEST: u64 = 4 << 30;

/// Changes with the bytes that are written for the same file.
pub const VERSION: u32 = 1;

/// Where debuggers look for files, below the root of an image.
///
/// Source: GDB's manual, "Debugging Information in Separate Files".
pub const DEBUG_FOLDER: &str = "usr/lib/debug";

/// What becomes of symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Symbols {
    /// They stay in the files.
    #[default]
    Keep,
    /// They are dropped.
    Drop,
    /// They are kept in files of their own, for debuggers.
    Separate,
}

impl Symbols {
    /// As it is written in settings and locks.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Separate => "separate",
        }
    }

    /// All words.
    pub const NAMES: [&'static str; 3] = ["keep", "drop", "separate"];

    /// The one that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Keep, Self::Drop, Self::Separate]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

/// Why a file that has symbols keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptBecause {
    /// The settings say so, or a rule of ours does.
    Named,
    /// A Go program: its run-time system and Go's tools read its tables, and `strip` is known to break them.
    Go,
    /// Of another class, byte order or processor than 64-bit little-endian x86-64 and AArch64: code for GPUs, for example,
    /// whose loaders read the symbol table.
    Foreign,
    /// Data that no table knows of is behind the ELF file: archives that unpack themselves, compiled scripts.
    Appended,
    /// Symbols lie between what is loaded.
    Between,
    /// It holds nothing but debugging information.
    DebugFile,
    /// It has no build ID and names a file with its symbols already: they were taken out before.
    Linked,
    /// Its tables contradict themselves.
    Damaged,
    /// It is too large to be in memory.
    TooLarge,
}

impl KeptBecause {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Named => "named by a rule or the settings",
            Self::Go => "a Go program",
            Self::Foreign => "for another kind of processor",
            Self::Appended => "data is appended to it",
            Self::Between => "symbols lie between loaded segments",
            Self::DebugFile => "it is debugging information itself",
            Self::Linked => "it names another file with its symbols",
            Self::Damaged => "its tables contradict themselves",
            Self::TooLarge => "too large",
        }
    }
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No program, or none with symbols: nothing to do.
    Nothing,
    /// It has symbols and keeps them.
    Kept(KeptBecause),
    /// The new file.
    Stripped {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What was taken, if it was asked for.
        debug: Option<DebugFile>,
    },
}

/// A file for debuggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugFile {
    /// Where it lies: `usr/lib/debug/.build-id/ab/cdef….debug`, or `usr/lib/debug/` and the program's own path.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The file `data` without its symbols. `path` is where it lies in the image, without the leading `/`.
#[must_use]
pub fn strip(data: &[u8], symbols: Symbols, path: &[u8]) -> Outcome {
    if symbols == Symbols::Keep {
        return Outcome::Nothing;
    }
    let elf = match Elf::read(data) {
        Ok(Some(elf)) => elf,
        Ok(None) => return Outcome::Nothing,
        Err(why) => return Outcome::Kept(why),
    };
    let goes = class::sections(&elf);
    if !goes.contains(&true) {
        return Outcome::Nothing;
    }
    if let Some(why) = class::keeps(&elf) {
        return Outcome::Kept(why);
    }
    let (debug, link) = match symbols {
        Symbols::Separate => match debug::separate(&elf, path) {
            Some((debug, link)) => (Some(debug), link),
            None => return Outcome::Kept(KeptBecause::Linked),
        },
        Symbols::Keep | Symbols::Drop => (None, None),
    };
    let bytes = cut::cut(&elf, &goes, link.as_deref());
    if bytes.len() >= data.len() {
        return Outcome::Kept(KeptBecause::Between);
    }
    Outcome::Stripped { bytes, debug }
}

/// Whether a file that begins so may have symbols: an ELF file that is linked.
#[must_use]
pub fn may_have_symbols(first: &[u8]) -> bool {
    matches!(
        first.get(16..18),
        Some([2 | 3, 0] | [0, 2 | 3]) if first.starts_with(b"\x7fELF")
    )
}
