//! Why nothing can be built in a sandbox.

use crate::base::BaseError;
use crate::base::images::OwnImageError;
use crate::build::ErrorKind;
use crate::sandbox::SandboxError;
use crate::spack::SpackError;
use crate::unpack::UnpackError;

/// Why nothing can be built in a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// No program that makes sandboxes.
    #[error("packages are built in a sandbox, and there is no bubblewrap (the program `bwrap`)")]
    NoBubblewrap,
    /// A kernel, or a container, that lets nobody make sandboxes.
    #[error("packages are built in a sandbox, and this machine lets us make none: {0}")]
    Refused(String),
    /// The sandbox's other faults.
    #[error(transparent)]
    Sandbox(SandboxError),
    /// The project's own builder.
    #[error("there is no image to build in")]
    Own(#[from] OwnImageError),
    /// The image of the settings.
    #[error("the image to build in, `{image}`, cannot be had")]
    Image {
        /// Which.
        image: String,
        /// Why not.
        source: BaseError,
    },
    /// The image cannot be unpacked.
    #[error("the image to build in cannot be unpacked")]
    Unpack(#[from] UnpackError),
    /// The lock takes for granted what the image does not have.
    #[error("the image to build in does not have what the lock takes for granted:{}", crate::farm::error::list(.0))]
    Externals(Vec<String>),
    /// Only Spack can lay down what a build needs.
    #[error(
        "a build needs packages of mirrors that only Spack itself can lay down (spliced ones, or below projections of the environment), \
         and it cannot do so in the sandbox"
    )]
    OnlySpack,
    /// Folders of ours.
    #[error(transparent)]
    Spack(#[from] SpackError),
}

impl From<SandboxError> for RoomError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::NoBubblewrap => Self::NoBubblewrap,
            other => Self::Sandbox(other),
        }
    }
}

impl RoomError {
    /// Which kind of ending it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoBubblewrap | Self::Refused(_) | Self::Externals(_) | Self::OnlySpack => {
                ErrorKind::Definition
            }
            Self::Own(error) => error.kind(),
            Self::Image { source, .. } if source.is_verification() => ErrorKind::Unverified,
            Self::Image { .. } => ErrorKind::Refused,
            Self::Spack(error) => error.kind(),
            Self::Sandbox(_) | Self::Unpack(_) => ErrorKind::Fault,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoBubblewrap => "install it (the package is called `bubblewrap`; no root and no daemon are needed), or build on this \
                 machine as it is with --no-sandbox"
                .to_owned(),
            Self::Refused(_) => "allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`, \
                 `sysctl kernel.apparmor_restrict_unprivileged_userns=0`), or in a container `--security-opt seccomp=unconfined` or \
                 `--privileged`; or build on this machine as it is with --no-sandbox"
                .to_owned(),
            Self::Externals(_) => "solve again with externals of the builder (`spacktainers lock --with spack`), name an image that has them in \
                 `[farm] builder`, add them to `packages` of `[base.builder]`, or use --no-sandbox"
                .to_owned(),
            Self::OnlySpack => "use --no-sandbox".to_owned(),
            Self::Own(error) => {
                return error.hint().map(|hint| {
                    format!("{hint}; or name an image in `[farm] builder`, or use --no-sandbox")
                });
            }
            Self::Spack(error) => return error.hint(),
            Self::Sandbox(error) => return error.hint().map(str::to_owned),
            Self::Image { .. } | Self::Unpack(_) => return None,
        })
    }
}
