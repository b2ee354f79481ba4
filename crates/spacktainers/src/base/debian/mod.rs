//! Debian and Ubuntu packages into a base layer, with neither root nor apt nor dpkg.
//!
//! ```text
//! settings ──► plan ──► archive: InRelease (signed) ──► Packages ──► solve ──► LockedDebian
//!              (or this machine's apt)                                             │
//! LockedDebian ──► fetch: .deb files, by checksum ──► unpack ──► one layer ◄───────┘
//! ```
//!
//! [`resolve`] needs the network and decides; [`make`] gets exactly the packages that were decided, from
//! any mirror, and makes the same bytes every time. What the packages' own scripts would have done is done
//! by [`unpack`], or named in a warning.

mod apt_sources;
mod archive;
mod control;
mod fetch;
mod machine;
mod packages;
mod plan;
mod relation;
mod release;
mod settings;
mod solve;
#[cfg(test)]
mod tests;
mod unpack;
mod version;

use oci_format::{Digest, media_type};
use serde::{Deserialize, Serialize};

pub use archive::ArchiveError;
pub use control::ControlError;
pub use fetch::FetchError;
pub use machine::KeyringError;
pub use packages::IndexError;
pub use plan::PlanError;
pub use release::ReleaseError;
pub use settings::{DebianSettings, DebianVariant, ValidUntil};
pub use solve::SolveError;
pub use unpack::{DebError, TreeError, UnpackError};

use self::fetch::Fetcher;
use super::context::BaseContext;
use super::locked::{LockedDebian, LockedLayer, LockedPackage};
use super::source::BaseArchitecture;
use crate::event::{Event, Outcome, TaskId, TaskKind};
use crate::image::{LayerContent, RecordedLayer};

/// The kind of record that finished layers are remembered as.
const RECORD: &str = "debian-layer";
/// Downloads at a time, at least: mirrors answer slowly rather than narrowly.
const LEAST_DOWNLOADS: usize = 4;

/// Why there is no base of Debian packages.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// The settings have no `[base.debian]`.
    #[error("`base = \"debian\"` needs a table [base.debian] with at least `suite`")]
    NoSettings,
    /// No archive to ask.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An archive cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The packages wanted do not go together.
    #[error("the packages of the base image cannot be chosen")]
    Solve(#[from] SolveError),
    /// An index names a file in a way that no archive does.
    #[error("the archive's index has a malformed entry for package `{package}`: {what}")]
    Entry {
        /// The package.
        package: String,
        /// What is malformed.
        what: &'static str,
    },
    /// A package cannot be fetched.
    #[error(
        "a package of the base image cannot be fetched; if the mirror no longer has it, use one that keeps old versions, or run `lock` again"
    )]
    Fetch(#[from] FetchError),
    /// The packages make no layer.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The packages make another layer than the lock says.
    #[error(
        "the packages make a base layer with diffID {made}, and the lock says {locked}: run `lock` again"
    )]
    Different {
        /// What was made.
        made: Digest,
        /// What the lock says.
        locked: Digest,
    },
}

/// A layer as it is remembered, with what was to say about it.
#[derive(Serialize, Deserialize)]
struct Remembered {
    layer: LockedLayer,
    warnings: Vec<String>,
}

/// Decides which packages make the base.
///
/// # Errors
/// When no archive can be used, or the packages wanted do not go together.
pub async fn resolve(
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<LockedDebian, DebianError> {
    let settings = context.debian.as_ref().ok_or(DebianError::NoSettings)?;
    let machine = machine::apt_sources(&context.apt_directory);
    let plans = plan::suites(settings, &machine, architecture.as_str())?;
    let fetcher = fetcher(context)?;
    let mut indices = Vec::new();
    let mut origin = String::new();
    for (position, plan) in plans.iter().enumerate() {
        let suite = archive::open(plan, settings, &fetcher, context).await?;
        if position == 0 {
            origin = suite.release.origin.to_ascii_lowercase();
        }
        indices.extend(suite.indices(
            &settings.components,
            architecture.as_str(),
            position == 0,
        )?);
    }
    let universe = archive::read_indices(indices, architecture.as_str(), &fetcher, context).await?;
    let chosen = solve::solve(&universe, settings.variant, &settings.packages)?;
    let packages = chosen
        .into_iter()
        .map(|id| locked_package(universe.get(id)))
        .collect::<Result<Vec<_>, _>>()?;
    let apt_sources = plan::apt_lines(settings, &plans);
    let has_apt = packages.iter().any(|package| package.name == "apt");
    if apt_sources.is_empty() && has_apt {
        context.note(
            "the image's apt has no sources: the mirror comes from this machine; set `mirror` in [base.debian] to have it in the image",
        );
    }
    Ok(LockedDebian {
        origin,
        suite: settings.suite.clone(),
        architecture: architecture.to_string(),
        apt_sources,
        layer: None,
        packages,
    })
}

fn locked_package(candidate: &packages::Candidate) -> Result<LockedPackage, DebianError> {
    let entry = |what| DebianError::Entry {
        package: candidate.name.clone(),
        what,
    };
    let path = &candidate.filename;
    if path.starts_with('/') || path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(entry("its file name leads out of the archive"));
    }
    Digest::from_hex(&candidate.sha256).map_err(|_| entry("its checksum is no SHA256"))?;
    Ok(LockedPackage {
        name: candidate.name.clone(),
        version: candidate.version.to_string(),
        architecture: candidate.architecture.clone(),
        suite: candidate.suite.clone(),
        filename: path.clone(),
        size: candidate.size,
        sha256: candidate.sha256.clone(),
    })
}

