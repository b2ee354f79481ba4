//! Blobs whose bytes are at hand: `insert` when the digest is known, `writer` when it is not.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oci_format::{Digest, DigestWriter};

use super::clean::TEMPORARY_PREFIX;
use super::lock::{self, Locked};
use super::{LocalCache, LocalCacheError};
use crate::content::Content;

/// Bytes moved at a time. Large enough that system calls do not show, small enough for many at once.
pub(super) const BUFFER: usize = 128 * 1024;

impl LocalCache {
    /// Stores the `size` bytes of `reader`, which must have this digest. When the blob is here
    /// already, `reader` is left unread.
    ///
    /// # Errors
    /// When the bytes are others, more or fewer than promised, or cannot be read or written. Nothing
    /// is stored then. At most one byte beyond `size` is read.
    pub fn insert(
        &self,
        digest: &Digest,
        size: u64,
        reader: impl Read,
    ) -> Result<Content, LocalCacheError> {
        if let Some(content) = self.blob(digest).filter(|content| content.len() == size) {
            return Ok(content);
        }
        let mut writer = self.writer()?;
        let mut reader = reader.take(size.saturating_add(1));
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(LocalCacheError::Source {
                        digest: *digest,
                        source,
                    });
                }
            };
            writer
                .write_all(&buffer[..count])
                .map_err(LocalCacheError::io("write", &writer.temporary.path))?;
        }
        writer.finish_as(digest, size)
    }

    /// A place to write a blob whose digest is known only at the end.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn writer(&self) -> Result<BlobWriter, LocalCacheError> {
        let (temporary, file) = Temporary::create(&self.partials())?;
        Ok(BlobWriter {
            cache: self.clone(),
            temporary,
            out: DigestWriter::new(file),
        })
    }
}

/// A blob being written. Dropped without [`BlobWriter::finish`] it leaves nothing behind.
pub struct BlobWriter {
    cache: LocalCache,
    temporary: Temporary,
    out: DigestWriter<File>,
}

impl BlobWriter {
    /// Stores what was written under its digest.
    ///
    /// # Errors
    /// When the file cannot be synced or renamed.
    pub fn finish(self) -> Result<(Digest, Content), LocalCacheError> {
        let (file, digest, _size) = self.out.finish();
        let content = store(&self.cache, self.temporary, &file, &digest)?;
        Ok((digest, content))
    }

    /// Stores what was written if it is the `size` bytes with this digest.
    ///
    /// # Errors
    /// When it is not, or the file cannot be synced or renamed.
    pub fn finish_as(self, digest: &Digest, size: u64) -> Result<Content, LocalCacheError> {
        let (file, actual, written) = self.out.finish();
        check(digest, size, &actual, written)?;
        store(&self.cache, self.temporary, &file, digest)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file of this process alone, in the cache's file system; it goes away with this value, or with the process.
pub struct Scratch {
    temporary: Temporary,
    file: File,
}

impl LocalCache {
    /// An empty file to write, read and seek in.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn scratch(&self) -> Result<Scratch, LocalCacheError> {
        let (temporary, file) = Temporary::create(&self.partials())?;
        Ok(Scratch { temporary, file })
    }
}

impl Scratch {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }

    /// The file, open for reading and writing.
    pub fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }
}

/// Whether bytes are what they were said to be.
pub(super) fn check(
    digest: &Digest,
    size: u64,
    actual_digest: &Digest,
    actual_size: u64,
) -> Result<(), LocalCacheError> {
    if actual_size != size {
        return Err(LocalCacheError::Size {
            digest: *digest,
            expected: size,
            actual: actual_size,
        });
    }
    if actual_digest != digest {
        return Err(LocalCacheError::Digest {
            expected: *digest,
            actual: *actual_digest,
        });
    }
    Ok(())
}

fn store(
    cache: &LocalCache,
    temporary: Temporary,
    file: &File,
    digest: &Digest,
) -> Result<Content, LocalCacheError> {
    // Without this a power cut soon after the rename could leave an empty file of the final name.
    file.sync_data()
        .map_err(LocalCacheError::io("write", &temporary.path))?;
    let content = cache.adopt(&temporary.path, digest)?;
    temporary.forget();
    Ok(content)
}

/// A locked file below `partial` that goes away with this value.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn create(directory: &Path) -> Result<(Self, File), LocalCacheError> {
        loop {
            let path = directory.join(temporary_name());
            let opened = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path);
            let file = match opened {
                Ok(file) => file,
                // A process of the same number in another container, or before a reboot.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(LocalCacheError::io("create", &path)(error)),
            };
            let creating = LocalCacheError::io("lock", &path);
            let again = file
                .try_clone()
                .map_err(LocalCacheError::io("open", &path))?;
            match lock::lock(file, &path).map_err(creating)? {
                Locked::Ours(file) => return Ok((Self { path }, file)),
                // Nobody cleans what is new and cannot be locked.
                Locked::Unsupported => return Ok((Self { path }, again)),
                // A cleaner was faster than our lock; it removes the file.
                Locked::Busy | Locked::Gone => {}
            }
        }
    }

    /// Leaves the file where it is: it has another name now.
    fn forget(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file name that no other thread of this process uses, and hardly any other process.
pub(super) fn temporary_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY_PREFIX}{}-{count}", std::process::id())
}
