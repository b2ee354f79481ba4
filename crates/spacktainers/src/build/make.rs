//! Deciding, and making what was decided.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarReader;
use oci_format::{Descriptor, Digest, Platform};
use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use super::gather::{Gathered, Package, Supply, gather};
use super::layers::{LayerQuestion, plan_layers, write_layers};
use super::prefixes::one_store;
use super::size::{PackageSize, Sizes};
use super::transform::{Moved, transform};
use super::{BuildError, BuildInput, InstallRoot, World, environment, recipes};
use crate::assemble::{Facts, MOST_LAYERS, Parts, assemble, labels};
use crate::base::{self, Base, LockedBase};
use crate::content::Content;
use crate::event::Event;
use crate::image::{Image, LayerContent, RecordedLayer};
use crate::layer::relocate::Left;
use crate::layer::slim::RULES_VERSION;
use crate::layer::{Compress, PackageRecord, strip};
use crate::libraries::{BaseRecord, Findings, Needs, check, glibc_floor};
use crate::lock::{
    LOCK_VERSION, Lock, LockedArchive, LockedContainer, LockedInstall, LockedPackage, LockedSlim,
    LockedSpack, print,
};
use crate::resolve::{Decided, decide};
use crate::site::{SitePackage, SiteParts, compose};

/// Bytes that a package may decompress to; it was scanned with less.
const TAR_LIMIT: u64 = 64 << 30;

/// What was decided, with all that making the image needs besides.
pub struct Locked<'a> {
    /// The decision.
    pub lock: Lock,
    /// Its text.
    pub text: String,
    /// What gathering the packages took.
    pub gathered: Gathered,
    decided: Decided<'a>,
    pub(super) packages: Vec<Package<'a>>,
    prefixes: Vec<String>,
    layers: Vec<RecordedLayer>,
    base: Base,
    base_records: Vec<BaseRecord>,
    /// Packages as the build cache has them.
    originals: Vec<Original>,
}

/// A package as the build cache has it.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    pub(crate) name: String,
    pub(crate) hash: DagHash,
    pub(crate) blob: Digest,
    pub(crate) archive: Content,
}

impl Locked<'_> {
    /// What stays of the build in relocated packages because Spack leaves it, too: each with its package's name.
    pub fn left(&self) -> impl Iterator<Item = (&str, &Left)> {
        self.packages.iter().flat_map(|package| {
            let left = package.moved.iter().flat_map(|moved| &moved.left);
            left.map(|it| (package.entry.package.as_str(), it))
        })
    }

    /// Packages as the build cache has them, each with what it is.
    pub(crate) fn originals(&self) -> impl Iterator<Item = (&ConcreteSpec, &Original)> {
        self.packages.iter().map(|it| it.spec).zip(&self.originals)
    }

    /// How many layers are of the base, and how many of packages.
    pub(super) fn layer_counts(&self) -> (usize, usize) {
        (self.base.layers.len(), self.layers.len())
    }

    /// What each package takes, and what was left out of it.
    pub(super) fn package_sizes(&self) -> Vec<PackageSize> {
        self.packages.iter().map(package_size).collect()
    }

    /// Symbols that are kept apart: each package's files for debuggers as one layer, each layer once.
    #[must_use]
    pub fn debug_layers(&self) -> Vec<RecordedLayer> {
        let mut seen = HashSet::new();
        let archives = self.packages.iter().filter_map(|package| {
            let debug = package.moved.as_ref()?.debug.as_ref()?;
            Some((package, debug))
        });
        archives
            .filter(|(_, debug)| seen.insert(debug.digest))
            .map(|(package, debug)| RecordedLayer {
                descriptor: Descriptor::new(
                    debug.compress.media_type(),
                    debug.digest,
                    debug.content.len(),
                ),
                diff_id: debug.diff_id,
                content: LayerContent::Here(debug.content.clone()),
                origins: Vec::new(),
                title: package.entry.package.clone(),
            })
            .collect()
    }

    /// The layers that are known: those of the base and of packages.
    #[must_use]
    pub fn known_layers(&self) -> Vec<RecordedLayer> {
        self.base
            .layers
            .iter()
            .chain(&self.layers)
            .cloned()
            .collect()
    }
}

