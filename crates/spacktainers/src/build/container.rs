//! One container of a project with the files beside its definition: what the stages are given.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_format::Digest;
use spack_format::lockfile::{LockfileError, SpackLockfile};
use spack_format::prefix::Satisfies;

use super::freshness::{LockState, lock_state};
use super::make::layer_budget;
use super::{BuildError, BuildInput, InstallRoot, LayersBefore, Sharing};
use crate::base::BaseSource;
use crate::farm::Order;
use crate::layer::Compress;
use crate::lock::{Lock, LockedRecipes};
use crate::project::{ArchitectureSettings, Definition, Project, SpackDefinition, for_spack};
use crate::resolve::{Wanted, decide};
use crate::spack::definition_manifest;

/// No `spack.lock` is longer: that of 1,000 packages has 5 MB.
const LONGEST_LOCK: u64 = 512 << 20;

/// A container that can be built: its definition, and what was decided for it.
pub struct Container<'p> {
    /// Its definition.
    pub definition: &'p Definition,
    /// The same, as one of Spack packages.
    pub spack: &'p SpackDefinition,
    /// What Spack decided.
    pub spack_lock: SpackLockfile,
    /// What was decided here before.
    pub lock_state: LockState,
    spack_yaml: Cow<'p, str>,
    spack_lock_text: String,
    wanted: Vec<Wanted>,
    manifest: serde_json::Value,
    architecture: ArchitectureSettings,
    install: Option<InstallRoot>,
    budget: usize,
    compression: Option<Compress>,
    tree_digest: bool,
}

/// Why a definition cannot be built from.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It is no container of Spack packages.
    #[error("`{0}` is a Singularity definition file, and this command is for Spack containers")]
    Deffile(String),
    /// Nobody has solved it.
    #[error("`{name}` was never solved: `{}` is not there", path.display())]
    NotSolved {
        /// The container.
        name: String,
        /// Where its lock should be.
        path: PathBuf,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `spack.lock` cannot be used.
    #[error("`{}` cannot be used", path.display())]
    SpackLock {
        /// Which.
        path: PathBuf,
        /// Why.
        source: LockfileError,
    },
}

impl ContainerError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotSolved { path, .. } => {
                let folder = path.parent().unwrap_or(path).display();
                format!(
                    "`spacktainers lock` chooses from what the mirrors hold; or solve it with Spack: `spack -e {folder} concretize`, and put the `spack.lock` there"
                )
            }
            Self::SpackLock { .. } => "solve the definition again with Spack".to_owned(),
            Self::Deffile(_) | Self::Read { .. } => return None,
        })
    }
}

impl<'p> Container<'p> {
    /// Reads what lies beside `definition`.
    ///
    /// # Errors
    /// When it is not one of Spack packages, or there is no `spack.lock` that can be used.
    pub fn load(project: &'p Project, definition: &'p Definition) -> Result<Self, ContainerError> {
        let name = || definition.name.clone();
        let spack = definition
            .as_spack()
            .ok_or_else(|| ContainerError::Deffile(name()))?;
        let path = definition.spack_lock();
        let Some(spack_lock_text) = read(&path)? else {
            return Err(ContainerError::NotSolved { name: name(), path });
        };
        let spack_lock = SpackLockfile::parse(&spack_lock_text)
            .map_err(|source| ContainerError::SpackLock { path, source })?;
        let before = read(&definition.container_lock())?;
        let lock_state = lock_state(
            before.as_deref(),
            &spack.digest,
            &Digest::of(spack_lock_text.as_bytes()),
        );
        let settings = &project.settings;
        Ok(Self {
            definition,
            spack,
            spack_lock,
            lock_state,
            spack_yaml: project
                .sources
                .get(definition.source)
                .map_or(Cow::Borrowed(""), |file| for_spack(&file.text)),
            spack_lock_text,
            wanted: wanted(spack),
            manifest: definition_manifest(project, definition),
            architecture: settings.platform(definition.architecture, definition.variant.as_deref()),
            install: settings.install.clone(),
            budget: settings.budget,
            compression: settings.compression,
            tree_digest: settings.tree_digest,
        })
    }

