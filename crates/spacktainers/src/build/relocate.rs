//! Packages to where the image has them, where they were built to lie elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use oci_format::Digest;
use spack_format::concrete::ConcreteSpecs;
use spack_format::dag_hash::DagHash;
use spack_format::relocation::{Move, shebang};

use super::gather::Package;
use super::{BuildError, InstallRoot, World};
use crate::event::Event;
use crate::layer::relocate::{
    Left, LeftBecause, Places, RelocateJob, Relocated, Rules, relocate_all,
};
use crate::layer::{PackageRecord, ScanJob, scan_all};

/// What a package was before it was relocated: its content and record are those of the relocated archive.
#[derive(Debug, Clone)]
pub(super) struct Moved {
    /// Digest of the relocated archive.
    pub(super) digest: Digest,
    /// What was in the archive of the build cache.
    pub(super) archive: Arc<PackageRecord>,
    /// What stays of the build.
    pub(super) left: Vec<Left>,
}

/// Relocates those of `packages` that were not built to lie at their one of `prefixes`, or that refer to such.
pub(super) async fn relocate<'a>(
    mut packages: Vec<Package<'a>>,
    prefixes: &[String],
    store: &InstallRoot,
    specs: &ConcreteSpecs,
    world: &World<'_>,
) -> Result<Vec<Package<'a>>, BuildError> {
    let jobs = jobs(&packages, prefixes, store, specs)?;
    if jobs.is_empty() {
        return Ok(packages);
    }
    let sbang = format!("{}/bin/sbang", store.root).len();
    if sbang > shebang::LIMIT {
        return Err(BuildError::LongRoot {
            root: store.root.clone(),
            sbang,
        });
    }
    let (cache, reporter, parallel) = (
        world.cache.clone(),
        Arc::clone(&world.reporter),
        world.jobs.get(),
    );
    let work = tokio::task::spawn_blocking(move || {
        let (indices, jobs): (Vec<usize>, Vec<RelocateJob>) = jobs.into_iter().unzip();
        let relocated = all_or_errors(relocate_all(&jobs, &cache, parallel, &*reporter))
            .map_err(BuildError::Relocate)?;
        // The relocated archive is looked at as if a stranger had made it.
        let scans: Vec<ScanJob> = jobs
            .iter()
            .zip(&relocated)
            .map(|(job, relocated)| ScanJob {
                content: relocated.content.clone(),
                digest: relocated.digest,
                size: relocated.content.len(),
                label: job.title.clone(),
            })
            .collect();
        let records = scan_all(&scans, &cache, parallel, &*reporter);
        let mut all = Vec::with_capacity(indices.len());
        for (((index, job), relocated), record) in
            indices.into_iter().zip(jobs).zip(relocated).zip(records)
        {
            let record = record.map_err(|source| BuildError::Scan {
                package: job.title,
                source,
            })?;
            all.push((index, relocated, record));
        }
        Ok::<_, BuildError>(all)
    });
    let done: Vec<(usize, Relocated, PackageRecord)> = match work.await {
        Ok(done) => done?,
        // A panic goes on where it was waited for; nothing cancels this task.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    for (index, relocated, record) in done {
        let Some(package) = packages.get_mut(index) else {
            continue;
        };
        tell(&package.entry.package, &relocated.left, world);
        package.content = relocated.content;
        package.moved = Some(Moved {
            digest: relocated.digest,
            archive: std::mem::replace(&mut package.record, Arc::new(record)),
            left: relocated.left,
        });
    }
    Ok(packages)
}

/// What has to be done, each with the package's index.
fn jobs(
    packages: &[Package<'_>],
    prefixes: &[String],
    store: &InstallRoot,
    specs: &ConcreteSpecs,
) -> Result<Vec<(usize, RelocateJob)>, BuildError> {
    let by_hash: HashMap<DagHash, &String> = packages
        .iter()
        .map(|package| package.spec.hash)
        .zip(prefixes)
        .collect();
    let records = packages.iter().map(|package| &*package.record);
    let places = Places::new(&store.store, prefixes.iter().cloned().zip(records));
    let mut jobs = Vec::new();
    for (index, (package, prefix)) in packages.iter().zip(prefixes).enumerate() {
        let map = Move {
            built: &package.built,
            spec: package.spec,
            specs,
            root: &store.root,
            store: &store.store,
            prefix: &|hash| by_hash.get(hash).map(|prefix| (*prefix).clone()),
        };
        let map = map.map().map_err(|source| BuildError::PrefixMap {
            package: package.entry.package.clone(),
            source,
        })?;
        if map.is_empty() {
            continue;
        }
        let rules = Rules::new(
            &package.record,
            &package.built,
            map,
            prefix.trim_start_matches('/'),
            &store.root,
            |path| places.is_there(path),
        );
        let job = RelocateJob {
            title: package.entry.package.clone(),
            blob: package.entry.tarball.digest,
            size: package.entry.tarball.size,
            content: package.content.clone(),
            record: Arc::clone(&package.record),
            rules,
        };
        jobs.push((index, job));
    }
    Ok(jobs)
}

fn all_or_errors<T, E>(answers: Vec<Result<T, E>>) -> Result<Vec<T>, Vec<E>> {
    let mut good = Vec::with_capacity(answers.len());
    let mut errors = Vec::new();
    for answer in answers {
        match answer {
            Ok(it) => good.push(it),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(good)
    } else {
        Err(errors)
    }
}

/// Says what stays of the build. That every package has it in `.spack/` is no news.
fn tell(package: &str, left: &[Left], world: &World<'_>) {
    let causes = [
        LeftBecause::Opaque,
        LeftBecause::NotListed,
        LeftBecause::WithinPath,
    ];
    for why in causes {
        let mut files = left.iter().filter(|it| it.why == why);
        let Some(first) = files.next() else {
            continue;
        };
        let more = match files.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        world.reporter.event(Event::Warning(format!(
            "{package}: `{}` (at byte {}){more} still name the prefix of the build, as they do when Spack relocates: {}",
            first.file,
            first.offset,
            why.as_str()
        )));
    }
}
