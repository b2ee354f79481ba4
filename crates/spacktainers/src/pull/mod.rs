//! Published SIF files onto this machine, for people on clusters.
//!
//! ```text
//! s3://BUCKET/KEY.sif ─ HEAD ─┐                      ┌─ the same as FILE: nothing to do
//! oras://HOST/REPO:TAG ─ GET ─┴─► size, digest ──────┤
//!     manifest                                       └─► local cache, continued where it broke off, verified
//!                                                         place.rs ─► FILE, by rename
//! ```
//!
//! Start at [`pull`]. Images that are no SIF files yet are made into some on the way: see [`crate::source`] and
//! [`crate::sif`].

mod place;
#[cfg(test)]
mod tests;

use std::fs::{self, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci_format::{Digest, Reference};

use crate::bucket::{Bucket, BucketAccess, BucketError, ObjectFacts, ObjectName};
use crate::event::{Reporter, TaskKind};
use crate::local_cache::{LocalCache, LocalCacheError};
use crate::publish::{Task, digest_of_file, find_sif};
use crate::registry::{RegistryClient, RegistryError};
use crate::sif::SifFacts;

/// Where a SIF file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullSource {
    /// In a bucket.
    Object(ObjectName),
    /// In a registry, as Apptainer puts it there.
    Oras(Reference),
}

/// What pulling needs of the world.
#[derive(Clone)]
pub struct PullContext {
    /// Registries.
    pub registry: RegistryClient,
    /// Buckets.
    pub buckets: BucketAccess,
    /// Where a file grows until it is whole.
    pub cache: LocalCache,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
    /// Whether to fetch what is here already.
    pub is_forced: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Bytes of the file.
    pub size: u64,
    /// Its digest, if anything told it.
    pub digest: Option<Digest>,
    /// What the place it came from says of it.
    pub facts: SifFacts,
    /// Whether it was here already.
    pub unchanged: bool,
}

/// Why a file cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// No network is to be used.
    #[error("`{0}` is in a registry, and no network is to be used")]
    Offline(String),
    /// There is no SIF file.
    #[error("there is no SIF file at `{0}`")]
    Missing(String),
    /// The local cache.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
    /// The file on this machine.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A thread of ours ended in the middle.
    #[error("pulling `{}` was interrupted", .0.display())]
    Interrupted(PathBuf),
}

impl PullError {
    /// Whether bytes were not what they should be: exit code 5, not 4.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Bucket(error) => error.is_verification(),
            Self::Registry(error) => error.is_verification(),
            Self::Cache(error) => matches!(error, LocalCacheError::Digest { .. }),
            _ => false,
        }
    }

    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// Brings a SIF file to `file`, which is replaced when the new one is whole. Nothing is fetched if it is there already.
///
/// # Errors
/// When there is none, it cannot be fetched, or `file` cannot be written. What came so far is kept in the local cache,
/// and the next call goes on from there.
pub async fn pull(
    source: &PullSource,
    file: &Path,
    context: &PullContext,
) -> Result<Pulled, PullError> {
    match source {
        PullSource::Object(object) => from_bucket(object, file, context).await,
        PullSource::Oras(reference) => from_registry(reference, file, context).await,
    }
}

async fn from_bucket(
    object: &ObjectName,
    file: &Path,
    context: &PullContext,
) -> Result<Pulled, PullError> {
    let bucket = Bucket::open(&object.bucket, &context.buckets).await?;
    let Some(found) = bucket.head(&object.key).await? else {
        return Err(PullError::Missing(object.to_string()));
    };
    let facts = SifFacts::from_metadata(&found.metadata);
    let mut pulled = Pulled {
        size: found.size,
        digest: facts.file,
        facts,
        unchanged: false,
    };
    let modified = UNIX_EPOCH + Duration::from_secs(found.modified);
    let (digest, known) = (pulled.digest, found.size);
    if !context.is_forced
        && on_thread(file, move |file| Ok(is_here(file, known, digest, modified))).await?
    {
        pulled.unchanged = true;
        return Ok(pulled);
    }
    let task = Task::start(
        &context.reporter,
        TaskKind::Fetch,
        object.to_string(),
        found.size,
    );
    match &pulled.digest {
        Some(digest) => {
            let on_bytes = Arc::new(task.advance());
            let cache = &context.cache;
            bucket
                .download(&object.key, &found, digest, cache, &(on_bytes as _))
                .await?;
            let (cache, digest) = (context.cache.clone(), *digest);
            on_thread(file, move |file| place::place(&cache, &digest, file)).await?;
        }
        None => whole(&bucket, object, &found, file, modified, &task).await?,
    }
    task.finish();
    Ok(pulled)
}

/// An object that says nothing of its content, as other programs put them there.
async fn whole(
    bucket: &Bucket,
    object: &ObjectName,
    found: &ObjectFacts,
    file: &Path,
    modified: SystemTime,
    task: &Task,
) -> Result<(), PullError> {
    let mut temporary = place::beside(file)?;
    let shown = temporary.path().to_owned();
    let on_bytes = Arc::new(task.advance()) as _;
    bucket
        .download_whole(
            &object.key,
            found,
            temporary.as_file_mut(),
            &shown,
            &on_bytes,
        )
        .await?;
    on_thread(file, move |file| {
        // By this the next run knows the file again.
        let times = FileTimes::new().set_modified(modified);
        let done = temporary.as_file().set_times(times);
        done.map_err(PullError::file("write", file))?;
        place::persist(temporary, file)
    })
    .await
}

async fn from_registry(
    reference: &Reference,
    file: &Path,
    context: &PullContext,
) -> Result<Pulled, PullError> {
    let shown = format!("oras://{reference}");
    if context.buckets.is_offline {
        return Err(PullError::Offline(shown));
    }
    let repository = context.registry.repository(reference)?;
    let Some(found) = find_sif(&repository, reference).await? else {
        return Err(PullError::Missing(shown));
    };
    let digest = found.file.digest;
    let mut pulled = Pulled {
        size: found.file.size,
        digest: Some(digest),
        facts: found.facts,
        unchanged: false,
    };
    let size = pulled.size;
    if !context.is_forced
        && on_thread(file, move |file| {
            Ok(is_here(file, size, Some(digest), UNIX_EPOCH))
        })
        .await?
    {
        pulled.unchanged = true;
        return Ok(pulled);
    }
    let task = Task::start(&context.reporter, TaskKind::Fetch, shown, pulled.size);
    repository
        .blob_to_cache(&found.file, &context.cache, task.advance())
        .await?;
    let cache = context.cache.clone();
    on_thread(file, move |file| place::place(&cache, &digest, file)).await?;
    task.finish();
    Ok(pulled)
}

/// Whether `file` is the one that is to be had: by its digest where that is known, else by size and time.
fn is_here(file: &Path, size: u64, digest: Option<Digest>, modified: SystemTime) -> bool {
    let Ok(metadata) = fs::metadata(file) else {
        return false;
    };
    if !metadata.is_file() || metadata.len() != size {
        return false;
    }
    match digest {
        Some(digest) => digest_of_file(file).is_ok_and(|it| it == digest),
        None => metadata.modified().is_ok_and(|it| it == modified),
    }
}

/// Runs `work` where it may block.
async fn on_thread<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce(&Path) -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    let owned = file.to_owned();
    tokio::task::spawn_blocking(move || work(&owned))
        .await
        .unwrap_or_else(|_| Err(PullError::Interrupted(file.to_owned())))
}
