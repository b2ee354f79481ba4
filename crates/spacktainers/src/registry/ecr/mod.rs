//! Amazon's registry: tokens and repositories, by the AWS chain and without any program of AWS.
//!
//! ```text
//! 012345678901.dkr.ecr.eu-west-1.amazonaws.com ─► host.rs    account, region, address of the API
//! public.ecr.aws                                   api.rs     one signed request ─► a token, good for twelve hours
//!                                                  repository.rs  is there one? else make it
//! ```
//!
//! Credentials are those that the AWS tools would use: see [`crate::mirror::AwsError`] for where they are looked for. The API is
//! asked at `AWS_ENDPOINT_URL_ECR` or `AWS_ENDPOINT_URL` where one of them is set.
//!
//! What ECR does otherwise than most registries, and what it means here:
//! - repositories have to be made before anything is pushed ([`EcrAccess::ensure_repository`]), `public.ecr.aws` too;
//! - a layer has at most 52,000 MiB ([`MAX_LAYER`]), which a release looks at before it sends anything, and what is sent in chunks is stored as parts of at least
//!   5 MiB: chunks are of 32 MiB, see [`super::RegistrySettings::chunk`];
//! - an upload session that a request broke is thrown away, with 416 or `BLOB_UPLOAD_INVALID`: see `upload.rs`, which
//!   asks and begins anew;
//! - blobs are mounted from other repositories only where the account has switched that on; else the answer is a session,
//!   which is used;
//! - it has sent the header `OCI-Subject` before it had a list of referrers: see `referrer.rs`, which believes the list.
//!
//! **Lifecycle policies.** None is written. A rule deletes whole images and not tags: a rule for the tags of branches takes
//! a release with it when both are the same image, which is what a merge without changes gives, as equal inputs are equal bytes. A
//! rule for untagged images takes the images of an index, which have no tags of their own, and signatures and SBOMs. What
//! may go is decided where all references are known, and not in the registry; policies that endanger a repository are told
//! ([`lifecycle_dangers`]).
//!
//! Sources: Amazon ECR API Reference (GetAuthorizationToken, DescribeRepositories, CreateRepository, GetLifecyclePolicy),
//! Amazon ECR User Guide ("Private registry authentication", "Lifecycle policies", "Service quotas"), Amazon ECR Public API Reference.

mod api;
mod host;
mod repository;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::auth::Credential;
use crate::mirror::{AwsError, Network};

pub use host::EcrHost;
pub use repository::{EcrRepositorySettings, Ensured, lifecycle_dangers};

/// How long a token is used: they are good for twelve hours.
const TOKEN_LIFE: Duration = Duration::from_secs(11 * 3600);

/// The most bytes of a layer: quota "Maximum layer size".
pub const MAX_LAYER: u64 = 52_000 << 20;

/// The way to ECR; cheap to clone, and tokens are kept. Its `Debug` says nothing secret.
#[derive(Clone)]
pub struct EcrAccess {
    network: Network,
    environment: Arc<BTreeMap<String, String>>,
    hosts: Arc<BTreeSet<String>>,
    tokens: Arc<Mutex<HashMap<String, (Credential, Instant)>>>,
}

impl fmt::Debug for EcrAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcrAccess")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Why ECR's API gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum EcrError {
    /// The environment's AWS settings cannot be used.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The AWS chain ends without credentials, or what it leads to gave none.
    #[error(
        "there are no AWS credentials for `{0}`: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials(String),
    /// The chain leads to somebody who gave no credentials.
    #[error("cannot get AWS credentials for `{host}`")]
    Credentials {
        /// The registry.
        host: String,
        /// Why.
        source: object_store::Error,
    },
    /// No answer.
    #[error("cannot reach ECR's API at `{url}`")]
    Connection {
        /// The API.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The API refused.
    #[error("ECR's API at `{url}` refused {operation}: {kind}{}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Refused {
        /// The API.
        url: String,
        /// What was asked.
        operation: &'static str,
        /// AWS's name for the reason: `AccessDeniedException`.
        kind: String,
        /// What it says about it.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("ECR's API at `{url}`: {fault}")]
    Answer {
        /// The API.
        url: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl EcrAccess {
    /// The way to ECR with the AWS settings in `environment` (variables by name). `hosts` are registries that take ECR's tokens
    /// under another name: private endpoints, proxies.
    #[must_use]
    pub fn new(
        network: Network,
        environment: Arc<BTreeMap<String, String>>,
        hosts: BTreeSet<String>,
    ) -> Self {
        Self {
            network,
            environment,
            hosts: Arc::new(hosts),
            tokens: Arc::default(),
        }
    }

    /// The ECR that `registry` (host, with port where there is one) is; nothing for other registries.
    #[must_use]
    pub fn host(&self, registry: &str) -> Option<EcrHost> {
        EcrHost::parse(registry).or_else(|| {
            let is_known = self.hosts.contains(registry);
            is_known.then(|| EcrHost::named(registry))
        })
    }

    /// User name and token for `registry`; nothing when it is not ECR, or there are no AWS credentials and others may do.
    ///
    /// # Errors
    /// When there are credentials, and the API gives no token.
    pub async fn token(&self, registry: &str) -> Result<Option<Credential>, EcrError> {
        let Some(host) = self.host(registry) else {
            return Ok(None);
        };
        let now = Instant::now();
        {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((token, made)) = tokens.get(registry)
                && now.duration_since(*made) < TOKEN_LIFE
            {
                return Ok(Some(token.clone()));
            }
        }
        let token = match self.request_token(&host).await {
            Ok(token) => token,
            // The container tools' files may hold a token that somebody else fetched.
            Err(EcrError::NoCredentials(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(registry.to_owned(), (token.clone(), now));
        Ok(Some(token))
    }
}
