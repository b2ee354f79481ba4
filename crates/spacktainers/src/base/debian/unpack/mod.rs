//! Packages into one layer, without a root file system on a disk.
//!
//! ```text
//! .deb files ──► control parts: order, conffiles, scripts        (all read first, they are small)
//!            └─► data parts ──► decoders, in parallel ──► tree ──► tar ──► gzip, in parallel ──► local cache
//!                                                           └─► at the end: dpkg's records, accounts, links
//! ```
//!
//! Start at [`make_layer`]. The bytes of the layer depend on the packages, and on nothing else: the
//! order is by name (base-files first, as its folders have the right modes), times are the packages'
//! own, and what is generated bears the newest of them.

mod accounts;
mod alternatives;
mod certificates;
mod deb;
mod decode;
mod dpkg_state;
mod pam;
mod scripts;
mod system;
mod tree;
mod usr_merge;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use oci_format::{Digest, DigestWriter};

use self::deb::{ControlFiles, Deb};
use self::dpkg_state::Installed;
use self::tree::{PackageRules, Tree};
use super::relation::parse_relations;
use super::version::DebVersion;
use crate::base::gzip::ParallelGzip;
use crate::base::locked::{LockedDebian, LockedLayer};
use crate::content::Content;
use crate::local_cache::{LocalCache, LocalCacheError};

pub use self::deb::DebError;
pub use self::tree::TreeError;

/// Goes into the key that layers are remembered by; to be raised whenever the same packages make
/// other bytes.
pub(super) const LAYOUT_VERSION: u32 = 1;

/// Why packages make no layer.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A package file is damaged.
    #[error("package `{package}` cannot be unpacked")]
    Deb {
        /// The package.
        package: String,
        /// Why.
        source: DebError,
    },
    /// Packages do not fit together, or one is hostile.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The layer cannot be compressed or written.
    #[error("cannot write the base layer")]
    Write(#[source] std::io::Error),
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
}

/// A layer that was made.
pub(super) struct MadeLayer {
    pub(super) layer: LockedLayer,
    /// What people should know about it, one sentence each.
    pub(super) warnings: Vec<String>,
}

