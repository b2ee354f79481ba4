//! All parts of the site layer, put together.

use std::collections::{HashMap, HashSet};
use std::io;

use indexmap::IndexMap;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};
use spack_format::dag_hash::DagHash;
use spack_format::database::{DatabaseError, INDEX_PATH, StoreIndex};
use spack_format::prefix::Satisfies;
use spack_format::view::{
    self, OperationKind, PrefixEntry, PrefixEntryKind, Rewrite, ViewDescriptor, ViewError,
    ViewPackage, ViewRequest, ViewWarning,
};

use super::{ENVIRONMENT_FOLDER, LINKER_DROP_IN, PROFILE, SBANG, SiteError, SiteLayer, profile};
use crate::layer::{PackageEntryKind, PackageRecord};

/// A package of the image.
#[derive(Debug, Clone, Copy)]
pub struct SitePackage<'a> {
    /// What it is.
    pub spec: &'a ConcreteSpec,
    /// Where it lies: an absolute path.
    pub prefix: &'a str,
    /// What is known of its content.
    pub record: &'a PackageRecord,
}

/// What the site layer depends on, and nothing else.
pub struct SiteParts<'a> {
    /// All nodes of the lock.
    pub specs: &'a ConcreteSpecs,
    /// The environment's roots, in order.
    pub roots: &'a [DagHash],
    /// The packages of the image.
    pub packages: &'a [SitePackage<'a>],
    /// The environment's views.
    pub views: &'a [ViewDescriptor],
    /// The store's root, padding included.
    pub store: &'a str,
    /// The root before padding.
    pub root: &'a str,
    /// Variables of the image.
    pub environment: &'a IndexMap<String, String>,
    /// The definition, as its author wrote it.
    pub spack_yaml: &'a str,
    /// The lock, as Spack wrote it.
    pub spack_lock: &'a str,
    /// Seconds since 1970 that the store's database says for every package.
    pub installation_time: u64,
    /// Whether a spec satisfies a constraint.
    pub satisfies: &'a Satisfies<'a>,
    /// The bytes of a file of a package, by its path below the prefix.
    pub read: &'a dyn Fn(&DagHash, &str) -> io::Result<Vec<u8>>,
}

/// Why the site layer cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A view cannot be made.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The store's database cannot be written.
    #[error("the store's database cannot be written")]
    Database(#[from] DatabaseError),
    /// A file that a view copies cannot be read from its package.
    #[error("cannot read `{file}` of {package}, which the view copies")]
    Read {
        /// The package.
        package: String,
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A copying view of a package that would have to be relocated.
    #[error(
        "the view {0} copies files and rewrites prefixes in them, which is not supported yet: use `link_type: symlink`"
    )]
    Relocation(String),
    /// The layer cannot be written.
    #[error(transparent)]
    Layer(#[from] SiteError),
}

/// The site layer of an image, and what a person may want to know of its views.
///
/// # Errors
/// When views contradict themselves as they would for Spack, or a file cannot be read.
pub fn compose(parts: &SiteParts<'_>) -> Result<(SiteLayer, Vec<ViewWarning>), ComposeError> {
    let mut site = SiteLayer::default();
    let mut warnings = Vec::new();
    for descriptor in parts.views {
        warnings.extend(add_view(&mut site, descriptor, parts)?);
    }
    add_store(&mut site, parts)?;
    site.file(PROFILE, 0o644, profile(parts.environment));
    if !parts.views.is_empty() {
        let folders: String = parts
            .views
            .iter()
            .map(|view| format!("{0}/lib\n{0}/lib64\n", view.root))
            .collect();
        site.file(LINKER_DROP_IN, 0o644, folders);
    }
    site.directory(ENVIRONMENT_FOLDER);
    site.file(
        format!("{ENVIRONMENT_FOLDER}/spack.yaml"),
        0o644,
        parts.spack_yaml,
    );
    site.file(
        format!("{ENVIRONMENT_FOLDER}/spack.lock"),
        0o644,
        parts.spack_lock,
    );
    Ok((site, warnings))
}

/// The database, and the program that scripts with long `#!` lines start.
fn add_store(site: &mut SiteLayer, parts: &SiteParts<'_>) -> Result<(), ComposeError> {
    let prefixes: HashMap<DagHash, &str> = parts
        .packages
        .iter()
        .map(|package| (package.spec.hash, package.prefix))
        .collect();
    let index = StoreIndex {
        specs: parts.specs,
        installed: &parts
            .packages
            .iter()
            .map(|package| package.spec.hash)
            .collect(),
        explicit: &parts.roots.iter().copied().collect(),
        prefix: &|spec| prefixes.get(&spec.hash).map(|prefix| (*prefix).to_owned()),
        installation_time: parts.installation_time,
    };
    let store = parts.store.trim_matches('/');
    site.directory(format!("{store}/.spack-db"));
    site.file(format!("{store}/{INDEX_PATH}"), 0o644, index.to_text()?);
    site.file(
        format!("{}/bin/sbang", parts.root.trim_matches('/')),
        0o755,
        SBANG,
    );
    Ok(())
}

