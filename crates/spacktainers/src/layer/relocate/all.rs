//! Many packages at once, each relocated once for the same rules.

use std::sync::Arc;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use oci_format::Digest;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarWriter;
use serde::{Deserialize, Serialize};

use super::{Left, RelocateError, Rules, rewrite};
use crate::content::Content;
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::layer::PackageRecord;
use crate::layer::in_parallel::in_parallel;
use crate::local_cache::LocalCache;

/// Kind of the records in the local cache; the number changes with what is remembered.
const RECORD_KIND: &str = "relocated-1";

/// gzip's own default: the cache's archives have it too.
const LEVEL: u32 = 6;

/// Bytes that a package may decompress to; [`crate::layer::scan()`] has seen it do so with less.
const TAR_LIMIT: u64 = 64 << 30;

/// A package to relocate.
#[derive(Debug, Clone)]
pub struct RelocateJob {
    /// For people: `zlib@1.3.1 /abc1234`.
    pub title: String,
    /// Digest of the archive.
    pub blob: Digest,
    /// Bytes of the archive.
    pub size: u64,
    /// The archive.
    pub content: Content,
    /// What is known of it.
    pub record: Arc<PackageRecord>,
    /// What changes.
    pub rules: Rules,
}

/// A relocated package.
#[derive(Debug, Clone)]
pub struct Relocated {
    /// Digest of the new archive, which is gzip.
    pub digest: Digest,
    /// The new archive.
    pub content: Content,
    /// What stays of the build because Spack leaves it, too.
    pub left: Vec<Left>,
}

/// What is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    digest: Digest,
    left: Vec<Left>,
}

/// Relocates all of `jobs`, at most `parallel` at a time; answers are in the order of the jobs.
pub fn relocate_all(
    jobs: &[RelocateJob],
    cache: &LocalCache,
    parallel: usize,
    reporter: &dyn Reporter,
) -> Vec<Result<Relocated, RelocateError>> {
    in_parallel(
        jobs,
        parallel,
        |job| job.size,
        |job| relocate_one(job, cache, reporter),
    )
}

fn relocate_one(
    job: &RelocateJob,
    cache: &LocalCache,
    reporter: &dyn Reporter,
) -> Result<Relocated, RelocateError> {
    let key = job.rules.key(&job.blob);
    let remembered = cache
        .record(RECORD_KIND, &key)
        .and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    if let Some(Remembered { digest, left }) = remembered
        && let Some(content) = cache.blob(&digest)
    {
        return Ok(Relocated {
            digest,
            content,
            left,
        });
    }
    let task = TaskId::next();
    reporter.event(Event::Started {
        task,
        kind: TaskKind::Write,
        label: job.title.clone(),
        total: Some(job.size),
    });
    let answer = write(job, cache);
    let outcome = match &answer {
        Ok(relocated) => {
            reporter.event(Event::Advanced {
                task,
                bytes: job.size,
            });
            let remembered = Remembered {
                digest: relocated.digest,
                left: relocated.left.clone(),
            };
            if let Ok(bytes) = serde_json::to_vec(&remembered)
                && let Err(error) = cache.put_record(RECORD_KIND, &key, &bytes)
            {
                reporter.event(Event::Note(format!(
                    "{} will be relocated again next time: {error}",
                    job.title
                )));
            }
            Outcome::Done
        }
        Err(error) => Outcome::Failed(error.to_string()),
    };
    reporter.event(Event::Finished { task, outcome });
    answer
}

fn write(job: &RelocateJob, cache: &LocalCache) -> Result<Relocated, RelocateError> {
    let io = |source| RelocateError::Io {
        package: job.title.clone(),
        source,
    };
    let archive = Decoder::new(job.content.open(0).map_err(io)?, TAR_LIMIT).map_err(io)?;
    // `GzEncoder::new` writes neither a name nor a time: the same tar gives the same bytes.
    let mut tar = TarWriter::new(GzEncoder::new(cache.writer()?, Level::new(LEVEL)));
    let left = rewrite(archive, &mut tar, &job.record, &job.rules, &job.title)?;
    let gzip = tar.finish().map_err(|source| RelocateError::Write {
        package: job.title.clone(),
        source,
    })?;
    let (digest, content) = gzip.finish().map_err(io)?.finish()?;
    Ok(Relocated {
        digest,
        content,
        left,
    })
}