/// An image, and what a person should know about it.
#[derive(Debug)]
pub struct Made {
    /// The image.
    pub image: Image,
    /// Libraries that it lacks, where that was allowed.
    pub findings: Findings,
}

/// Decides everything about the image of `input`, fetching what has to be known for that.
///
/// # Errors
/// When the lock does not fit, packages are missing or not what they should be, or there is no base.
pub async fn lock<'a>(
    input: &BuildInput<'_>,
    spack_lock: &'a SpackLockfile,
    world: &World<'_>,
) -> Result<Locked<'a>, BuildError> {
    let decided = decide(input.wanted, spack_lock, input.target, input.satisfies)
        .map_err(BuildError::Mismatch)?;
    let supply = Supply::from(world);
    let (gathered, base) = tokio::join!(
        gather(&decided.packages, &spack_lock.specs, &supply),
        find_base(input, world)
    );
    let (packages, gathered) = gathered?;
    let (locked_base, base) = base?;
    for warning in &base.warnings {
        world.reporter.event(Event::Warning(warning.clone()));
    }
    let base_records = base::library_records(&base, world.base).await?;
    let (store, prefixes) = one_store(&packages, input)?;
    let originals = packages.iter().map(|package| Original {
        name: package.spec.name.clone(),
        hash: package.spec.hash,
        blob: package.entry.tarball.digest,
        archive: package.content.clone(),
    });
    let originals = originals.collect();
    let packages = transform(packages, &prefixes, &store, &spack_lock.specs, input, world).await?;
    let budget = layer_budget(input.budget, base.layers.len())?;
    let sizes: Vec<(DagHash, u64)> = packages
        .iter()
        .map(|package| (package.spec.hash, package.entry.tarball.size))
        .collect();
    let plan = plan_layers(&LayerQuestion {
        packages: &sizes,
        specs: &spack_lock.specs,
        roots: &decided.roots,
        sharing: input.shared,
        budget,
        before: input.layers_before,
    });
    let compress = input.compression.unwrap_or_default();
    let (layers, locked_layers) =
        write_layers(&plan, &packages, &prefixes, compress, world).await?;
    let site_packages = site_packages(&packages, &prefixes);
    let recipes = recipes::ask(input, &decided.roots, &packages, world).await;
    let (environment, environment_from) = environment::variables(
        input,
        &spack_lock.specs,
        &decided.roots,
        &site_packages,
        recipes.as_ref(),
        base.config.as_ref(),
        &base_records,
    );
    let lock = Lock {
        version: LOCK_VERSION,
        container: LockedContainer {
            name: input.name.to_owned(),
            arch: match input.variant {
                Some(variant) => format!("{}_{variant}", input.architecture),
                None => input.architecture.to_string(),
            },
            version: decided.version(&spack_lock.specs).unwrap_or_default(),
            definition: input.definition,
            base_settings: input.base_settings,
        },
        spack: LockedSpack {
            lock: Digest::of(input.spack_lock.as_bytes()),
            lockfile_version: spack_lock.version,
            version: spack_lock.spack.as_ref().map(|spack| spack.version.clone()),
            commit: spack_lock
                .spack
                .as_ref()
                .and_then(|spack| spack.commit.clone()),
            target: input.target.map(str::to_owned),
        },
        install: locked_install(&store, input, environment_from),
        environment,
        recipes,
        slim: locked_slim(input),
        base: locked_base,
        packages: packages
            .iter()
            .zip(&prefixes)
            .map(|(package, prefix)| locked_package(package, prefix))
            .collect(),
        layers: locked_layers,
    };
    let text = print(&lock)?;
    Ok(Locked {
        lock,
        text,
        gathered,
        decided,
        packages,
        prefixes,
        layers,
        base,
        base_records,
        originals,
    })
}

