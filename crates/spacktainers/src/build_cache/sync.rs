//! From one build cache to another: what the other does not have.
//!
//! This is from objects to objects; what has to do with registries is in `registry/sync_in.rs` and `registry/sync_out.rs`.

use std::io::Write;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use oci_format::Digest;
use spack_format::build_cache::MAX_MANIFEST_BYTES;
use spack_format::build_cache::v3::{self, BlobRecord};

use super::catalog::Catalog;
use super::destination::{Signing, publish_layout};
use super::error::{CacheError, CacheFault};
use super::index::blocking;
use super::object::{UNHEARD, digest, parse};
use super::{keys, pending};
use crate::content::Content;
use crate::event::{Event, Outcome, TaskId, TaskKind};
use crate::fetch::{Context, Trust, utf8};
use crate::local_cache::{LocalCache, LocalCacheError};
use crate::mirror::{Mirror, OnBytes, Put, SharedWriter, Start, When};

/// Where Spack keeps the keys of a mirror.
const KEYS_FOLDER: &str = "v3/manifests/key";
const KEY_ENDING: &str = ".key.manifest.json";

/// What became of the entries.
#[derive(Debug, Default)]
pub struct SyncReport {
    /// Entries that were copied.
    pub copied: usize,
    /// Entries that were there already.
    pub present: usize,
    /// Bytes of blobs that were sent.
    pub bytes: u64,
    /// Entries that were not copied, and why.
    pub faults: Vec<(String, CacheFault)>,
}

impl SyncReport {
    /// Takes note of what became of an entry.
    pub(super) fn count(&mut self, key: &str, copied: Result<Option<u64>, CacheFault>) {
        match copied {
            Ok(Some(bytes)) => {
                self.copied += 1;
                self.bytes += bytes;
            }
            Ok(None) => self.present += 1,
            Err(fault) => self.faults.push((key.to_owned(), fault)),
        }
    }

    /// What became of all of them.
    pub(super) async fn of<'k>(
        copies: impl Stream<Item = (&'k String, Result<Option<u64>, CacheFault>)>,
    ) -> Self {
        let mut report = Self::default();
        let mut copies = std::pin::pin!(copies);
        while let Some((key, copied)) = copies.next().await {
            report.count(key, copied);
        }
        report
    }
}

/// Copies to `to` the entries of `from` that it does not have, with their signatures as they are, unless they are to be
/// signed anew. Blobs go by digest: what is there is not sent. The index of `to` is not touched: see
/// [`update_index`](super::update_index).
///
/// Entries whose signature `trust` does not accept are not copied.
///
/// # Errors
/// When it cannot be known what `from` has. What cannot be copied is in the report.
pub async fn sync(
    from: &Catalog,
    to: &SharedWriter,
    signing: Option<&Signing>,
    trust: &Trust,
    context: &Context<'_>,
) -> Result<SyncReport, CacheError> {
    let subject = format!("cannot copy {} to {}", from.url(), to.url());
    let about = CacheError::about(subject);
    let prepared = async {
        let manifests = from.manifests().await?;
        publish_layout(to).await?;
        match signing {
            Some(signing) => signing.publish(to).await?,
            None => copy_keys(from, to).await?,
        }
        Ok(manifests)
    };
    let manifests: Vec<String> = match prepared.await {
        Ok(manifests) => manifests,
        Err(fault) => return Err(about(fault)),
    };
    let copies = stream::iter(&manifests)
        .map(|key| async move { (key, told(from, to, key, signing, trust, context).await) })
        .buffered(context.jobs.get());
    Ok(SyncReport::of(copies).await)
}

async fn told(
    from: &Catalog,
    to: &SharedWriter,
    key: &str,
    signing: Option<&Signing>,
    trust: &Trust,
    context: &Context<'_>,
) -> Result<Option<u64>, CacheFault> {
    if to.size(key).await?.is_some() {
        return Ok(None);
    }
    let task = begun(key, context);
    let on_bytes = |bytes| context.reporter.event(Event::Advanced { task, bytes });
    let copied = copy(from.mirror(), to, key, signing, trust, context, &on_bytes).await;
    ended(task, &copied, context);
    copied
}

/// Says that an entry is being copied.
pub(super) fn begun(key: &str, context: &Context<'_>) -> TaskId {
    let task = TaskId::next();
    let label = key.rsplit('/').next().unwrap_or(key);
    let label = label.trim_end_matches(".spec.manifest.json");
    context.reporter.event(Event::Started {
        task,
        kind: TaskKind::Upload,
        label: label.trim_end_matches(".spack").to_owned(),
        total: None,
    });
    task
}

/// Says what became of it.
pub(super) fn ended<E: std::fmt::Display>(
    task: TaskId,
    copied: &Result<Option<u64>, E>,
    context: &Context<'_>,
) {
    let outcome = match copied {
        Ok(Some(_)) => Outcome::Done,
        Ok(None) => Outcome::Reused,
        Err(fault) => Outcome::Failed(fault.to_string()),
    };
    context.reporter.event(Event::Finished { task, outcome });
}

