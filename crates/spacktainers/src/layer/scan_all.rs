//! Many packages at once, each scanned once in its life.

use oci_format::Digest;

use super::in_parallel::in_parallel;
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

/// Keeps a record for the next time. That it cannot be kept is no fault: it is made again.
pub(crate) fn remember(
    cache: &LocalCache,
    blob: &Digest,
    record: &PackageRecord,
    label: &str,
    reporter: &dyn Reporter,
) {
    if let Err(error) = cache.put_record(RECORD_KIND, &blob.hex(), &record.to_bytes()) {
        let note = format!("{label} will be scanned again next time: {error}");
        reporter.event(Event::Note(note));
    }
}

/// Scans all of `jobs`, at most `parallel` at a time; answers are in the order of the jobs.
///
/// A blob that was scanned before is not opened.
pub fn scan_all(
    jobs: &[ScanJob],
    cache: &LocalCache,
    parallel: usize,
    reporter: &dyn Reporter,
) -> Vec<Result<PackageRecord, ScanError>> {
    in_parallel(
        jobs,
        parallel,
        |job| job.size,
        |job| scan_one(job, cache, reporter),
    )
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
            remember(cache, &job.digest, record, &job.label, reporter);
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
