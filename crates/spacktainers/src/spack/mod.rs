//! Driving real Spack: who solves what the build cache cannot answer, and builds what is missing.
//!
//! ```text
//! [spack] ──► checkout ──► Spack ──► command: one run, killed with us, its words as events
//!             a folder,     │
//!             or a commit   ├─► manifest + scope: definition, site and settings as one environment of Spack's
//!             cloned once   ├─► concretize:       environment ──► spack.lock, remembered by its inputs
//!                           └─► run_environment:  spack.lock ──► what recipes set at run time
//! ```
//!
//! Start at [`Spack::open`], then [`concretize`]. Spack sees nothing of the user's own configuration: it is given a
//! configuration scope of ours, caches and a GnuPG home below the local cache. Nothing that it prints is parsed;
//! results are files that it writes, and its exit status.
//!
//! Source of what Spack takes and does: `lib/spack/spack/main.py`, `config.py`, `environment/environment.py` in Spack 1.1.

mod checkout;
mod command;
mod concretize;
mod error;
mod files;
mod keys;
mod manifest;
mod run_environment;
mod scope;
mod secrets;
#[cfg(test)]
mod tests;
mod tracked;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::Reporter;
use crate::local_cache::LocalCache;
use crate::openpgp::{KeySource, SecretKey, SignError};
use crate::project::{MirrorSettings, Settings, SourceMirror};

pub use concretize::{Solved, concretize, concretize_all};
pub use error::SpackError;
pub use secrets::{is_secret, redacted};

pub(crate) use command::{Run, Trusted};
pub(crate) use concretize::{free_memory, write_environment};
pub(crate) use files::write_whole;
pub(crate) use manifest::definition_manifest;
pub(crate) use run_environment::RecipeQuestion;
pub(crate) use scope::{ScopeFiles, Store, mirror_json};
pub(crate) use tracked::{TrackedKind, tracked_files};

/// What Spack is run with. The library reads neither the environment nor the clock: it is told.
#[derive(Clone)]
pub struct SpackContext {
    /// Where checkouts, Spack's own caches and remembered solutions lie.
    pub cache: LocalCache,
    /// The variables of this process.
    pub environment: BTreeMap<String, String>,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
    /// How much to do at once.
    pub jobs: NonZeroUsize,
    /// Whether nothing may be cloned.
    pub is_offline: bool,
}

/// A Spack that can be run, with the recipes and mirrors of one project.
pub struct Spack {
    context: SpackContext,
    executable: PathBuf,
    /// Says which Spack this is: commit, local changes, configuration of the checkout.
    identity: String,
    commit: Option<String>,
    python: Option<PathBuf>,
    signing_key: Option<KeySource>,
    /// Namespaces and folders of recipes from the settings, and what says which ones they are.
    repositories: Vec<(String, PathBuf, String)>,
    mirrors: Vec<MirrorSettings>,
    source_mirrors: Vec<SourceMirror>,
    keys: keys::GpgHome,
    /// Held by the run that fills Spack's caches, so that others do not do the same beside it.
    first: tokio::sync::Mutex<()>,
}

/// A Spack that is found, and cloned, when it is needed first.
pub struct SpackOnDemand {
    settings: Settings,
    context: SpackContext,
    found: tokio::sync::OnceCell<Spack>,
}

impl SpackOnDemand {
    /// The Spack of `settings`.
    #[must_use]
    pub fn new(settings: Settings, context: SpackContext) -> Self {
        Self {
            settings,
            context,
            found: tokio::sync::OnceCell::new(),
        }
    }

    /// The Spack, found the first time.
    ///
    /// # Errors
    /// As [`Spack::open`].
    pub async fn get(&self) -> Result<&Spack, SpackError> {
        self.found
            .get_or_try_init(|| Spack::open(&self.settings, self.context.clone()))
            .await
    }
}