    /// The version of the container: of the first spec's package, as locked.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        version(&self.wanted, &self.spack_lock)
    }

    /// What the stages are given. The base that was decided before stays if `keep_base` and nothing that decides about it
    /// has changed.
    #[must_use]
    pub fn input<'a>(
        &'a self,
        satisfies: &'a Satisfies<'a>,
        shared: &'a Sharing,
        keep_base: bool,
    ) -> BuildInput<'a> {
        let before: Option<&Lock> = self
            .lock_state
            .lock()
            .filter(|lock| keep_base && lock.container.base_settings == self.spack.base_digest);
        BuildInput {
            name: &self.definition.name,
            architecture: self.definition.architecture,
            variant: self.definition.variant.as_deref(),
            definition: self.spack.digest,
            base_settings: self.spack.base_digest,
            spack_yaml: &self.spack_yaml,
            spack_lock: &self.spack_lock_text,
            wanted: &self.wanted,
            views: &self.spack.views,
            env_vars: &self.spack.env_vars,
            inspections: &self.spack.inspections,
            install: self.install.clone(),
            target: self.architecture.target.as_deref(),
            cpu: &self.architecture.cpu,
            base: &self.architecture.base,
            base_packages: &self.spack.base_packages,
            finish: &self.spack.finish,
            budget: self.budget,
            compression: self.compression,
            slim: &self.spack.slim,
            tree_digest: self.tree_digest,
            shared,
            layers_before: self.layers_before(),
            satisfies,
            before,
            recipes: self.recipes(),
            manifest: &self.manifest,
        }
    }

    /// The layers that were decided before.
    #[must_use]
    pub fn layers_before(&self) -> Option<LayersBefore<'_>> {
        Some(LayersBefore {
            layers: &self.lock_state.lock()?.layers,
            are_decided: self.lock_state.current().is_some(),
        })
    }

    /// Layers that packages may have, as far as it is known before the base is here: one of several layers takes more room.
    #[must_use]
    pub fn layer_budget(&self) -> usize {
        let base = usize::from(self.architecture.base != BaseSource::Scratch);
        layer_budget(self.budget, base).unwrap_or(1)
    }

    /// What recipes said when this very `spack.lock` was locked before.
    fn recipes(&self) -> Option<&LockedRecipes> {
        let lock = self.lock_state.lock()?;
        let is_same = lock.spack.lock == Digest::of(self.spack_lock_text.as_bytes());
        lock.recipes.as_ref().filter(|_| is_same)
    }

    /// What has to be in a mirror for it.
    ///
    /// # Errors
    /// When `spack.lock` does not fit the definition.
    pub fn order(&self, satisfies: &Satisfies<'_>) -> Result<Order<'_>, BuildError> {
        let target = self.architecture.target.as_deref();
        let decided = decide(&self.wanted, &self.spack_lock, target, satisfies)
            .map_err(BuildError::Mismatch)?;
        Ok(Order {
            title: self.definition.title(),
            manifest: &self.manifest,
            lock_text: &self.spack_lock_text,
            lock: &self.spack_lock,
            wanted: decided.packages.iter().map(|spec| spec.hash).collect(),
        })
    }

    /// What is asked for.
    #[must_use]
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }
}

fn wanted(spack: &SpackDefinition) -> Vec<Wanted> {
    spack
        .specs
        .iter()
        .map(|spec| Wanted {
            // What is no spec was told when the project was read.
            canonical: spack_format::spec::canonical(&spec.text)
                .unwrap_or_else(|_| spec.text.clone()),
            text: spec.text.clone(),
        })
        .collect()
}

/// The version of the package that the first wanted spec was locked as.
fn version(wanted: &[Wanted], lock: &SpackLockfile) -> Option<String> {
    let first = wanted.first()?;
    let root = lock
        .roots
        .iter()
        .find(|root| root.spec == first.canonical || root.spec == first.text);
    let root = root.or_else(|| lock.roots.first())?;
    Some(lock.specs.get(&root.hash)?.version.clone())
}

/// A file's text, if there is such a file.
pub(super) fn read(path: &Path) -> Result<Option<String>, ContainerError> {
    let read_error = |source| ContainerError::Read {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > LONGEST_LOCK => Err(read_error(io::Error::other(
            format!("it has more than {LONGEST_LOCK} bytes"),
        ))),
        Ok(_) => fs::read_to_string(path).map(Some).map_err(read_error),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(read_error(error)),
    }
}
