//! The main job: the stages in a line.
//!
//! ```text
//! BuildInput ──► decide ──► gather ──► prefixes ──► layers ─┐
//!                           find,      one store,           ├──► Lock ──► compose, check, assemble ──► finish ──► Image
//!                           fetch,     transformed   base ──┘
//!                           scan
//! ```
//!
//! Start at [`lock()`], which decides everything, [`image()`], which makes the image of what was decided, and [`finish()`],
//! which does what the author wants done to it at the end. None sends anything: that is `publish`. What is in no mirror comes back as [`BuildError::Missing`]; there is no loop here.

mod container;
mod cpu;
mod debug;
mod environment;
mod error;
mod finish;
mod freshness;
mod gather;
mod layers;
mod lock_history;
mod make;
mod prefixes;
mod recipes;
mod sharing;
mod size;
mod solve;
mod transform;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use oci_format::Digest;
use spack_format::environment_modifications::{Modifications, PrefixInspections};
use spack_format::prefix::Satisfies;
use spack_format::view::ViewDescriptor;

use crate::assemble::SourceDateEpoch;
use crate::base::{BaseArchitecture, BaseContext, BaseSource};
use crate::cpu::CpuSettings;
use crate::event::Reporter;
use crate::fetch::BuildCache;
use crate::layer::Compress;
use crate::layer::slim::SlimRules;
use crate::local_cache::LocalCache;
use crate::lock::{Lock, LockedRecipes};
use crate::project::Finish;
use crate::resolve::Wanted;
use crate::sandbox::Machine;
use crate::spack::SpackOnDemand;

pub use container::{Container, ContainerError};
pub use cpu::check_cpu;
pub use debug::{DEBUG_ARTIFACT, debug_attachment};
pub use error::{BuildError, ErrorKind};
pub use finish::finish;
pub use freshness::{LockState, Outdated, Stale, lock_state, staleness};
pub use gather::{Gathered, Supply};
pub(crate) use gather::{bring, built, unusable};
pub use layers::{LayerQuestion, LayersBefore, plan_layers};
pub(crate) use make::Original;
pub use make::{Locked, Made, image, lock};
pub use sharing::Sharing;
pub use size::{Limits, PackageSize, SizeReport, Sizes};
pub use solve::{SolveError, known, libc, solve};

/// What the author and the project say about one container.
pub struct BuildInput<'a> {
    /// The container's name.
    pub name: &'a str,
    /// What the image is for.
    pub architecture: BaseArchitecture,
    /// The variant of it, as the image says it.
    pub variant: Option<&'a str>,
    /// Digest of all that the author wrote.
    pub definition: Digest,
    /// Digest of what the settings say of the base image.
    pub base_settings: Digest,
    /// The text of `spack.yaml`.
    pub spack_yaml: &'a str,
    /// The text of `spack.lock`.
    pub spack_lock: &'a str,
    /// The specs that are asked for.
    pub wanted: &'a [Wanted],
    /// The views; none for `view: false`.
    pub views: &'a [ViewDescriptor],
    /// `env_vars` of the environment.
    pub env_vars: &'a Modifications,
    /// `modules:prefix_inspections`, or Spack's own.
    pub inspections: &'a PrefixInspections,
    /// The install root that the settings ask for; otherwise that of the packages.
    pub install: Option<InstallRoot>,
    /// The processor target that the settings require.
    pub target: Option<&'a str>,
    /// What is done about instructions above that target.
    pub cpu: &'a CpuSettings,
    /// What lies below the packages.
    pub base: &'a BaseSource,
    /// Debian packages that this container's base has besides those of the settings.
    pub base_packages: &'a [String],
    /// What finishes the image.
    pub finish: &'a [Finish],
    /// Whether the image says what tree it holds.
    pub tree_digest: bool,
    /// The most package layers.
    pub budget: usize,
    /// How package layers are compressed; none: as they are in the build cache.
    pub compression: Option<Compress>,
    /// What of packages the image has.
    pub slim: &'a SlimRules,
    /// What other containers of the project have, and the history of locks.
    pub shared: &'a Sharing,
    /// The layers that were decided before.
    pub layers_before: Option<LayersBefore<'a>>,
    /// Whether a spec satisfies a constraint.
    pub satisfies: &'a Satisfies<'a>,
    /// What was decided before, if it is to be kept where it still fits: the base.
    pub before: Option<&'a Lock>,
    /// What recipes said before of the same `spack.lock`.
    pub recipes: Option<&'a LockedRecipes>,
    /// The definition as one environment of Spack's, for asking its recipes.
    pub manifest: &'a serde_json::Value,
}

/// Where the settings want packages to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallRoot {
    /// The root before padding.
    pub root: String,
    /// The root with padding: prefixes lie below it.
    pub store: String,
}

/// What the stages work with.
#[derive(Clone)]
pub struct World<'a> {
    /// Where blobs and facts are kept.
    pub cache: &'a LocalCache,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
    /// How much to do at once.
    pub jobs: NonZeroUsize,
    /// The time, for signatures.
    pub now: SystemTime,
    /// Where packages are looked for, in order.
    pub mirrors: &'a [BuildCache],
    /// What base images are made with.
    pub base: &'a BaseContext,
    /// What commands that finish images are run on.
    pub machine: &'a Machine,
    /// The time that images say they were made at.
    pub created: SourceDateEpoch,
    /// Who knows what recipes set, if the project names a Spack.
    pub spack: Option<&'a SpackOnDemand>,
}
