//! Why nothing can be built at all.

use std::io;
use std::path::{Path, PathBuf};

use super::cluster::SchedulerError;
use super::room::RoomError;
use crate::build::ErrorKind;
use crate::build_cache::CacheError;
use crate::fetch::{FailureKind, FindError};
use crate::install_tree::InstallTreeError;
use crate::install_tree::lay::LayError;
use crate::mirror::WriteError;
use crate::openpgp::SignError;
use crate::spack::SpackError;

/// Why nothing can be built.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// No mirror takes what is built.
    #[error("no mirror takes what is built")]
    NoMirror,
    /// The mirror wants signatures, and there is no key.
    #[error("the mirror `{mirror}` takes signed packages only, and there is no key to sign with")]
    NoKey {
        /// The mirror.
        mirror: String,
    },
    /// The mirror wants signatures, and is one that has no place for them.
    #[error("the mirror `{mirror}` is a registry, whose packages are not signed")]
    Unsignable {
        /// The mirror.
        mirror: String,
    },
    /// The key cannot be used.
    #[error("the signing key cannot be used")]
    Key(#[source] SignError),
    /// Nobody would believe the signatures.
    #[error(
        "the mirror `{mirror}` does not name the public half of the signing key, so what it signs would not be accepted"
    )]
    Untrusted {
        /// The mirror.
        mirror: String,
    },
    /// Nobody says where packages are to lie.
    #[error("nobody says where packages are built to lie")]
    NoInstallRoot,
    /// What is built from these is another thing each time.
    #[error("these are built from sources that change under their name, and so are never pushed:{}", list(.0))]
    Mutable(Vec<String>),
    /// Mirrors could not be asked.
    #[error("packages could not be looked up:{}", errors(.0))]
    Find(Vec<FindError>),
    /// The mirror cannot be written.
    #[error("what is built could not be pushed")]
    Write(#[source] WriteError),
    /// Spack failed before anything was built.
    #[error(transparent)]
    Spack(#[from] SpackError),
    /// Packages of mirrors could not be laid down.
    #[error(transparent)]
    LayDown(#[from] LayDownError),
    /// Nothing can be built in a sandbox.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The scheduler does not do what it should.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// There is nothing to go on with.
    #[error("nothing that was ordered before would build these: {}", .0.join(", "))]
    NothingOrdered(Vec<String>),
    /// There is no such run, or it cannot be used.
    #[error("the run `{}` cannot be used: {why}", run.display())]
    Run {
        /// Its folder.
        run: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file that submitter and jobs share.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why what a build needs is not in the tree.
#[derive(Debug, thiserror::Error)]
pub enum LayDownError {
    /// We could not lay it down.
    #[error(transparent)]
    Lay(#[from] LayError),
    /// Spack could not.
    #[error(transparent)]
    Spack(#[from] SpackError),
    /// Spack would have to, in a sandbox.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Why a package is not in the mirror.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Spack failed.
    #[error(transparent)]
    Spack(#[from] SpackError),
    /// What it needs could not be laid down.
    #[error(transparent)]
    LayDown(#[from] LayDownError),
    /// Spack says that it is installed, and it is not found.
    #[error("it was built, and cannot be found in the install tree")]
    Tree(#[from] InstallTreeError),
    /// It was built, and could not be pushed.
    #[error(transparent)]
    Push(#[from] CacheError),
    /// It must not be given to others.
    #[error(
        "it was built and is not pushed: its recipe forbids to give its binary to others, and the mirror does not say `private = true`"
    )]
    Restricted,
    /// It must not be pushed.
    #[error("it was built and is not pushed: {package}: {why}")]
    Mutable {
        /// The package whose sources may change.
        package: String,
        /// Why they may.
        why: String,
    },
}

impl FarmError {
    /// Makes an error of what went wrong with a file.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoMirror
            | Self::NoKey { .. }
            | Self::Unsignable { .. }
            | Self::Key(_)
            | Self::Untrusted { .. }
            | Self::NoInstallRoot
            | Self::Mutable(_) => ErrorKind::Definition,
            Self::Find(errors) => match errors.iter().map(FindError::kind).next() {
                Some(FailureKind::Verification) => ErrorKind::Unverified,
                Some(FailureKind::Mirror) => ErrorKind::Refused,
                Some(FailureKind::Local) | None => ErrorKind::Fault,
            },
            Self::Write(_) | Self::Scheduler(_) => ErrorKind::Refused,
            Self::NothingOrdered(_) => ErrorKind::Missing,
            Self::Run { .. } => ErrorKind::Definition,
            Self::Io { .. } => ErrorKind::Fault,
            Self::Spack(error) | Self::LayDown(LayDownError::Spack(error)) => error.kind(),
            Self::LayDown(LayDownError::Lay(error)) => error.kind(),
            Self::Room(error) | Self::LayDown(LayDownError::Room(error)) => error.kind(),
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoMirror => "say `push = true` in one `[[mirror]]` of spacktainers.toml".to_owned(),
            Self::NoKey { .. } => "name the secret key with `signing_key = \"FILE\"` or `\"gpg:FINGERPRINT\"` below `[spack]`, or in the variable \
                 SPACK_DEPLOYMENT_KEY_PRIVATE; or say `signed = false` for the mirror"
                .to_owned(),
            Self::Unsignable { .. } => "say `signed = false` for the mirror".to_owned(),
            Self::Untrusted { .. } => {
                "export it with `gpg --export --armor KEY > FILE` and add FILE to the mirror's `keys`".to_owned()
            }
            Self::NoInstallRoot => "say so with `[install] root` in spacktainers.toml, or with an absolute path as `config:install_tree:root` in the definition"
                .to_owned(),
            Self::Mutable(_) => "ask for versions that do not move: a release, or a commit".to_owned(),
            Self::Spack(error) | Self::LayDown(LayDownError::Spack(error)) => return error.hint(),
            Self::LayDown(LayDownError::Lay(error)) => return error.hint(),
            Self::Room(error) | Self::LayDown(LayDownError::Room(error)) => return error.hint(),
            Self::Key(error) => return error.hint().map(str::to_owned),
            Self::Write(_) | Self::Find(_) => return None,
            Self::NothingOrdered(_) => "leave --attach out to order them".to_owned(),
            Self::Run { .. } => "`spacktainers farm status` shows which runs there are".to_owned(),
            Self::Scheduler(SchedulerError::Start { .. }) => {
                "run this where jobs are submitted, or build with --on local".to_owned()
            }
            Self::Scheduler(_) => {
                "look at `[farm.slurm]` in spacktainers.toml: partition, account, qos, options".to_owned()
            }
            Self::Io { .. } => {
                "`[farm.slurm] shared` in spacktainers.toml names the folder; all nodes have to see it".to_owned()
            }
        })
    }
}

pub(super) fn list(items: &[String]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}

fn errors(errors: &[FindError]) -> String {
    errors
        .iter()
        .map(|error| format!("\n  {}", crate::base::one_line(error)))
        .collect()
}
