//! A group of packages into a layer.
//!
//! One package whose archive can be a layer *is* the layer. Otherwise the members of all archives of the group are written
//! one after the other into a new tar, each where its prefix is in the image.

use std::collections::HashSet;
use std::io::{self, Write};

use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::{TarError, TarReader, TarWriteError, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use oci_format::{Descriptor, Digest, DigestWriter, media_type};
use serde::{Deserialize, Serialize};

use super::compress::Compress;
use super::record::PackageRecord;
use crate::content::Content;
use crate::image::{LayerContent, RecordedLayer, RegistryOrigin};
use crate::local_cache::{LocalCache, LocalCacheError};

/// Kind of the records in the local cache. The number changes with the bytes that are written for the same packages.
const RECORD_KIND: &str = "packed-1";

/// Bytes that a package may decompress to; [`super::scan()`] has seen it do so with less.
const TAR_LIMIT: u64 = 64 << 30;

/// Why a layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// An archive cannot be opened or written.
    #[error("the archive of {package} cannot be read or the layer cannot be written")]
    Io {
        /// Which package.
        package: String,
        /// Why.
        source: io::Error,
    },
    /// An archive is no longer what it was when it was scanned.
    #[error("the archive of {package} is broken, although it was whole when it was scanned")]
    Tar {
        /// Which package.
        package: String,
        /// What is wrong.
        source: TarError,
    },
    /// A member cannot be written.
    #[error("cannot write a layer with {package}")]
    Write {
        /// Which package.
        package: String,
        /// Why.
        source: TarWriteError,
    },
    /// The local cache does not take the layer.
    #[error("cannot keep a layer in the local cache")]
    Cache(#[from] LocalCacheError),
}

/// One package of a group.
#[derive(Debug, Clone)]
pub struct PackInput<'a> {
    /// For people: `zlib@1.3.1 /abc1234`.
    pub title: String,
    /// Digest of the archive.
    pub blob: Digest,
    /// Bytes of the archive.
    pub size: u64,
    /// The archive.
    pub content: Content,
    /// What is known of it.
    pub record: &'a PackageRecord,
    /// Where it goes, without the leading `/`.
    pub prefix: &'a str,
    /// Repositories that hold the archive.
    pub origins: Vec<RegistryOrigin>,
}

/// What is remembered of a layer that was written.
#[derive(Serialize, Deserialize)]
struct Packed {
    digest: Digest,
    size: u64,
    diff_id: Digest,
}

