//! Install trees of Spack: what lies in one, and packages laid down in one.
//!
//! ```text
//! <unpadded root>/bin/sbang
//! <root>/.spack-db/index.json     which packages, where, and what was asked for       InstallTree
//! <root>/…/zlib-1.3.1-<hash>/
//!   .spack/spec.json              the package and all that it depends on              InstalledPackage
//! ```
//!
//! Read by [`InstallTree`], filled by [`lay`].
//!
//! The root may be padded: `/opt/software/__spack_path_placeholder__/…`. Then `sbang` lies below what was padded.
//!
//! Source: `lib/spack/spack/database.py`, `store.py`, `hooks/sbang.py` of Spack 1.1.

mod error;
pub mod lay;
mod mount;
pub(crate) mod provenance;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use spack_format::build_cache::{BinaryDistribution, MAX_SPEC_FILE_BYTES, MutableSource, SpecFile};
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;
use spack_format::database::{BuildCacheIndex, INDEX_PATH};
use spack_format::prefix::PADDING;
use spack_format::spec::{ConcreteIndex, Scratch, Spec};

pub use error::InstallTreeError;
pub use mount::Mount;

pub(crate) use mount::on_disk;

/// The most bytes that a database may have: that of 100,000 packages has some 300 MB.
const MAX_DATABASE: u64 = 2 << 30;

/// Where a package says what it is, below its prefix.
const SPEC_FILE: &str = ".spack/spec.json";

/// How many folders of padding a root may have.
const DEEPEST_PADDING: usize = 256;

/// An install tree, as its database was at one moment.
#[derive(Debug, Clone)]
pub struct InstallTree {
    root: String,
    unpadded_root: String,
    mount: Option<Mount>,
    specs: ConcreteSpecs,
    records: HashMap<DagHash, Record>,
    /// What was found out about sources: many packages need the same ones.
    branches: Arc<Mutex<HashMap<DagHash, Option<MutableSource>>>>,
}

#[derive(Debug, Clone)]
struct Record {
    path: Option<String>,
    is_installed: bool,
    is_explicit: bool,
}

/// A package that lies in an install tree, with all that is to be known to archive it.
#[derive(Debug, Clone)]
pub struct InstalledPackage {
    /// Where it lies: an absolute path, as the package knows it.
    pub prefix: String,
    /// The folder of this machine that is shown there; the same, unless the tree is mounted.
    pub folder: PathBuf,
    /// Its `.spack/spec.json`.
    pub spec_text: String,
    /// The same, read.
    pub spec_file: SpecFile,
    /// For which prefixes it was built. The lists of files are empty until it is archived.
    pub built_for: BinaryDistribution,
}

impl InstallTree {
    /// Reads the database of the tree at `root`, which may be named with or without its padding.
    ///
    /// Spack replaces the database in one step, so no lock is needed to read it.
    ///
    /// # Errors
    /// When there is no database, or it cannot be read.
    pub fn open(root: &Path) -> Result<Self, InstallTreeError> {
        Self::open_in(padded(root)?, None)
    }

    /// The same for a tree that lies elsewhere than where its packages know it.
    ///
    /// # Errors
    /// As [`InstallTree::open`].
    pub fn open_mounted(mount: &Mount) -> Result<Self, InstallTreeError> {
        Self::open_in(padded(&mount.folder)?, Some(mount))
    }

