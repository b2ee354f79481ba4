//! Packages of a lock into an install tree, from build caches and without Spack.
//!
//! ```text
//! lock, wanted ──► what the tree has not ──gather──► archives ──unpack, relocate──► folders beside the tree
//!                                                                                     │ the database's lock
//! tree <── database with new records, replaced in one step <── each folder renamed ◄──┘
//! ```
//!
//! Start at [`lay_down`]. The result is that of `spack install --cache-only`: contents, modes (of the default of
//! `packages:all:permissions`), `.spack/` and records; and Spack finds, loads, verifies and uninstalls what lies there.
//! Two things are not Spack's: `bin/sbang` is our program of this name, until Spack replaces it, and
//! `.spack/install_times.json` tells our time. No module files are written.
//!
//! Being killed leaves the tree as it was, but for folders that the database does not know, which the next run replaces.
//!
//! Source: `extract_tarball` and `relocate_package` in `lib/spack/spack/binary_distribution.py`, `installer.py` and
//! `database.py` of Spack 1.1.

mod error;
mod folder;
mod merge;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, UNIX_EPOCH};

use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarReader;
use serde_json::json;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;
use spack_format::database::{BuildCacheIndex, StoreIndex};
use spack_format::prefix::{InstallTree as Layout, Projections, Satisfies};
use spack_format::relocation::{Move, shebang};

use crate::build::{BuildError, Gathered, Package, Supply, gather};
use crate::content::Content;
use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};
use crate::install_tree::{InstallTree, InstallTreeError};
use crate::layer::PackageRecord;
use crate::layer::relocate::{Members as _, Places, RelocateError, Rules, rewrite};

pub use error::LayError;
use folder::Folder;
use merge::{Edges, Index, OtherVersion};
use store::{Staging, Store};

/// Bytes that a package may decompress to; [`crate::layer::scan()`] has seen it do so with less.
const TAR_LIMIT: u64 = 64 << 30;

/// Bytes of the largest archive that is decompressed in one piece, which takes half the time: 64 MiB.
const WHOLE: u64 = 64 << 20;

/// Where a package says how long its installation took.
const TIMES: &str = ".spack/install_times.json";

/// What is to lie where.
pub struct Laying<'a> {
    /// All nodes of the lock.
    pub specs: &'a ConcreteSpecs,
    /// The packages that are wanted, each with all that it needs when linked or run.
    pub wanted: &'a [DagHash],
    /// Those that somebody asks for by themselves: Spack's garbage collection spares them.
    pub explicit: &'a HashSet<DagHash>,
    /// The tree and its projections.
    pub layout: &'a Layout,
    /// Whether a spec satisfies a constraint, for projections.
    pub satisfies: &'a Satisfies<'a>,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct LaidDown {
    /// Packages that lie there now and did not before, with their prefixes.
    pub laid: Vec<(DagHash, String)>,
    /// How many lay there before.
    pub present: usize,
    /// What having the archives here took.
    pub gathered: Gathered,
}

/// One package to unpack.
struct Job {
    hash: DagHash,
    name: String,
    title: String,
    prefix: String,
    size: u64,
    content: Content,
    record: Arc<PackageRecord>,
    /// What changes, if anything does.
    rules: Option<Rules>,
}

/// What the database is to say.
struct Records {
    text: String,
    edges: Edges,
}

