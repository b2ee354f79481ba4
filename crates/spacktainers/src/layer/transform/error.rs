//! Why a package cannot be transformed.

use std::io;

use oci_format::layer::tar::{TarError, TarWriteError};
use spack_format::relocation::c_string::CStringError;
use spack_format::relocation::elf::ElfError;

use crate::layer::relocate::WHOLE_FILE_LIMIT;
use crate::local_cache::LocalCacheError;

/// Why a package cannot be transformed.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// The archive cannot be read, or the new one cannot be written.
    #[error("the archive of {package} cannot be read or the new one cannot be written")]
    Io {
        /// Which package.
        package: String,
        /// Why.
        source: io::Error,
    },
    /// The archive is no longer what it was when it was scanned.
    #[error("the archive of {package} is broken, although it was whole when it was scanned")]
    Tar {
        /// Which package.
        package: String,
        /// What is wrong.
        source: TarError,
    },
    /// A member cannot be written.
    #[error("cannot write the new archive of {package}")]
    Write {
        /// Which package.
        package: String,
        /// Why.
        source: TarWriteError,
    },
    /// The local cache does not take the archive.
    #[error("cannot keep a new archive in the local cache")]
    Cache(#[from] LocalCacheError),
    /// A file that has to be in memory and is too large for that.
    #[error(
        "{package}: `{file}` has {size} bytes, and files of more than {WHOLE_FILE_LIMIT} cannot be relocated"
    )]
    TooLarge {
        /// Which package.
        package: String,
        /// Which file, below the prefix.
        file: String,
        /// Its bytes.
        size: u64,
    },
    /// A string in a binary has no room for the new prefix.
    #[error("{package}: `{file}` cannot be relocated")]
    String {
        /// Which package.
        package: String,
        /// Which file, below the prefix.
        file: String,
        /// Why.
        source: CStringError,
    },
    /// A search path or interpreter has no room for the new prefix.
    #[error("{package}: the search path or interpreter of `{file}` cannot be changed")]
    Elf {
        /// Which package.
        package: String,
        /// Which file, below the prefix.
        file: String,
        /// Why.
        source: ElfError,
    },
    /// Something that the program loader reads still leads to where the package was built.
    #[error(
        "{package}: `{file}` still holds a prefix of the build at byte {offset} after relocation ({count} in all)"
    )]
    Foreign {
        /// Which package.
        package: String,
        /// Which file, below the prefix.
        file: String,
        /// Where, in the relocated file.
        offset: u64,
        /// How many places there are.
        count: u64,
    },
}

impl TransformError {
    /// What can be done about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::String { source, .. } => Some(source.hint()),
            Self::Elf { .. } => Some(
                "set `[install] root` to a path that is not longer than that of the build, or leave it out",
            ),
            Self::Foreign { .. } => Some(
                "the archive does not list this file as one to relocate: build and push the package again with Spack 1.0 or later",
            ),
            _ => None,
        }
    }

    /// Whether the package is at fault, and not this machine.
    #[must_use]
    pub const fn is_verification(&self) -> bool {
        matches!(
            self,
            Self::Tar { .. }
                | Self::TooLarge { .. }
                | Self::String { .. }
                | Self::Elf { .. }
                | Self::Foreign { .. }
        )
    }
}