/// Makes the layer of the locked packages, whose files are `contents` in the same order, and
/// stores it in the cache.
pub(super) fn make_layer(
    locked: &LockedDebian,
    contents: &[Content],
    cache: &LocalCache,
    jobs: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<MadeLayer, UnpackError> {
    let mut debs = Vec::new();
    for (package, content) in locked.packages.iter().zip(contents) {
        let open = || {
            let deb = Deb::open(content)?;
            let control = deb.control_files()?;
            Ok((deb, control))
        };
        let opened = open().map_err(|source| UnpackError::Deb {
            package: package.name.clone(),
            source,
        });
        debs.push(opened?);
    }
    let order = order(&debs.iter().map(|(_, control)| control).collect::<Vec<_>>());
    let debs: Vec<(Deb, ControlFiles)> = {
        let mut slots: Vec<Option<(Deb, ControlFiles)>> = debs.into_iter().map(Some).collect();
        order.iter().filter_map(|at| slots[*at].take()).collect()
    };
    let replaced_by = replacements(&debs);
    let name = |index: usize| {
        debs[index]
            .1
            .control
            .get("Package")
            .unwrap_or_default()
            .to_owned()
    };
    let names: Vec<String> = (0..debs.len()).map(name).collect();

    let blob = cache.writer()?;
    let gzip = ParallelGzip::new(blob, jobs).map_err(UnpackError::Write)?;
    let mut tree = Tree::new(
        std::io::BufWriter::with_capacity(1 << 18, DigestWriter::new(gzip)),
        names.clone(),
    );

    let mut warnings = Vec::new();
    let mut files = Vec::new();
    decode::in_order(debs.iter().map(|(deb, _)| deb), jobs, |index, data| {
        let control = &debs[index].1;
        let conffiles: BTreeSet<Vec<u8>> =
            dpkg_state::conffile_paths(control).into_iter().collect();
        let rules = PackageRules {
            name: &names[index],
            index: index as u32,
            conffiles: &conffiles,
            replaced_by: &replaced_by[index],
        };
        let found = tree.add_package(data, &rules)?;
        for (path, other) in &found.clashes {
            let other = names.get(*other as usize).map_or("", String::as_str);
            warnings.push(format!(
                "`/{path}` is in packages {other} and {}: kept that of {other}",
                names[index]
            ));
        }
        files.push(found);
        progress(1);
        Ok::<(), TreeError>(())
    })?;

    let mut packages: Vec<Installed> = debs
        .into_iter()
        .zip(files)
        .map(|((_, control), files)| Installed { control, files })
        .collect();
    packages.sort_by(|a, b| a.name().cmp(b.name()));
    let completed = system::complete(&mut tree, &packages, locked)?;
    dpkg_state::write(
        &mut tree,
        &packages,
        &locked.architecture,
        &completed.diversions,
        "",
    )?;
    warnings.extend(unknown_scripts(&packages));

    let buffered = tree.finish()?;
    let hashed = buffered
        .into_inner()
        .map_err(|error| UnpackError::Write(error.into_error()))?;
    let (gzip, diff_id, _) = hashed.finish();
    let mut blob = gzip.finish().map_err(UnpackError::Write)?;
    blob.flush().map_err(UnpackError::Write)?;
    let (digest, content) = blob.finish()?;
    Ok(MadeLayer {
        layer: LockedLayer {
            digest,
            diff_id,
            size: content.len(),
        },
        warnings,
    })
}

/// One sentence that names the packages whose postinst is not known.
fn unknown_scripts(packages: &[Installed]) -> Option<String> {
    let unknown: Vec<&str> = packages
        .iter()
        .filter(|package| {
            let script = package.control.text("postinst");
            script.is_some_and(|script| scripts::is_unknown(package.name(), &script))
        })
        .map(Installed::name)
        .collect();
    (!unknown.is_empty()).then(|| {
        format!(
            "the postinst scripts of these packages are not run, and what they would do is not done: {}",
            unknown.join(", ")
        )
    })
}

/// The order to unpack in, as places in `packages`: base-files first; who replaces files of another
/// before that other, as the first to bring a file wins; else as given.
fn order(packages: &[&ControlFiles]) -> Vec<usize> {
    let by_name: BTreeMap<&str, usize> = packages
        .iter()
        .enumerate()
        .map(|(at, control)| (control.control.get("Package").unwrap_or_default(), at))
        .collect();
    let mut order = Vec::new();
    let mut placed = vec![false; packages.len()];
    // Depth first over "is replaced by", without recursion; circles are cut where they close.
    let replacers: Vec<BTreeSet<usize>> = {
        let mut all = vec![BTreeSet::new(); packages.len()];
        for (at, control) in packages.iter().enumerate() {
            for other in replaced(control, packages, &by_name) {
                all[other].insert(at);
            }
        }
        all
    };
    let base_files = by_name.get("base-files").copied();
    for start in base_files.into_iter().chain(0..packages.len()) {
        let mut stack = vec![(start, false)];
        while let Some((at, is_ready)) = stack.pop() {
            if is_ready {
                order.push(at);
            } else if !placed[at] {
                placed[at] = true;
                stack.push((at, true));
                stack.extend(replacers[at].iter().rev().map(|other| (*other, false)));
            }
        }
    }
    order
}

/// The packages, as places, whose files this one may take over.
fn replaced(
    control: &ControlFiles,
    packages: &[&ControlFiles],
    by_name: &BTreeMap<&str, usize>,
) -> BTreeSet<usize> {
    let field = control.control.get("Replaces").unwrap_or_default();
    parse_relations(field)
        .into_iter()
        .flatten()
        .filter_map(|relation| {
            let at = *by_name.get(relation.name.as_str())?;
            let version = packages[at].control.get("Version").unwrap_or_default();
            let is_self = std::ptr::eq(packages[at], control);
            (!is_self && relation.accepts(&DebVersion::new(version))).then_some(at)
        })
        .collect()
}

/// For each package, those that may have brought its files before.
fn replacements(debs: &[(Deb, ControlFiles)]) -> Vec<BTreeSet<u32>> {
    let packages: Vec<&ControlFiles> = debs.iter().map(|(_, control)| control).collect();
    let by_name: BTreeMap<&str, usize> = packages
        .iter()
        .enumerate()
        .map(|(at, control)| (control.control.get("Package").unwrap_or_default(), at))
        .collect();
    let mut all = vec![BTreeSet::new(); packages.len()];
    for (at, control) in packages.iter().enumerate() {
        for other in replaced(control, &packages, &by_name) {
            all[other].insert(at as u32);
        }
    }
    all
}

/// What the layer is remembered by: everything that decides its bytes.
pub(super) fn layer_key(locked: &LockedDebian) -> Digest {
    let mut text = format!(
        "{LAYOUT_VERSION}\n{}\n{}\n",
        locked.origin, locked.architecture
    );
    for line in &locked.apt_sources {
        text.push_str(&format!("source {line}\n"));
    }
    for package in &locked.packages {
        text.push_str(&format!("{} {}\n", package.name, package.sha256));
    }
    Digest::of(text.as_bytes())
}
