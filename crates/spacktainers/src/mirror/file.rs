//! A mirror that is a folder of this machine.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use futures::{StreamExt, TryStreamExt};

use super::{Download, Mirror, MirrorError, MirrorFault, Start, is_plain};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// A folder. Its objects are files and are used in place where possible, see
/// [`Mirror::local_path`].
#[derive(Debug)]
pub struct FileMirror {
    root: PathBuf,
    url: String,
}

impl FileMirror {
    /// The folder at `root`, which may not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let url = format!("file://{}", root.display());
        Self { root, url }
    }

    fn error(&self, key: &str, fault: MirrorFault) -> MirrorError {
        MirrorError {
            mirror: self.url.clone(),
            key: key.to_owned(),
            fault: Box::new(fault),
        }
    }

    /// Runs `read` on the object's file, on a thread where it may block.
    async fn with_file<T: Send + 'static>(
        &self,
        key: &str,
        read: impl FnOnce(File) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Option<T>, MirrorError> {
        let path = self
            .local_path(key)
            .ok_or_else(|| self.error(key, MirrorFault::Key))?;
        let fault = |source| MirrorFault::Read {
            path: path.clone(),
            source,
        };
        let (opening, root) = (path.clone(), self.root.clone());
        let task = tokio::task::spawn_blocking(move || match open(&opening) {
            Ok(Some(file)) => read(file).map(Some),
            Ok(None) if root.is_dir() => Ok(None),
            Ok(None) => Err(ReadError::NoFolder),
            Err(error) => Err(ReadError::Io(error)),
        });
        let result = match task.await {
            Ok(result) => result,
            Err(error) => Err(ReadError::Io(io::Error::other(error))),
        };
        result.map_err(|error| {
            let fault = match error {
                ReadError::Io(source) => fault(source),
                ReadError::TooLarge(limit) => MirrorFault::TooLarge { limit },
                ReadError::NoFolder => MirrorFault::NoFolder {
                    path: self.root.clone(),
                },
            };
            self.error(key, fault)
        })
    }
}

enum ReadError {
    Io(io::Error),
    TooLarge(u64),
    NoFolder,
}

/// Opens a regular file; nothing when there is none.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Mirror for FileMirror {
    fn url(&self) -> &str {
        &self.url
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, MirrorError> {
        self.with_file(key, move |file| {
            let mut bytes = Vec::new();
            file.take(limit.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(ReadError::Io)?;
            if bytes.len() as u64 > limit {
                return Err(ReadError::TooLarge(limit));
            }
            Ok(bytes)
        })
        .await
    }

    async fn open(&self, key: &str, start: &Start) -> Result<Option<Download>, MirrorError> {
        let offset = start.offset;
        let opened = self
            .with_file(key, move |mut file| {
                let total = file.metadata().map_err(ReadError::Io)?.len();
                let offset = if offset > total { 0 } else { offset };
                file.seek(SeekFrom::Start(offset)).map_err(ReadError::Io)?;
                Ok((file, offset, total))
            })
            .await?;
        let Some((file, offset, total)) = opened else {
            return Ok(None);
        };
        let (mirror, key) = (self.url.clone(), key.to_owned());
        let path = self.root.join(&key);
        let body = stream::try_unfold(file, |mut file| async move {
            let task = tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; CHUNK];
                let count = file.read(&mut buffer)?;
                buffer.truncate(count);
                Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(buffer), file)))
            });
            task.await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
        })
        .map_err(move |source| MirrorError {
            mirror: mirror.clone(),
            key: key.clone(),
            fault: Box::new(MirrorFault::Read {
                path: path.clone(),
                source,
            }),
        })
        .boxed();
        Ok(Some(Download {
            offset,
            total: Some(total),
            version: None,
            body,
        }))
    }

    fn local_path(&self, key: &str) -> Option<PathBuf> {
        is_plain(key).then(|| self.root.join(key))
    }
}
