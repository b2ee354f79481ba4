//! Writing a mirror that is a folder.
//!
//! ```text
//! <root>/.spacktainers/tmp-*      being written; locked by who writes it
//! <root>/.spacktainers/lock       held while an object that has a version is replaced
//! ```
//!
//! Bytes go to a temporary file in the same file system, are synced, and get their name in one step. What killed writers
//! leave behind is removed by later ones. `flock` keeps writers apart on one machine and on network file systems that
//! pass locks on, as NFS has done since Linux 2.6.12.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use oci_format::{Digest, DigestWriter};
use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use super::write::{
    OnBytes, PruneMirror, Put, Versioned, When, WriteError, WriteFault, WriteMirror,
};
use super::{Download, FileMirror, Mirror, MirrorError, MirrorFault, Start, is_plain};
use crate::content::Content;

/// Where unfinished files are, below the mirror's folder.
const OWN_FOLDER: &str = ".spacktainers";
/// How their names begin.
const TEMPORARY: &str = "tmp-";
/// An unfinished file that nobody holds is removed after this time: its writer may be about to take hold of it.
const STALE_AFTER: Duration = Duration::from_secs(3600);
/// Bytes moved at a time.
const BUFFER: usize = 256 * 1024;

/// A folder that is written.
#[derive(Debug, Clone)]
pub struct FolderWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reader: FileMirror,
    root: PathBuf,
    is_swept: AtomicBool,
}

impl FolderWriter {
    /// The folder at `root`, which is made when something is written.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            shared: Arc::new(Shared {
                reader: FileMirror::new(&root),
                root,
                is_swept: AtomicBool::new(false),
            }),
        }
    }

    /// Runs what blocks on a thread where it may.
    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Shared) -> Result<T, WriteFault> + Send + 'static,
    ) -> Result<T, WriteError> {
        let error = |fault| WriteError {
            mirror: self.url().to_owned(),
            key: key.to_owned(),
            fault: Box::new(fault),
        };
        if !is_plain(key) {
            return Err(error(WriteFault::Key));
        }
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result.map_err(error),
            Err(abandoned) => Err(error(WriteFault::Server(Box::new(abandoned)))),
        }
    }

    fn read_error(&self, key: &str, path: &Path, source: io::Error) -> MirrorError {
        MirrorError {
            mirror: self.url().to_owned(),
            key: key.to_owned(),
            fault: Box::new(MirrorFault::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

impl Shared {
    /// A temporary file in the mirror's file system, locked.
    fn temporary(&self) -> Result<NamedTempFile, WriteFault> {
        let folder = self.root.join(OWN_FOLDER);
        make_folder(&folder)?;
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            sweep(&folder);
        }
        let file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(&folder)
            .map_err(fault("create a file in", &folder))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| fault("lock", file.path())(error.into()))?;
        Ok(file)
    }

    /// Gives a file its name.
    fn name(&self, file: NamedTempFile, key: &str, is_first: bool) -> Result<Put, WriteFault> {
        let path = self.root.join(key);
        file.as_file().sync_all().map_err(fault("sync", &path))?;
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let named = if is_first {
            file.persist_noclobber(&path)
        } else {
            file.persist(&path)
        };
        match named {
            Ok(_) => {
                if let Some(folder) = path.parent() {
                    sync_folder(folder)?;
                }
                Ok(Put::Written)
            }
            Err(error) if is_first && error.error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(Put::Refused)
            }
            Err(error) => Err(fault("write", &path)(error.error)),
        }
    }

    /// Holds the mirror's lock until the file is dropped.
    fn lock(&self) -> Result<File, WriteFault> {
        let folder = self.root.join(OWN_FOLDER);
        make_folder(&folder)?;
        let path = folder.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(fault("open", &path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| fault("lock", &path)(error.into()))?;
        Ok(file)
    }

    fn put(&self, key: &str, bytes: &[u8], when: &When) -> Result<Put, WriteFault> {
        let path = self.root.join(key);
        let mut file = self.temporary()?;
        file.write_all(bytes).map_err(fault("write", &path))?;
        match when {
            When::Always => self.name(file, key, false),
            When::Absent => self.name(file, key, true),
            When::Version(version) => {
                let _lock = self.lock()?;
                match fs::read(&path) {
                    Ok(bytes) if version_of(&bytes) == *version => self.name(file, key, false),
                    Ok(_) => Ok(Put::Refused),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Put::Refused),
                    Err(error) => Err(fault("read", &path)(error)),
                }
            }
        }
    }

    fn put_blob(&self, key: &str, content: &Content, digest: &Digest) -> Result<u64, WriteFault> {
        let unreadable = |source| WriteFault::Source {
            digest: *digest,
            source,
        };
        let mut reader = content.open(0).map_err(unreadable)?;
        let mut out = DigestWriter::new(self.temporary()?);
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            let part = buffer.get(..count).unwrap_or_default();
            out.write_all(part)
                .map_err(fault("write", &self.root.join(key)))?;
        }
        let (file, actual, size) = out.finish();
        if actual != *digest {
            return Err(WriteFault::Changed {
                expected: *digest,
                actual,
            });
        }
        self.name(file, key, false)?;
        Ok(size)
    }
}

