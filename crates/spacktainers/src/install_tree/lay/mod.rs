//! Packages of a lock into an install tree, from build caches and without Spack.
//!
//! ```text
//! lock, wanted ──► what the tree has not ──find, fetch──► archives ──► open      digest, what is in it; the tar is kept
//!                                                                        │
//!                                                 where all of them lie  ▼
//!                                                                      unpack    relocated, into folders beside the tree
//!                                                                        │ the database's lock
//! tree <── database with new records, replaced in one step <── each folder renamed
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
mod open;
mod store;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use spack_format::build_cache::BinaryDistribution;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;
use spack_format::database::{BuildCacheIndex, StoreIndex};
use spack_format::prefix::{InstallTree as Layout, Projections, Satisfies};
use spack_format::relocation::{Move, shebang};

use crate::build::{BuildError, Gathered, Supply, bring, built};
use crate::install_tree::{InstallTree, InstallTreeError, Mount, on_disk};
use crate::layer::relocate::{Places, Rules};
use crate::layer::transform::Chain;
use crate::layer::whole::Room;

pub use error::LayError;
use merge::{Edges, Index, OtherVersion};
use open::{Opened, open_all};
use store::{Staging, Store};
use unpack::{Job, unpack_all};

/// Bytes of memory for archives and what they decompress to. What does not fit is read as a stream, twice.
const ROOM: u64 = 512 << 20;

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
    /// Where the tree lies, if that is elsewhere than where its packages know it.
    pub mount: Option<&'a Mount>,
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
    mount: Option<&Mount>,
) -> Result<Layout, LayError> {
    let tree = match mount {
        Some(mount) => InstallTree::open_mounted(mount),
        None => InstallTree::open(root),
    };
    match tree {
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
        Err(InstallTreeError::NoDatabase { root: found }) => {
            let root = mount.map_or(found, |_| root.to_owned());
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
    let store = Store::open(on_disk(laying.mount, Path::new(laying.layout.root())))?;
    let present = present(&store)?;
    let prepared = prepare(laying, supply, &present).await?;
    let (reporter, parallel) = (Arc::clone(&supply.reporter), supply.jobs.get());
    let sbang = on_disk(laying.mount, Path::new(&laying.layout.sbang_path()));
    let mount = laying.mount.cloned();
    let (count, gathered) = (prepared.count, prepared.gathered);
    let work = tokio::task::spawn_blocking(move || {
        let Prepared {
            jobs,
            records,
            room,
            ..
        } = prepared;
        let staging = store.staging()?;
        unpack_all(&jobs, &staging, &room, parallel, &*reporter)?;
        store.sbang(&sbang)?;
        settle(&store, &jobs, &staging, &records, mount.as_ref())
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
    /// Where the tars of jobs are.
    room: Arc<Room>,
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
    let room = Room::new(ROOM);
    let (entries, contents, gathered) = bring(&absent, laying.specs, supply).await?;
    let opened = open_all(&entries, contents, &room, supply).await?;
    let mut packages = Vec::with_capacity(absent.len());
    for ((spec, entry), opened) in absent.iter().zip(&entries).zip(opened) {
        let built = built(&opened.record, entry)?;
        packages.push(Package {
            spec,
            opened,
            built,
        });
    }
    let now = supply.now.duration_since(UNIX_EPOCH);
    Ok(Prepared {
        jobs: jobs(packages, &prefixes, laying)?,
        records: records(
            &closure,
            &prefixes,
            laying,
            now.map_or(0, |it| it.as_secs()),
        )?,
        count: closure.len(),
        gathered,
        room,
    })
}

/// A package that the tree does not have.
struct Package<'a> {
    spec: &'a ConcreteSpec,
    opened: Opened,
    built: BinaryDistribution,
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
    packages: Vec<Package<'_>>,
    prefixes: &HashMap<DagHash, String>,
    laying: &Laying<'_>,
) -> Result<Vec<Job>, LayError> {
    let layout = laying.layout;
    let prefix_of = |spec: &ConcreteSpec| prefixes.get(&spec.hash).cloned().unwrap_or_default();
    let records: Vec<_> = packages
        .iter()
        .map(|it| (prefix_of(it.spec), Arc::clone(&it.opened.record)))
        .collect();
    let new = records.iter().map(|(prefix, it)| (prefix.clone(), &**it));
    let places = Places::new(layout.root(), new);
    let mut jobs = Vec::with_capacity(packages.len());
    for package in packages {
        let Opened {
            archive,
            record,
            tar,
        } = package.opened;
        let map = Move {
            built: &package.built,
            spec: package.spec,
            specs: laying.specs,
            root: layout.unpadded_root(),
            store: layout.root(),
            prefix: &|hash| prefixes.get(hash).cloned(),
        };
        let map = map.map().map_err(|source| BuildError::PrefixMap {
            package: archive.title.clone(),
            source,
        })?;
        let prefix = prefix_of(package.spec);
        let rules = (!map.is_empty()).then(|| {
            Rules::new(
                &record,
                &package.built,
                map,
                prefix.trim_start_matches('/'),
                layout.unpadded_root(),
                // What lay in the tree before can be looked at.
                |path| places.is_there(path) || on_disk(laying.mount, Path::new(path)).exists(),
            )
        });
        jobs.push(Job {
            hash: package.spec.hash,
            name: package.spec.name.clone(),
            prefix,
            archive,
            record,
            tar: Mutex::new(tar),
            chain: rules.map(Chain::relocation).unwrap_or_default(),
        });
    }
    let sbang = layout.sbang_path().len();
    if sbang > shebang::LIMIT && jobs.iter().any(|job| job.chain.relocate.is_some()) {
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

/// Gives the packages their names and records.
fn settle(
    store: &Store,
    jobs: &[Job],
    staging: &Staging,
    records: &Records,
    mount: Option<&Mount>,
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
        let from = staging.of(&job.hash);
        let prefix = on_disk(mount, Path::new(&job.prefix));
        store.settle(&from, &prefix, &mut locked)?;
    }
    if changed || is_first {
        store.write(&index, &locked)?;
    }
    Ok(absent
        .into_iter()
        .map(|job| (job.hash, job.prefix.clone()))
        .collect())
}
