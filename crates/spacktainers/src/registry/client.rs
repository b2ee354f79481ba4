//! The client and its handle on one repository.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oci_format::Reference;
use url::Url;

use super::auth::{Access, Authorizations, CredentialStore};
use super::http::{Http, is_loopback};
use super::{RegistryError, RetryPolicy};
use crate::image::RegistryOrigin;

/// Docker Hub's registry has another host than its references.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Registries (host, with port where there is one) that are spoken to without TLS. Loopback
    /// addresses always are.
    pub insecure: BTreeSet<String>,
    /// Who we are, where a registry asks.
    pub credentials: CredentialStore,
    /// When and how often to try again.
    pub retry: RetryPolicy,
    /// How long nothing may move before a connection counts as dead.
    pub stall: Duration,
    /// Bytes per request where an upload goes in chunks: after a first failure of a big blob.
    pub chunk: u64,
}

impl Default for RegistrySettings {
    /// No insecure registries, no credentials.
    fn default() -> Self {
        Self {
            insecure: BTreeSet::new(),
            credentials: CredentialStore::default(),
            retry: RetryPolicy::default(),
            stall: Duration::from_secs(60),
            // Cloud registries store a chunk as one part of a multipart upload: at least 5 MiB.
            chunk: 32 << 20,
        }
    }
}

/// Connections, credentials and tokens for any number of registries; cheap to clone.
#[derive(Clone)]
pub struct RegistryClient {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) settings: RegistrySettings,
    pub(super) http: Http,
    pub(super) authorizations: Authorizations,
}

impl RegistryClient {
    /// A client that has not yet spoken to anybody.
    #[must_use]
    pub fn new(settings: RegistrySettings) -> Self {
        let shared = Shared {
            settings,
            http: Http::default(),
            authorizations: Authorizations::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Who we are, where registries ask.
    #[must_use]
    pub fn credentials(&self) -> &CredentialStore {
        &self.shared.settings.credentials
    }

    /// The repository that `reference` names, for reading.
    ///
    /// # Errors
    /// When its host makes no address.
    pub fn repository(&self, reference: &Reference) -> Result<Repository, RegistryError> {
        self.open(reference.registry(), reference.repository(), false)
    }

    /// A repository that is known to hold something, for reading.
    ///
    /// # Errors
    /// When its host makes no address.
    pub fn origin(&self, origin: &RegistryOrigin) -> Result<Repository, RegistryError> {
        self.open(&origin.registry, &origin.repository, origin.plain_http)
    }

    /// Repository `name` of the registry at `registry` (host, with port where there is one), for
    /// reading; without TLS if `plain_http`, or where the settings or the address say so.
    ///
    /// # Errors
    /// When the host makes no address.
    pub fn open(
        &self,
        registry: &str,
        name: &str,
        plain_http: bool,
    ) -> Result<Repository, RegistryError> {
        let host = if registry == oci_format::reference::DEFAULT_REGISTRY {
            DOCKER_HUB_HOST
        } else {
            registry
        };
        let address = |scheme: &str| {
            let text = format!("{scheme}://{host}/v2/{name}/");
            Url::parse(&text).map_err(|_| RegistryError::Address(text))
        };
        let plain = address("http")?;
        let insecure = self.shared.settings.insecure.contains(registry);
        let base = if plain_http || insecure || is_loopback(&plain) {
            plain
        } else {
            address("https")?
        };
        Ok(Repository {
            client: self.clone(),
            registry: registry.to_owned(),
            base,
            access: Access::pull(name),
        })
    }
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryClient").finish_non_exhaustive()
    }
}

/// One name in one registry; cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) client: RegistryClient,
    pub(super) registry: String,
    /// `https://host/v2/name/`
    pub(super) base: Url,
    pub(super) access: Access,
}

impl Repository {
    /// Host and port, as in references.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        self.access.repository()
    }

    /// Where it is, for [`crate::image::RecordedLayer::origins`].
    #[must_use]
    pub fn as_origin(&self) -> RegistryOrigin {
        RegistryOrigin {
            registry: self.registry.clone(),
            repository: self.name().to_owned(),
            plain_http: self.base.scheme() == "http",
        }
    }

    /// The same for writing; blobs may be mounted from the repositories named in `sources`.
    #[must_use]
    pub fn writable<'a>(mut self, sources: impl IntoIterator<Item = &'a str>) -> Self {
        self.access = Access::push(self.access.repository(), sources);
        self
    }

    pub(super) fn settings(&self) -> &RegistrySettings {
        &self.client.shared.settings
    }

    /// An address below `/v2/<name>/`; `path` holds no `..` and no characters that need escaping.
    pub(super) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let joined = self.base.join(path);
        joined.map_err(|_| RegistryError::Address(format!("{}{path}", self.base)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(registry: &str, plain_http: bool) -> String {
        let settings = RegistrySettings {
            insecure: ["lab:5000".to_owned()].into(),
            ..RegistrySettings::default()
        };
        let repository = RegistryClient::new(settings).open(registry, "a/b", plain_http);
        repository.map_or_else(|error| error.to_string(), |it| it.base.into())
    }

    #[test]
    fn plain_http_is_for_loopback_and_for_who_is_called_insecure() {
        assert_eq!(
            base("127.0.0.1:5017", false),
            "http://127.0.0.1:5017/v2/a/b/"
        );
        assert_eq!(base("127.3.2.1", false), "http://127.3.2.1/v2/a/b/");
        assert_eq!(base("[::1]:5", false), "http://[::1]:5/v2/a/b/");
        assert_eq!(
            base("localhost:5000", false),
            "http://localhost:5000/v2/a/b/"
        );
        assert_eq!(base("lab:5000", false), "http://lab:5000/v2/a/b/");
        assert_eq!(base("h.example", true), "http://h.example/v2/a/b/");
        assert_eq!(base("lab", false), "https://lab/v2/a/b/");
        assert_eq!(
            base("localhost.example", false),
            "https://localhost.example/v2/a/b/"
        );
        assert_eq!(
            base("docker.io", false),
            "https://registry-1.docker.io/v2/a/b/"
        );
    }
}
