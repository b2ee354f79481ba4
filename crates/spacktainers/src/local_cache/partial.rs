//! Downloads that can be continued: by the next attempt, or by the next process.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use oci_format::Digest;
use sha2::{Digest as _, Sha256};

use super::lock::{self, Locked};
use super::writer::{BUFFER, check, temporary_name};
use super::{LocalCache, LocalCacheError};
use crate::content::Content;

/// How often to look whether another process has finished a download.
const POLL: Duration = Duration::from_millis(50);

/// Who fetches a blob.
pub enum Claim {
    /// Nobody needs to: it is here.
    Present(Content),
    /// Somebody else does, in this process or another one. Ask again later.
    Busy,
    /// The caller does, from [`PartialBlob::offset`].
    Mine(PartialBlob),
}

impl LocalCache {
    /// Asks to be the one who fetches this blob, without waiting.
    ///
    /// What an earlier attempt left is read once, to hash it.
    ///
    /// # Errors
    /// When the partial file cannot be made or read.
    pub fn try_claim(&self, digest: &Digest, size: u64) -> Result<Claim, LocalCacheError> {
        loop {
            if let Some(content) = self.blob(digest).filter(|content| content.len() == size) {
                return Ok(Claim::Present(content));
            }
            let path = self.partials().join(digest.hex());
            match lock::open_locked(&path).map_err(LocalCacheError::io("open", &path))? {
                Locked::Ours(file) => {
                    return PartialBlob::resume(self, digest, size, path, file, false)
                        .map(Claim::Mine);
                }
                Locked::Busy => return Ok(Claim::Busy),
                Locked::Gone => {}
                Locked::Unsupported => {
                    // No way to know whether somebody writes it: a file of our own, from the start.
                    let path = self.partials().join(temporary_name());
                    let file = File::options()
                        .read(true)
                        .write(true)
                        .create_new(true)
                        .open(&path)
                        .map_err(LocalCacheError::io("create", &path))?;
                    return PartialBlob::resume(self, digest, size, path, file, true)
                        .map(Claim::Mine);
                }
            }
        }
    }

    /// Like [`LocalCache::try_claim`], but waits while somebody else fetches the blob. Blocks the
    /// thread; never gives [`Claim::Busy`].
    ///
    /// # Errors
    /// As [`LocalCache::try_claim`].
    pub fn claim(&self, digest: &Digest, size: u64) -> Result<Claim, LocalCacheError> {
        loop {
            match self.try_claim(digest, size)? {
                Claim::Busy => thread::sleep(POLL),
                claim => return Ok(claim),
            }
        }
    }
}

/// A blob being fetched. Dropped without [`PartialBlob::commit`] it keeps what was written, for the
/// next one who wants the blob.
pub struct PartialBlob {
    cache: LocalCache,
    digest: Digest,
    size: u64,
    path: PathBuf,
    /// Keeps the lock.
    file: File,
    /// Of the `written` bytes in the file.
    hasher: Sha256,
    written: u64,
    /// Nobody can find the file to continue it.
    is_private: bool,
}

impl PartialBlob {
    fn resume(
        cache: &LocalCache,
        digest: &Digest,
        size: u64,
        path: PathBuf,
        file: File,
        is_private: bool,
    ) -> Result<Self, LocalCacheError> {
        let mut partial = Self {
            cache: cache.clone(),
            digest: *digest,
            size,
            path,
            file,
            hasher: Sha256::new(),
            written: 0,
            is_private,
        };
        partial
            .hash_what_is_here()
            .map_err(LocalCacheError::io("read", &partial.path))?;
        if partial.written > size {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Bytes that are here already: the download continues from there.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.written
    }

    /// Bytes that the blob will have.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Throws away what is here: when the server cannot continue, or what it sent was wrong.
    ///
    /// # Errors
    /// When the file cannot be truncated.
    pub fn restart(&mut self) -> Result<(), LocalCacheError> {
        self.hasher = Sha256::new();
        self.written = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(LocalCacheError::io("truncate", &self.path))?;
        Ok(())
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// When that would be more than the size promised (nothing is written then), or writing fails.
    /// On a full disk the partial file is emptied, so as to give back its space.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), LocalCacheError> {
        let total = self.written.saturating_add(bytes.len() as u64);
        if total > self.size {
            return Err(LocalCacheError::Size {
                digest: self.digest,
                expected: self.size,
                actual: total,
            });
        }
        if let Err(source) = self.file.write_all(bytes) {
            let error = LocalCacheError::io("write", &self.path)(source);
            // After a failed write nobody knows how much of `bytes` is in the file.
            let _ = match error {
                LocalCacheError::Full { .. } => self.restart(),
                _ => self.forget_what_follows(),
            };
            return Err(error);
        }
        self.hasher.update(bytes);
        self.written = total;
        Ok(())
    }

    /// Stores the finished blob under its digest.
    ///
    /// # Errors
    /// [`LocalCacheError::Size`] when bytes are missing: what is here stays, to be continued.
    /// [`LocalCacheError::Digest`] when the bytes are others: they are thrown away. Otherwise when
    /// the file cannot be synced or renamed.
    pub fn commit(mut self) -> Result<Content, LocalCacheError> {
        let actual = Digest::from_bytes(mem::take(&mut self.hasher).finalize().into());
        if let Err(error) = check(&self.digest, self.size, &actual, self.written) {
            if matches!(error, LocalCacheError::Digest { .. }) {
                let _ = fs::remove_file(&self.path);
            }
            return Err(error);
        }
        // Without this a power cut soon after the rename could leave an empty file of the final name.
        self.file
            .sync_data()
            .map_err(LocalCacheError::io("write", &self.path))?;
        let content = self.cache.adopt(&self.path, &self.digest)?;
        self.is_private = false;
        Ok(content)
    }

    /// Hashes the file from its start and stands at its end.
    fn hash_what_is_here(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.hasher.update(&buffer[..count]);
                    self.written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes every later write fail as on a full disk.
    #[cfg(test)]
    pub(super) fn put_on_a_full_disk(&mut self) {
        self.file = File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
    }

    /// Cuts the file to the bytes that are hashed.
    fn forget_what_follows(&mut self) -> Result<(), LocalCacheError> {
        self.file
            .set_len(self.written)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.written)))
            .map_err(LocalCacheError::io("truncate", &self.path))?;
        Ok(())
    }
}

impl Drop for PartialBlob {
    fn drop(&mut self) {
        if self.is_private {
            let _ = fs::remove_file(&self.path);
        }
    }
}