/// The tree at `root`, with the padding that it has; if it is not there yet, with padding to `padded_length` characters (0:
/// none).
///
/// # Errors
/// When the root is not text, or cannot be padded.
pub fn layout(
    root: &Path,
    padded_length: usize,
    projections: Projections,
) -> Result<Layout, LayError> {
    match InstallTree::open(root) {
        Ok(tree) => {
            let length = tree.root().len();
            let padded = Layout::new(
                tree.unpadded_root(),
                Some(length),
                projections.clone(),
                None,
            );
            if let Ok(padded) = padded
                && padded.root() == tree.root()
            {
                return Ok(padded);
            }
            Ok(Layout::new(tree.root(), None, projections, None)?)
        }
        Err(InstallTreeError::NoDatabase { root }) => {
            let text = root.to_str();
            let text = text.ok_or_else(|| InstallTreeError::NotText { path: root.clone() })?;
            Ok(Layout::new(text, Some(padded_length), projections, None)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Lays the wanted packages down. What lies there already is left alone.
///
/// # Errors
/// When a package is in no mirror, is not what it should be or cannot be relocated; when the tree cannot be written. Then
/// nothing has changed.
pub async fn lay_down(laying: &Laying<'_>, supply: &Supply<'_>) -> Result<LaidDown, LayError> {
    let store = Store::open(laying.layout.root())?;
    let present = present(&store)?;
    let prepared = prepare(laying, supply, &present).await?;
    let (reporter, parallel) = (Arc::clone(&supply.reporter), supply.jobs.get());
    let sbang = laying.layout.sbang_path();
    let (count, gathered) = (prepared.count, prepared.gathered);
    let work = tokio::task::spawn_blocking(move || {
        let Prepared { jobs, records, .. } = prepared;
        let staging = store.staging()?;
        unpack_all(&jobs, &staging, parallel, &*reporter)?;
        store.sbang(&sbang)?;
        settle(&store, &jobs, &staging, &records)
    });
    let laid = match work.await {
        Ok(laid) => laid?,
        // A panic goes on where it was waited for; nothing cancels this task.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    Ok(LaidDown {
        present: count.saturating_sub(laid.len()),
        laid,
        gathered,
    })
}

/// All that is to be done to a tree, with the archives for it.
struct Prepared {
    jobs: Vec<Job>,
    records: Records,
    /// How many packages will lie there.
    count: usize,
    gathered: Gathered,
}

/// Decides what is to be done to a tree that has `present`, and fetches what it takes.
async fn prepare(
    laying: &Laying<'_>,
    supply: &Supply<'_>,
    present: &HashMap<DagHash, String>,
) -> Result<Prepared, LayError> {
    let closure = laying
        .specs
        .closure(laying.wanted.iter().copied(), DepTypes::RUNTIME);
    let closure: Vec<&ConcreteSpec> = closure.into_iter().filter(|it| !it.is_external()).collect();
    let mut prefixes = HashMap::new();
    for spec in &closure {
        let prefix = match present.get(&spec.hash) {
            Some(prefix) => prefix.clone(),
            None => laying.layout.prefix(spec, laying.specs, laying.satisfies)?,
        };
        prefixes.insert(spec.hash, prefix);
    }
    let mut absent = closure.clone();
    absent.retain(|spec| !present.contains_key(&spec.hash));
    if let Some(spliced) = absent.iter().find(|it| it.build_spec.is_some()) {
        return Err(LayError::Spliced(spliced.to_string()));
    }
    let (packages, gathered) = gather(&absent, laying.specs, supply).await?;
    let now = supply.now.duration_since(UNIX_EPOCH);
    Ok(Prepared {
        jobs: jobs(&packages, &prefixes, laying)?,
        records: records(
            &closure,
            &prefixes,
            laying,
            now.map_or(0, |it| it.as_secs()),
        )?,
        count: closure.len(),
        gathered,
    })
}

/// The prefixes of what lies in the tree.
fn present(store: &Store) -> Result<HashMap<DagHash, String>, LayError> {
    let Some(text) = store.index_text()? else {
        return Ok(HashMap::new());
    };
    let index = BuildCacheIndex::parse(&text).map_err(|error| store.wrong(error))?;
    let installed = index.records.into_iter().filter(|(_, it)| it.installed);
    Ok(installed
        .filter_map(|(hash, record)| Some((hash, record.path?)))
        .collect())
}

fn jobs(
    packages: &[Package<'_>],
    prefixes: &HashMap<DagHash, String>,
    laying: &Laying<'_>,
) -> Result<Vec<Job>, LayError> {
    let layout = laying.layout;
    let prefix_of = |spec: &ConcreteSpec| prefixes.get(&spec.hash).cloned().unwrap_or_default();
    let new = packages.iter().map(|it| (prefix_of(it.spec), &*it.record));
    let places = Places::new(layout.root(), new);
    let mut jobs = Vec::with_capacity(packages.len());
    for package in packages {
        let map = Move {
            built: &package.built,
            spec: package.spec,
            specs: laying.specs,
            root: layout.unpadded_root(),
            store: layout.root(),
            prefix: &|hash| prefixes.get(hash).cloned(),
        };
        let map = map.map().map_err(|source| BuildError::PrefixMap {
            package: package.entry.package.clone(),
            source,
        })?;
        let prefix = prefix_of(package.spec);
        let rules = (!map.is_empty()).then(|| {
            Rules::new(
                &package.record,
                &package.built,
                map,
                prefix.trim_start_matches('/'),
                layout.unpadded_root(),
                // What lay in the tree before can be looked at.
                |path| places.is_there(path) || Path::new(path).exists(),
            )
        });
        jobs.push(Job {
            hash: package.spec.hash,
            name: package.spec.name.clone(),
            title: package.entry.package.clone(),
            prefix,
            size: package.entry.tarball.size,
            content: package.content.clone(),
            record: Arc::clone(&package.record),
            rules,
        });
    }
    let sbang = layout.sbang_path().len();
    if sbang > shebang::LIMIT && jobs.iter().any(|job| job.rules.is_some()) {
        let root = layout.unpadded_root().to_owned();
        return Err(BuildError::LongRoot { root, sbang }.into());
    }
    Ok(jobs)
}

/// Records of all that is wanted and what it was built with, as if they were all there were in the tree.
fn records(
    closure: &[&ConcreteSpec],
    prefixes: &HashMap<DagHash, String>,
    laying: &Laying<'_>,
    now: u64,
) -> Result<Records, LayError> {
    let installed: HashSet<DagHash> = closure.iter().map(|spec| spec.hash).collect();
    let index = StoreIndex {
        specs: laying.specs,
        installed: &installed,
        explicit: laying.explicit,
        prefix: &|spec| {
            let known = prefixes.get(&spec.hash).cloned();
            let would_be = || laying.layout.prefix(spec, laying.specs, laying.satisfies);
            known.or_else(|| would_be().ok())
        },
        installation_time: now,
    };
    let edges = laying
        .specs
        .closure(installed.iter().copied(), DepTypes::ALL);
    let edges = edges.into_iter().map(|spec| {
        let targets: HashSet<DagHash> = spec.edges.iter().map(|edge| edge.hash).collect();
        (spec.hash, targets.into_iter().collect())
    });
    Ok(Records {
        text: index.to_text()?,
        edges: edges.collect(),
    })
}

/// Unpacks all of `jobs`, at most `parallel` at a time, the largest first. All that is wrong is told at once.
fn unpack_all(
    jobs: &[Job],
    staging: &Staging,
    parallel: usize,
    reporter: &dyn Reporter,
) -> Result<(), LayError> {
    let mut order: Vec<&Job> = jobs.iter().collect();
    order.sort_by_key(|job| std::cmp::Reverse(job.size));
    let next = AtomicUsize::new(0);
    let errors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some(job) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = unpack_told(job, staging, reporter) {
                        let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
                        errors.push(error);
                    }
                }
            });
        }
    });
    let errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(BuildError::Relocate(errors).into())
    }
}

