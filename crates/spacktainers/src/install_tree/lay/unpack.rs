//! Archives into folders beside the tree, relocated on the way.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use oci_format::DigestReader;
use oci_format::layer::compression::Decoder;
use serde_json::json;
use spack_format::dag_hash::DagHash;

use super::folder::Folder;
use super::open::{Archive, told};
use super::store::Staging;
use crate::build::BuildError;
use crate::event::{Reporter, TaskKind};
use crate::install_tree::provenance::TIMES;
use crate::layer::in_parallel::in_parallel;
use crate::layer::transform::{Chain, NoDebug, TransformError, pass};
use crate::layer::whole::{Room, WholeTar};
use crate::layer::{PackageRecord, ScanError};

/// Bytes that a package may decompress to; [`crate::layer::scan()`] has seen it do so with less.
const TAR_LIMIT: u64 = 64 << 30;

/// One package to unpack.
pub(super) struct Job {
    pub(super) hash: DagHash,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) archive: Archive,
    pub(super) record: Arc<PackageRecord>,
    /// The archive's tar, if it is in memory. Whoever unpacks it takes it.
    pub(super) tar: Mutex<Option<WholeTar>>,
    /// What changes, if anything does.
    pub(super) chain: Chain,
}

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
enum UnpackError {
    /// It is not what it was when it was looked through.
    #[error(transparent)]
    Archive(#[from] ScanError),
    #[error(transparent)]
    Transform(#[from] TransformError),
}

/// Unpacks all of `jobs`, at most `parallel` at a time, the largest first. All that cannot be relocated is told at once.
pub(super) fn unpack_all(
    jobs: &[Job],
    staging: &Staging,
    room: &Arc<Room>,
    parallel: usize,
    reporter: &dyn Reporter,
) -> Result<(), BuildError> {
    let answers = in_parallel(
        jobs,
        parallel,
        |job| job.archive.size,
        |job| {
            told(&job.archive, TaskKind::Write, reporter, || {
                unpack(job, staging, room)
            })
        },
    );
    let mut errors = Vec::new();
    for (answer, job) in answers.into_iter().zip(jobs) {
        match answer {
            Ok(()) => {}
            Err(UnpackError::Transform(error)) => errors.push(error),
            Err(UnpackError::Archive(source)) => {
                let package = job.archive.title.clone();
                return Err(BuildError::Scan { package, source });
            }
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(BuildError::Transform(errors))
    }
}

/// Unpacks one package into its folder of `staging`. Its digest is checked again, unless its tar is in memory since it was:
/// mirrors that are folders of this machine are read in place.
fn unpack(job: &Job, staging: &Staging, room: &Arc<Room>) -> Result<(), UnpackError> {
    let since = Instant::now();
    let mut folder = folder(job, staging)?;
    let kept = job
        .tar
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let tar = match kept {
        Some(tar) => Some(tar),
        None => job.archive.whole_tar(room)?,
    };
    match tar {
        Some(tar) => fill(&mut folder, job, tar.bytes())?,
        None => {
            let stored = job.archive.content.open(0).map_err(ScanError::Read)?;
            let decoder = Decoder::new(DigestReader::new(stored), TAR_LIMIT);
            let mut decoder = decoder.map_err(ScanError::Read)?;
            let filled = fill(&mut folder, job, &mut decoder);
            let (_, actual, actual_size) = decoder.into_inner().finish();
            // Of what is broken the rest was not read.
            if filled.is_ok() && actual != job.archive.digest {
                return Err(UnpackError::Archive(ScanError::Digest {
                    expected: job.archive.digest,
                    expected_size: job.archive.size,
                    actual,
                    actual_size,
                }));
            }
            filled?;
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    let times = json!({
        "total": seconds,
        "phases": [{"name": "install", "path": "install", "seconds": seconds, "count": 1}],
        "name": job.name,
        "cache": true,
        "hash": job.hash.as_str(),
    });
    folder
        .replace(TIMES, times.to_string().as_bytes())
        .map_err(|source| job.io(source).into())
}

/// The empty folder of a package.
fn folder(job: &Job, staging: &Staging) -> Result<Folder, TransformError> {
    let prefix = match &job.chain.relocate {
        Some(_) => job.prefix.trim_start_matches('/'),
        None => {
            let old = job.record.prefix.as_deref().or(job.record.top.as_deref());
            old.unwrap_or_default()
        }
    };
    let path: &Path = &staging.of(&job.hash);
    Folder::create(path, prefix, staging.keeps_modes()).map_err(|source| job.io(source))
}

fn fill<R: Read>(folder: &mut Folder, job: &Job, tar: R) -> Result<(), TransformError> {
    let title = &job.archive.title;
    pass(tar, folder, &mut NoDebug, &job.record, &job.chain, title).map(drop)
}

impl Job {
    fn io(&self, source: std::io::Error) -> TransformError {
        TransformError::Io {
            package: self.archive.title.clone(),
            source,
        }
    }
}