/// The layer of `group`, which is not empty. A layer that is written has the compression `compress`.
///
/// # Errors
/// When an archive cannot be read or the layer cannot be kept.
pub fn pack(
    group: &[PackInput<'_>],
    compress: Compress,
    cache: &LocalCache,
) -> Result<RecordedLayer, PackError> {
    let title = group
        .iter()
        .map(|input| input.title.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if let [input] = group
        && let Some(media_type) = as_is(input)
    {
        return Ok(RecordedLayer {
            descriptor: Descriptor::new(media_type, input.blob, input.size),
            diff_id: input.record.diff_id,
            content: LayerContent::Here(input.content.clone()),
            origins: input.origins.clone(),
            title,
        });
    }
    let key = key(group, compress);
    let remembered = cache
        .record(RECORD_KIND, &key)
        .and_then(|bytes| serde_json::from_slice::<Packed>(&bytes).ok())
        .and_then(|packed| Some((cache.blob(&packed.digest)?, packed)));
    let (content, packed) = match remembered {
        Some(found) => found,
        None => {
            let (content, packed) = write(group, compress, cache)?;
            if let Ok(bytes) = serde_json::to_vec(&packed) {
                cache.put_record(RECORD_KIND, &key, &bytes)?;
            }
            (content, packed)
        }
    };
    Ok(RecordedLayer {
        descriptor: Descriptor::new(compress.media_type(), packed.digest, packed.size),
        diff_id: packed.diff_id,
        content: LayerContent::Here(content),
        origins: Vec::new(),
        title,
    })
}

/// The media type of a layer that is the archive itself, where it can be.
fn as_is(input: &PackInput<'_>) -> Option<&'static str> {
    if input.record.prefix.as_deref() != Some(input.prefix) {
        return None;
    }
    match input.record.compression.as_str() {
        "gzip" => Some(media_type::LAYER_TAR_GZIP),
        "zstd" => Some(media_type::LAYER_TAR_ZSTD),
        "none" => Some(media_type::LAYER_TAR),
        _ => None,
    }
}

/// All that decides the bytes of the layer.
fn key(group: &[PackInput<'_>], compress: Compress) -> String {
    let mut text: String = group
        .iter()
        .map(|input| format!("{} {}\n", input.blob, input.prefix))
        .collect();
    if compress != Compress::default() {
        text.push_str(&compress.key());
    }
    Digest::of(text.as_bytes()).hex()
}

fn write(
    group: &[PackInput<'_>],
    compress: Compress,
    cache: &LocalCache,
) -> Result<(Content, Packed), PackError> {
    let package = group
        .first()
        .map(|input| input.title.clone())
        .unwrap_or_default();
    let io_error = |source| PackError::Io {
        package: package.clone(),
        source,
    };
    let encoder = compress.encoder(cache.writer()?).map_err(io_error)?;
    let mut tar = TarWriter::new(DigestWriter::new(encoder));
    let mut folders = HashSet::new();
    for input in group {
        append(&mut tar, input, &mut folders)?;
    }
    let tar = tar.finish().map_err(|source| PackError::Write {
        package: package.clone(),
        source,
    })?;
    let (encoder, diff_id, _) = tar.finish();
    let (digest, content) = encoder.finish().map_err(io_error)?.finish()?;
    let size = content.len();
    Ok((
        content,
        Packed {
            digest,
            size,
            diff_id,
        },
    ))
}

/// Writes the members of one archive where its prefix is in the image.
fn append<W: Write>(
    tar: &mut TarWriter<W>,
    input: &PackInput<'_>,
    folders: &mut HashSet<Vec<u8>>,
) -> Result<(), PackError> {
    let io_error = |source| PackError::Io {
        package: input.title.clone(),
        source,
    };
    let write_error = |source| PackError::Write {
        package: input.title.clone(),
        source,
    };
    let old = input
        .record
        .prefix
        .as_deref()
        .or(input.record.top.as_deref())
        .unwrap_or_default()
        .as_bytes();
    let moved = |path: &[u8]| -> Option<Vec<u8>> {
        let below = path.strip_prefix(old)?;
        (below.is_empty() || below.starts_with(b"/"))
            .then(|| [input.prefix.as_bytes(), below].concat())
    };
    // The folders above the prefix, as Spack's own archives have them; each once per layer.
    for (index, _) in input.prefix.match_indices('/') {
        let folder = &input.prefix.as_bytes()[..index];
        if folders.insert(folder.to_vec()) {
            tar.append_bytes(&Entry::directory(folder, 0o755, 0), b"")
                .map_err(write_error)?;
        }
    }
    let decoder =
        Decoder::new(input.content.open(0).map_err(io_error)?, TAR_LIMIT).map_err(io_error)?;
    let mut members = TarReader::new(decoder);
    while let Some(mut member) = members.next_member().map_err(|source| PackError::Tar {
        package: input.title.clone(),
        source,
    })? {
        // What lies above the prefix was written already.
        let Some(path) = moved(&member.entry.path) else {
            continue;
        };
        let mut entry = member.entry.clone();
        entry.path = path;
        if let EntryKind::HardLink(target) = &entry.kind {
            entry.kind = EntryKind::HardLink(moved(target).unwrap_or_else(|| target.clone()));
        }
        tar.append(&entry, &mut member).map_err(write_error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
