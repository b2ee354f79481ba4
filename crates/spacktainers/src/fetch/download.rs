//! Tarballs into the local cache: in parallel, continued where an earlier run stopped, and verified
//! while they are written.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use oci_format::Descriptor;
use tokio::sync::mpsc;

use super::entry::{CacheEntry, Place};
use super::error::{FetchError, FetchFault};
use super::{BuildCache, Context};
use crate::content::Content;
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::local_cache::{Claim, LocalCache, LocalCacheError, PartialBlob};
use crate::mirror::{SharedMirror, Source, Start};

/// Pieces that may wait between the network and the disk: with pieces of some 16 KiB to 256 KiB, a
/// few MiB for each download at most.
const BEHIND: usize = 16;

/// How often to look whether another process has finished a download that we want, too.
const POLL: Duration = Duration::from_millis(50);

/// A stream that ends cleanly but too early is asked for again so many times.
const SHORT_STREAMS: u32 = 3;

/// A tarball on this machine.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its bytes. Those that came over a network have the digest that they should have; files of
    /// mirrors that are folders have the right length, and are hashed by whoever reads them.
    pub content: Content,
    /// Bytes that came over the network in this run.
    pub received: u64,
}

/// Brings the tarballs of all entries to this machine, many at a time; `mirrors` are those that the
/// entries were found in. The results are in the order of the entries: one that fails does not stop
/// the others.
pub async fn fetch_all<'a>(
    mirrors: &[BuildCache],
    entries: impl IntoIterator<Item = &'a CacheEntry>,
    context: &Context<'_>,
) -> Vec<Result<Fetched, FetchError>> {
    stream::iter(entries)
        .map(|entry| fetch(mirrors, entry, context))
        .buffered(context.jobs.get())
        .collect()
        .await
}

async fn fetch(
    mirrors: &[BuildCache],
    entry: &CacheEntry,
    context: &Context<'_>,
) -> Result<Fetched, FetchError> {
    let mut task = Task::new(entry, context.reporter);
    let result = match mirrors.get(entry.mirror) {
        Some(mirror) => bring(mirror, entry, context, &mut task).await,
        None => Err(FetchFault::Offline),
    };
    let outcome = match &result {
        Ok(_) if task.received == 0 => Outcome::Reused,
        Ok(_) => Outcome::Done,
        Err(fault) => Outcome::Failed(fault.to_string()),
    };
    task.finish(outcome);
    let received = task.received;
    match result {
        Ok(content) => Ok(Fetched { content, received }),
        Err(reason) => Err(FetchError {
            package: entry.package.clone(),
            mirror: entry.mirror_url.clone(),
            reason,
        }),
    }
}

async fn bring(
    mirror: &BuildCache,
    entry: &CacheEntry,
    context: &Context<'_>,
    task: &mut Task<'_>,
) -> Result<Content, FetchFault> {
    let tarball = &entry.tarball;
    match (&tarball.place, &mirror.source) {
        (Place::Here(content), _) => in_place(content, entry),
        (Place::Object { key }, Source::Objects(objects)) => {
            object(objects, key, entry, context.cache, task).await
        }
        (Place::Blob { media_type }, Source::Repository(repository)) => {
            let blob = Descriptor::new(media_type, tarball.digest, tarball.size);
            let (id, reporter) = (task.start(0), task.reporter);
            let received = std::sync::atomic::AtomicU64::new(0);
            let content = repository
                .blob_to_cache(&blob, context.cache, |bytes| {
                    received.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
                    reporter.event(Event::Advanced { task: id, bytes });
                })
                .await;
            task.received = received.into_inner();
            Ok(content?)
        }
        _ => {
            let cached = context.cache.blob(&tarball.digest);
            let cached = cached.filter(|content| content.len() == tarball.size);
            cached.ok_or(FetchFault::Offline)
        }
    }
}

/// Sees that the file is there and has the right length; nothing is copied.
fn in_place(content: &Content, entry: &CacheEntry) -> Result<Content, FetchFault> {
    let Content::File { path, offset, len } = content else {
        return Ok(content.clone());
    };
    let key = path.display().to_string();
    let actual = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(FetchFault::Gone { key });
        }
        Err(source) => return Err(FetchFault::Read { key, source }),
    };
    // A part of a file was measured when it was found.
    if *offset == 0 && actual != entry.tarball.size || actual < offset.saturating_add(*len) {
        return Err(FetchFault::Size {
            key,
            expected: entry.tarball.size,
            actual,
        });
    }
    Ok(content.clone())
}