/// Makes the layer of locked packages, or finds it where it was made before. Gives the layer, its digests
/// for the lock, and warnings.
///
/// # Errors
/// When a package cannot be fetched or unpacked, or the layer is not the one of the lock.
pub async fn make(
    locked: &LockedDebian,
    context: &BaseContext,
) -> Result<(RecordedLayer, LockedLayer, Vec<String>), DebianError> {
    let key = unpack::layer_key(locked).hex();
    let remembered = context
        .cache
        .record(RECORD, &key)
        .and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok())
        .filter(|remembered| context.cache.blob(&remembered.layer.digest).is_some());
    let Remembered { layer, warnings } = match remembered {
        Some(remembered) => remembered,
        None => {
            let made = unpack(locked, context).await?;
            if let Ok(bytes) = serde_json::to_vec(&made) {
                // Not remembered is only slower.
                let _ = context.cache.put_record(RECORD, &key, &bytes);
            }
            made
        }
    };
    if let Some(expected) = locked
        .layer
        .as_ref()
        .filter(|expected| expected.diff_id != layer.diff_id)
    {
        return Err(DebianError::Different {
            made: layer.diff_id,
            locked: expected.diff_id,
        });
    }
    let content = context
        .cache
        .blob(&layer.digest)
        .ok_or_else(|| FetchError::Missing(layer.digest.to_string()))?;
    let recorded = RecordedLayer {
        descriptor: oci_format::Descriptor::new(
            media_type::LAYER_TAR_GZIP,
            layer.digest,
            layer.size,
        ),
        diff_id: layer.diff_id,
        content: LayerContent::Here(content),
        origins: Vec::new(),
        title: format!("{} {} {}", locked.origin, locked.suite, locked.architecture),
    };
    Ok((recorded, layer, warnings))
}

async fn unpack(locked: &LockedDebian, context: &BaseContext) -> Result<Remembered, DebianError> {
    let wanted = wanted(locked, context)?;
    let fetcher = fetcher(context)?;
    let jobs = context.jobs.get();
    let reporter = context.reporter.clone();
    let label = format!(
        "{} packages of {} {}",
        locked.packages.len(),
        locked.origin,
        locked.suite
    );
    let contents = fetch::blobs(
        &fetcher,
        wanted,
        jobs.max(LEAST_DOWNLOADS),
        reporter.as_ref(),
        &label,
    )
    .await?;
    let (locked, cache) = (locked.clone(), context.cache.clone());
    let made = super::blocking(move || {
        let task = TaskId::next();
        let total = locked.packages.len() as u64;
        let label = format!("base layer of {total} packages");
        reporter.event(Event::Started {
            task,
            kind: TaskKind::Write,
            label,
            total: None,
        });
        let result = unpack::make_layer(&locked, &contents, &cache, jobs, &|_| {});
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        reporter.event(Event::Finished { task, outcome });
        result
    })
    .await?;
    Ok(Remembered {
        layer: made.layer,
        warnings: made.warnings,
    })
}

/// Where each package may be, its checksum and size. Any place may have any package: the checksum
/// decides.
fn wanted(
    locked: &LockedDebian,
    context: &BaseContext,
) -> Result<Vec<(Vec<String>, Digest, u64)>, DebianError> {
    let settings = context
        .debian
        .clone()
        .unwrap_or_else(|| DebianSettings::new(&locked.suite));
    let machine = machine::apt_sources(&context.apt_directory);
    let roots = |suite: &str| -> Vec<String> {
        let plan = plan::suite(&settings, &machine, &locked.architecture, suite);
        plan.map(|plan| plan.places.into_iter().map(|place| place.root).collect())
            .unwrap_or_default()
    };
    let mut wanted = Vec::new();
    for package in &locked.packages {
        let mut places = roots(&package.suite);
        for root in roots(&locked.suite) {
            if !places.contains(&root) {
                places.push(root);
            }
        }
        let digest = Digest::from_hex(&package.sha256).map_err(|_| DebianError::Entry {
            package: package.name.clone(),
            what: "its checksum is no SHA256",
        })?;
        if places.is_empty() && context.cache.blob(&digest).is_none() {
            // Says what to set.
            plan::suite(&settings, &machine, &locked.architecture, &package.suite)?;
        }
        let urls = places
            .iter()
            .map(|root| format!("{root}/{}", package.filename))
            .collect();
        wanted.push((urls, digest, package.size));
    }
    Ok(wanted)
}

fn fetcher(context: &BaseContext) -> Result<Fetcher, FetchError> {
    let proxies = machine::apt_proxies(&context.apt_directory);
    Fetcher::new(context.cache.clone(), context.offline, &proxies)
}
