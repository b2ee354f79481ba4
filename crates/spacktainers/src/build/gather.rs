//! Packages, found, fetched and scanned.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use spack_format::build_cache::BinaryDistribution;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};

use super::transform::Moved;
use super::{BuildError, World};
use crate::content::Content;
use crate::event::Reporter;
use crate::fetch::{self, BuildCache, CacheEntry, Found};
use crate::layer::{PackageRecord, ScanError, ScanJob, scan_all};
use crate::local_cache::LocalCache;

/// A package that is here, verified and known.
#[derive(Debug, Clone)]
pub(crate) struct Package<'a> {
    /// What it is.
    pub(crate) spec: &'a ConcreteSpec,
    /// Where it was found.
    pub(crate) entry: CacheEntry,
    /// Its archive.
    pub(crate) content: Content,
    /// What is in it.
    pub(crate) record: Arc<PackageRecord>,
    /// What Spack recorded about its build.
    pub(crate) built: BinaryDistribution,
    /// What it was before, if it was transformed.
    pub(super) moved: Option<Moved>,
}

/// What gathering took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Bytes that came over a network.
    pub fetched: u64,
    /// Bytes that were here, or lie in mirrors that are folders.
    pub reused: u64,
}

/// Where packages come from: what of a [`World`] is needed to have them here.
#[derive(Clone)]
pub struct Supply<'a> {
    /// Where blobs and facts are kept.
    pub cache: &'a LocalCache,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
    /// How much to do at once.
    pub jobs: NonZeroUsize,
    /// The time, for signatures.
    pub now: SystemTime,
    /// Where packages are looked for, in order.
    pub mirrors: &'a [BuildCache],
}

impl<'a> From<&World<'a>> for Supply<'a> {
    fn from(world: &World<'a>) -> Self {
        Self {
            cache: world.cache,
            reporter: Arc::clone(&world.reporter),
            jobs: world.jobs,
            now: world.now,
            mirrors: world.mirrors,
        }
    }
}

/// Finds, fetches and scans `wanted`. All that is missing or wrong is told at once.
pub(crate) async fn gather<'a>(
    wanted: &[&'a ConcreteSpec],
    specs: &ConcreteSpecs,
    supply: &Supply<'_>,
) -> Result<(Vec<Package<'a>>, Gathered), BuildError> {
    let (entries, contents, gathered) = bring(wanted, specs, supply).await?;
    let records = scan(&entries, &contents, supply).await?;
    let mut packages = Vec::with_capacity(wanted.len());
    for (((spec, entry), content), record) in wanted
        .iter()
        .copied()
        .zip(entries)
        .zip(contents)
        .zip(records)
    {
        let built = built(&record, &entry)?;
        packages.push(Package {
            spec,
            entry,
            content,
            record: Arc::new(record),
            built,
            moved: None,
        });
    }
    Ok((packages, gathered))
}

/// Finds and fetches `wanted`. All that is missing or wrong is told at once.
pub(crate) async fn bring(
    wanted: &[&ConcreteSpec],
    specs: &ConcreteSpecs,
    supply: &Supply<'_>,
) -> Result<(Vec<CacheEntry>, Vec<Content>, Gathered), BuildError> {
    let context = fetch::Context {
        cache: supply.cache,
        reporter: &*supply.reporter,
        jobs: supply.jobs,
        now: supply.now,
    };
    let entries = find(wanted, specs, supply, &context).await?;
    let (contents, gathered) = download(&entries, supply, &context).await?;
    Ok((entries, contents, gathered))
}

/// What Spack recorded about the build of an archive that was scanned.
pub(crate) fn built(
    record: &PackageRecord,
    entry: &CacheEntry,
) -> Result<BinaryDistribution, BuildError> {
    BinaryDistribution::parse(&record.binary_distribution).map_err(|source| {
        BuildError::BinaryDistribution {
            package: entry.package.clone(),
            source,
        }
    })
}

async fn find(
    wanted: &[&ConcreteSpec],
    specs: &ConcreteSpecs,
    supply: &Supply<'_>,
    context: &fetch::Context<'_>,
) -> Result<Vec<CacheEntry>, BuildError> {
    let mut entries = Vec::new();
    let mut missing = Vec::new();
    let mut errors = Vec::new();
    for found in fetch::find_all(supply.mirrors, wanted.iter().copied(), specs, context).await {
        match found {
            Ok(Found::Here(entry)) => entries.push(*entry),
            Ok(Found::Nowhere(it)) => missing.push(it),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(BuildError::Find(errors));
    }
    if !missing.is_empty() {
        return Err(BuildError::Missing(missing));
    }
    Ok(entries)
}

async fn download(
    entries: &[CacheEntry],
    supply: &Supply<'_>,
    context: &fetch::Context<'_>,
) -> Result<(Vec<Content>, Gathered), BuildError> {
    let mut contents = Vec::new();
    let mut errors = Vec::new();
    let mut gathered = Gathered::default();
    for fetched in fetch::fetch_all(supply.mirrors, entries, context).await {
        match fetched {
            Ok(fetched) => {
                gathered.fetched += fetched.received;
                gathered.reused += fetched.content.len().saturating_sub(fetched.received);
                contents.push(fetched.content);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok((contents, gathered))
    } else {
        Err(BuildError::Fetch(errors))
    }
}

async fn scan(
    entries: &[CacheEntry],
    contents: &[Content],
    supply: &Supply<'_>,
) -> Result<Vec<PackageRecord>, BuildError> {
    let jobs: Vec<ScanJob> = entries
        .iter()
        .zip(contents)
        .map(|(entry, content)| ScanJob {
            content: content.clone(),
            digest: entry.tarball.digest,
            size: entry.tarball.size,
            label: entry.package.clone(),
        })
        .collect();
    let (cache, reporter, parallel) = (
        supply.cache.clone(),
        Arc::clone(&supply.reporter),
        supply.jobs.get(),
    );
    let scanned =
        tokio::task::spawn_blocking(move || scan_all(&jobs, &cache, parallel, &*reporter));
    let scanned = match scanned.await {
        Ok(scanned) => scanned,
        // A panic goes on where it was waited for; nothing cancels this task.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let answers = scanned.into_iter().zip(entries);
    answers
        .map(|(answer, entry)| answer.map_err(|source| unusable(entry, source, supply.cache)))
        .collect()
}

/// An archive that is wrong must not be believed again.
pub(crate) fn unusable(entry: &CacheEntry, source: ScanError, cache: &LocalCache) -> BuildError {
    let _ = cache.remove(&entry.tarball.digest);
    BuildError::Scan {
        package: entry.package.clone(),
        source,
    }
}

/// Packages by DAG hash.
pub(super) fn by_hash<'p, 'a>(
    packages: &'p [Package<'a>],
) -> HashMap<spack_format::dag_hash::DagHash, &'p Package<'a>> {
    packages
        .iter()
        .map(|package| (package.spec.hash, package))
        .collect()
}
