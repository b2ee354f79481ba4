//! Whether all of a build cache is what it says.

use std::io;

use futures::{StreamExt, stream};
use oci_format::{Digest, DigestReader, DigestWriter};
use spack_format::build_cache::MAX_MANIFEST_BYTES;
use spack_format::build_cache::v3::{self, BlobRecord, Manifest};

use super::catalog::Catalog;
use super::error::{CacheError, CacheFault};
use super::index::{blocking, spec_file};
use super::object::digest;
use crate::fetch::{Context, FindFault, Trust, utf8};
use crate::mirror::{Mirror, MirrorError, MirrorFault, Start};

/// What is wrong with one entry.
#[derive(Debug)]
pub struct EntryFault {
    /// The manifest of the entry, or of the index.
    pub key: String,
    /// What is wrong.
    pub fault: CacheFault,
}

/// What was found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Entries that were looked at.
    pub entries: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// All that is wrong, in the order of the manifests.
    pub faults: Vec<EntryFault>,
    /// Entries that the index does not have: no fault, `update_index` adds them.
    pub unindexed: usize,
}

/// Checks every signature against `trust`, and reads every blob.
///
/// # Errors
/// When it cannot be known what is there. That something which is there is wrong is in the report.
pub async fn verify(
    catalog: &Catalog,
    trust: &Trust,
    context: &Context<'_>,
) -> Result<VerifyReport, CacheError> {
    let about = CacheError::about(format!("cannot verify {}", catalog.url()));
    let keys = match catalog.manifests().await {
        Ok(keys) => keys,
        Err(fault) => return Err(about(fault)),
    };
    let mut report = VerifyReport {
        entries: keys.len(),
        ..VerifyReport::default()
    };
    let mirror = catalog.mirror();
    let mut checks = stream::iter(&keys)
        .map(|key| async move { (key, entry(mirror, key, trust, context).await) })
        .buffered(context.jobs.get());
    while let Some((key, (bytes, faults))) = checks.next().await {
        report.bytes += bytes;
        report
            .faults
            .extend(faults.into_iter().map(|fault| EntryFault {
                key: key.clone(),
                fault,
            }));
    }
    match catalog.index().await {
        Ok(index) => {
            let indexed = |key: &String| {
                let hash = v3::hash_of_spec_manifest(key)?;
                let record = index.as_ref()?.records.get(&hash)?;
                Some(record.in_build_cache)
            };
            let missing = keys.iter().filter(|key| indexed(key) != Some(true));
            report.unindexed = missing.count();
        }
        Err(fault) => report.faults.push(EntryFault {
            key: v3::index_manifest_path(None),
            fault,
        }),
    }
    Ok(report)
}

/// All that is wrong with one entry, and how many bytes were read to know.
async fn entry(
    mirror: &dyn Mirror,
    key: &str,
    trust: &Trust,
    context: &Context<'_>,
) -> (u64, Vec<CacheFault>) {
    let manifest = match admitted(mirror, key, trust, context).await {
        Ok(manifest) => manifest,
        Err(fault) => return (0, vec![fault]),
    };
    let mut faults = Vec::new();
    let mut bytes = 0;
    let tarball = manifest.tarball().map_err(|source| CacheFault::Manifest {
        key: key.to_owned(),
        source,
    });
    match tarball {
        Ok(record) => match blob(mirror, key, record).await {
            Ok(()) => bytes += record.content_length,
            Err(fault) => faults.push(fault),
        },
        Err(fault) => faults.push(fault),
    }
    let hash = v3::hash_of_spec_manifest(key);
    let file = match hash {
        Some(hash) => spec_file(mirror, key, hash).await,
        None => Ok(None),
    };
    match file {
        Ok(Some(file)) => {
            let named = file.root().map(v3::spec_manifest_path);
            if named.as_deref() != Some(key) {
                faults.push(CacheFault::Entry(FindFault::Renamed {
                    key: key.to_owned(),
                    found: file.root,
                }));
            }
        }
        Ok(None) => faults.push(CacheFault::Absent {
            key: key.to_owned(),
        }),
        Err(fault) => faults.push(fault),
    }
    (bytes, faults)
}

/// The manifest, if its signature counts.
pub(super) async fn admitted(
    mirror: &dyn Mirror,
    key: &str,
    trust: &Trust,
    context: &Context<'_>,
) -> Result<Manifest, CacheFault> {
    let bytes = mirror.get(key, MAX_MANIFEST_BYTES).await?;
    let bytes = bytes.ok_or_else(|| CacheFault::Absent {
        key: key.to_owned(),
    })?;
    let (text, _) = trust.admit(key, &utf8(key, bytes)?, context.now)?;
    super::object::parse(key, text.as_bytes())
}

/// Whether the bytes of a blob are those that the manifest means.
async fn blob(mirror: &dyn Mirror, entry: &str, record: &BlobRecord) -> Result<(), CacheFault> {
    let (key, expected) = (v3::blob_path(&record.checksum), digest(&record.checksum));
    let found = match mirror.local_path(&key) {
        Some(path) => {
            let found = blocking(move || match std::fs::File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(MirrorFault::Read { path, source }),
                Ok(file) => {
                    let mut reader = DigestReader::new(file);
                    match io::copy(&mut reader, &mut io::sink()) {
                        Ok(_) => Ok(Some(reader.finish())),
                        Err(source) => Err(MirrorFault::Read { path, source }),
                    }
                }
            });
            let found = found.await?.map_err(|fault| MirrorError {
                mirror: mirror.url().to_owned(),
                key: key.clone(),
                fault: Box::new(fault),
            })?;
            found.map(|(_, digest, size)| (digest, size))
        }
        None => streamed(mirror, &key).await?,
    };
    let (actual, size) = found.ok_or_else(|| CacheFault::Gone {
        key: entry.to_owned(),
        digest: expected,
    })?;
    if size != record.content_length {
        return Err(CacheFault::Entry(FindFault::Size {
            key,
            expected: record.content_length,
            actual: size,
        }));
    }
    if actual != expected {
        return Err(CacheFault::Entry(FindFault::Digest {
            key,
            expected,
            actual,
        }));
    }
    Ok(())
}

async fn streamed(mirror: &dyn Mirror, key: &str) -> Result<Option<(Digest, u64)>, CacheFault> {
    use io::Write;
    let Some(mut download) = mirror.open(key, &Start::default()).await? else {
        return Ok(None);
    };
    let mut hashed = DigestWriter::new(io::sink());
    while let Some(piece) = download.body.next().await {
        // A sink takes everything.
        let _ = hashed.write_all(&piece?);
    }
    let (_, digest, size) = hashed.finish();
    Ok(Some((digest, size)))
}
