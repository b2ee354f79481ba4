//! Why nothing can be built at all.

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
            Self::Write(_) => ErrorKind::Refused,
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