/// Copies an entry: blobs, then the mark, then the manifest. Nothing when it was there when all was sent.
async fn copy(
    from: &dyn Mirror,
    to: &SharedWriter,
    key: &str,
    signing: Option<&Signing>,
    trust: &Trust,
    context: &Context<'_>,
    on_bytes: OnBytes<'_>,
) -> Result<Option<u64>, CacheFault> {
    let bytes = from.get(key, MAX_MANIFEST_BYTES).await?;
    let bytes = bytes.ok_or_else(|| CacheFault::Absent {
        key: key.to_owned(),
    })?;
    let (text, _) = trust.admit(key, &utf8(key, bytes.clone())?, context.now)?;
    let manifest = parse(key, text.as_bytes())?;
    let bytes = match signing {
        Some(signing) => signing.signed(text, context.now)?.into_bytes(),
        None => bytes,
    };
    let mut sent = 0;
    for record in &manifest.records {
        if copy_blob(from, to, key, record, context.cache, on_bytes).await? {
            sent += record.content_length;
        }
    }
    if let Some(mark) = pending::mark_of(key) {
        to.put(&mark, Bytes::new(), &When::Always).await?;
    }
    let put = to.put(key, Bytes::from(bytes), &When::Absent).await?;
    Ok((put == Put::Written).then_some(sent))
}

/// Copies a blob, if it is not there.
async fn copy_blob(
    from: &dyn Mirror,
    to: &SharedWriter,
    entry: &str,
    record: &BlobRecord,
    cache: &LocalCache,
    on_bytes: OnBytes<'_>,
) -> Result<bool, CacheFault> {
    let (key, digest) = (v3::blob_path(&record.checksum), digest(&record.checksum));
    if to.size(&key).await? == Some(record.content_length) {
        return Ok(false);
    }
    let brought = bring(from, entry, record, cache).await?;
    to.put_blob(&key, &brought.content, &digest, on_bytes)
        .await?;
    brought.done(cache)?;
    Ok(true)
}

/// A blob that is on this machine.
pub(super) struct Brought {
    pub(super) content: Content,
    /// What the local cache did not have before, and need not keep.
    pub(super) goes: Option<Digest>,
}

impl Brought {
    /// It has been sent.
    pub(super) fn done(self, cache: &LocalCache) -> Result<(), LocalCacheError> {
        self.goes.map_or(Ok(()), |digest| cache.remove(&digest))
    }
}

/// Has a blob here: in place, or in the local cache, where its digest was checked.
pub(super) async fn bring(
    from: &dyn Mirror,
    entry: &str,
    record: &BlobRecord,
    cache: &LocalCache,
) -> Result<Brought, CacheFault> {
    let (key, digest) = (v3::blob_path(&record.checksum), digest(&record.checksum));
    let gone = || CacheFault::Gone {
        key: entry.to_owned(),
        digest,
    };
    if let Some(path) = from.local_path(&key) {
        if !path.is_file() {
            return Err(gone());
        }
        let content = Content::File {
            path,
            offset: 0,
            len: record.content_length,
        };
        return Ok(Brought {
            content,
            goes: None,
        });
    }
    if let Some(content) = cache.blob(&digest) {
        return Ok(Brought {
            content,
            goes: None,
        });
    }
    let mut download = from.open(&key, &Start::default()).await?.ok_or_else(gone)?;
    let mut writer = cache.writer()?;
    while let Some(piece) = download.body.next().await {
        let piece = piece?;
        writer = blocking(move || writer.write_all(&piece).map(|()| writer))
            .await?
            .map_err(|source| LocalCacheError::Source { digest, source })?;
    }
    let size = record.content_length;
    let content = blocking(move || writer.finish_as(&digest, size)).await??;
    Ok(Brought {
        content,
        goes: Some(digest),
    })
}

/// Copies the public keys that a listed build cache offers, and lists them.
async fn copy_keys(from: &Catalog, to: &SharedWriter) -> Result<(), CacheFault> {
    let Catalog::Listed(listing) = from else {
        return Ok(());
    };
    for key in listing.list(KEYS_FOLDER).await? {
        let fingerprint = key
            .strip_prefix(KEYS_FOLDER)
            .and_then(|it| it.strip_prefix('/'))
            .and_then(|it| it.strip_suffix(KEY_ENDING))
            .and_then(|it| it.parse().ok());
        let Some(fingerprint) = fingerprint else {
            continue;
        };
        if to.size(&key).await?.is_some() {
            continue;
        }
        let Some(bytes) = from.mirror().get(&key, MAX_MANIFEST_BYTES).await? else {
            continue;
        };
        let manifest = parse(&key, &bytes)?;
        for record in &manifest.records {
            let blob = super::object::blob_bytes(from.mirror(), record).await?;
            let blob = blob.ok_or_else(|| CacheFault::Gone {
                key: key.clone(),
                digest: digest(&record.checksum),
            })?;
            let content = Content::Memory(blob.into());
            super::object::put_blob(to, &content, &digest(&record.checksum), false, UNHEARD)
                .await?;
        }
        to.put(&key, Bytes::from(bytes), &When::Absent).await?;
        keys::list(to, &fingerprint).await?;
    }
    Ok(())
}
