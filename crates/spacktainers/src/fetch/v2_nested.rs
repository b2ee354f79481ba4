//! Layout 0: the tarball lies in an archive, beside a spec file and its signature.
//!
//! ```text
//! ….spack, a plain tar
//!   ….spec.json, ….spec.json.asc
//!   ….tar.gz                        the tarball, whose checksum the spec file names
//! ```
//!
//! Source: `_extract_inner_tarball` in `binary_distribution.py` of Spack 0.21.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use futures::StreamExt;
use oci_format::Digest;
use tokio::sync::mpsc;

use super::Context;
use super::error::FindFault;
use crate::content::Content;
use crate::local_cache::{LocalCache, LocalCacheError};
use crate::mirror::{MirrorError, SharedMirror, Start};

/// A tar's unit.
const BLOCK: u64 = 512;

/// Members of such an archive: three, and room for the unexpected.
const MOST_MEMBERS: usize = 64;

/// Pieces that may wait between the network and the disk.
const BEHIND: usize = 16;

/// The tarball within the archive at `key`: a part of the file where the mirror is a folder, and
/// otherwise fetched into the local cache. Nothing when there is no such archive.
pub(super) async fn tarball(
    objects: &SharedMirror,
    key: &str,
    digest: &Digest,
    context: &Context<'_>,
) -> Result<Option<Content>, FindFault> {
    let nested = |source| FindFault::Nested {
        key: key.to_owned(),
        source,
    };
    if let Some(path) = objects.local_path(key) {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(nested)?,
        };
        let (offset, len) = locate(&file).map_err(nested)?;
        return Ok(Some(Content::File { path, offset, len }));
    }
    let Some(mut download) = objects.open(key, &Start::default()).await? else {
        return Ok(None);
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(BEHIND);
    let (cache, digest) = (context.cache.clone(), *digest);
    let writer = tokio::task::spawn_blocking(move || extract(&cache, &digest, receiver));
    let mut broken: Option<MirrorError> = None;
    while let Some(piece) = download.body.next().await {
        match piece {
            Ok(piece) => {
                // Whoever extracts has what it wants, or has failed.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let written = writer
        .await
        .map_err(|error| nested(io::Error::other(error)))?;
    match (written, broken) {
        (Ok(content), _) => Ok(Some(content)),
        (Err(_), Some(error)) => Err(error.into()),
        (Err(Failure::Archive(error)), None) => Err(nested(error)),
        (Err(Failure::Cache(error)), None) => Err(error.into()),
    }
}

/// Where the tarball begins in a file, and its length.
fn locate(mut file: &File) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let mut position = 0;
    for _ in 0..MOST_MEMBERS {
        file.seek(SeekFrom::Start(position))?;
        let Some((is_tarball, size)) = header(&mut file)? else {
            break;
        };
        let begin = position + BLOCK;
        let end = begin.checked_add(size).filter(|end| *end <= length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if is_tarball {
            return Ok((begin, size));
        }
        position = end.next_multiple_of(BLOCK);
    }
    Err(no_tarball())
}

enum Failure {
    Archive(io::Error),
    Cache(LocalCacheError),
}

/// Stores the tarball of an archive that arrives in pieces.
fn extract(
    cache: &LocalCache,
    digest: &Digest,
    receiver: mpsc::Receiver<Bytes>,
) -> Result<Content, Failure> {
    let mut archive = Pieces {
        receiver,
        current: Bytes::new(),
    };
    for _ in 0..MOST_MEMBERS {
        let Some((is_tarball, size)) = header(&mut archive).map_err(Failure::Archive)? else {
            break;
        };
        if is_tarball {
            let content = cache.insert(digest, size, archive.by_ref().take(size));
            return content.map_err(Failure::Cache);
        }
        let skipped = size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        io::copy(&mut archive.by_ref().take(skipped), &mut io::sink()).map_err(Failure::Archive)?;
    }
    Err(Failure::Archive(no_tarball()))
}

/// Whether the member is the tarball, and its size; nothing at the archive's end.
fn header(reader: &mut impl Read) -> io::Result<Option<(bool, u64)>> {
    let mut block = [0; BLOCK as usize];
    reader.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not a tar header");
    let stored = octal(&block[148..156]).ok_or_else(malformed)?;
    let sum: u64 = block
        .iter()
        .enumerate()
        // The checksum counts its own field as blanks.
        .map(|(index, byte)| {
            u64::from(if (148..156).contains(&index) {
                b' '
            } else {
                *byte
            })
        })
        .sum();
    if stored != sum {
        return Err(malformed());
    }
    let size = octal(&block[124..136]).ok_or_else(malformed)?;
    let name = block[..100]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let is_file = matches!(block[156], b'0' | 0);
    // Names longer than a header's field have their end in a member before, of another type; the
    // field then has the first hundred bytes. The tarball is the one big file that is no JSON.
    let is_other = name.ends_with(b".json") || name.ends_with(b".asc") || name.ends_with(b".yaml");
    Ok(Some((is_file && !is_other, size)))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
}

fn no_tarball() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "there is no tarball in it")
}

/// Pieces that arrive, as a reader.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
