//! Many packages at once, each transformed once for the same chain.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarWriter;
use oci_format::{Digest, DigestWriter};
use serde::{Deserialize, Serialize};

use super::pass::{NoDebug, Passed, pass};
use super::{Chain, TransformError};
use crate::content::Content;
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::layer::PackageRecord;
use crate::layer::compress::{Compress, Encoder};
use crate::layer::in_parallel::in_parallel;
use crate::layer::relocate::Left;
use crate::layer::slim::Amount;
use crate::layer::strip::{KeptBecause, Symbols};
use crate::local_cache::{BlobWriter, LocalCache};

/// Kind of the records in the local cache; the number changes with what is remembered.
const RECORD_KIND: &str = "transformed-1";

/// Bytes that a package may decompress to; [`crate::layer::scan()`] has seen it do so with less.
const TAR_LIMIT: u64 = 64 << 30;

/// A package to transform.
#[derive(Debug, Clone)]
pub struct TransformJob {
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
    /// What is done to it.
    pub chain: Chain,
}

/// A package that went through its chain.
#[derive(Debug, Clone)]
pub struct Transformed {
    /// Digest of the new archive; that of the old one if nothing came of the chain.
    pub digest: Digest,
    /// The new archive.
    pub content: Content,
    /// What stays of the build because Spack leaves it, too.
    pub left: Vec<Left>,
    /// What became of symbols.
    pub symbols: SymbolReport,
    /// Symbols in files of their own, as a layer; none if there are no such files.
    pub debug: Option<Archive>,
}

/// What became of a package's symbols.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolReport {
    /// Files that lost their symbols, and the bytes that went.
    pub stripped: Amount,
    /// Files for debuggers.
    pub separate: Amount,
    /// Files that have symbols and kept them, below the prefix.
    pub kept: BTreeMap<String, KeptBecause>,
}

/// An archive that was written here.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Its digest.
    pub digest: Digest,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
    /// Its compression.
    pub compress: Compress,
    /// Its bytes.
    pub content: Content,
}

/// What is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// None where the old archive stayed.
    digest: Option<Digest>,
    left: Vec<Left>,
    symbols: SymbolReport,
    debug: Option<RememberedDebug>,
}

#[derive(Serialize, Deserialize)]
struct RememberedDebug {
    digest: Digest,
    diff_id: Digest,
    tar_size: u64,
}

/// Transforms all of `jobs`, at most `parallel` at a time; answers are in the order of the jobs.
pub fn transform_all(
    jobs: &[TransformJob],
    cache: &LocalCache,
    parallel: usize,
    reporter: &dyn Reporter,
) -> Vec<Result<Transformed, TransformError>> {
    in_parallel(
        jobs,
        parallel,
        |job| job.size,
        |job| transform_one(job, cache, reporter),
    )
}