impl Spack {
    /// Finds the Spack of `settings`, cloning it if it is named by a commit and not here yet; without such settings,
    /// the one of `SPACK_ROOT`.
    ///
    /// # Errors
    /// When there is none, or a clone fails.
    pub async fn open(settings: &Settings, context: SpackContext) -> Result<Self, SpackError> {
        let spack = &settings.spack;
        let root = match &spack.source {
            Some(source) => checkout::checkout(source, &context).await?,
            None => match context
                .environment
                .get("SPACK_ROOT")
                .filter(|it| !it.is_empty())
            {
                Some(root) => PathBuf::from(root),
                None => return Err(SpackError::NotFound),
            },
        };
        let root = absolute(&root)?;
        let executable = root.join("bin/spack");
        if !executable.is_file() {
            return Err(SpackError::NoSpack { folder: root });
        }
        let mut repositories = Vec::new();
        for repository in &spack.repositories {
            let source = checkout::checkout(&repository.source, &context).await?;
            let folder = absolute(&source.join(&repository.folder))?;
            if !folder.join("repo.yaml").is_file() {
                return Err(SpackError::NoRepository {
                    name: repository.name.clone(),
                    folder,
                });
            }
            let identity = checkout::recipes_identity(&folder, &context).await?;
            repositories.push((repository.name.clone(), folder, identity));
        }
        let (identity, commit) = checkout::spack_identity(&root, &context).await?;
        let keys = keys::GpgHome::new(&settings.mirrors, &context).await?;
        Ok(Self {
            keys,
            first: tokio::sync::Mutex::new(()),
            executable,
            identity,
            commit,
            python: spack.python.as_deref().map(absolute).transpose()?,
            signing_key: spack.signing_key.clone(),
            repositories,
            mirrors: settings.mirrors.clone(),
            source_mirrors: settings.building.source_mirrors.clone(),
            context,
        })
    }

    /// The commit of the checkout, if it is one of git.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// What it is run with.
    #[must_use]
    pub fn context(&self) -> &SpackContext {
        &self.context
    }

    /// A folder of Spack's below the local cache, made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, SpackError> {
        let root = absolute(self.context.cache.root())?;
        let folder = root.join("spack").join(name);
        std::fs::create_dir_all(&folder).map_err(SpackError::io("make the folder", &folder))?;
        Ok(folder)
    }

    /// The secret key that signs packages: that of the settings, else what `SPACK_DEPLOYMENT_KEY_PRIVATE` holds or names, as
    /// pipelines of Spack containers have it. `SPACK_DEPLOYMENT_KEY_PASSPHRASE` unlocks it, where that is needed.
    ///
    /// # Errors
    /// When there is no such key, or it is locked.
    pub(crate) fn signing_key(&self) -> Result<Option<SecretKey>, SignError> {
        let variable = |name: &str| {
            let value = self.context.environment.get(name).map(String::as_str);
            value.filter(|it| !it.is_empty())
        };
        let named = || {
            let text = variable("SPACK_DEPLOYMENT_KEY_PRIVATE")?;
            Some(KeySource::new(text, Path::new("")))
        };
        let source = self.signing_key.clone().or_else(named);
        let passphrase = variable("SPACK_DEPLOYMENT_KEY_PASSPHRASE");
        source.map(|it| it.load(passphrase)).transpose()
    }

    /// The folder of the checkout.
    pub(crate) fn root(&self) -> &Path {
        let bin = self.executable.parent();
        bin.and_then(Path::parent).unwrap_or(&self.executable)
    }

    /// What says which Spack this is: commit, local changes, configuration of the checkout.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// Repositories of recipes: namespaces, folders, and what says which ones they are.
    pub(crate) fn repositories(&self) -> &[(String, PathBuf, String)] {
        &self.repositories
    }

    /// The mirrors of the project.
    pub(crate) fn mirrors(&self) -> &[MirrorSettings] {
        &self.mirrors
    }
}

/// The part of a path to recipes that Spack looks at: from 1.0 on recipes are modules of `spack_repo`.
pub(crate) fn recipe_place(folder: &Path) -> String {
    let parts: Vec<String> = folder
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let begin = parts.iter().rposition(|part| part == "spack_repo");
    let begin = begin.unwrap_or(parts.len().saturating_sub(1));
    parts.get(begin..).unwrap_or_default().join("/")
}

/// Spack is run in other folders than we are.
fn absolute(path: &Path) -> Result<PathBuf, SpackError> {
    std::path::absolute(path).map_err(SpackError::io("find", path))
}
