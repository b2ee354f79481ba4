//! Manifests and blobs as objects of a mirror.

use std::sync::Arc;

use bytes::Bytes;
use oci_format::Digest;
use spack_format::build_cache::v3::{self, BlobRecord, Compression, Manifest};
use spack_format::build_cache::{Checksum, MAX_MANIFEST_BYTES};

use super::error::CacheFault;
use crate::content::Content;
use crate::mirror::{Mirror, OnBytes, Put, SharedWriter, Versioned, When};

/// Nobody hears of bytes.
pub(super) const UNHEARD: OnBytes<'static> = &|_| {};

pub(super) fn checksum(digest: &Digest) -> Checksum {
    Checksum::from_bytes(*digest.as_bytes())
}

pub(super) fn digest(checksum: &Checksum) -> Digest {
    Digest::from_bytes(*checksum.as_bytes())
}

/// Writes a blob unless one of its name and length is there; `always` writes it in any case.
pub(super) async fn put_blob(
    writer: &SharedWriter,
    content: &Content,
    digest: &Digest,
    always: bool,
    on_bytes: OnBytes<'_>,
) -> Result<(), CacheFault> {
    let key = v3::blob_path(&checksum(digest));
    if !always && writer.size(&key).await? == Some(content.len()) {
        return Ok(());
    }
    writer.put_blob(&key, content, digest, on_bytes).await?;
    Ok(())
}

/// Writes bytes as an uncompressed blob, and says what a manifest says of it.
pub(super) async fn put_bytes(
    writer: &SharedWriter,
    bytes: Vec<u8>,
    media_type: &str,
) -> Result<BlobRecord, CacheFault> {
    let digest = Digest::of(&bytes);
    let content = Content::Memory(Arc::from(bytes));
    put_blob(writer, &content, &digest, false, UNHEARD).await?;
    Ok(BlobRecord {
        content_length: content.len(),
        media_type: media_type.to_owned(),
        compression: Compression::None,
        checksum: checksum(&digest),
    })
}

/// Writes a manifest of one blob.
pub(super) async fn put_manifest(
    writer: &SharedWriter,
    key: &str,
    record: BlobRecord,
    when: &When,
) -> Result<Put, CacheFault> {
    let manifest = Manifest {
        records: vec![record],
    };
    Ok(writer
        .put(key, Bytes::from(manifest.to_text()), when)
        .await?)
}

/// A manifest that nobody signs, and the version to replace it under.
pub(super) async fn unsigned_manifest(
    writer: &SharedWriter,
    key: &str,
) -> Result<Option<(Manifest, Versioned)>, CacheFault> {
    let Some(found) = writer.read(key, MAX_MANIFEST_BYTES).await? else {
        return Ok(None);
    };
    Ok(Some((parse(key, &found.bytes)?, found)))
}

pub(super) fn parse(key: &str, bytes: &[u8]) -> Result<Manifest, CacheFault> {
    Manifest::parse(&String::from_utf8_lossy(bytes)).map_err(|source| CacheFault::Manifest {
        key: key.to_owned(),
        source,
    })
}

/// The bytes of a blob that a manifest names, or nothing where it is not there or is another one.
pub(super) async fn blob_bytes(
    mirror: &dyn Mirror,
    record: &BlobRecord,
) -> Result<Option<Vec<u8>>, CacheFault> {
    let key = v3::blob_path(&record.checksum);
    let bytes = mirror.get(&key, record.content_length).await?;
    Ok(bytes.filter(|bytes| Digest::of(bytes) == digest(&record.checksum)))
}