fn add_view(
    site: &mut SiteLayer,
    descriptor: &ViewDescriptor,
    parts: &SiteParts<'_>,
) -> Result<Vec<ViewWarning>, ComposeError> {
    let by_hash: HashMap<DagHash, &SitePackage<'_>> = parts
        .packages
        .iter()
        .map(|package| (package.spec.hash, package))
        .collect();
    let selected = descriptor.select(
        parts.specs,
        parts.roots,
        &|spec| by_hash.contains_key(&spec.hash),
        parts.satisfies,
    );
    let prefix_of = |spec: &ConcreteSpec| -> String {
        let external = || {
            spec.external
                .as_ref()
                .and_then(|external| external.path.clone())
        };
        by_hash
            .get(&spec.hash)
            .map(|it| it.prefix.to_owned())
            .or_else(external)
            .unwrap_or_default()
    };
    let real_root = descriptor.real_root(&selected, &prefix_of);
    let entries: HashMap<DagHash, Vec<PrefixEntry>> = by_hash
        .iter()
        .map(|(hash, package)| (*hash, prefix_entries(package.record)))
        .collect();
    let package = |spec: &ConcreteSpec| {
        let package = by_hash.get(&spec.hash)?;
        Some(ViewPackage {
            spec: package.spec,
            prefix: package.prefix,
            entries: entries.get(&spec.hash)?,
        })
    };
    let packages: Vec<ViewPackage<'_>> = selected.iter().filter_map(|spec| package(spec)).collect();
    let inside: HashSet<DagHash> = packages.iter().map(|package| package.spec.hash).collect();
    let neighbours: Vec<ViewPackage<'_>> = parts
        .packages
        .iter()
        .filter(|it| !inside.contains(&it.spec.hash))
        .filter_map(|it| package(it.spec))
        .collect();
    let plan = view::plan(&ViewRequest {
        descriptor,
        real_root: &real_root,
        store_root: parts.store,
        specs: parts.specs,
        packages: &packages,
        neighbours: &neighbours,
        satisfies: parts.satisfies,
    })?;
    let below = real_root.trim_start_matches('/').as_bytes();
    site.directory(below);
    site.symlink(
        descriptor.root.trim_start_matches('/'),
        real_root.as_bytes(),
    );
    for operation in plan.operations {
        if operation.path.is_empty() {
            continue;
        }
        let path = [below, b"/", &operation.path].concat();
        match operation.kind {
            OperationKind::Directory => site.directory(path),
            OperationKind::Symlink(target) => site.symlink(path, target),
            OperationKind::Write(bytes) => site.file(path, 0o644, bytes),
            // A hard link into another layer is a copy as soon as layers are unpacked apart.
            OperationKind::HardLink { package, source } => {
                let (mode, bytes) = copy(parts, &by_hash, &package, &source)?;
                site.file(path, mode, bytes);
            }
            OperationKind::Copy {
                package,
                source,
                rewrite,
            } => {
                let (mode, bytes) = copy(parts, &by_hash, &package, &source)?;
                let bytes = match rewrite {
                    Rewrite::Nothing => bytes,
                    Rewrite::Replace { from, to } => {
                        replace(&bytes, from.as_bytes(), to.as_bytes())
                    }
                    Rewrite::Relocate { .. } => {
                        return Err(ComposeError::Relocation(descriptor.root.clone()));
                    }
                };
                site.file(path, mode, bytes);
            }
        }
    }
    Ok(plan.warnings)
}

/// A record's entries as views look at them.
fn prefix_entries(record: &PackageRecord) -> Vec<PrefixEntry> {
    let kind = |path: &str, kind: &PackageEntryKind, mode: u32| match kind {
        PackageEntryKind::Directory => PrefixEntryKind::Directory,
        PackageEntryKind::File(_) => PrefixEntryKind::File {
            executable: mode & 0o111 != 0,
            shebang: record
                .texts
                .get(path)
                .is_some_and(|text| text.starts_with("#!")),
        },
        PackageEntryKind::Symlink(target) => PrefixEntryKind::Symlink(target.clone().into_bytes()),
        PackageEntryKind::HardLink(target) => {
            PrefixEntryKind::HardLink(target.clone().into_bytes())
        }
    };
    record
        .entries
        .iter()
        .map(|entry| PrefixEntry {
            path: entry.path.clone().into_bytes(),
            kind: kind(&entry.path, &entry.kind, entry.mode),
        })
        .collect()
}

/// Mode and bytes of a file of a package: from its record where it is a script, else from its archive.
fn copy(
    parts: &SiteParts<'_>,
    by_hash: &HashMap<DagHash, &SitePackage<'_>>,
    hash: &DagHash,
    source: &[u8],
) -> Result<(u32, Vec<u8>), ComposeError> {
    let file = String::from_utf8_lossy(source).into_owned();
    let package = by_hash.get(hash);
    let mode = package
        .and_then(|package| {
            package
                .record
                .entries
                .iter()
                .find(|entry| entry.path == file)
        })
        .map_or(0o644, |entry| entry.mode);
    if let Some(text) = package.and_then(|package| package.record.texts.get(&file)) {
        return Ok((mode, text.clone().into_bytes()));
    }
    let name = package.map_or_else(|| hash.to_string(), |package| package.spec.name.clone());
    match (parts.read)(hash, &file) {
        Ok(bytes) => Ok((mode, bytes)),
        Err(source) => Err(ComposeError::Read {
            package: name,
            file,
            source,
        }),
    }
}

/// `bytes` with every `from` replaced by `to`.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    if from.is_empty() {
        return bytes.to_vec();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
