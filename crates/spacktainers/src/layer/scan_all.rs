//! Many packages at once, each scanned once in its life.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use oci_format::Digest;

use super::record::PackageRecord;
use super::scan::{ScanError, scan};
use crate::content::Content;
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::local_cache::LocalCache;

/// Kind of the records in the local cache. The number changes with [`PackageRecord`] and with what is refused.
const RECORD_KIND: &str = "package-1";

/// An archive to scan.
#[derive(Debug, Clone)]
pub struct ScanJob {
    /// Its bytes.
    pub content: Content,
    /// The digest that was promised.
    pub digest: Digest,
    /// The bytes that were promised.
    pub size: u64,
    /// For people: `zlib@1.3.1 /abc1234`.
    pub label: String,
}

/// The record of a blob that was scanned before.
#[must_use]
pub fn remembered(cache: &LocalCache, blob: &Digest) -> Option<PackageRecord> {
    PackageRecord::from_bytes(&cache.record(RECORD_KIND, &blob.hex())?)
}

/// Scans all of `jobs`, at most `parallel` at a time; answers are in the order of the jobs.
///
/// A blob that was scanned before is not opened. That a record cannot be remembered is no fault: it is made again.
pub fn scan_all(
    jobs: &[ScanJob],
    cache: &LocalCache,
    parallel: usize,
    reporter: &dyn Reporter,
) -> Vec<Result<PackageRecord, ScanError>> {
    // The largest first: whoever begins the largest last waits for it alone at the end.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(jobs[*index].size));
    let next = AtomicUsize::new(0);
    let answers = Mutex::new((0..jobs.len()).map(|_| None).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = scan_one(&jobs[*index], cache, reporter);
                    answers.lock().unwrap_or_else(PoisonError::into_inner)[*index] = Some(answer);
                }
            });
        }
    });
    answers
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_iter()
        .flatten()
        .collect()
}

fn scan_one(
    job: &ScanJob,
    cache: &LocalCache,
    reporter: &dyn Reporter,
) -> Result<PackageRecord, ScanError> {
    if let Some(record) = remembered(cache, &job.digest) {
        return Ok(record);
    }
    let task = TaskId::next();
    reporter.event(Event::Started {
        task,
        kind: TaskKind::Scan,
        label: job.label.clone(),
        total: Some(job.size),
    });
    let answer = scan(&job.content, &job.digest, job.size);
    let outcome = match &answer {
        Ok(record) => {
            if let Err(error) = cache.put_record(RECORD_KIND, &job.digest.hex(), &record.to_bytes())
            {
                reporter.event(Event::Note(format!(
                    "{} will be scanned again next time: {error}",
                    job.label
                )));
            }
            reporter.event(Event::Advanced {
                task,
                bytes: job.size,
            });
            Outcome::Done
        }
        Err(error) => Outcome::Failed(error.to_string()),
    };
    reporter.event(Event::Finished { task, outcome });
    answer
}
