//! A directory of blobs named by their content, and of small facts worth remembering.
//!
//! ```text
//! <root>/
//!   blobs/sha256/ab/<64 hex digits>   complete and verified; never written under this name
//!   partial/<64 hex digits>           a download so far, from its first byte; locked while it grows
//!   partial/tmp-<process>-<counter>   being written, digest not yet known; locked while it grows
//!   records/<kind>/<key>              remembered facts, each with a checksum of itself
//! ```
//!
//! Start at [`LocalCache::open`]. Three ways in: [`LocalCache::insert`] when the bytes and the digest
//! are at hand, [`LocalCache::writer`] when the digest is only known at the end, and
//! [`LocalCache::claim`] for a download that may be continued where an earlier process stopped.
//! [`LocalCache::scratch`] gives a file that is of no use to anybody else.
//!
//! Guaranteed:
//! - what has a name below `blobs` is complete and had that digest when it got the name: bytes are
//!   written elsewhere in the same file system, hashed, synced and then renamed;
//! - any number of processes may share the directory: a growing file is held by an advisory lock
//!   (`flock`), and whoever comes second waits for it or finds the finished blob;
//! - a process may be killed at any moment. What it leaves in `partial` is continued by the next one
//!   that wants the same blob, or removed by [`LocalCache::open`];
//! - records may be lost, never wrong: one that does not match its own checksum does not exist.
//!
//! Not guaranteed: that nobody damages a blob on the disk later. Whoever passes bytes on hashes them
//! again, see [`Content`]; [`LocalCache::verified_blob`] does so at once.

mod clean;
mod error;
mod lock;
mod partial;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_format::{Digest, DigestReader};

use crate::content::Content;

pub use error::LocalCacheError;
pub use partial::{Claim, PartialBlob};
pub use writer::{BlobWriter, Scratch};

/// A handle to a cache directory; cheap to clone and safe to share between threads.
#[derive(Debug, Clone)]
pub struct LocalCache {
    root: Arc<Path>,
}

impl LocalCache {
    /// Opens the cache at `root`, making the directory when there is none, and removes what killed
    /// processes left behind there.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, LocalCacheError> {
        let cache = Self {
            root: root.into().into(),
        };
        for directory in [cache.blobs(), cache.partials(), cache.root.join("records")] {
            fs::create_dir_all(&directory)
                .map_err(LocalCacheError::io("create the directory", &directory))?;
        }
        clean::remove_stale(&cache.partials());
        Ok(cache)
    }

    /// The directory it lies in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The blob with this digest, if it is here.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<Content> {
        let path = self.blob_path(digest);
        let metadata = fs::metadata(&path).ok()?;
        let len = metadata.len();
        metadata.is_file().then_some(Content::File {
            path,
            offset: 0,
            len,
        })
    }

    /// The blob with this digest after reading it once to see that it still has that digest. One
    /// that does not is removed, so that it is fetched again.
    ///
    /// # Errors
    /// When the blob is here but cannot be read, or is wrong and cannot be removed.
    pub fn verified_blob(&self, digest: &Digest) -> Result<Option<Content>, LocalCacheError> {
        let Some(content) = self.blob(digest) else {
            return Ok(None);
        };
        let path = self.blob_path(digest);
        let reading = LocalCacheError::io("read", &path);
        let actual = content
            .open(0)
            .and_then(|reader| {
                let mut reader = DigestReader::new(reader);
                io::copy(&mut reader, &mut io::sink())?;
                Ok(reader.finish().1)
            })
            .map_err(reading)?;
        if actual == *digest {
            return Ok(Some(content));
        }
        self.remove(digest)?;
        Ok(None)
    }

    /// Forgets a blob: for one that turned out to be damaged.
    ///
    /// # Errors
    /// When it is here and cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<(), LocalCacheError> {
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LocalCacheError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Two digits of fan-out: directories of many thousands of entries are slow on shared file
    /// systems.
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs().join(&hex[..2]).join(hex)
    }

    /// Gives a complete, synced file its final name.
    fn adopt(&self, temporary: &Path, digest: &Digest) -> Result<Content, LocalCacheError> {
        let path = self.blob_path(digest);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .map_err(LocalCacheError::io("create the directory", parent))?;
        }
        fs::rename(temporary, &path).map_err(LocalCacheError::io("rename a blob to", &path))?;
        let len = fs::metadata(&path)
            .map_err(LocalCacheError::io("look at", &path))?
            .len();
        Ok(Content::File {
            path,
            offset: 0,
            len,
        })
    }
}