#[async_trait]
impl Mirror for FolderWriter {
    fn url(&self) -> &str {
        self.shared.reader.url()
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        // A folder that nothing was written to yet is an empty mirror.
        match self.shared.reader.get(key, limit).await {
            Err(error) if matches!(*error.fault, MirrorFault::NoFolder { .. }) => Ok(None),
            result => result,
        }
    }

    async fn open(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorError> {
        match self.shared.reader.open(key, start).await {
            Err(error) if matches!(*error.fault, MirrorFault::NoFolder { .. }) => Ok(None),
            result => result,
        }
    }

    fn local_path(&self, key: &str) -> Option<PathBuf> {
        self.shared.reader.local_path(key)
    }
}

#[async_trait]
impl WriteMirror for FolderWriter {
    async fn read(&self, key: &str, limit: u64) -> Result<Option<Versioned>, MirrorError> {
        let bytes = self.get(key, limit).await?;
        Ok(bytes.map(|bytes| Versioned {
            version: version_of(&bytes),
            bytes,
        }))
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, MirrorError> {
        if !is_plain(key) {
            return Err(MirrorError {
                mirror: self.url().to_owned(),
                key: key.to_owned(),
                fault: Box::new(MirrorFault::Key),
            });
        }
        let path = self.shared.root.join(key);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(self.read_error(key, &path, error)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, MirrorError> {
        let mut keys = Vec::new();
        let mut pending = vec![folder.trim_end_matches('/').to_owned()];
        while let Some(folder) = pending.pop() {
            let path = self.shared.root.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if is_absence(&error) => continue,
                Err(error) => return Err(self.read_error(&folder, &path, error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| self.read_error(&folder, &path, error))?;
                // Names that are no text are no part of a build cache.
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let key = format!("{folder}/{name}");
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => pending.push(key),
                    Ok(_) => keys.push(key),
                    Err(error) => return Err(self.read_error(&key, &path, error)),
                }
            }
        }
        keys.sort();
        Ok(keys)
    }

    async fn put(&self, key: &str, bytes: Bytes, when: &When) -> Result<Put, WriteError> {
        let (path, when) = (key.to_owned(), when.clone());
        self.blocking(key, move |shared| shared.put(&path, &bytes, &when))
            .await
    }

    async fn put_blob(
        &self,
        key: &str,
        content: &Content,
        digest: &Digest,
        on_bytes: OnBytes<'_>,
    ) -> Result<(), WriteError> {
        let (path, content, digest) = (key.to_owned(), content.clone(), *digest);
        let written = self
            .blocking(key, move |shared| shared.put_blob(&path, &content, &digest))
            .await?;
        on_bytes(written);
        Ok(())
    }
}

#[async_trait]
impl PruneMirror for FolderWriter {
    async fn delete(&self, key: &str) -> Result<(), WriteError> {
        let path = key.to_owned();
        self.blocking(key, move |shared| {
            let path = shared.root.join(path);
            match fs::remove_file(&path) {
                Err(error) if !is_absence(&error) => Err(fault("delete", &path)(error)),
                _ => Ok(()),
            }
        })
        .await
    }
}

fn version_of(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn fault(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteFault {
    let path = path.to_owned();
    move |source| WriteFault::File {
        doing,
        path,
        source,
    }
}

fn make_folder(path: &Path) -> Result<(), WriteFault> {
    fs::create_dir_all(path).map_err(fault("create the folder", path))
}

fn sync_folder(path: &Path) -> Result<(), WriteFault> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(fault("sync", path))
}

/// Removes unfinished files whose writers are gone. What cannot be removed is left.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let age = entry.metadata().and_then(|it| it.modified()).ok();
        let is_old = age
            .and_then(|it| it.elapsed().ok())
            .is_some_and(|age| age > STALE_AFTER);
        if !is_temporary || !is_old {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}