fn unpack_told(job: &Job, staging: &Staging, reporter: &dyn Reporter) -> Result<(), RelocateError> {
    let task = TaskId::next();
    reporter.event(Event::Started {
        task,
        kind: TaskKind::Write,
        label: job.title.clone(),
        total: Some(job.size),
    });
    let answer = unpack(job, staging);
    let outcome = match &answer {
        Ok(()) => {
            let bytes = job.size;
            reporter.event(Event::Advanced { task, bytes });
            Outcome::Done
        }
        Err(error) => Outcome::Failed(error.to_string()),
    };
    reporter.event(Event::Finished { task, outcome });
    answer
}

/// Unpacks one package into its folder of `staging`.
fn unpack(job: &Job, staging: &Staging) -> Result<(), RelocateError> {
    let since = Instant::now();
    let io = |source| RelocateError::Io {
        package: job.title.clone(),
        source,
    };
    let archive = archive(job).map_err(io)?;
    let path = staging.path().join(job.hash.as_str());
    let mut folder = match &job.rules {
        Some(rules) => {
            let prefix = job.prefix.trim_start_matches('/');
            let mut folder = Folder::create(path, prefix).map_err(io)?;
            rewrite(archive, &mut folder, &job.record, rules, &job.title)?;
            folder
        }
        None => {
            let old = job.record.prefix.as_deref().or(job.record.top.as_deref());
            let mut folder = Folder::create(path, old.unwrap_or_default()).map_err(io)?;
            let mut members = TarReader::new(archive);
            while let Some(mut member) =
                members.next_member().map_err(|source| RelocateError::Tar {
                    package: job.title.clone(),
                    source,
                })?
            {
                let entry = member.entry.clone();
                let taken = folder.append(&entry, &mut member);
                taken.map_err(|source| RelocateError::Write {
                    package: job.title.clone(),
                    source,
                })?;
            }
            folder
        }
    };
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
        .map_err(io)
}

/// The tar of an archive that was scanned.
fn archive(job: &Job) -> io::Result<Box<dyn Read>> {
    let is_small = job.size <= WHOLE && job.record.tar_size <= WHOLE;
    if is_small && job.record.compression == "gzip" {
        let mut packed = Vec::new();
        job.content.open(0)?.take(WHOLE).read_to_end(&mut packed)?;
        let mut tar = vec![0; usize::try_from(job.record.tar_size).unwrap_or(0)];
        let size = libdeflater::Decompressor::new().gzip_decompress(&packed, &mut tar);
        // What was compressed in several pieces is read in pieces.
        if size == Ok(tar.len()) {
            return Ok(Box::new(io::Cursor::new(tar)));
        }
    }
    Ok(Box::new(Decoder::new(job.content.open(0)?, TAR_LIMIT)?))
}

/// Gives the packages their names and records.
fn settle(
    store: &Store,
    jobs: &[Job],
    staging: &Staging,
    records: &Records,
) -> Result<Vec<(DagHash, String)>, LayError> {
    let mut locked = store.lock()?;
    let parse = |text: &str| Index::parse(text).map_err(|error| store.wrong(error));
    let new = parse(&records.text)?;
    // It may have changed since it was looked at.
    let before = store.index_text()?.map(|text| parse(&text)).transpose()?;
    let is_first = before.is_none();
    let mut index = before.unwrap_or_else(|| new.without_records());
    let absent: Vec<&Job> = jobs
        .iter()
        .filter(|job| !index.is_installed(&job.hash))
        .collect();
    let changed = index
        .merge(new, &records.edges)
        .map_err(|OtherVersion { theirs, ours }| LayError::Version {
            root: store.root().to_owned(),
            theirs,
            ours,
        })?;
    for job in &absent {
        let from = staging.path().join(job.hash.as_str());
        store.settle(&from, Path::new(&job.prefix), &mut locked)?;
    }
    if changed || is_first {
        store.write(&index, &locked)?;
    }
    Ok(absent
        .into_iter()
        .map(|job| (job.hash, job.prefix.clone()))
        .collect())
}
