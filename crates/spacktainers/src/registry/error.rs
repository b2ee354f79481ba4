//! What can go wrong with a registry.

use std::io;
use std::time::Duration;

use oci_format::{Digest, JsonError};

use super::auth::CredentialError;
use crate::local_cache::LocalCacheError;

/// Why a registry could not do something, or was not believed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No HTTP client, for instance because a proxy's address is malformed.
    #[error("cannot set up HTTP")]
    Client(#[source] reqwest::Error),
    /// Registry and repository make no address.
    #[error("`{0}` is not an address that can be asked")]
    Address(String),
    /// No answer, or one that broke off.
    #[error("cannot reach `{url}`")]
    Connection {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection stands, but nothing moves.
    #[error("`{url}`: nothing moved for {} seconds", waited.as_secs())]
    Stalled {
        /// What was asked for.
        url: String,
        /// How long.
        waited: Duration,
    },
    /// The registry wants to know who asks, and did not like what it was told.
    #[error(
        "`{registry}` does not let us use `{repository}`: {}",
        if *had_credentials {
            "it refused the credentials on this machine; log in again"
        } else {
            "there are no credentials for it; log in with `podman login` or `docker login`"
        }
    )]
    Unauthorized {
        /// Host and port.
        registry: String,
        /// Repository within it.
        repository: String,
        /// Whether credentials were found and sent.
        had_credentials: bool,
    },
    /// The registry asks for too long a pause.
    #[error("`{url}`: too many requests; the registry asks to wait {} seconds", wait.as_secs())]
    Throttled {
        /// What was asked for.
        url: String,
        /// How long to wait.
        wait: Duration,
    },
    /// The registry refused or failed.
    #[error("`{url}`: the registry answered {status}{}", reason.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: reqwest::StatusCode,
        /// The registry's code for it: `BLOB_UPLOAD_INVALID`.
        code: Option<String>,
        /// What the registry said about it.
        reason: Option<String>,
    },
    /// The blob or manifest is not there.
    #[error("`{0}` is not in the registry")]
    Missing(String),
    /// An answer that the specification does not allow.
    #[error("`{url}`: the registry's answer makes no sense: {fault}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Not the JSON that the specification gives.
    #[error("`{url}`")]
    Json {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        source: JsonError,
    },
    /// More bytes than such a document may have.
    #[error("`{url}` has more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// Bytes allowed.
        limit: u64,
    },
    /// The bytes are others than those asked for.
    #[error("`{url}` has the digest {actual}; {expected} was asked for")]
    Digest {
        /// What was asked for.
        url: String,
        /// The digest wanted.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// What was to be sent is not what its digest says.
    #[error(
        "the bytes of {expected} on this machine have changed: they are now {actual}; run again to fetch them anew"
    )]
    Changed {
        /// The digest wanted.
        expected: Digest,
        /// The digest of what was read.
        actual: Digest,
    },
    /// What was to be sent cannot be read.
    #[error("cannot read the bytes of {digest}")]
    Read {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// Credentials are there and cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The local cache failed.
    #[error(transparent)]
    Cache(#[from] LocalCacheError),
}

impl RegistryError {
    /// Whether the bytes were wrong, rather than the registry unable or unwilling.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::Changed { .. } => true,
            Self::Cache(error) => {
                matches!(
                    error,
                    LocalCacheError::Digest { .. } | LocalCacheError::Size { .. }
                )
            }
            _ => false,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => super::retry::is_transient(*status),
            _ => false,
        }
    }
}
