//! All files of a blob.

use std::io::{self, BufRead as _, Read as _};

use oci_format::Digest;
use oci_format::layer::EntryKind;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::{TarError, TarReader};

use super::CpuRecord;
use super::decode::decode;
use crate::content::Content;
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::layer::in_parallel::in_parallel;
use crate::local_cache::LocalCache;

/// Kind of the records in the local cache. The number changes with what is found in the same blob.
const RECORD_KIND: &str = "cpu-1";

/// A larger file is not looked into.
const LARGEST: u64 = 1 << 30;

/// Bytes that a blob may decompress to.
const TAR_LIMIT: u64 = 64 << 30;

const MAGIC: &[u8] = b"\x7fELF";

/// Why the code of a blob is not known.
#[derive(Debug, thiserror::Error)]
pub enum CpuScanError {
    /// It cannot be opened or decompressed.
    #[error("{label}: cannot read it for its instructions")]
    Io {
        /// For people.
        label: String,
        /// Why.
        source: io::Error,
    },
    /// It is no tar.
    #[error("{label}: cannot read it for its instructions")]
    Tar {
        /// For people.
        label: String,
        /// Why.
        source: TarError,
    },
}

/// A blob to look into: a package's archive or a layer.
#[derive(Debug, Clone)]
pub struct CpuScanJob {
    /// Its bytes.
    pub content: Content,
    /// Their digest, or that of what they unpack to: whatever names them for ever.
    pub digest: Digest,
    /// For people: `zlib@1.3.1 /abc1234`.
    pub label: String,
}

/// Looks into all `jobs`, at most `parallel` at a time; each blob once in its life. Answers are in the order of the jobs.
///
/// # Errors
/// For the first blob that cannot be read.
pub fn scan_all(
    jobs: &[CpuScanJob],
    cache: &LocalCache,
    parallel: usize,
    reporter: &dyn Reporter,
) -> Result<Vec<CpuRecord>, CpuScanError> {
    let size = |job: &CpuScanJob| job.content.len();
    let answers = in_parallel(jobs, parallel, size, |job| scan_one(job, cache, reporter));
    answers.into_iter().collect()
}

fn scan_one(
    job: &CpuScanJob,
    cache: &LocalCache,
    reporter: &dyn Reporter,
) -> Result<CpuRecord, CpuScanError> {
    let key = job.digest.hex();
    let known = cache.record(RECORD_KIND, &key);
    if let Some(record) = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(record);
    }
    let task = TaskId::next();
    reporter.event(Event::Started {
        task,
        kind: TaskKind::Scan,
        label: format!("instructions of {}", job.label),
        total: Some(job.content.len()),
    });
    let answer = scan(&job.content, &job.label);
    let outcome = match &answer {
        Ok(record) => {
            if let Ok(bytes) = serde_json::to_vec(record) {
                // Not remembered is only slower.
                let _ = cache.put_record(RECORD_KIND, &key, &bytes);
            }
            Outcome::Done
        }
        Err(error) => Outcome::Failed(error.to_string()),
    };
    reporter.event(Event::Finished { task, outcome });
    answer
}

/// What the programs and libraries in a blob use. `label` is for people.
///
/// # Errors
/// When it cannot be read to its end.
pub fn scan(content: &Content, label: &str) -> Result<CpuRecord, CpuScanError> {
    let io_error = |source| CpuScanError::Io {
        label: label.to_owned(),
        source,
    };
    let decoder = Decoder::new(content.open(0).map_err(io_error)?, TAR_LIMIT).map_err(io_error)?;
    let mut members = TarReader::new(decoder);
    let mut record = CpuRecord::default();
    let mut buffer = Vec::new();
    while let Some(mut member) = members.next_member().map_err(|source| CpuScanError::Tar {
        label: label.to_owned(),
        source,
    })? {
        if !matches!(member.entry.kind, EntryKind::File)
            || member.entry.size < 64
            || !member.fill_buf().map_err(io_error)?.starts_with(MAGIC)
        {
            continue;
        }
        let path = String::from_utf8_lossy(&member.entry.path).into_owned();
        if member.entry.size > LARGEST {
            record.unread.push(path);
            continue;
        }
        buffer.clear();
        member.read_to_end(&mut buffer).map_err(io_error)?;
        record.files.extend(decode(&path, &buffer));
    }
    Ok(record)
}
