//! Credentials, and the files that hold them.
//!
//! ```json
//! {"auths": {"ghcr.io": {"auth": "<base64 of user:password>"}},
//!  "credHelpers": {"quay.io": "pass"}, "credsStore": "secretservice"}
//! ```
//!
//! `auth.json` of the container tools may hold keys with a path, `quay.io/team`, good for the
//! repositories below it; Docker's `config.json` writes some hosts as addresses,
//! `https://index.docker.io/v1/`.
//!
//! Sources: containers-auth.json(5); Docker's `config.json`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use reqwest::header::HeaderValue;
use serde::Deserialize;

/// Who we are for one registry. Its `Debug` says nothing secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// User name and password (or a token in its place).
    Password {
        /// The name.
        user: String,
        /// The secret.
        password: String,
    },
    /// A token that a token server exchanges for another one.
    IdentityToken(String),
}

impl Credential {
    /// A user name and a password.
    #[must_use]
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password {
            user: user.into(),
            password: password.into(),
        }
    }

    /// `Authorization: Basic …`; nothing for identity tokens.
    pub(super) fn basic_header(&self) -> Option<HeaderValue> {
        let Self::Password { user, password } = self else {
            return None;
        };
        let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { .. } => f.write_str("Credential::Password(…)"),
            Self::IdentityToken(_) => f.write_str("Credential::IdentityToken(…)"),
        }
    }
}

/// What a credential file says.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AuthFile {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What a file offers for a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// The credential itself.
    Credential(Credential),
    /// The program `docker-credential-<name>` may know it, asked for `server`.
    Helper {
        /// `name`.
        name: String,
        /// What to ask for.
        server: String,
        /// Named for this very registry: then it must work.
        must_work: bool,
    },
    /// There is an entry, and it is not understood.
    Malformed,
}

impl AuthFile {
    /// What there is for `repository` of `registry`; the longest matching key wins, helpers named
    /// for the registry come before entries, and the general helper comes last.
    pub(super) fn offer(&self, registry: &str, repository: &str) -> Option<Offer> {
        let helpers = self.cred_helpers.iter().flatten();
        if let Some((key, name)) = helpers.into_iter().find(|(key, _)| names(key, registry)) {
            return Some(Offer::Helper {
                name: name.clone(),
                server: key.clone(),
                must_work: true,
            });
        }
        let mut wanted = format!("{registry}/{repository}");
        loop {
            let entries = self.auths.iter().flatten();
            let found = entries.into_iter().find(|(key, _)| names(key, &wanted));
            if let Some(offer) = found.and_then(|(_, entry)| entry.offer()) {
                return Some(offer);
            }
            match wanted.rsplit_once('/') {
                Some((shorter, _)) => wanted = shorter.to_owned(),
                None => break,
            }
        }
        self.creds_store.as_ref().map(|name| Offer::Helper {
            name: name.clone(),
            server: server_name(registry).to_owned(),
            must_work: false,
        })
    }
}

impl Entry {
    /// Nothing for the empty entries that Docker writes where a helper holds the secret.
    fn offer(&self) -> Option<Offer> {
        if let Some(token) = self.identitytoken.as_ref().filter(|it| !it.is_empty()) {
            return Some(Offer::Credential(Credential::IdentityToken(token.clone())));
        }
        if let Some(auth) = self.auth.as_ref().filter(|it| !it.is_empty()) {
            return Some(decode(auth).map_or(Offer::Malformed, Offer::Credential));
        }
        match (&self.username, &self.password) {
            (Some(user), Some(password)) => {
                Some(Offer::Credential(Credential::password(user, password)))
            }
            _ => None,
        }
    }
}

fn decode(auth: &str) -> Option<Credential> {
    let auth = auth.trim().trim_end_matches('=');
    let text = String::from_utf8(STANDARD_NO_PAD.decode(auth).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker pads passwords with NULs.
    Some(Credential::password(user, password.trim_end_matches('\0')))
}

/// Docker Hub has many names, and helpers know it by an old one.
const DOCKER_HUB_SERVER: &str = "https://index.docker.io/v1/";

fn server_name(registry: &str) -> &str {
    if registry == oci_format::reference::DEFAULT_REGISTRY {
        DOCKER_HUB_SERVER
    } else {
        registry
    }
}

/// Whether a key of a credential file means `wanted` (a registry, or with a path a part of it).
fn names(key: &str, wanted: &str) -> bool {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key
        .strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key);
    let (host, path) = key
        .split_once('/')
        .map_or((key, None), |(host, path)| (host, Some(path)));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => oci_format::reference::DEFAULT_REGISTRY,
        host => host,
    };
    match (path, wanted.split_once('/')) {
        (None, None) => host == wanted,
        (Some(path), Some((wanted_host, wanted_path))) => {
            host == wanted_host && path == wanted_path
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> AuthFile {
        serde_json::from_str(text).expect("an auth file")
    }

    fn user(offer: Option<Offer>) -> String {
        match offer {
            Some(Offer::Credential(Credential::Password { user, .. })) => user,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_key_wins() {
        let file = file(
            r#"{"auths":{"quay.io":{"auth":"YTox"},"quay.io/team":{"auth":"Yjoy"},"quay.io/team/x":{"auth":"Yzoz"}}}"#,
        );
        assert_eq!(user(file.offer("quay.io", "other")), "a");
        assert_eq!(user(file.offer("quay.io", "team/y")), "b");
        assert_eq!(user(file.offer("quay.io", "team/x")), "c");
        assert_eq!(user(file.offer("quay.io", "teams")), "a");
        assert_eq!(file.offer("quay.io:443", "team"), None);
    }

    #[test]
    fn docker_hub_is_known_by_its_old_address() {
        let file = file(r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTox"}}}"#);
        assert_eq!(user(file.offer("docker.io", "library/debian")), "a");
    }

    #[test]
    fn an_empty_entry_sends_us_to_the_general_helper() {
        let file = file(r#"{"auths":{"ghcr.io":{}},"credsStore":"desktop"}"#);
        let helper = Offer::Helper {
            name: "desktop".into(),
            server: "ghcr.io".into(),
            must_work: false,
        };
        assert_eq!(file.offer("ghcr.io", "a"), Some(helper));
    }

    #[test]
    fn a_helper_for_the_registry_comes_first() {
        let file =
            file(r#"{"auths":{"quay.io":{"auth":"YTox"}},"credHelpers":{"quay.io":"pass"}}"#);
        let helper = Offer::Helper {
            name: "pass".into(),
            server: "quay.io".into(),
            must_work: true,
        };
        assert_eq!(file.offer("quay.io", "a"), Some(helper));
    }

    #[test]
    fn identity_tokens_names_and_malformed_entries_are_told_apart() {
        let file = file(
            r#"{"auths":{"a":{"identitytoken":"t"},"b":{"username":"u","password":"p"},"c":{"auth":"%%"},"d":{"auth":"YTox="}}}"#,
        );
        assert_eq!(
            file.offer("a", "x"),
            Some(Offer::Credential(Credential::IdentityToken("t".into())))
        );
        assert_eq!(user(file.offer("b", "x")), "u");
        assert_eq!(file.offer("c", "x"), Some(Offer::Malformed));
        assert_eq!(user(file.offer("d", "x")), "a");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?}", Credential::password("u", "hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
        let header = Credential::password("u", "p")
            .basic_header()
            .expect("a header");
        assert_eq!(header.to_str().expect("text"), "Basic dTpw");
        assert!(header.is_sensitive());
    }
}
