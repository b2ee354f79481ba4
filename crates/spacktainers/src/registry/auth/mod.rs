//! Who we are, where a registry asks.
//!
//! ```text
//! 401 + WWW-Authenticate ─ challenge.rs ─► Basic  ──► credentials
//!                                          Bearer ──► token.rs asks the realm for a token with our
//!                                                     credentials, or as nobody
//! ```
//!
//! What worked is kept per registry and access, and used until it expires or is refused.
//!
//! Sources: Docker's token authentication specification; RFC 9110 section 11; containers-auth.json(5).

mod challenge;
mod credentials;
mod helper;
mod login;
mod store;
mod token;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::RegistryError;
use super::client::Repository;
use challenge::Challenge;

pub use credentials::Credential;
pub use helper::CredentialError;
pub use login::log_in;
pub use store::CredentialStore;

/// What a request may need to do; a token is good for one such set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Access {
    repository: String,
    push: bool,
    sources: BTreeSet<String>,
}

impl Access {
    /// To read `repository`.
    pub(super) fn pull(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            push: false,
            sources: BTreeSet::new(),
        }
    }

    /// To read and write `repository`, and to read `sources` so as to mount blobs from there.
    pub(super) fn push<'a>(repository: &str, sources: impl IntoIterator<Item = &'a str>) -> Self {
        let sources = sources.into_iter().filter(|source| *source != repository);
        Self {
            repository: repository.to_owned(),
            push: true,
            sources: sources.map(str::to_owned).collect(),
        }
    }

    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// As token servers want it told.
    fn scopes(&self) -> Vec<String> {
        let actions = if self.push { "pull,push" } else { "pull" };
        let own = format!("repository:{}:{actions}", self.repository);
        let sources = self.sources.iter();
        std::iter::once(own)
            .chain(sources.map(|source| format!("repository:{source}:pull")))
            .collect()
    }
}

/// What a registry accepted, per registry and access.
#[derive(Default)]
pub(super) struct Authorizations {
    granted: Mutex<HashMap<(String, Access), Arc<Slot>>>,
}

/// One at a time asks for a new token; the others wait and use it.
type Slot = tokio::sync::Mutex<Option<Grant>>;

/// A header that a registry accepts.
#[derive(Clone)]
struct Grant {
    header: HeaderValue,
    expires: Option<Instant>,
    had_credentials: bool,
}

impl fmt::Debug for Authorizations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizations").finish_non_exhaustive()
    }
}

impl Authorizations {
    fn slot(&self, repository: &Repository) -> Arc<Slot> {
        let key = (repository.registry.clone(), repository.access.clone());
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(granted.entry(key).or_default())
    }

    /// The header that worked before, unless it has expired.
    pub(super) async fn current(&self, repository: &Repository) -> Option<HeaderValue> {
        let slot = self.slot(repository);
        let grant = slot.lock().await.clone()?;
        let alive = grant.expires.is_none_or(|end| Instant::now() < end);
        alive.then_some(grant.header)
    }

    /// Answers the challenge in `headers`, which came to a request with the header `refused`.
    pub(super) async fn renew(
        &self,
        repository: &Repository,
        headers: &HeaderMap,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        let slot = self.slot(repository);
        let mut slot = slot.lock().await;
        if let Some(grant) = slot.as_ref().filter(|grant| Some(&grant.header) != refused) {
            let alive = grant.expires.is_none_or(|end| Instant::now() < end);
            if alive {
                return Ok(grant.header.clone());
            }
        }
        *slot = None;
        let grant = answer(repository, headers).await?;
        let header = grant.header.clone();
        *slot = Some(grant);
        Ok(header)
    }

    /// The error for a refusal that a new login did not cure.
    pub(super) async fn refusal(&self, repository: &Repository) -> RegistryError {
        let slot = self.slot(repository);
        let grant = slot.lock().await.take();
        unauthorized(repository, grant.is_some_and(|grant| grant.had_credentials))
    }
}

fn unauthorized(repository: &Repository, had_credentials: bool) -> RegistryError {
    RegistryError::Unauthorized {
        registry: repository.registry.clone(),
        repository: repository.name().to_owned(),
        had_credentials,
    }
}

/// Does what the registry asks for.
async fn answer(repository: &Repository, headers: &HeaderMap) -> Result<Grant, RegistryError> {
    let challenges: Vec<Challenge> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(challenge::parse)
        .collect();
    let credentials = &repository.settings().credentials;
    let credential = credentials
        .find(&repository.registry, repository.name())
        .await?;
    if let Some(bearer) = challenges.iter().find(|it| it.scheme == "bearer") {
        return token::request(repository, bearer, credential.as_ref()).await;
    }
    let basic = challenges.iter().any(|it| it.scheme == "basic");
    match credential {
        Some(credential) if basic => {
            let header = credential.basic_header();
            let header = header.ok_or_else(|| unauthorized(repository, true))?;
            Ok(Grant {
                header,
                expires: None,
                had_credentials: true,
            })
        }
        _ => Err(unauthorized(repository, false)),
    }
}
