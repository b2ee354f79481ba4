//! A base that is a tar of a root file system.
//!
//! A plain tar or one in gzip is the layer, byte for byte; it is only read, once, for its diffID and to see
//! that no member leaves the root. xz and zstd are compressed again, as gzip, which every target takes.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use oci_format::layer::EntryKind;
use oci_format::layer::compression::{Compression, Decoder};
use oci_format::layer::tar::{Limits, Policy, TarError, TarReader, printable};
use oci_format::{Descriptor, Digest, DigestReader, DigestWriter, media_type};
use serde::{Deserialize, Serialize};

use super::context::BaseContext;
use super::gzip::ParallelGzip;
use super::locked::{LockedLayer, LockedRootfs};
use super::{Base, blocking, default_config};
use crate::content::Content;
use crate::image::{LayerContent, RecordedLayer};
use crate::local_cache::{LocalCache, LocalCacheError};

/// Bytes that the tar may have when decompressed, a bound against archives that are bombs.
const TAR_MAX: u64 = 64 << 30;
/// The kind of record that what was found out is remembered as.
const RECORD: &str = "rootfs-layer";

/// Why a tar cannot be a base.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is another file than the one in the lock.
    #[error("`{}` has changed since it was locked (it has digest {found} instead of {locked}): run `lock` again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its digest now.
        found: Digest,
        /// Its digest in the lock.
        locked: Digest,
    },
    /// It is no tar, or a hostile one.
    #[error("`{}` cannot be a base image", path.display())]
    Tar {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TarError,
    },
    /// A device where no image has one.
    #[error("`{}` has a device outside `dev/`: `{member}`", path.display())]
    Device {
        /// The file.
        path: PathBuf,
        /// The device.
        member: String,
    },
    /// It cannot be compressed again.
    #[error("cannot write the base layer")]
    Write(#[source] io::Error),
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
}

#[derive(Clone, Serialize, Deserialize)]
struct Scanned {
    layer: LockedLayer,
    media_type: String,
    /// Whether the layer is in the local cache, not the file itself.
    is_recompressed: bool,
    has_bash: bool,
    devices: usize,
}

/// Pins a tar by its digest. `file` is as written in the settings.
pub(super) async fn resolve(
    file: &std::path::Path,
    context: &BaseContext,
) -> Result<LockedRootfs, RootfsError> {
    let (path, shown) = (context.folder.join(file), file.display().to_string());
    blocking(move || {
        let (digest, size) = digest(&path)?;
        Ok(LockedRootfs {
            file: shown,
            digest,
            size,
        })
    })
    .await
}

/// The pinned tar as a layer.
pub(super) async fn base(
    locked: &LockedRootfs,
    context: &BaseContext,
) -> Result<Base, RootfsError> {
    let path = context.folder.join(&locked.file);
    let (cache, expected, jobs) = (context.cache.clone(), locked.digest, context.jobs.get());
    let title = format!("rootfs:{}", locked.file);
    blocking(move || {
        let len = std::fs::metadata(&path)
            .map_err(|source| RootfsError::Read { path: path.clone(), source })?
            .len();
        let key = expected.hex();
        let remembered = cache
            .record(RECORD, &key)
            .and_then(|bytes| serde_json::from_slice::<Scanned>(&bytes).ok())
            .filter(|found| match found.is_recompressed {
                true => cache.blob(&found.layer.digest).is_some(),
                // A file of another length has surely changed. Who sends it hashes it again.
                false => found.layer.size == len,
            });
        let found = match remembered {
            Some(found) => found,
            None => {
                let found = scan(&path, len, &expected, &cache, jobs)?;
                if let Ok(bytes) = serde_json::to_vec(&found) {
                    // Not remembered is only slower.
                    let _ = cache.put_record(RECORD, &key, &bytes);
                }
                found
            }
        };
        let content = match found.is_recompressed {
            true => cache.blob(&found.layer.digest),
            false => Some(Content::File { path: path.clone(), offset: 0, len }),
        };
        let gone = || RootfsError::Read { path: path.clone(), source: io::ErrorKind::NotFound.into() };
        let layer = RecordedLayer {
            descriptor: Descriptor::new(&found.media_type, found.layer.digest, found.layer.size),
            diff_id: found.layer.diff_id,
            content: LayerContent::Here(content.ok_or_else(gone)?),
            origins: Vec::new(),
            title,
        };
        let warnings = match found.devices {
            0 => Vec::new(),
            count => vec![format!(
                "`{}` has {count} device nodes: container runtimes make their own, and rootless ones cannot unpack these",
                path.display()
            )],
        };
        Ok(Base { layers: vec![layer], config: Some(default_config(None, found.has_bash)), warnings, made: None })
    })
    .await
}