fn package_size(package: &Package<'_>) -> PackageSize {
    let sizes = |compressed, record: &PackageRecord| Sizes {
        compressed,
        unpacked: record.tar_size,
    };
    let tarball = &package.entry.tarball;
    let moved = package.moved.as_ref();
    let before = moved.map_or(&package.record, |moved| &moved.archive);
    let symbols = moved.map(|moved| moved.symbols.clone()).unwrap_or_default();
    let removed = moved.into_iter().flat_map(|moved: &Moved| &moved.removed);
    PackageSize {
        package: package.entry.package.clone(),
        name: package.spec.name.clone(),
        hash: package.spec.hash,
        before: sizes(tarball.size, before),
        after: sizes(package.content.len(), &package.record),
        removed: removed.copied().collect(),
        symbols: symbols.stripped,
        separate: symbols.separate,
        kept_symbols: symbols
            .kept
            .into_iter()
            .map(|(file, why)| (file, why.as_str()))
            .collect(),
    }
}

fn locked_install(
    store: &InstallRoot,
    input: &BuildInput<'_>,
    environment_from: String,
) -> LockedInstall {
    LockedInstall {
        store: store.store.clone(),
        root: store.root.clone(),
        views: input.views.iter().map(|view| view.root.clone()).collect(),
        environment_from,
    }
}

/// What is done to packages besides relocation.
fn locked_slim(input: &BuildInput<'_>) -> Option<LockedSlim> {
    let is_said = !input.slim.is_empty() || input.compression.is_some();
    let all = input.slim.of("");
    is_said.then(|| LockedSlim {
        profile: all.profile,
        debug: all.symbols,
        rules: [RULES_VERSION, strip::VERSION],
        compression: input.compression.map(Compress::title),
    })
}

/// What was made of a package's archive by more than relocation.
fn made_of(package: &Package<'_>) -> Option<LockedArchive> {
    let moved = package.moved.as_ref()?;
    let is_new = moved.is_slimmed && moved.digest != package.entry.tarball.digest;
    is_new.then(|| LockedArchive {
        rules: moved.key.clone(),
        digest: moved.digest,
        size: package.content.len(),
        diff_id: package.record.diff_id,
        debug: moved.debug.as_ref().map(|debug| debug.digest),
    })
}

fn locked_package(package: &Package<'_>, prefix: &str) -> LockedPackage {
    use crate::fetch::SignatureState;
    // The lock names the blob of the build cache; what became of it is in the layers.
    let archive = package.moved.as_ref().map(|moved| &moved.archive);
    let archive = archive.unwrap_or(&package.record);
    LockedPackage {
        name: package.spec.name.clone(),
        version: package.spec.version.clone(),
        hash: package.spec.hash,
        prefix: prefix.to_owned(),
        blob: package.entry.tarball.digest,
        size: package.entry.tarball.size,
        compression: archive.compression.clone(),
        diff_id: archive.diff_id,
        relocated_from: package
            .moved
            .as_ref()
            .filter(|moved| moved.is_relocated)
            .map(|_| package.built.prefix()),
        signed_by: match &package.entry.signature {
            SignatureState::Signed { fingerprint, .. } => Some(fingerprint.clone()),
            SignatureState::Unknown | SignatureState::Unsigned => None,
        },
        made: made_of(package),
    }
}

/// The base that was decided before, where there is one; otherwise a new decision.
async fn find_base(
    input: &BuildInput<'_>,
    world: &World<'_>,
) -> Result<(LockedBase, Base), BuildError> {
    let mut context = world.base.clone();
    if let Some(debian) = &mut context.debian {
        debian.packages.extend(input.base_packages.iter().cloned());
    }
    let locked = match input.before {
        Some(before) => before.base.clone(),
        None => base::resolve_once(input.base, input.architecture, &context).await?,
    };
    let base = base::materialise(&locked, &context).await?;
    let locked = match &base.made {
        Some(layer) => locked.with_layer(layer.clone()),
        None => locked,
    };
    Ok((locked, base))
}

