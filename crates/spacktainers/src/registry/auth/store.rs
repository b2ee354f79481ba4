//! Where credentials are looked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use oci_format::reference::DEFAULT_REGISTRY;

use super::credentials::{AuthFile, Offer};
use super::helper;
use super::{Credential, CredentialError};
use crate::registry::ecr::EcrAccess;

/// The most bytes of a credential file that we read.
const MAX_FILE: u64 = 4 << 20;

/// Credentials by registry, and the files to search for others. Files are read when a registry asks
/// for credentials, not before.
#[derive(Debug, Clone, Default)]
pub struct CredentialStore {
    given: BTreeMap<String, Credential>,
    files: Vec<PathBuf>,
    ecr: Option<EcrAccess>,
}

impl CredentialStore {
    /// The places that the field uses, `variable` being the environment:
    ///
    /// 1. variables of CI systems: `GHCR_USER`/`GHCR_TOKEN` (and GitHub's own
    ///    `GITHUB_ACTOR`/`GITHUB_TOKEN`) for ghcr.io, GitLab's
    ///    `CI_REGISTRY`/`CI_REGISTRY_USER`/`CI_REGISTRY_PASSWORD`,
    ///    `DOCKERHUB_USER`/`DOCKERHUB_PASSWORD` for docker.io;
    /// 2. the container tools' `auth.json`: `REGISTRY_AUTH_FILE`, or below `XDG_RUNTIME_DIR`, or
    ///    below `XDG_CONFIG_HOME` or `~/.config`;
    /// 3. Docker's `config.json`: in `DOCKER_CONFIG` or `~/.docker`.
    #[must_use]
    pub fn discover(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut store = Self::default();
        let text = |name: &str| {
            let value = variable(name)?.into_string().ok()?;
            (!value.is_empty()).then_some(value)
        };
        let pairs = [
            ("ghcr.io", "GITHUB_ACTOR", "GITHUB_TOKEN"),
            ("ghcr.io", "GHCR_USER", "GHCR_TOKEN"),
            (DEFAULT_REGISTRY, "DOCKERHUB_USER", "DOCKERHUB_PASSWORD"),
        ];
        for (registry, user, secret) in pairs {
            if let (Some(user), Some(secret)) = (text(user), text(secret)) {
                store.insert(registry, Credential::password(user, secret));
            }
        }
        let gitlab = ["CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD"].map(text);
        if let [Some(registry), Some(user), Some(password)] = gitlab {
            store.insert(&registry, Credential::password(user, password));
        }
        let path = |name: &str| {
            variable(name)
                .filter(|it| !it.is_empty())
                .map(PathBuf::from)
        };
        let home = path("HOME");
        let below_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
        let containers = |directory: PathBuf| directory.join("containers/auth.json");
        match path("REGISTRY_AUTH_FILE") {
            Some(file) => store.files.push(file),
            None => {
                let runtime = path("XDG_RUNTIME_DIR").map(containers);
                let config = path("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
                store.files.extend(runtime);
                store.files.extend(config.map(containers));
            }
        }
        let docker = path("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        store
            .files
            .extend(docker.map(|directory| directory.join("config.json")));
        store
    }

    /// Uses `credential` for `registry`, before anything that files say.
    pub fn insert(&mut self, registry: &str, credential: Credential) {
        self.given.insert(registry.to_owned(), credential);
    }

    /// Asks AWS for tokens of its registries, before files are searched: tokens in files are good for twelve hours, and
    /// are often older.
    #[must_use]
    pub fn with_ecr(mut self, ecr: EcrAccess) -> Self {
        self.ecr = Some(ecr);
        self
    }

    /// The way to ECR, if there is one.
    #[must_use]
    pub fn ecr(&self) -> Option<&EcrAccess> {
        self.ecr.as_ref()
    }

    /// Searches `file` after those already known.
    pub fn add_file(&mut self, file: impl Into<PathBuf>) {
        self.files.push(file.into());
    }

    /// The credential for `repository` of `registry`, if there is any.
    ///
    /// # Errors
    /// When there are credentials that cannot be used.
    pub async fn find(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        if let Some(credential) = self.given.get(registry) {
            return Ok(Some(credential.clone()));
        }
        if let Some(ecr) = &self.ecr
            && let Some(token) = ecr.token(registry).await?
        {
            return Ok(Some(token));
        }
        for path in &self.files {
            let Some(file) = read(path)? else {
                continue;
            };
            match file.offer(registry, repository) {
                None => {}
                Some(Offer::Credential(credential)) => return Ok(Some(credential)),
                Some(Offer::Malformed) => {
                    return Err(CredentialError::Entry {
                        path: path.clone(),
                        registry: registry.to_owned(),
                    });
                }
                Some(Offer::Helper {
                    name,
                    server,
                    must_work,
                }) => match helper::ask(&name, &server).await {
                    Ok(None) => {}
                    Ok(found) => return Ok(found),
                    // The general helper is often one of a desktop that is not there, in a file that
                    // came from elsewhere; public images need no credentials.
                    Err(CredentialError::Run { .. }) if !must_work => {}
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(None)
    }
}

/// The file, unless there is none.
fn read(path: &Path) -> Result<Option<AuthFile>, CredentialError> {
    let failed = |source| CredentialError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_FILE => {
            return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        Ok(_) => std::fs::read(path).map_err(failed)?,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let file = serde_json::from_slice(&bytes);
    file.map(Some).map_err(|source| CredentialError::Malformed {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(variables: &[(&str, &str)]) -> CredentialStore {
        CredentialStore::discover(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[tokio::test]
    async fn variables_of_ci_systems_are_credentials() {
        let store = store(&[
            ("GHCR_USER", "u"),
            ("GHCR_TOKEN", "t"),
            ("GITHUB_ACTOR", "other"),
            ("GITHUB_TOKEN", "other"),
            ("CI_REGISTRY", "gitlab.example:5050"),
            ("CI_REGISTRY_USER", "ci"),
            ("CI_REGISTRY_PASSWORD", "p"),
        ]);
        let find = async |registry: &str| store.find(registry, "a").await.expect("no files");
        assert_eq!(find("ghcr.io").await, Some(Credential::password("u", "t")));
        assert_eq!(
            find("gitlab.example:5050").await,
            Some(Credential::password("ci", "p"))
        );
        assert_eq!(find("docker.io").await, None);
    }

    #[test]
    fn files_are_searched_in_the_order_of_the_container_tools() {
        let files = |variables: &[(&str, &str)]| {
            let files = store(variables).files;
            files
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            files(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]),
            [
                "/r/containers/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json"
            ]
        );
        assert_eq!(
            files(&[
                ("HOME", "/h"),
                ("REGISTRY_AUTH_FILE", "/a.json"),
                ("DOCKER_CONFIG", "/d")
            ]),
            ["/a.json", "/d/config.json"]
        );
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_skipped_and_a_damaged_one_is_named() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut store = CredentialStore::default();
        store.add_file(directory.path().join("absent"));
        assert_eq!(store.find("a", "b").await.expect("nothing"), None);
        let damaged = directory.path().join("damaged.json");
        std::fs::write(&damaged, "{").expect("writes");
        store.add_file(&damaged);
        let error = store.find("a", "b").await.expect_err("damaged");
        assert!(error.to_string().contains("damaged.json"), "{error}");
    }

    #[tokio::test]
    async fn a_helper_named_for_the_registry_must_work_and_the_general_one_need_not() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("config.json");
        let text = r#"{"credHelpers":{"a":"absent-helper"},"credsStore":"absent-helper"}"#;
        std::fs::write(&file, text).expect("writes");
        let mut store = CredentialStore::default();
        store.add_file(&file);
        let error = store.find("a", "b").await.expect_err("must work");
        assert!(matches!(error, CredentialError::Run { .. }), "{error}");
        assert_eq!(store.find("other", "b").await.expect("need not"), None);
    }
}
