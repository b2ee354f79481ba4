//! From a definition without a `spack.lock` to one, out of what the mirrors hold.

use spack_format::yaml::Span;

use crate::base::{self, BaseArchitecture, BaseContext, BaseError};
use crate::diagnostic::Sources;
use crate::event::Event;
use crate::fetch::Context;
use crate::index::{self, IndexError, IndexFault, KnownSpecs};
use crate::lock;
use crate::project::{
    ArchitectureSettings, Definition, IncludedEnvironment, IncludedLock, SpackDefinition,
};
use crate::resolve::from_cache::{BaseLibc, Included, Request, Resolution, ResolveError, resolve};

use super::container::read;
use super::{ErrorKind, World};

/// Why a definition was not solved.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// An index could not be had.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The caches do not hold what is asked for.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// An environment that is included has no lock.
    #[error(
        "the environment `{written}`, which is included, has no `spack.lock` that can be read: solve it first"
    )]
    NotIncluded {
        /// As written.
        written: String,
        /// Where.
        place: Span,
    },
}

impl SolveError {
    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Index(error) => of_index(error),
            Self::Resolve(error) if error.is_missing() => ErrorKind::Missing,
            Self::Resolve(ResolveError::Read { .. } | ResolveError::Write(_)) => ErrorKind::Fault,
            Self::Resolve(_) | Self::NotIncluded { .. } => ErrorKind::Definition,
        }
    }
}

impl SolveError {
    /// The details, one line each, with places as file and line.
    #[must_use]
    pub fn details(&self, sources: &Sources) -> Vec<String> {
        match self {
            Self::Resolve(error) => error.details(sources),
            Self::NotIncluded { place, .. } => {
                let at = sources.locate(*place);
                let at = at.map(|at| format!("included at {}:{}", at.path.display(), at.line));
                at.into_iter().collect()
            }
            Self::Index(_) => Vec::new(),
        }
    }
}

fn of_index(error: &IndexError) -> ErrorKind {
    match &error.fault {
        IndexFault::Mirror(_) | IndexFault::Registry(_) | IndexFault::Gone { .. } => {
            ErrorKind::Refused
        }
        IndexFault::Find(_) => ErrorKind::Refused,
        IndexFault::Cache(_)
        | IndexFault::Io(_)
        | IndexFault::TooMany
        | IndexFault::Damaged
        | IndexFault::Abandoned => ErrorKind::Fault,
        IndexFault::Manifest { .. }
        | IndexFault::Image
        | IndexFault::Digest { .. }
        | IndexFault::TooLong { .. }
        | IndexFault::Database(_) => ErrorKind::Unverified,
    }
}

/// What the mirrors hold.
///
/// # Errors
/// As [`index::load`].
pub async fn known(world: &World<'_>) -> Result<KnownSpecs, SolveError> {
    let context = Context {
        cache: world.cache,
        reporter: &*world.reporter,
        jobs: world.jobs,
        now: world.now,
    };
    Ok(index::load(world.mirrors, &context).await?)
}

/// The C library that packages of `definition` will find in their image; none if its base brings none, or cannot be had now,
/// of which there is a warning then. The base that was decided before stays if `keep_base`, as in
/// [`Container::input`](super::Container::input).
pub async fn libc(
    definition: &Definition,
    settings: &ArchitectureSettings,
    keep_base: bool,
    world: &World<'_>,
) -> Option<BaseLibc> {
    match find_libc(definition, settings, keep_base, world.base).await {
        Ok(found) => found,
        Err(error) => {
            let warning = format!(
                "{}: the C library of the base image is not known, so what needs a newer one is not left out: {}",
                definition.title(),
                base::one_line(&error)
            );
            world.reporter.event(Event::Warning(warning));
            None
        }
    }
}

async fn find_libc(
    definition: &Definition,
    settings: &ArchitectureSettings,
    keep_base: bool,
    context: &BaseContext,
) -> Result<Option<BaseLibc>, BaseError> {
    let Some(spack) = definition.as_spack() else {
        return Ok(None);
    };
    let before = read(&definition.container_lock()).ok().flatten();
    let before = before.and_then(|text| lock::parse(&text).ok());
    let before = before.filter(|it| keep_base && it.container.base_settings == spack.base_digest);
    let mut context = context.clone();
    if let Some(debian) = &mut context.debian {
        debian.packages.extend(spack.base_packages.iter().cloned());
    }
    let locked = match before {
        Some(before) => before.base,
        None => base::resolve_once(&settings.base, definition.architecture, &context).await?,
    };
    let libc = base::libc(&locked, &context).await?;
    Ok(libc.map(|libc| BaseLibc {
        libc,
        base: locked.title(),
    }))
}

/// Chooses specs of `known` for a definition, of those that run with `libc` if it is known. If `explains`, it is found out
/// too why others do not fit.
///
/// # Errors
/// When they do not hold what is asked for.
pub fn solve(
    definition: &SpackDefinition,
    architecture: BaseArchitecture,
    settings: &ArchitectureSettings,
    libc: Option<&BaseLibc>,
    known: &KnownSpecs,
    explains: bool,
) -> Result<Resolution, SolveError> {
    let mut included = Vec::new();
    for environment in &definition.included {
        let IncludedEnvironment {
            written,
            place,
            path,
            lock,
        } = environment;
        let Some(IncludedLock { text, lock }) = lock else {
            return Err(SolveError::NotIncluded {
                written: written.clone(),
                place: *place,
            });
        };
        included.push(Included { path, text, lock });
    }
    let request = Request {
        environment: &definition.environment,
        specs: &definition.specs,
        family: architecture.processor_family(),
        target: settings.target.as_deref(),
        libc,
        included: &included,
        explains,
    };
    Ok(resolve(&request, known)?)
}