/// Layers that packages may have: the budget, or what the base and the site layer leave of an image's most.
pub(super) fn layer_budget(budget: usize, base: usize) -> Result<usize, BuildError> {
    match MOST_LAYERS.checked_sub(base + 1) {
        None | Some(0) => Err(BuildError::Layers { base }),
        Some(left) => Ok(budget.saturating_sub(base + 1).clamp(1, left)),
    }
}

fn site_packages<'p>(packages: &'p [Package<'_>], prefixes: &'p [String]) -> Vec<SitePackage<'p>> {
    packages
        .iter()
        .zip(prefixes)
        .map(|(package, prefix)| SitePackage {
            spec: package.spec,
            prefix,
            record: &package.record,
        })
        .collect()
}

/// The image of what was decided. Libraries that are missing are an error unless `allow_missing_libraries`.
///
/// # Errors
/// When the views contradict themselves, or the programs of the image would not start.
pub fn image(
    locked: &Locked<'_>,
    input: &BuildInput<'_>,
    spack_lock: &SpackLockfile,
    world: &World<'_>,
    allow_missing_libraries: bool,
) -> Result<Made, BuildError> {
    let packages = site_packages(&locked.packages, &locked.prefixes);
    let contents: HashMap<DagHash, &Package<'_>> = locked
        .packages
        .iter()
        .map(|package| (package.spec.hash, package))
        .collect();
    let (site, warnings) = compose(&SiteParts {
        specs: &spack_lock.specs,
        roots: &locked.decided.roots,
        packages: &packages,
        views: input.views,
        store: &locked.lock.install.store,
        root: &locked.lock.install.root,
        environment: &locked.lock.environment,
        spack_yaml: input.spack_yaml,
        spack_lock: input.spack_lock,
        installation_time: world.created.0,
        satisfies: input.satisfies,
        read: &|hash, file| match contents.get(hash) {
            Some(package) => read_member(package, file),
            None => Err(io::ErrorKind::NotFound.into()),
        },
    })?;
    for warning in warnings {
        world
            .reporter
            .event(Event::Note(format!("{}: {warning}", input.name)));
    }
    let needs: Vec<Needs<'_>> = locked
        .packages
        .iter()
        .zip(&locked.prefixes)
        .map(|(package, prefix)| Needs {
            package: &package.entry.package,
            prefix: prefix.trim_start_matches('/'),
            record: &package.record,
        })
        .collect();
    let findings = check(&locked.base_records, &needs);
    if !findings.is_empty() && !allow_missing_libraries {
        return Err(BuildError::Libraries(findings));
    }
    let specs: Vec<&ConcreteSpec> = locked.packages.iter().map(|package| package.spec).collect();
    let labels = labels(
        &locked.lock,
        &Facts {
            lock_digest: Digest::of(locked.text.as_bytes()),
            packages: &specs,
            roots: input
                .wanted
                .iter()
                .map(|wanted| wanted.text.clone())
                .collect(),
            glibc: glibc_floor(&needs),
        },
    );
    let mut layers = locked.layers.clone();
    layers.push(site.finish()?);
    let image = assemble(Parts {
        platform: platform(input),
        base: locked.base.config.as_ref(),
        base_layers: locked.base.layers.clone(),
        layers,
        environment: &locked.lock.environment,
        labels,
        created: world.created,
    });
    Ok(Made { image, findings })
}

pub(super) fn platform(input: &BuildInput<'_>) -> Platform {
    Platform {
        architecture: input.architecture.as_str().to_owned(),
        os: "linux".to_owned(),
        variant: input.variant.map(str::to_owned),
    }
}

/// The bytes of one file of a package.
fn read_member(package: &Package<'_>, file: &str) -> io::Result<Vec<u8>> {
    let root = package
        .record
        .prefix
        .as_deref()
        .or(package.record.top.as_deref())
        .unwrap_or_default();
    let wanted = format!("{root}/{file}");
    let mut tar = TarReader::new(Decoder::new(package.content.open(0)?, TAR_LIMIT)?);
    while let Some(mut member) = tar.next_member().map_err(io::Error::other)? {
        if member.entry.path == wanted.as_bytes() {
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
