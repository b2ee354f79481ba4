//! Prefixes of the build that stay in a relocated package because Spack leaves them, too.

use serde::{Deserialize, Serialize};
use spack_format::relocation::FileKind;

/// A file in which prefixes of the build are left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Which file, below the prefix.
    pub file: String,
    /// Where the first of them begins, in bytes.
    pub offset: u64,
    /// How many there are.
    pub count: u64,
    /// Why they were left.
    pub why: LeftBecause,
}

/// Why prefixes were left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftBecause {
    /// It is below `.spack/`: what Spack recorded about the build.
    Metadata,
    /// It is neither text nor a program: a static archive or object file, compiled Python, something compressed.
    Opaque,
    /// It is text that Spack did not list as such when it made the archive.
    NotListed,
    /// The prefix is the end of a longer path there, such as `/mnt/prefix` or `file:///prefix`.
    WithinPath,
}

impl LeftBecause {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "records of the build",
            Self::Opaque => "static archives and other files that Spack does not relocate",
            Self::NotListed => "texts that the archive does not list",
            Self::WithinPath => "ends of longer paths",
        }
    }
}

/// Why prefixes may stay in a file that nothing was done to; nothing if they may not: the kernel or the dynamic linker
/// would follow them. `first` is the file's beginning.
pub(super) fn excuse(file: &str, first: &[u8]) -> Option<LeftBecause> {
    if file.starts_with(".spack/") {
        return Some(LeftBecause::Metadata);
    }
    match FileKind::of_magic(first) {
        Some(FileKind::Binary) if !is_object(first) => None,
        Some(_) => Some(LeftBecause::Opaque),
        None if FileKind::of(first) == FileKind::Text => Some(LeftBecause::NotListed),
        None => Some(LeftBecause::Opaque),
    }
}

/// An ELF file that was not linked yet (`ET_REL`): nobody loads it.
pub(super) fn is_object(first: &[u8]) -> bool {
    first.starts_with(b"\x7fELF") && matches!(first.get(16..18), Some([1, 0] | [0, 1]))
}
