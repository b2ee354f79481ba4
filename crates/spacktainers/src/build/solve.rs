//! From a definition without a `spack.lock` to one, out of what the mirrors hold.

use crate::base::BaseArchitecture;
use crate::fetch::Context;
use crate::index::{self, IndexError, IndexFault, KnownSpecs};
use crate::project::{ArchitectureSettings, SpackDefinition};
use crate::resolve::from_cache::{Request, Resolution, ResolveError, resolve};

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
}

impl SolveError {
    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Index(error) => of_index(error),
            Self::Resolve(error) if error.is_missing() => ErrorKind::Missing,
            Self::Resolve(ResolveError::Read { .. } | ResolveError::Write(_)) => ErrorKind::Fault,
            Self::Resolve(_) => ErrorKind::Definition,
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

/// Chooses specs of `known` for a definition. If `explains`, it is found out too why others do not fit.
///
/// # Errors
/// When they do not hold what is asked for.
pub fn solve(
    definition: &SpackDefinition,
    architecture: BaseArchitecture,
    settings: &ArchitectureSettings,
    known: &KnownSpecs,
    explains: bool,
) -> Result<Resolution, SolveError> {
    let request = Request {
        environment: &definition.environment,
        specs: &definition.specs,
        family: architecture.processor_family(),
        target: settings.target.as_deref(),
        libc: None,
        explains,
    };
    Ok(resolve(&request, known)?)
}
