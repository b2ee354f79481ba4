//! Archives that are here: verified, and known, before anything is unpacked.
//!
//! Where things lie is decided over all packages, and `.spack/binary_distribution` is the last member of an archive: so each is
//! looked through before it is unpacked. What it was decompressed to meanwhile stays in memory as long as there is room, so
//! that most archives are read and decompressed once.

use std::sync::Arc;

use oci_format::Digest;

use crate::build::{BuildError, Supply, unusable};
use crate::content::Content;
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::fetch::CacheEntry;
use crate::layer::in_parallel::in_parallel;
use crate::layer::whole::{Room, WholeTar, whole_tar};
use crate::layer::{PackageRecord, ScanError, remember, remembered, scan, scan_tar};
use crate::local_cache::LocalCache;

/// An archive that is here.
#[derive(Clone)]
pub(super) struct Archive {
    /// The package, for people.
    pub(super) title: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) content: Content,
}

/// What is in an archive.
pub(super) struct Opened {
    pub(super) archive: Archive,
    pub(super) record: Arc<PackageRecord>,
    /// What it was decompressed to, where that had to be done and there is room to keep it.
    pub(super) tar: Option<WholeTar>,
}

/// Looks through all archives that were not looked through before. All else of them was verified by whoever did.
pub(super) async fn open_all(
    entries: &[CacheEntry],
    contents: Vec<Content>,
    room: &Arc<Room>,
    supply: &Supply<'_>,
) -> Result<Vec<Opened>, BuildError> {
    let archives: Vec<Archive> = entries
        .iter()
        .zip(contents)
        .map(|(entry, content)| Archive {
            title: entry.package.clone(),
            digest: entry.tarball.digest,
            size: entry.tarball.size,
            content,
        })
        .collect();
    let (cache, reporter) = (supply.cache.clone(), Arc::clone(&supply.reporter));
    let (room, parallel) = (Arc::clone(room), supply.jobs.get());
    let opened = tokio::task::spawn_blocking(move || {
        let size = |archive: &Archive| archive.size;
        in_parallel(&archives, parallel, size, |archive| {
            open(archive, &room, &cache, &*reporter)
        })
    });
    let opened = match opened.await {
        Ok(opened) => opened,
        // A panic goes on where it was waited for; nothing cancels this task.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let answers = opened.into_iter().zip(entries);
    answers
        .map(|(answer, entry)| answer.map_err(|source| unusable(entry, source, supply.cache)))
        .collect()
}

fn open(
    archive: &Archive,
    room: &Arc<Room>,
    cache: &LocalCache,
    reporter: &dyn Reporter,
) -> Result<Opened, ScanError> {
    let opened = |record, tar| Opened {
        archive: archive.clone(),
        record: Arc::new(record),
        tar,
    };
    if let Some(record) = remembered(cache, &archive.digest) {
        return Ok(opened(record, None));
    }
    let answer = told(archive, TaskKind::Scan, reporter, || {
        let tar = archive.whole_tar(room)?;
        let record = match &tar {
            Some(tar) => scan_tar(tar.bytes())?,
            None => scan(&archive.content, &archive.digest, archive.size)?,
        };
        Ok(opened(record, tar))
    });
    if let Ok(Opened { record, .. }) = &answer {
        remember(cache, &archive.digest, record, &archive.title, reporter);
    }
    answer
}

impl Archive {
    /// Its tar in memory, if there is room; its digest has been checked then.
    pub(super) fn whole_tar(&self, room: &Arc<Room>) -> Result<Option<WholeTar>, ScanError> {
        whole_tar(&self.content, &self.digest, self.size, room)
    }
}

/// Does a piece of work on an archive, and says so.
pub(super) fn told<T, E: std::fmt::Display>(
    archive: &Archive,
    kind: TaskKind,
    reporter: &dyn Reporter,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let (task, bytes) = (TaskId::next(), archive.size);
    reporter.event(Event::Started {
        task,
        kind,
        label: archive.title.clone(),
        total: Some(bytes),
    });
    let answer = work();
    let outcome = match &answer {
        Ok(_) => {
            reporter.event(Event::Advanced { task, bytes });
            Outcome::Done
        }
        Err(error) => Outcome::Failed(error.to_string()),
    };
    reporter.event(Event::Finished { task, outcome });
    answer
}
