//! What can go wrong in the local cache.

use std::io;
use std::path::{Path, PathBuf};

use oci_format::Digest;

/// Why the local cache could not do something.
#[derive(Debug, thiserror::Error)]
pub enum LocalCacheError {
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: `create the directory`, `write`, …
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no room left, or a quota is used up.
    #[error(
        "no space left for `{}`: free some, or put the cache on another file system",
        path.display()
    )]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The reader that was to give the bytes failed.
    #[error("cannot read what was to become blob {digest} of the local cache")]
    Source {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not those that the digest names.
    #[error("the bytes for {expected} have the digest {actual}")]
    Digest {
        /// The digest wanted.
        expected: Digest,
        /// The digest that the bytes have.
        actual: Digest,
    },
    /// More or fewer bytes than were promised.
    #[error(
        "{} bytes for {digest}: {expected} were promised, {actual} came",
        if actual > expected { "too many" } else { "too few" }
    )]
    Size {
        /// The blob.
        digest: Digest,
        /// Bytes promised.
        expected: u64,
        /// Bytes seen when reading stopped.
        actual: u64,
    },
}

impl LocalCacheError {
    /// Turns an I/O error of `action` on `path` into ours; for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path, source },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}
