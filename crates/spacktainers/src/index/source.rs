//! The index texts of a mirror, and whether they are known already.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write as _};

use futures::StreamExt as _;
use oci_format::layer::compression::Decoder;
use oci_format::{Descriptor, Digest, DigestReader};
use serde::{Deserialize, Serialize};
use spack_format::build_cache::oci::{INDEX_TAG, PackageManifest};
use spack_format::build_cache::{MAX_MANIFEST_BYTES, v2, v3};

use super::error::IndexFault;
use super::{import, table};
use crate::event::{Event, Outcome, TaskId, TaskKind};
use crate::fetch::{BuildCache, Context};
use crate::local_cache::{LocalCache, Scratch};
use crate::mirror::{SharedMirror, Source, Start};
use crate::registry::{ManifestKey, Repository};

/// Tables by the digest of the index that they were made from.
const TABLES: &str = "index-1";
/// Which indices a mirror had, by its URL.
const SEEN: &str = "index-of-1";

/// The longest index that is read: real ones have some hundred megabytes.
const LONGEST: u64 = 16 << 30;

/// What was last seen of the indices of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// The digest of each, by layout.
    indices: BTreeMap<String, Digest>,
    /// The entity tag of the index of layout 2.
    v2_version: Option<String>,
}

/// The tables of all indices of a mirror: none, one, or two.
pub(super) async fn indices(
    mirror: &BuildCache,
    context: &Context<'_>,
) -> Result<Vec<Vec<u8>>, IndexFault> {
    let before = seen(mirror, context.cache);
    let mut now = Seen::default();
    let mut tables = Vec::new();
    match &mirror.source {
        Source::Offline => {
            for digest in before.indices.values() {
                tables.extend(remembered(digest, context.cache));
            }
            return Ok(tables);
        }
        Source::Repository(repository) => {
            if let Some((digest, table)) = of_repository(repository, context).await? {
                now.indices.insert("oci".to_owned(), digest);
                tables.push(table);
            }
        }
        Source::Objects(objects) => {
            if let Some((digest, table)) = of_layout_3(mirror, objects, context).await? {
                now.indices.insert("v3".to_owned(), digest);
                tables.push(table);
            }
            if let Some((digest, table)) =
                of_layout_2(mirror, objects, &before, &mut now, context).await?
            {
                now.indices.insert("v2".to_owned(), digest);
                tables.push(table);
            }
        }
    }
    if now != before {
        // Nothing depends on it but the next run, and the one without a network.
        if let Ok(text) = serde_json::to_vec(&now) {
            context.cache.put_record(SEEN, &mirror.url, &text)?;
        }
    }
    Ok(tables)
}

fn seen(mirror: &BuildCache, cache: &LocalCache) -> Seen {
    let record = cache.record(SEEN, &mirror.url);
    record
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// The table of this index, if it and what it points into are in the local cache.
fn remembered(digest: &Digest, cache: &LocalCache) -> Option<Vec<u8>> {
    let table = cache.record(TABLES, &digest.to_string())?;
    let texts = table::texts_digest(&table)?;
    cache.blob(&texts).is_some().then_some(table)
}

type Known = Option<(Digest, Vec<u8>)>;

async fn of_layout_3(
    mirror: &BuildCache,
    objects: &SharedMirror,
    context: &Context<'_>,
) -> Result<Known, IndexFault> {
    let key = v3::index_manifest_path(None);
    let Some(bytes) = mirror.small(&key, MAX_MANIFEST_BYTES, context).await? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let wrong = |source| IndexFault::Manifest {
        key: key.clone(),
        source,
    };
    let manifest = v3::Manifest::parse(&text).map_err(wrong)?;
    let record = manifest.index().map_err(wrong)?;
    let digest = Digest::from_bytes(*record.checksum.as_bytes());
    if let Some(table) = remembered(&digest, context.cache) {
        return Ok(Some((digest, table)));
    }
    let key = v3::blob_path(&record.checksum);
    let Some(found) = fetch(objects, &key, None, context).await? else {
        return Err(IndexFault::Gone { key });
    };
    let (actual, table) = read(found, &key, Some(digest), context).await?;
    Ok(Some((actual, table)))
}

async fn of_layout_2(
    mirror: &BuildCache,
    objects: &SharedMirror,
    before: &Seen,
    now: &mut Seen,
    context: &Context<'_>,
) -> Result<Known, IndexFault> {
    let checksum = mirror.small(v2::INDEX_HASH_PATH, 1024, context).await?;
    let stated = checksum.and_then(|bytes| {
        let text = String::from_utf8(bytes).ok()?;
        format!("sha256:{}", text.trim()).parse::<Digest>().ok()
    });
    if let Some(digest) = stated
        && let Some(table) = remembered(&digest, context.cache)
    {
        now.v2_version.clone_from(&before.v2_version);
        return Ok(Some((digest, table)));
    }
    let known = before.indices.get("v2").zip(before.v2_version.as_ref());
    let known = known.and_then(|(digest, version)| {
        let table = remembered(digest, context.cache)?;
        Some((version.clone(), (*digest, table)))
    });
    let key = v2::INDEX_PATH;
    // With a checksum that we do not know, the index is another one, whatever its tag says.
    let unchanged = known.as_ref().filter(|_| stated.is_none());
    let unchanged = unchanged.map(|(version, _)| version.as_str());
    match fetch(objects, key, unchanged, context).await? {
        None => Ok(None),
        Some(Fetched::Unchanged) => {
            now.v2_version.clone_from(&before.v2_version);
            Ok(known.map(|(_, known)| known))
        }
        Some(found) => {
            if let Fetched::Scratch { version, .. } = &found {
                now.v2_version.clone_from(version);
            }
            // The checksum beside it is written after it: for a moment they may disagree.
            read(found, key, None, context).await.map(Some)
        }
    }
}

async fn of_repository(
    repository: &Repository,
    context: &Context<'_>,
) -> Result<Known, IndexFault> {
    let manifest = repository
        .manifest(ManifestKey::Tag(INDEX_TAG.to_owned()))
        .await?;
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&manifest.bytes);
    let layer = PackageManifest::parse(&text)
        .map_err(|_| IndexFault::Image)?
        .tarball;
    let digest = Digest::from_bytes(*layer.checksum.as_bytes());
    if let Some(table) = remembered(&digest, context.cache) {
        return Ok(Some((digest, table)));
    }
    let key = format!("{INDEX_TAG} ({digest})");
    if layer.size > LONGEST {
        return Err(IndexFault::TooLong {
            key,
            limit: LONGEST,
        });
    }
    let progress = Progress::start(repository.name(), Some(layer.size), context);
    let blob = Descriptor::new(&layer.media_type, digest, layer.size);
    let mut pieces = repository.blob(&blob);
    let mut scratch = context.cache.scratch()?;
    while let Some(piece) = pieces.next().await? {
        scratch.file_mut().write_all(&piece)?;
        progress.advance(piece.len());
    }
    let found = Fetched::Scratch {
        scratch: Box::new(scratch),
        version: None,
    };
    read(found, &key, Some(digest), context).await.map(Some)
}

