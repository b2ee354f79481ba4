//! The index for plain Spack.
//!
//! ```text
//! 1  read the index and its version               everything that was indexed before
//! 2  list the marks (or all manifests)            after 1: what is in the index has a manifest by now, or was deleted
//! 3  read the spec files of what is new
//! 4  write the new index as a blob, and its manifest on the condition that the version is still that of 1
//! 5  look again: is it still there, and does it have all that is marked by now?
//! 6  delete the marks of what the index had at 1 already
//! ```
//!
//! Whoever finds another version at 4 begins again at 1: mostly to find that the winner has indexed everything. Some
//! servers check the condition and write in two steps (`s3s-fs` is one), so that two writers may both be told that they
//! won; therefore 5, which begins again at 1 as well, and therefore nobody deletes the marks of what he has just added:
//! whoever wrote last finds them, and what is not in his index. Nothing
//! but the manifest is ever replaced; index blobs of earlier times stay for those who are reading them, until
//! `spack buildcache prune` removes them.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures::{StreamExt, stream};
use spack_format::build_cache::v3::{self, BlobRecord, INDEX_MEDIA_TYPE};
use spack_format::build_cache::{MAX_MANIFEST_BYTES, SpecFile};
use spack_format::dag_hash::DagHash;
use spack_format::database::{BuildCacheIndex, CacheIndexBuilder};

use super::destination::publish_layout;
use super::error::{CacheError, CacheFault};
use super::object::{blob_bytes, digest, parse, put_bytes, put_manifest, unsigned_manifest};
use super::pending;
use crate::event::Event;
use crate::fetch::{Context, FindFault, spec_text, utf8};
use crate::mirror::{Mirror, Put, SharedWriter, Versioned, When};
use crate::openpgp;

/// How often it is tried before others are too many.
const ATTEMPTS: u32 = 100;

/// How often it is looked whether something was lost. Where packages arrive without a pause there is always something.
const LOOKS: u32 = 20;

/// Spec files read at once, for each package that may be worked on: they are small, and most of the time is waiting.
pub(super) const READ_AT_ONCE: usize = 8;

/// How much of a build cache is looked at to make its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexScope {
    /// What pushes of ours have left to be indexed. All entries, where there is no index yet.
    Pending,
    /// All entries: those that are new are added, those that are gone are taken out.
    All,
    /// All entries, as if there were no index.
    Rebuild,
}

/// What became of the index.
#[derive(Debug, Default)]
pub struct IndexReport {
    /// Packages in the index.
    pub packages: usize,
    /// How many of them it did not have before.
    pub added: usize,
    /// How many it had before and has no longer.
    pub removed: usize,
    /// Manifests that are left out, and why.
    pub skipped: Vec<(String, CacheFault)>,
    /// Whether a new index was written.
    pub is_written: bool,
}

/// Brings the index up to date. Any number of processes may do so, and push, at the same time.
///
/// # Errors
/// When the mirror fails, the index is none, or others keep replacing it.
pub async fn update_index(
    writer: &SharedWriter,
    scope: IndexScope,
    context: &Context<'_>,
) -> Result<IndexReport, CacheError> {
    let key = v3::index_manifest_path(None);
    let update = Update {
        writer,
        key: &key,
        context,
        scope,
        before: None,
        report: IndexReport::default(),
    };
    settle(update, writer.url(), &key, context).await
}

/// An index that is being brought up to date while others may be doing so as well.
pub(super) trait Attempt {
    /// One attempt; false when another one is needed, because somebody else was faster. `number` begins at 0.
    async fn attempt(&mut self, number: u32) -> Result<bool, CacheFault>;

    /// What became of it.
    fn report(self) -> IndexReport;
}

/// Tries until nobody was faster.
pub(super) async fn settle<A: Attempt>(
    mut update: A,
    url: &str,
    key: &str,
    context: &Context<'_>,
) -> Result<IndexReport, CacheError> {
    let about = CacheError::about(format!("cannot update the index of {url}"));
    for number in 0..ATTEMPTS {
        if number > 0 {
            pause().await;
        }
        match update.attempt(number).await {
            Ok(true) => {
                let report = update.report();
                for (key, fault) in &report.skipped {
                    let warning = format!("{key} is not in the index: {fault}");
                    context.reporter.event(Event::Warning(warning));
                }
                return Ok(report);
            }
            Ok(false) => {}
            Err(fault) => return Err(about(fault)),
        }
    }
    Err(about(CacheFault::Contended {
        key: key.to_owned(),
        attempts: ATTEMPTS,
    }))
}

/// What goes through the attempts.
struct Update<'u> {
    writer: &'u SharedWriter,
    key: &'u str,
    context: &'u Context<'u>,
    scope: IndexScope,
    /// What the index had when it was first read.
    before: Option<BTreeSet<DagHash>>,
    report: IndexReport,
}