    /// The tree whose database lies below `root`, of this machine.
    fn open_in(root: PathBuf, mount: Option<&Mount>) -> Result<Self, InstallTreeError> {
        let file = root.join(INDEX_PATH);
        let text = read_text(&file, MAX_DATABASE)?;
        let wrong = |why: String| InstallTreeError::Database {
            file: file.clone(),
            why,
        };
        let index = BuildCacheIndex::parse(&text).map_err(|error| wrong(error.to_string()))?;
        let shown = mount.map_or_else(|| root.clone(), |mount| mount.shown(&root));
        let root = shown
            .to_str()
            .ok_or_else(|| InstallTreeError::NotText { path: root.clone() })?;
        let mut records = HashMap::new();
        let mut nodes = Vec::new();
        for (hash, record) in index.records {
            records.insert(
                hash,
                Record {
                    path: record.path,
                    is_installed: record.installed,
                    is_explicit: record.explicit,
                },
            );
            nodes.push(record.spec);
        }
        let specs = ConcreteSpecs::new(nodes).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            unpadded_root: without_padding(root).to_owned(),
            root: root.to_owned(),
            mount: mount.cloned(),
            specs,
            records,
            branches: Arc::default(),
        })
    }

    /// The root that prefixes lie below, with padding.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The root before padding: `bin/sbang` lies below it.
    #[must_use]
    pub fn unpadded_root(&self) -> &str {
        &self.unpadded_root
    }

    /// All nodes that the database knows, installed or not.
    #[must_use]
    pub const fn specs(&self) -> &ConcreteSpecs {
        &self.specs
    }

    /// The packages that lie in this tree, in the order of the database; without externals.
    pub fn packages(&self) -> impl Iterator<Item = &ConcreteSpec> {
        self.specs
            .iter()
            .filter(|spec| !spec.is_external() && self.is_installed(&spec.hash))
    }

    /// Whether the package lies in this tree.
    #[must_use]
    pub fn is_installed(&self, hash: &DagHash) -> bool {
        self.records.get(hash).is_some_and(|it| it.is_installed)
    }

    /// Whether somebody asked for the package, and not only other packages.
    #[must_use]
    pub fn is_explicit(&self, hash: &DagHash) -> bool {
        self.records.get(hash).is_some_and(|it| it.is_explicit)
    }

    /// The installed packages that match `text`: a spec, or `/` and the beginning of a hash.
    ///
    /// # Errors
    /// When the text is no spec, or nothing matches.
    pub fn select(&self, text: &str) -> Result<Vec<&ConcreteSpec>, InstallTreeError> {
        let wanted = Spec::parse(text).map_err(|fault| InstallTreeError::Spec {
            text: text.to_owned(),
            why: fault.to_string(),
        })?;
        let index = ConcreteIndex::new(&self.specs);
        let mut scratch = Scratch::default();
        let found: Vec<&ConcreteSpec> = self
            .packages()
            .filter(|spec| {
                index
                    .node(&spec.hash)
                    .is_some_and(|node| index.satisfies(node, &wanted, &mut scratch))
            })
            .collect();
        if found.is_empty() {
            return Err(InstallTreeError::NoMatch {
                text: text.to_owned(),
                root: self.root.clone(),
            });
        }
        Ok(found)
    }

    /// Where a package lies; of externals, where they are said to.
    #[must_use]
    pub fn prefix(&self, hash: &DagHash) -> Option<&str> {
        self.records.get(hash)?.path.as_deref()
    }

    /// A package with all that is to be known to archive it.
    ///
    /// # Errors
    /// When it does not lie in this tree, or its `.spack/spec.json` is not its own, or the prefix of a dependency is not
    /// known.
    pub fn package(&self, hash: &DagHash) -> Result<InstalledPackage, InstallTreeError> {
        let absent = || InstallTreeError::NotInstalled {
            hash: *hash,
            root: self.root.clone(),
        };
        let record = self.records.get(hash).filter(|it| it.is_installed);
        let prefix = record.and_then(|it| it.path.clone()).ok_or_else(absent)?;
        let folder = on_disk(self.mount.as_ref(), Path::new(&prefix));
        let file = folder.join(SPEC_FILE);
        let spec_text = read_text(&file, MAX_SPEC_FILE_BYTES)?;
        let wrong = |why: String| InstallTreeError::SpecFile {
            file: file.clone(),
            why,
        };
        let spec_file = SpecFile::parse(&spec_text).map_err(|error| wrong(error.to_string()))?;
        if spec_file.root != *hash {
            return Err(wrong(format!(
                "it is of /{} and the database says /{hash}",
                spec_file.root
            )));
        }
        let relative_prefix = Path::new(&prefix)
            .strip_prefix(&self.root)
            .ok()
            .and_then(Path::to_str)
            .filter(|below| !below.is_empty())
            .ok_or_else(|| InstallTreeError::Elsewhere {
                prefix: prefix.clone(),
                root: self.root.clone(),
            })?
            .to_owned();
        let hash_to_prefix = to_relocate(&spec_file)
            .map(|spec| {
                let known = self.records.get(&spec.hash);
                let prefix = known.and_then(|it| it.path.clone());
                let prefix = prefix.ok_or_else(|| InstallTreeError::NoPrefix {
                    package: spec_file
                        .root()
                        .map_or_else(String::new, ToString::to_string),
                    dependency: spec.to_string(),
                })?;
                Ok((spec.hash, prefix))
            })
            .collect::<Result<_, InstallTreeError>>()?;
        Ok(InstalledPackage {
            built_for: BinaryDistribution {
                build_path: self.root.clone(),
                spack_prefix: None,
                relative_prefix,
                sbang_install_path: Some(format!("{}/bin/sbang", self.unpadded_root)),
                hash_to_prefix,
                relocate_textfiles: Vec::new(),
                relocate_binaries: Vec::new(),
                relocate_links: Vec::new(),
                hardlinks_deduped: true,
                relative_rpaths: false,
            },
            prefix,
            folder,
            spec_text,
            spec_file,
        })
    }
}

/// The packages whose prefixes may stand in a package's files: itself, its transitive link dependencies and its direct run
/// dependencies, without externals.
///
/// Source: `specs_to_relocate` in `binary_distribution.py`.
fn to_relocate(file: &SpecFile) -> impl Iterator<Item = &ConcreteSpec> {
    let linked = file.specs.closure([file.root], DepTypes::LINK);
    let run = file
        .root()
        .into_iter()
        .flat_map(|root| root.edges_of(DepTypes::RUN))
        .filter_map(|edge| file.specs.get(&edge.hash));
    linked
        .into_iter()
        .chain(run)
        .filter(|spec| !spec.is_external())
}

/// The root with its padding: the folder below `root` that has a database.
fn padded(root: &Path) -> Result<PathBuf, InstallTreeError> {
    let absolute = std::path::absolute(root).map_err(|source| InstallTreeError::Read {
        path: root.to_owned(),
        source,
    })?;
    let mut folder = absolute.clone();
    for _ in 0..DEEPEST_PADDING {
        if folder.join(INDEX_PATH).is_file() {
            return Ok(folder);
        }
        let below = fs::read_dir(&folder).ok().and_then(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name())
                .find(|name| name.to_str().is_some_and(is_padding))
        });
        match below {
            Some(name) => folder.push(name),
            None => break,
        }
    }
    Err(InstallTreeError::NoDatabase { root: absolute })
}

fn is_padding(name: &str) -> bool {
    // The last one may be cut, and one that would end in a slash ends in `_`.
    name.len() > 2 && PADDING.starts_with(name)
}

/// What was padded to this root.
fn without_padding(root: &str) -> &str {
    match root.find(&format!("/{PADDING}")) {
        Some(at) => root.get(..at).unwrap_or(root),
        // Padding of less than a whole folder.
        None => match root.rsplit_once('/') {
            Some((above, last)) if is_padding(last) => above,
            _ => root,
        },
    }
}

fn read_text(path: &Path, limit: u64) -> Result<String, InstallTreeError> {
    let failed = |source| InstallTreeError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    let read = file
        .take(limit.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(failed)?;
    if read as u64 > limit {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(text)
}
