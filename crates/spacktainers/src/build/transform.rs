//! Packages in the form that the image has them in: where it has them, slimmed, and compressed as it wants them.

use std::collections::HashMap;
use std::sync::Arc;

use oci_format::Digest;
use spack_format::concrete::ConcreteSpecs;
use spack_format::dag_hash::DagHash;
use spack_format::relocation::{Move, shebang};

use super::gather::Package;
use super::{BuildError, BuildInput, InstallRoot, World};
use crate::event::Event;
use crate::layer::relocate::{Left, LeftBecause, Places, Rules};
use crate::layer::slim::{Amount, Selection};
use crate::layer::strip::Symbols;
use crate::layer::transform::{
    Archive, Chain, StripRules, SymbolReport, TransformJob, Transformed, transform_all,
};
use crate::layer::{PackageEntryKind, PackageRecord, ScanJob, scan_all};

/// What a package was before it was transformed: its content and record are those of the new archive.
#[derive(Debug, Clone)]
pub(super) struct Moved {
    /// Digest of the new archive.
    pub(super) digest: Digest,
    /// What was in the archive of the build cache.
    pub(super) archive: Arc<PackageRecord>,
    /// Whether it lies elsewhere now.
    pub(super) is_relocated: bool,
    /// Whether anything else was done to it.
    pub(super) is_slimmed: bool,
    /// All that decided about it, besides the archive.
    pub(super) key: String,
    /// What stays of the build.
    pub(super) left: Vec<Left>,
    /// What was left out, by cause.
    pub(super) removed: Vec<(&'static str, Amount)>,
    /// What became of symbols.
    pub(super) symbols: SymbolReport,
    /// Symbols in files of their own.
    pub(super) debug: Option<Archive>,
}

/// Transforms those of `packages` that are not in the image as the build cache has them: because they were not built to lie at
/// their one of `prefixes`, because the image wants less of them, or because it wants another compression.
pub(super) async fn transform<'a>(
    mut packages: Vec<Package<'a>>,
    prefixes: &[String],
    store: &InstallRoot,
    specs: &ConcreteSpecs,
    input: &BuildInput<'_>,
    world: &World<'_>,
) -> Result<Vec<Package<'a>>, BuildError> {
    let mut rules = match input.install {
        Some(_) => relocations(&packages, prefixes, store, specs)?,
        None => HashMap::new(),
    };
    let sbang = format!("{}/bin/sbang", store.root).len();
    if !rules.is_empty() && sbang > shebang::LIMIT {
        return Err(BuildError::LongRoot {
            root: store.root.clone(),
            sbang,
        });
    }
    let mut jobs = Vec::new();
    for (index, package) in packages.iter().enumerate() {
        let chain = Chain {
            relocate: rules.remove(&index),
            ..slimming(package, input)
        };
        if !chain.is_empty(&package.record.compression) {
            let job = TransformJob {
                title: package.entry.package.clone(),
                blob: package.entry.tarball.digest,
                size: package.entry.tarball.size,
                content: package.content.clone(),
                record: Arc::clone(&package.record),
                chain,
            };
            jobs.push((index, job));
        }
    }
    if jobs.is_empty() {
        return Ok(packages);
    }
    for (index, job, done, record) in run(jobs, world).await? {
        let Some(package) = packages.get_mut(index) else {
            continue;
        };
        tell(&package.entry.package, &done.left, world);
        let (chain, slim) = (&job.chain, job.chain.slim.as_ref());
        package.content = done.content;
        package.moved = Some(Moved {
            is_relocated: chain.relocate.is_some(),
            is_slimmed: chain.slim.is_some()
                || chain.compress.is_some()
                || done.symbols.stripped.files > 0,
            key: chain.key(&job.blob),
            digest: done.digest,
            archive: std::mem::replace(&mut package.record, Arc::new(record)),
            left: done.left,
            removed: slim
                .into_iter()
                .flat_map(Selection::amounts)
                .map(|(cause, amount)| (cause.as_str(), *amount))
                .collect(),
            symbols: done.symbols,
            debug: done.debug,
        });
    }
    Ok(packages)
}

/// A job that is done, with its package's index.
type Done = (usize, TransformJob, Transformed, PackageRecord);

async fn run(jobs: Vec<(usize, TransformJob)>, world: &World<'_>) -> Result<Vec<Done>, BuildError> {
    let (cache, reporter, parallel) = (
        world.cache.clone(),
        Arc::clone(&world.reporter),
        world.jobs.get(),
    );
    let work = tokio::task::spawn_blocking(move || {
        let (indices, jobs): (Vec<usize>, Vec<TransformJob>) = jobs.into_iter().unzip();
        let transformed = all_or_errors(transform_all(&jobs, &cache, parallel, &*reporter))
            .map_err(BuildError::Transform)?;
        // The new archive is looked at as if a stranger had made it.
        let scans: Vec<ScanJob> = jobs
            .iter()
            .zip(&transformed)
            .map(|(job, transformed)| ScanJob {
                content: transformed.content.clone(),
                digest: transformed.digest,
                size: transformed.content.len(),
                label: job.title.clone(),
            })
            .collect();
        let records = scan_all(&scans, &cache, parallel, &*reporter);
        let mut all = Vec::with_capacity(indices.len());
        for (((index, job), transformed), record) in
            indices.into_iter().zip(jobs).zip(transformed).zip(records)
        {
            let record = record.map_err(|source| BuildError::Scan {
                package: job.title.clone(),
                source,
            })?;
            all.push((index, job, transformed, record));
        }
        Ok::<_, BuildError>(all)
    });
    match work.await {
        Ok(done) => done,
        // A panic goes on where it was waited for; nothing cancels this task.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What is done to a package besides relocation.
fn slimming(package: &Package<'_>, input: &BuildInput<'_>) -> Chain {
    let slimming = input.slim.of(&package.spec.name);
    let selection = Selection::new(&package.record, &slimming);
    let strip = StripRules {
        symbols: slimming.symbols,
        keep: slimming.keep_symbols.to_vec(),
    };
    Chain {
        slim: Some(selection).filter(|it| !it.is_empty()),
        strip: Some(strip)
            .filter(|it| it.symbols != Symbols::Keep && may_have_symbols(&package.record)),
        relocate: None,
        compress: input.compression,
    }
}

/// Facts are known of programs and libraries that were small enough to be looked at.
fn may_have_symbols(record: &PackageRecord) -> bool {
    const LOOKED_AT: u64 = 64 << 20;
    let is_large = |kind: &PackageEntryKind| match kind {
        PackageEntryKind::File(size) => *size > LOOKED_AT,
        _ => false,
    };
    !record.elf.is_empty() || record.entries.iter().any(|entry| is_large(&entry.kind))
}

/// Which prefixes change, by the package's index.
fn relocations(
    packages: &[Package<'_>],
    prefixes: &[String],
    store: &InstallRoot,
    specs: &ConcreteSpecs,
) -> Result<HashMap<usize, Rules>, BuildError> {
    let by_hash: HashMap<DagHash, &String> = packages
        .iter()
        .map(|package| package.spec.hash)
        .zip(prefixes)
        .collect();
    let records = packages.iter().map(|package| &*package.record);
    let places = Places::new(&store.store, prefixes.iter().cloned().zip(records));
    let mut all = HashMap::new();
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
        all.insert(index, rules);
    }
    Ok(all)
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