impl Attempt for Update<'_> {
    fn report(self) -> IndexReport {
        self.report
    }

    async fn attempt(&mut self, number: u32) -> Result<bool, CacheFault> {
        let writer = self.writer;
        let (mut builder, when, scope) = what_is_there(writer, self.key, self.scope).await?;
        let indexed: BTreeSet<DagHash> = builder.packages().collect();
        let marks = writer.list(pending::FOLDER).await?;
        let manifests: Vec<String> = if scope == IndexScope::Pending {
            let manifests = marks.iter().filter_map(|it| pending::manifest_of(it));
            manifests.collect()
        } else {
            writer.list(v3::SPEC_MANIFESTS_FOLDER).await?
        };
        self.add_new(&mut builder, &manifests).await?;
        if scope != IndexScope::Pending {
            self.remove_gone(&mut builder, &indexed, &manifests).await?;
        }
        let after: BTreeSet<DagHash> = builder.packages().collect();
        let before = self.before.get_or_insert_with(|| indexed.clone()).clone();
        self.report.packages = after.len();
        self.report.added = after.difference(&before).count();
        self.report.removed = before.difference(&after).count();
        let is_first = !self.report.is_written;
        if after != indexed || when == When::Absent || scope == IndexScope::Rebuild && is_first {
            publish_layout(writer).await?;
            let text = blocking(move || builder.to_text()).await?;
            let record = put_bytes(writer, text.into_bytes(), INDEX_MEDIA_TYPE).await?;
            if put_manifest(writer, self.key, record.clone(), &when).await? == Put::Refused {
                return Ok(false);
            }
            self.report.is_written = true;
            if number < LOOKS && self.is_lost(&record, &after).await? {
                return Ok(false);
            }
        }
        let hash_of = |mark: &String| v3::hash_of_spec_manifest(&pending::manifest_of(mark)?);
        let done: Vec<&String> = marks
            .iter()
            .filter(|mark| {
                hash_of(mark).is_some_and(|hash| before.contains(&hash) && after.contains(&hash))
            })
            .collect();
        // Only of an index that is still the one that was read.
        let is_still =
            |there: Option<Versioned>| there.is_some_and(|it| when == When::Version(it.version));
        if !done.is_empty() && is_still(writer.read(self.key, MAX_MANIFEST_BYTES).await?) {
            for mark in done {
                writer.delete(mark).await?;
            }
        }
        Ok(true)
    }
}