fn digest(path: &std::path::Path) -> Result<(Digest, u64), RootfsError> {
    let failed = |source| RootfsError::Read {
        path: path.to_owned(),
        source,
    };
    let mut reader = DigestReader::new(std::fs::File::open(path).map_err(failed)?);
    let mut buffer = vec![0; 1 << 17];
    while reader.read(&mut buffer).map_err(failed)? > 0 {}
    let (_, digest, size) = reader.finish();
    Ok((digest, size))
}

/// One pass: the file's digest, the tar's digest, what members there are, and a new gzip where needed.
fn scan(
    path: &std::path::Path,
    len: u64,
    expected: &Digest,
    cache: &LocalCache,
    jobs: usize,
) -> Result<Scanned, RootfsError> {
    let failed = |source| RootfsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = DigestReader::new(std::fs::File::open(path).map_err(failed)?);
    let decoder = Decoder::new(file, TAR_MAX).map_err(failed)?;
    let own_type = match decoder.compression() {
        compression @ (Compression::Plain | Compression::Gzip) => compression.layer_media_type(),
        Compression::Zstd | Compression::Xz => None,
    };
    let gzip = match own_type {
        Some(_) => None,
        None => Some(ParallelGzip::new(cache.writer()?, jobs).map_err(RootfsError::Write)?),
    };
    let tee = Tee {
        inner: decoder,
        out: DigestWriter::new(Sink(gzip)),
    };
    let mut tar = TarReader::with_policy(tee, Policy::Strict, Limits::default());
    let (mut has_bash, mut devices) = (false, 0);
    while let Some(member) = tar.next_member().map_err(|source| RootfsError::Tar {
        path: path.to_owned(),
        source,
    })? {
        let name = member.entry.path.as_slice();
        match member.entry.kind {
            EntryKind::CharacterDevice(..) | EntryKind::BlockDevice(..) => {
                if !name.starts_with(b"dev/") {
                    return Err(RootfsError::Device {
                        path: path.to_owned(),
                        member: printable(name),
                    });
                }
                devices += 1;
            }
            _ => has_bash |= matches!(name, b"bin/bash" | b"usr/bin/bash"),
        }
    }
    let Tee { inner, out } = tar.into_inner();
    let (_, found, size) = inner.into_inner().finish();
    if found != *expected || size != len {
        return Err(RootfsError::Changed {
            path: path.to_owned(),
            found,
            locked: *expected,
        });
    }
    let (sink, diff_id, _) = out.finish();
    let (media_type, layer) = match (own_type, sink.0) {
        (_, Some(gzip)) => {
            let (digest, content) = gzip.finish().map_err(RootfsError::Write)?.finish()?;
            (
                media_type::LAYER_TAR_GZIP,
                LockedLayer {
                    digest,
                    diff_id,
                    size: content.len(),
                },
            )
        }
        (own, None) => (
            own.unwrap_or(media_type::LAYER_TAR),
            LockedLayer {
                digest: found,
                diff_id,
                size,
            },
        ),
    };
    let is_recompressed = own_type.is_none();
    Ok(Scanned {
        layer,
        media_type: media_type.to_owned(),
        is_recompressed,
        has_bash,
        devices,
    })
}

/// Writes what is read through it.
struct Tee<R, W> {
    inner: R,
    out: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.out.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// A sink that may be none.
struct Sink<W>(Option<W>);

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(inner) => inner.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