/// An index text at hand.
enum Fetched {
    /// A file of a mirror that is a folder.
    File(File),
    /// What came over the network.
    Scratch {
        scratch: Box<Scratch>,
        version: Option<String>,
    },
    /// It has the version that is known.
    Unchanged,
}

async fn fetch(
    objects: &SharedMirror,
    key: &str,
    known_version: Option<&str>,
    context: &Context<'_>,
) -> Result<Option<Fetched>, IndexFault> {
    if let Some(path) = objects.local_path(key) {
        return match File::open(path) {
            Ok(file) => Ok(Some(Fetched::File(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    let Some(mut download) = objects.open(key, &Start::default()).await? else {
        return Ok(None);
    };
    if known_version.is_some() && download.version.as_deref() == known_version {
        return Ok(Some(Fetched::Unchanged));
    }
    let progress = Progress::start(objects.url(), download.total, context);
    let mut scratch = context.cache.scratch()?;
    let mut written = 0;
    while let Some(piece) = download.body.next().await {
        let piece = piece?;
        written += piece.len() as u64;
        if written > LONGEST {
            return Err(IndexFault::TooLong {
                key: key.to_owned(),
                limit: LONGEST,
            });
        }
        scratch.file_mut().write_all(&piece)?;
        progress.advance(piece.len());
    }
    Ok(Some(Fetched::Scratch {
        scratch: Box::new(scratch),
        version: download.version,
    }))
}

/// Reads an index and remembers its table, if it is the one that is expected.
async fn read(
    found: Fetched,
    key: &str,
    expected: Option<Digest>,
    context: &Context<'_>,
) -> Result<(Digest, Vec<u8>), IndexFault> {
    let (cache, key) = (context.cache.clone(), key.to_owned());
    let work = move || {
        let mut found = found;
        let file = match &mut found {
            Fetched::File(file) => file,
            Fetched::Scratch { scratch, .. } => scratch.file_mut(),
            Fetched::Unchanged => return Err(IndexFault::Damaged),
        };
        file.rewind()?;
        let mut source = DigestReader::new(BufReader::with_capacity(1 << 20, file));
        let decoder = Decoder::new(&mut source, LONGEST)?;
        let table = import::import(BufReader::with_capacity(1 << 16, decoder), &cache);
        // What follows the JSON belongs to the digest; and so that a torn file is called torn, it is looked at first.
        io::copy(&mut source.by_ref().take(LONGEST), &mut io::sink())?;
        let (_, actual, _) = source.finish();
        if let Some(expected) = expected.filter(|it| *it != actual) {
            return Err(IndexFault::Digest {
                key,
                expected,
                actual,
            });
        }
        let table = table?;
        cache.put_record(TABLES, &actual.to_string(), &table)?;
        Ok((actual, table))
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(IndexFault::Abandoned))
}

/// Tells how much of an index has come.
struct Progress<'a> {
    context: &'a Context<'a>,
    task: TaskId,
}

impl<'a> Progress<'a> {
    fn start(mirror: &str, total: Option<u64>, context: &'a Context<'a>) -> Self {
        let task = TaskId::next();
        context.reporter.event(Event::Started {
            task,
            kind: TaskKind::Fetch,
            label: format!("index of {mirror}"),
            total,
        });
        Self { context, task }
    }

    fn advance(&self, bytes: usize) {
        self.context.reporter.event(Event::Advanced {
            task: self.task,
            bytes: bytes as u64,
        });
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.context.reporter.event(Event::Finished {
            task: self.task,
            outcome: Outcome::Done,
        });
    }
}
