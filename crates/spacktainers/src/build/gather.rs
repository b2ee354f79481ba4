//! Packages, found, fetched and scanned.

use std::collections::HashMap;
use std::sync::Arc;

use spack_format::build_cache::BinaryDistribution;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};

use super::relocate::Moved;
use super::{BuildError, World};
use crate::content::Content;
use crate::fetch::{self, CacheEntry, Found};
use crate::layer::{PackageRecord, ScanJob, scan_all};

/// A package that is here, verified and known.
#[derive(Debug, Clone)]
pub(super) struct Package<'a> {
    /// What it is.
    pub(super) spec: &'a ConcreteSpec,
    /// Where it was found.
    pub(super) entry: CacheEntry,
    /// Its archive.
    pub(super) content: Content,
    /// What is in it.
    pub(super) record: Arc<PackageRecord>,
    /// What Spack recorded about its build.
    pub(super) built: BinaryDistribution,
    /// What it was before, if it was relocated.
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

/// Finds, fetches and scans `wanted`. All that is missing or wrong is told at once.
pub(super) async fn gather<'a>(
    wanted: &[&'a ConcreteSpec],
    specs: &ConcreteSpecs,
    world: &World<'_>,
) -> Result<(Vec<Package<'a>>, Gathered), BuildError> {
    let context = fetch::Context {
        cache: world.cache,
        reporter: &*world.reporter,
        jobs: world.jobs,
        now: world.now,
    };
    let entries = find(wanted, specs, world, &context).await?;
    let (contents, gathered) = download(&entries, world, &context).await?;
    let records = scan(&entries, &contents, world).await?;
    let mut packages = Vec::with_capacity(wanted.len());
    for (((spec, entry), content), record) in wanted
        .iter()
        .copied()
        .zip(entries)
        .zip(contents)
        .zip(records)
    {
        let built = BinaryDistribution::parse(&record.binary_distribution).map_err(|source| {
            BuildError::BinaryDistribution {
                package: entry.package.clone(),
                source,
            }
        })?;
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

async fn find(
    wanted: &[&ConcreteSpec],
    specs: &ConcreteSpecs,
    world: &World<'_>,
    context: &fetch::Context<'_>,
) -> Result<Vec<CacheEntry>, BuildError> {
    let mut entries = Vec::new();
    let mut missing = Vec::new();
    let mut errors = Vec::new();
    for found in fetch::find_all(world.mirrors, wanted.iter().copied(), specs, context).await {
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
    world: &World<'_>,
    context: &fetch::Context<'_>,
) -> Result<(Vec<Content>, Gathered), BuildError> {
    let mut contents = Vec::new();
    let mut errors = Vec::new();
    let mut gathered = Gathered::default();
    for fetched in fetch::fetch_all(world.mirrors, entries, context).await {
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
    world: &World<'_>,
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
        world.cache.clone(),
        Arc::clone(&world.reporter),
        world.jobs.get(),
    );
    let scanned =
        tokio::task::spawn_blocking(move || scan_all(&jobs, &cache, parallel, &*reporter));
    let scanned = match scanned.await {
        Ok(scanned) => scanned,
        // A panic goes on where it was waited for; nothing cancels this task.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let mut records = Vec::new();
    for (answer, entry) in scanned.into_iter().zip(entries) {
        match answer {
            Ok(record) => records.push(record),
            Err(source) => {
                // A blob that is wrong must not be believed again.
                let _ = world.cache.remove(&entry.tarball.digest);
                return Err(BuildError::Scan {
                    package: entry.package.clone(),
                    source,
                });
            }
        }
    }
    Ok(records)
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
