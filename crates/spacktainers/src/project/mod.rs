//! The project: settings, definitions, and every fault in them.
//!
//! ```text
//! spacktainers.toml       ──► settings ─┐
//! spack.yaml                            ├─► load ──► Project { settings, definitions, diagnostics, sources }
//! container_definitions/  ──► discover ─┘
//! ```
//!
//! Start at [`Project::load`]. It does not stop at a fault: all of them, in all files, are in
//! [`Project::diagnostics`], and what could be read is there beside them.
//!
//! - [`settings`](Settings): `spacktainers.toml`, where every key has a default;
//! - `discover`: which files are definitions;
//! - [`definition`](Definition): one container, after merging what bears on it;
//! - [`finish`](Finish): `container.toml` and `Dockerfile.epilogue`, which finish its image;
//! - `copied_files`: the older way to say which files an image has.

mod building_settings;
mod ci_settings;
mod copied_files;
mod deffile_faults;
mod definition;
mod discover;
mod ecr_settings;
mod farm_settings;
mod finish;
mod included;
mod load;
mod publish_settings;
mod settings;
mod settings_shape;
mod slim_settings;
mod spack_settings;
#[cfg(test)]
mod tests;
mod toml_tree;
mod trust_settings;

use std::io;
use std::path::{Path, PathBuf};

use crate::base::BaseArchitecture;
use crate::diagnostic::{Diagnostic, Sources};

pub use building_settings::{BuildingSettings, OwnBaseSettings, SourceMirror};
pub use ci_settings::{CiArchitecture, CiEnvironment, CiSettings};
pub(crate) use copied_files::for_spack;
pub use deffile_faults::diagnostic as deffile_diagnostic;
pub use definition::{DeffileDefinition, Definition, DefinitionKind, SpackDefinition};
pub use ecr_settings::EcrSettings;
pub use farm_settings::FarmSettings;
pub use finish::{CONTAINER_FILE, Finish};
pub use included::{IncludedEnvironment, IncludedLock};
pub use publish_settings::PublishSettings;
pub use settings::{
    ArchitectureSettings, DEFAULT_BUDGET, DEFAULT_VIEW, MirrorSettings, SETTINGS_FILE, Settings,
};
pub use spack_settings::{CheckoutSource, RecipeRepository, SpackSettings};
pub use trust_settings::TrustSettings;

/// Commands that finish an image, beside its `spack.yaml`.
pub const EPILOGUE_FILE: &str = "Dockerfile.epilogue";

/// A project as its authors wrote it.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// Its settings.
    pub settings: Settings,
    /// Its containers, by architecture and name; those that are switched off too.
    pub definitions: Vec<Definition>,
    /// The texts that faults point into.
    pub sources: Sources,
    /// Every fault.
    pub diagnostics: Vec<Diagnostic>,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Nothing here looks like one.
    #[error("there is no project here: `{}` is not a folder", folder.display())]
    NoDefinitions {
        /// Where definitions should be.
        folder: PathBuf,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A name that no container has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no container `{name}`{}{}", for_architecture(*.architecture), meant(.nearest.as_deref()))]
pub struct UnknownContainer {
    /// The name.
    pub name: String,
    /// The architecture that was asked for.
    pub architecture: Option<BaseArchitecture>,
    /// The nearest name that there is.
    pub nearest: Option<String>,
}

fn for_architecture(architecture: Option<BaseArchitecture>) -> String {
    architecture.map_or_else(String::new, |architecture| format!(" for {architecture}"))
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

impl Project {
    /// Reads the project in `folder`.
    ///
    /// # Errors
    /// When there is none, or its folders cannot be read. Faults in its files are no errors here.
    pub fn load(folder: &Path) -> Result<Self, ProjectError> {
        load::load(folder)
    }

    /// Whether nothing can be built before something is mended.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Whether the project has the container for other platforms as well.
    #[must_use]
    pub fn is_one_of_several(&self, definition: &Definition) -> bool {
        let spack = self.definitions.iter().filter(|it| it.as_spack().is_some());
        spack
            .filter(|it| it.enabled && it.name == definition.name)
            .any(|it| it.platform() != definition.platform())
    }

    /// What tags of the container end in, by [`crate::publish::release::suffix`].
    #[must_use]
    pub fn tag_suffix(&self, definition: &Definition) -> &'static str {
        let is_one_of_several = self.is_one_of_several(definition);
        crate::publish::release::suffix(definition.architecture, is_one_of_several)
    }

    /// The containers that are switched on, of these names and this architecture; no names: all of them.
    ///
    /// # Errors
    /// For the first name that no container has.
    pub fn select(
        &self,
        names: &[String],
        architecture: Option<BaseArchitecture>,
    ) -> Result<Vec<&Definition>, UnknownContainer> {
        let fits = |it: &&Definition| {
            it.enabled && architecture.is_none_or(|wanted| it.architecture == wanted)
        };
        let all: Vec<&Definition> = self.definitions.iter().filter(fits).collect();
        if names.is_empty() {
            return Ok(all);
        }
        let mut selected: Vec<&Definition> = Vec::new();
        for name in names {
            let before = selected.len();
            for definition in all.iter().filter(|it| it.name == *name) {
                if !selected.iter().any(|it| std::ptr::eq(*it, *definition)) {
                    selected.push(definition);
                }
            }
            if selected.len() == before && !selected.iter().any(|it| it.name == *name) {
                let known = all.iter().map(|it| it.name.as_str());
                return Err(UnknownContainer {
                    name: name.clone(),
                    architecture,
                    nearest: spack_format::yaml::nearest(name, known).map(str::to_owned),
                });
            }
        }
        Ok(selected)
    }
}
