//! Why there is no image, and which kind of ending that is.

use spack_format::yaml::Span;

use super::size::human;
use crate::assemble;
use crate::base::BaseError;
use crate::cpu::{CpuFinding, CpuScanError};
use crate::epilogue::EpilogueError;
use crate::fetch::{FailureKind, FetchError, FindError, Missing};
use crate::layer::transform::TransformError;
use crate::layer::{PackError, ScanError};
use crate::libraries::Findings;
use crate::lock::LockError;
use crate::resolve::Mismatch;
use crate::sif::SifWriteError;
use crate::site::{ComposeError, SiteError};

/// Which kind of ending an error is: the exit codes of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A fault of ours or of this machine.
    Fault,
    /// The definition, its lock or the settings.
    Definition,
    /// Packages are in no mirror.
    Missing,
    /// A mirror or registry refused or failed.
    Refused,
    /// Something is not what it is promised to be.
    Unverified,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `spack.lock` cannot be read.
    #[error("spack.lock cannot be used")]
    SpackLock(#[from] spack_format::lockfile::LockfileError),
    /// `spack.lock` is not the decision for the definition.
    #[error("spack.lock does not fit the definition:{}", list(.0))]
    Mismatch(Vec<Mismatch>),
    /// Packages are in no mirror.
    #[error("{} of the packages {} in no mirror:{}", .0.len(), if .0.len() == 1 { "is" } else { "are" }, list_missing(.0))]
    Missing(Vec<Missing>),
    /// Packages could not be looked up.
    #[error("packages could not be looked up:{}", list_errors(.0))]
    Find(Vec<FindError>),
    /// Packages could not be fetched.
    #[error("packages could not be fetched:{}", list_errors(.0))]
    Fetch(Vec<FetchError>),
    /// A package's archive is not usable.
    #[error("the archive of {package} cannot go into an image")]
    Scan {
        /// Which package.
        package: String,
        /// Why not.
        source: ScanError,
    },
    /// Packages cannot be moved to the install root that the settings ask for, or be slimmed.
    #[error("packages cannot be relocated or written anew:{}", list_errors(.0))]
    Transform(Vec<TransformError>),
    /// The image is larger than it may be.
    #[error(
        "the image has {} {what}, and `[limits] {key}` allows {}:{}",
        human(*size), human(*limit), list(grown)
    )]
    TooLarge {
        /// Which limit.
        key: &'static str,
        /// What it counts.
        what: &'static str,
        /// Bytes of the image.
        size: u64,
        /// Bytes that it may have.
        limit: u64,
        /// What grew since it was locked last, or else what is largest.
        grown: Vec<String>,
    },
    /// What an archive or the settings say of a prefix is none.
    #[error("{package} cannot be relocated")]
    PrefixMap {
        /// Which package.
        package: String,
        /// Why not.
        source: spack_format::relocation::PrefixMapError,
    },
    /// The first line of a wrapped script names `sbang`, and has a limit.
    #[error(
        "the install root `{root}` is too long: the path of `sbang` below it has {sbang} bytes, and the first line of a script takes {}",
        spack_format::relocation::shebang::LIMIT
    )]
    LongRoot {
        /// The root before padding.
        root: String,
        /// Bytes of the path.
        sbang: usize,
    },
    /// What Spack recorded in an archive cannot be read.
    #[error("`.spack/binary_distribution` of {package} cannot be read")]
    BinaryDistribution {
        /// Which package.
        package: String,
        /// Why not.
        source: spack_format::build_cache::BinaryDistributionError,
    },
    /// Built for another place.
    #[error("{package} was built for `{built}`, and in this image it would lie in `{wanted}`")]
    Prefix {
        /// Which package.
        package: String,
        /// Its prefix in the build cache.
        built: String,
        /// Its prefix in the image.
        wanted: String,
    },
    /// A layer could not be written.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// There is no base.
    #[error("the base image cannot be used")]
    Base(#[from] BaseError),
    /// The site layer cannot be composed.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The site layer cannot be written.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The lock cannot be written.
    #[error("container.lock cannot be written")]
    Lock(#[from] LockError),
    /// Programs would not start.
    #[error("the image lacks what its programs need:{}", list_findings(.0))]
    Libraries(Findings),
    /// Programs would stop on a processor of the target.
    #[error("packages use instructions that {target} does not have:{}", list_cpu(.findings))]
    Cpu {
        /// The target.
        target: String,
        /// Where.
        findings: Vec<CpuFinding>,
    },
    /// A package cannot be looked into for its instructions.
    #[error(transparent)]
    CpuScan(#[from] CpuScanError),
    /// What finishes the image cannot be done.
    #[error("the image cannot be finished")]
    Finish {
        /// The instruction, where it is about one.
        place: Option<Span>,
        /// Why not.
        source: Box<EpilogueError>,
    },
    /// What the image holds cannot be found out.
    #[error("the tree of the image cannot be read")]
    Tree(#[from] SifWriteError),
    /// The image that was made is not well-formed, which is a fault of ours.
    #[error("the image cannot be read")]
    Image(#[from] oci_format::JsonError),
    /// More layers than images may have.
    #[error(
        "the base has {base} layers and the image could have at most {} in all: lower `[layers] budget` or use a base of fewer layers",
        assemble::MOST_LAYERS
    )]
    Layers {
        /// Layers of the base.
        base: usize,
    },
}

impl BuildError {
    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        let of_failure = |kind: FailureKind| match kind {
            FailureKind::Mirror => ErrorKind::Refused,
            FailureKind::Verification => ErrorKind::Unverified,
            FailureKind::Local => ErrorKind::Fault,
        };
        match self {
            Self::SpackLock(_)
            | Self::Mismatch(_)
            | Self::Compose(ComposeError::View(_))
            | Self::LongRoot { .. }
            // Nothing is broken, and trying again does not help: the definition or the limit has to change.
            | Self::TooLarge { .. }
            | Self::Layers { .. } => ErrorKind::Definition,
            Self::Missing(_) => ErrorKind::Missing,
            // A forged package matters more than a mirror that is away.
            Self::Find(errors) => errors
                .iter()
                .map(|error| of_failure(error.kind()))
                .max()
                .unwrap_or(ErrorKind::Fault),
            Self::Fetch(errors) => errors
                .iter()
                .map(|error| of_failure(error.kind()))
                .max()
                .unwrap_or(ErrorKind::Fault),
            Self::Transform(errors) if !errors.iter().any(TransformError::is_verification) => {
                ErrorKind::Fault
            }
            Self::Scan { .. }
            | Self::Transform(_)
            | Self::PrefixMap { .. }
            | Self::BinaryDistribution { .. }
            | Self::Prefix { .. }
            | Self::Cpu { .. }
            | Self::CpuScan(_)
            | Self::Libraries(_) => ErrorKind::Unverified,
            Self::Finish { source, .. } if source.is_definition() => ErrorKind::Definition,
            Self::Tree(error) if error.is_verification() => ErrorKind::Unverified,
            Self::Finish { .. } | Self::Tree(_) | Self::Image(_) => ErrorKind::Fault,
            Self::Base(error) if error.is_verification() => ErrorKind::Unverified,
            Self::Base(_) => ErrorKind::Refused,
            Self::Pack(_) | Self::Compose(_) | Self::Site(_) | Self::Lock(_) => ErrorKind::Fault,
        }
    }

    /// Where in the project's files it is, if it is about a place in one.
    #[must_use]
    pub fn place(&self) -> Option<Span> {
        match self {
            Self::Finish { place, .. } => *place,
            _ => None,
        }
    }

    /// What can be done about it, where that is not in the message.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Mismatch(_) => {
                "solve it again: `spacktainers lock --update`, or `spack -e FOLDER_OF_THE_DEFINITION concretize --force`".to_owned()
            }
            Self::Missing(missing) if missing.iter().any(|it| !it.offline.is_empty()) => {
                "not all mirrors were asked: run again without --offline".to_owned()
            }
            Self::Missing(_) => {
                "build them with --build, or with Spack, and push them to one of the mirrors: `spack buildcache push MIRROR /HASH…`".to_owned()
            }
            Self::Prefix { .. } => {
                "name the place where all packages shall lie by `[install] root` in the settings: those that were built for another are relocated"
                    .to_owned()
            }
            Self::Transform(errors) => errors.iter().find_map(TransformError::hint)?.to_owned(),
            Self::Cpu { .. } => {
                "build these packages without `-march=native` and the like; or, where the code is chosen at run time, name the files in `[arch.…] cpu_allow`"
                    .to_owned()
            }
            Self::Libraries(_) => {
                "add to the base what brings these libraries, or accept that they are missing with --allow-missing-libraries"
                    .to_owned()
            }
            Self::TooLarge { .. } => {
                "take out what is not needed (`[slim] profile = \"runtime\"`, see --size-report), or raise the limit"
                    .to_owned()
            }
            Self::Finish { source, .. } => return source.hint().map(str::to_owned),
            _ => return None,
        })
    }
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}

fn list_missing(missing: &[Missing]) -> String {
    missing
        .iter()
        .map(|it| format!("\n  {}", it.package))
        .collect()
}

/// Errors with their causes, one line each.
fn list_errors<E: std::error::Error>(errors: &[E]) -> String {
    errors
        .iter()
        .map(|error| format!("\n  {}", crate::base::one_line(error)))
        .collect()
}

fn list_cpu(findings: &[CpuFinding]) -> String {
    findings.iter().map(|it| format!("\n  {it}")).collect()
}

fn list_findings(findings: &Findings) -> String {
    let mut text: String = findings
        .missing
        .iter()
        .map(|it| format!("\n  {}: `{}` needs {}", it.package, it.file, it.library))
        .collect();
    if let Some(glibc) = &findings.glibc {
        text.push_str(&format!(
            "\n  {}: `{}` needs glibc {}, and the base has {}",
            glibc.package, glibc.file, glibc.needed, glibc.found
        ));
    }
    text
}