fn transform_one(
    job: &TransformJob,
    cache: &LocalCache,
    reporter: &dyn Reporter,
) -> Result<Transformed, TransformError> {
    let key = job.chain.key(&job.blob);
    if let Some(known) = remembered(job, cache, &key) {
        return Ok(known);
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
        Ok(transformed) => {
            reporter.event(Event::Advanced {
                task,
                bytes: job.size,
            });
            if let Err(error) = remember(job, transformed, cache, &key) {
                reporter.event(Event::Note(format!(
                    "{} will be written again next time: {error}",
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

/// What came of the same chain before, if all of it is still here.
fn remembered(job: &TransformJob, cache: &LocalCache, key: &str) -> Option<Transformed> {
    let bytes = cache.record(RECORD_KIND, key)?;
    let known: Remembered = serde_json::from_slice(&bytes).ok()?;
    let content = match &known.digest {
        Some(digest) => cache.blob(digest)?,
        None => job.content.clone(),
    };
    let debug = match known.debug {
        Some(it) => Some(Archive {
            digest: it.digest,
            diff_id: it.diff_id,
            tar_size: it.tar_size,
            compress: job.chain.compress.unwrap_or_default(),
            content: cache.blob(&it.digest)?,
        }),
        None => None,
    };
    Some(Transformed {
        digest: known.digest.unwrap_or(job.blob),
        content,
        left: known.left,
        symbols: known.symbols,
        debug,
    })
}

fn remember(
    job: &TransformJob,
    done: &Transformed,
    cache: &LocalCache,
    key: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let known = Remembered {
        digest: Some(done.digest).filter(|it| *it != job.blob),
        left: done.left.clone(),
        symbols: done.symbols.clone(),
        debug: done.debug.as_ref().map(|it| RememberedDebug {
            digest: it.digest,
            diff_id: it.diff_id,
            tar_size: it.tar_size,
        }),
    };
    cache.put_record(RECORD_KIND, key, &serde_json::to_vec(&known)?)?;
    Ok(())
}

fn write(job: &TransformJob, cache: &LocalCache) -> Result<Transformed, TransformError> {
    let io = |source| TransformError::Io {
        package: job.title.clone(),
        source,
    };
    let (chain, title) = (&job.chain, &job.title);
    let compress = chain.compress.unwrap_or_default();
    let mut archive = Decoder::new(job.content.open(0).map_err(io)?, TAR_LIMIT).map_err(io)?;
    let mut encoder = compress.encoder(cache.writer()?).map_err(io)?;
    if !chain.changes_members() {
        io::copy(&mut archive, &mut encoder).map_err(io)?;
        let (digest, content) = encoder.finish().map_err(io)?.finish()?;
        return Ok(Transformed {
            digest,
            content,
            left: Vec::new(),
            symbols: SymbolReport::default(),
            debug: None,
        });
    }
    let mut tar = TarWriter::new(encoder);
    let is_separate = chain
        .strip
        .as_ref()
        .is_some_and(|it| it.symbols == Symbols::Separate);
    let mut debug = match is_separate {
        true => Some(debug_archive(compress, cache).map_err(io)?),
        false => None,
    };
    let Passed { left, symbols } = match &mut debug {
        Some(debug) => pass(archive, &mut tar, debug, &job.record, chain, title)?,
        None => pass(archive, &mut tar, &mut NoDebug, &job.record, chain, title)?,
    };
    let is_same = chain.slim.is_none()
        && chain.relocate.is_none()
        && symbols.stripped.files == 0
        && chain.is_compressed_so(&job.record.compression);
    if is_same {
        // What was written is given up; it never had a name.
        return Ok(Transformed {
            digest: job.blob,
            content: job.content.clone(),
            left,
            symbols,
            debug: None,
        });
    }
    let encoder = tar.finish().map_err(|source| TransformError::Write {
        package: title.clone(),
        source,
    })?;
    let (digest, content) = encoder.finish().map_err(io)?.finish()?;
    let debug = match debug {
        Some(tar) if symbols.separate.files > 0 => Some(finish_debug(tar, compress, title)?),
        _ => None,
    };
    Ok(Transformed {
        digest,
        content,
        left,
        symbols,
        debug,
    })
}

type DebugTar = TarWriter<DigestWriter<Encoder<BlobWriter>>>;

fn debug_archive(compress: Compress, cache: &LocalCache) -> io::Result<DebugTar> {
    let writer = cache.writer().map_err(io::Error::other)?;
    Ok(TarWriter::new(DigestWriter::new(compress.encoder(writer)?)))
}

fn finish_debug(tar: DebugTar, compress: Compress, title: &str) -> Result<Archive, TransformError> {
    let tar = tar.finish().map_err(|source| TransformError::Write {
        package: title.to_owned(),
        source,
    })?;
    let (encoder, diff_id, tar_size) = tar.finish();
    let io = |source| TransformError::Io {
        package: title.to_owned(),
        source,
    };
    let (digest, content) = encoder.finish().map_err(io)?.finish()?;
    Ok(Archive {
        digest,
        diff_id,
        tar_size,
        compress,
        content,
    })
}