impl Update<'_> {
    /// Adds entries that the index does not have.
    async fn add_new(
        &mut self,
        builder: &mut CacheIndexBuilder,
        manifests: &[String],
    ) -> Result<(), CacheFault> {
        let writer = self.writer;
        self.report.skipped.clear();
        let entries = manifests
            .iter()
            .filter_map(|key| Some((key, v3::hash_of_spec_manifest(key)?)));
        let new: Vec<(&String, DagHash)> =
            entries.filter(|(_, hash)| !builder.holds(hash)).collect();
        let at_once = self.context.jobs.get().saturating_mul(READ_AT_ONCE);
        let mut read = stream::iter(new)
            .map(|(key, hash)| async move { (key, spec_file(&**writer, key, hash).await) })
            .buffer_unordered(at_once);
        while let Some((key, file)) = read.next().await {
            match file {
                Ok(Some(file)) => builder.add_package(file.root, &file.specs),
                // A mark that was made before its entry, or an entry that was just deleted.
                Ok(None) => {}
                Err(fault @ (CacheFault::Mirror(_) | CacheFault::Abandoned)) => return Err(fault),
                Err(fault) => self.report.skipped.push((key.clone(), fault)),
            }
        }
        Ok(())
    }

    /// Takes out what was indexed and is not there any more.
    async fn remove_gone(
        &self,
        builder: &mut CacheIndexBuilder,
        indexed: &BTreeSet<DagHash>,
        manifests: &[String],
    ) -> Result<(), CacheFault> {
        let mut present: BTreeSet<DagHash> = manifests
            .iter()
            .filter_map(|key| v3::hash_of_spec_manifest(key))
            .collect();
        let unlisted: Vec<(DagHash, String)> = indexed
            .difference(&present)
            .filter_map(|hash| Some((*hash, builder.manifest_path(hash)?)))
            .collect();
        // A listing may miss what is being replaced; what was indexed is taken out only when it is surely gone.
        for (hash, key) in unlisted {
            if self.writer.size(&key).await?.is_some() {
                present.insert(hash);
            }
        }
        // What was just read is there, whatever the list says.
        present.extend(builder.packages().filter(|hash| !indexed.contains(hash)));
        builder.keep_only(&present);
        Ok(())
    }

    /// Whether the index that was just written is not the one that is there, or lacks what is marked by now.
    async fn is_lost(
        &self,
        written: &BlobRecord,
        packages: &BTreeSet<DagHash>,
    ) -> Result<bool, CacheFault> {
        let there = unsigned_manifest(self.writer, self.key).await?;
        if there.is_none_or(|(manifest, _)| manifest.index() != Ok(written)) {
            return Ok(true);
        }
        for mark in self.writer.list(pending::FOLDER).await? {
            let Some(key) = pending::manifest_of(&mark) else {
                continue;
            };
            let is_known = v3::hash_of_spec_manifest(&key).is_some_and(|it| packages.contains(&it));
            let is_skipped = self
                .report
                .skipped
                .iter()
                .any(|(skipped, _)| *skipped == key);
            if !is_known && !is_skipped && self.writer.size(&key).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What the index says, the condition for replacing it, and how much must be looked at.
async fn what_is_there(
    writer: &SharedWriter,
    key: &str,
    scope: IndexScope,
) -> Result<(CacheIndexBuilder, When, IndexScope), CacheFault> {
    let all = || (CacheIndexBuilder::default(), IndexScope::All);
    if scope == IndexScope::Rebuild {
        let there = writer.read(key, MAX_MANIFEST_BYTES).await?;
        let when = there.map_or(When::Absent, |it| When::Version(it.version));
        return Ok((CacheIndexBuilder::default(), when, scope));
    }
    let Some((manifest, found)) = unsigned_manifest(writer, key).await? else {
        let (builder, scope) = all();
        return Ok((builder, When::Absent, scope));
    };
    let when = When::Version(found.version);
    let record = manifest.index().map_err(|source| CacheFault::Manifest {
        key: key.to_owned(),
        source,
    })?;
    let Some(bytes) = blob_bytes(&**writer, record).await? else {
        // Somebody removed too much.
        let (builder, scope) = all();
        return Ok((builder, when, scope));
    };
    let blob = v3::blob_path(&record.checksum);
    let read = blocking(move || {
        let index = BuildCacheIndex::parse(&String::from_utf8_lossy(&bytes))?;
        let mut builder = CacheIndexBuilder::default();
        builder.add_index(&index);
        Ok(builder)
    });
    let builder = read
        .await?
        .map_err(|source| CacheFault::Index { key: blob, source })?;
    Ok((builder, when, scope))
}

/// The spec file of an entry; nothing when there is no such entry.
pub(super) async fn spec_file(
    mirror: &dyn Mirror,
    key: &str,
    hash: DagHash,
) -> Result<Option<SpecFile>, CacheFault> {
    let Some(text) = spec_text_of(mirror, key).await? else {
        return Ok(None);
    };
    let entry = key.to_owned();
    let file = blocking(move || -> Result<SpecFile, FindFault> {
        let file = SpecFile::parse(&text).map_err(|source| FindFault::SpecFile {
            key: entry.clone(),
            source: Box::new(source),
        })?;
        if file.root == hash {
            Ok(file)
        } else {
            Err(FindFault::Renamed {
                key: entry,
                found: file.root,
            })
        }
    });
    Ok(Some(file.await??))
}

/// The text of the spec file of an entry; nothing when there is no such entry.
pub(super) async fn spec_text_of(
    mirror: &dyn Mirror,
    key: &str,
) -> Result<Option<String>, CacheFault> {
    let Some(bytes) = mirror.get(key, MAX_MANIFEST_BYTES).await? else {
        return Ok(None);
    };
    let mut text = utf8(key, bytes)?;
    // Nothing is installed by the index, and Spack does not check it: whoever installs checks the entry.
    if openpgp::is_clear_signed(&text) {
        text = openpgp::unverified_text(&text).map_err(|source| FindFault::Signature {
            key: key.to_owned(),
            source,
        })?;
    }
    let manifest = parse(key, text.as_bytes())?;
    let record = manifest
        .spec_file()
        .map_err(|source| CacheFault::Manifest {
            key: key.to_owned(),
            source,
        })?;
    let Some(bytes) = blob_bytes(mirror, record).await? else {
        return Err(CacheFault::Gone {
            key: key.to_owned(),
            digest: digest(&record.checksum),
        });
    };
    let blob = v3::blob_path(&record.checksum);
    let text = blocking(move || spec_text(&blob, &bytes));
    Ok(Some(text.await??))
}

/// Runs what takes a processor for a while where it keeps no connection waiting.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CacheFault> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|_| CacheFault::Abandoned)
}

/// A short time, another one for each who waits.
pub(super) async fn pause() {
    let milliseconds = 20 + RandomState::new().hash_one(()) % 180;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