/// Fetches an object into the local cache.
async fn object(
    objects: &SharedMirror,
    key: &str,
    entry: &CacheEntry,
    cache: &LocalCache,
    task: &mut Task<'_>,
) -> Result<Content, FetchFault> {
    let mut short_streams = 0;
    loop {
        let (digest, size, owned) = (entry.tarball.digest, entry.tarball.size, cache.clone());
        let partial = match blocking(move || owned.try_claim(&digest, size)).await?? {
            Claim::Present(content) => return Ok(content),
            Claim::Busy => {
                tokio::time::sleep(POLL).await;
                continue;
            }
            Claim::Mine(partial) => partial,
        };
        let begun_before = partial.offset() > 0;
        match stream_into(objects, key, partial, task).await {
            // What an earlier process left may be of a file that was replaced since.
            Err(FetchFault::Cache(LocalCacheError::Digest { .. })) if begun_before => {}
            Err(FetchFault::Cache(LocalCacheError::Size {
                expected, actual, ..
            })) if actual < expected && short_streams < SHORT_STREAMS => short_streams += 1,
            result => return result,
        }
    }
}

/// Fetches what is missing of a blob.
async fn stream_into(
    objects: &SharedMirror,
    key: &str,
    mut partial: PartialBlob,
    task: &mut Task<'_>,
) -> Result<Content, FetchFault> {
    let size = partial.size();
    if partial.offset() == size {
        task.start(size);
        return blocking(move || partial.commit())
            .await?
            .map_err(Into::into);
    }
    let download = objects.open(key, &Start::at(partial.offset())).await?;
    let mut download = download.ok_or_else(|| FetchFault::Gone {
        key: key.to_owned(),
    })?;
    if let Some(actual) = download.total.filter(|total| *total != size) {
        return Err(FetchFault::Size {
            key: key.to_owned(),
            expected: size,
            actual,
        });
    }
    if download.offset != partial.offset() {
        partial.restart()?;
    }
    task.start(partial.offset());
    let (sender, receiver) = mpsc::channel(BEHIND);
    // The disk may block, and hashing takes a processor for itself.
    let writer = tokio::task::spawn_blocking(move || write(partial, receiver));
    let mut broken = None;
    while let Some(piece) = download.body.next().await {
        match piece {
            Ok(piece) => {
                task.advance(piece.len() as u64);
                // Whoever writes has stopped, and says why.
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
    let written = writer.await.map_err(|_| FetchFault::Abandoned)?;
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(written?),
    }
}

/// Writes what arrives, and stores the blob if all of it did. What is missing can be fetched later.
fn write(
    mut partial: PartialBlob,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<Content, LocalCacheError> {
    while let Some(piece) = pieces.blocking_recv() {
        partial.append(&piece)?;
    }
    partial.commit()
}

/// Runs `work` on a thread where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchFault> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|_| FetchFault::Abandoned)
}

/// What is told about one download. Nothing is, when there is nothing to fetch.
struct Task<'a> {
    id: TaskId,
    reporter: &'a dyn Reporter,
    label: String,
    total: u64,
    is_started: bool,
    received: u64,
}

impl<'a> Task<'a> {
    fn new(entry: &CacheEntry, reporter: &'a dyn Reporter) -> Self {
        Self {
            id: TaskId::next(),
            reporter,
            label: entry.package.clone(),
            total: entry.tarball.size,
            is_started: false,
            received: 0,
        }
    }

    /// Work begins; `here` bytes are on this machine already.
    fn start(&mut self, here: u64) -> TaskId {
        if !self.is_started {
            self.is_started = true;
            self.reporter.event(Event::Started {
                task: self.id,
                kind: TaskKind::Fetch,
                label: self.label.clone(),
                total: Some(self.total),
            });
            if here > 0 {
                self.tell(here);
            }
        }
        self.id
    }

    fn advance(&mut self, bytes: u64) {
        self.received += bytes;
        self.tell(bytes);
    }

    fn tell(&self, bytes: u64) {
        self.reporter.event(Event::Advanced {
            task: self.id,
            bytes,
        });
    }

    fn finish(&mut self, outcome: Outcome) {
        self.start(0);
        self.reporter.event(Event::Finished {
            task: self.id,
            outcome,
        });
    }
}
