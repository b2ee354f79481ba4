//! One container as its author wrote it, with everything that bears on it.

use std::path::{Path, PathBuf};

use oci_format::{Digest, Platform};
use spack_format::environment::{ChangeKind, Environment, UserSpec, Views};
use spack_format::environment_modifications::{Modification, Modifications, PrefixInspections};
use spack_format::prefix::Projections;
use spack_format::view::{LinkType, ViewDescriptor, ViewLink};
use spack_format::yaml::SourceId;

use super::discover::Form;
use super::finish::Finish;
use super::included::IncludedEnvironment;
use super::{ArchitectureSettings, Settings};
use crate::base::{BaseArchitecture, BaseSource};
use crate::build::Limits;
use crate::diagnostic::Diagnostic;
use crate::layer::slim::SlimRules;

/// One container.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name: of the folder or the file.
    pub name: String,
    /// What its image is for.
    pub architecture: BaseArchitecture,
    /// The variant of the architecture, where the name of the folder has one: `v4` of `amd64_v4`.
    pub variant: Option<String>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// The file that defines it.
    pub file: PathBuf,
    /// Its text among the project's sources.
    pub source: SourceId,
    /// What kind of container it is.
    pub kind: DefinitionKind,
    pub(super) form: Form,
}

/// What kind of container a definition describes.
#[derive(Debug, Clone)]
pub enum DefinitionKind {
    /// Packages of Spack on a base.
    Spack(Box<SpackDefinition>),
    /// A Singularity definition file.
    Deffile(DeffileDefinition),
}

/// A container of Spack packages.
#[derive(Debug, Clone)]
pub struct SpackDefinition {
    /// What holds after merging the definition, what it includes and the project's own `spack.yaml`.
    pub environment: Environment,
    /// The specs that are asked for.
    pub specs: Vec<UserSpec>,
    /// The views that the image has.
    pub views: Vec<ViewDescriptor>,
    /// `env_vars`.
    pub env_vars: Modifications,
    /// `modules:prefix_inspections`, or Spack's own.
    pub inspections: PrefixInspections,
    /// Environments that it includes (`include_concrete`).
    pub included: Vec<IncludedEnvironment>,
    /// What finishes the image: files that the definition lists, `container.toml`, then `Dockerfile.epilogue`.
    pub finish: Vec<Finish>,
    /// Debian packages that its base has besides those of the settings.
    pub base_packages: Vec<String>,
    /// What of packages the image has: what the settings say, and `container.toml`.
    pub slim: SlimRules,
    /// How large the image may be: likewise.
    pub limits: Limits,
    /// Commands that the image is tried with before it is published: `tests` of `container.toml`.
    pub tests: Vec<String>,
    /// Digest of all that the author wrote and that decides about the image.
    pub digest: Digest,
    /// Digest of what decides about the base image.
    pub base_digest: Digest,
}

/// A container that a Singularity definition file describes.
#[derive(Debug, Clone)]
pub struct DeffileDefinition {
    /// The tag of its `From:`.
    pub version: Option<String>,
}

impl Definition {
    /// Spack's decision for it: `spack.lock` in its folder, or `<name>.spack.lock` beside a flat definition.
    #[must_use]
    pub fn spack_lock(&self) -> PathBuf {
        self.beside("spack.lock")
    }

    /// Our decision for it: `container.lock` in its folder, or `<name>.container.lock` beside a flat definition.
    #[must_use]
    pub fn container_lock(&self) -> PathBuf {
        self.beside("container.lock")
    }

    fn beside(&self, what: &str) -> PathBuf {
        match self.form {
            Form::Folder => self.file.with_file_name(what),
            Form::Flat | Form::Deffile => self.file.with_extension(what),
        }
    }

    /// The definition as one of Spack packages.
    #[must_use]
    pub fn as_spack(&self) -> Option<&SpackDefinition> {
        match &self.kind {
            DefinitionKind::Spack(definition) => Some(definition),
            DefinitionKind::Deffile(_) => None,
        }
    }

    /// What its image is for, in the words of its folder: `amd64`, `amd64_v4`.
    #[must_use]
    pub fn platform_name(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}_{variant}", self.architecture),
            None => self.architecture.to_string(),
        }
    }

    /// What its image is for, in the words of the image specification.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.to_string(),
            os: "linux".to_owned(),
            variant: self.variant.clone(),
        }
    }

    /// `name` as in a path or `name:arch`, for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.platform_name())
    }
}

/// The views of an image. A relative root is a fault: an image has no folder that it could be relative to.
///
/// Only the definition itself decides about views. What the project's `spack.yaml` says is about the machines that
/// build packages, which often want none.
pub(super) fn views(
    own: &Environment,
    settings: &Settings,
    faults: &mut Vec<Diagnostic>,
) -> Vec<ViewDescriptor> {
    let declared = match own.views() {
        Views::None => return Vec::new(),
        Views::Unsaid | Views::Default => return vec![ViewDescriptor::at(&settings.view)],
        Views::Declared(declared) => declared,
    };
    let mut views = Vec::new();
    for view in declared {
        if !view.root.starts_with('/') {
            faults.push(
                Diagnostic::error(view.span, format!("the view `{}` has a relative root", view.name))
                    .label("relative")
                    .hint(format!(
                        "write a path in the image, such as `{}`, or leave `view` out for that very one",
                        settings.view
                    )),
            );
            continue;
        }
        let projections = match Projections::new(view.projections) {
            Ok(projections) => projections,
            Err(error) => {
                faults.push(Diagnostic::error(view.span, error.to_string()).label("this view"));
                continue;
            }
        };
        let (link_type, link) = (
            view.link_type.unwrap_or_default(),
            view.link.unwrap_or_default(),
        );
        views.push(ViewDescriptor {
            raw_root: view.root.clone(),
            root: view.root.trim_end_matches('/').to_owned(),
            projections,
            select: view.select,
            exclude: view.exclude,
            // Other words were reported by the schema.
            link: ViewLink::from_name(&link).unwrap_or_default(),
            link_type: LinkType::from_name(&link_type).unwrap_or_default(),
        });
    }
    // The one that is called `default` is the one that is activated.
    let default = own.views();
    if let Views::Declared(declared) = default
        && let Some(at) = declared.iter().position(|view| view.name == "default")
        && let Some(index) = views
            .iter()
            .position(|view| view.raw_root == declared[at].root)
    {
        let view = views.remove(index);
        views.insert(0, view);
    }
    views
}

pub(super) fn env_vars(environment: &Environment) -> Modifications {
    let mut modifications = Modifications::new();
    for change in environment.variable_changes() {
        let command = match change.kind {
            ChangeKind::Set => "set",
            ChangeKind::Unset => "unset",
            ChangeKind::PrependPath => "prepend_path",
            ChangeKind::AppendPath => "append_path",
            ChangeKind::RemovePath => "remove_path",
        };
        if let Ok(modification) = Modification::from_command(command, &change.name, &change.value) {
            modifications.push(modification);
        }
    }
    modifications
}

pub(super) fn inspections(environment: &Environment) -> PrefixInspections {
    environment
        .prefix_inspections()
        .map(PrefixInspections::new)
        .unwrap_or_default()
}

/// What decides about an image besides `spack.lock`.
pub(super) struct Inputs<'a> {
    pub(super) architecture: BaseArchitecture,
    pub(super) variant: Option<&'a str>,
    /// The definition, the files it includes, the project's `spack.yaml`, what finishes the image: name and text.
    pub(super) texts: Vec<(&'a str, &'a str)>,
    /// Packages of the base for this container alone.
    pub(super) base_packages: &'a [String],
    pub(super) settings: &'a Settings,
}

/// Digest of all that decides about the image, and of what decides about its base.
///
/// Fields are written with their lengths, so that no two different inputs give the same bytes.
pub(super) fn digests(inputs: &Inputs<'_>) -> (Digest, Digest) {
    let ArchitectureSettings { base, target, .. } = inputs
        .settings
        .platform(inputs.architecture, inputs.variant);
    let mut base_text = Fields::new("base 1");
    base_text.field("architecture", inputs.architecture.as_str());
    base_text.field("base", &base.to_string());
    if let (BaseSource::Debian, Some(debian)) = (&base, &inputs.settings.debian) {
        base_text.field("suite", &debian.suite);
        base_text.field("variant", debian.variant.as_str());
        base_text.field("components", &debian.components.join(" "));
        base_text.field("packages", &debian.packages.join(" "));
        if !inputs.base_packages.is_empty() {
            base_text.field("more", &inputs.base_packages.join(" "));
        }
        base_text.field(
            "pockets",
            &debian
                .pockets
                .as_ref()
                .map_or_else(String::new, |it| it.join(" ")),
        );
        for (name, value) in [
            ("mirror", &debian.mirror),
            ("security", &debian.security_mirror),
            ("snapshot", &debian.snapshot),
        ] {
            base_text.field(name, value.as_deref().unwrap_or_default());
        }
    }
    let base_digest = Digest::of(base_text.text.as_bytes());
    let mut text = Fields::new("definition 1");
    for (name, content) in &inputs.texts {
        text.field(name, content);
    }
    text.field("base", &base_digest.to_string());
    text.field("target", target.as_deref().unwrap_or_default());
    text.field("view", &inputs.settings.view);
    text.field("budget", &inputs.settings.budget.to_string());
    if inputs.settings.tree_digest {
        text.field("tree digest", "told");
    }
    if !inputs.settings.slim.is_empty() {
        text.field("slim", &inputs.settings.slim.to_text());
    }
    if let Some(compression) = inputs.settings.compression {
        text.field("compression", &compression.title());
    }
    if let Some(install) = &inputs.settings.install {
        text.field("root", &install.root);
        text.field("store", &install.store);
    }
    (Digest::of(text.text.as_bytes()), base_digest)
}

struct Fields {
    text: String,
}

impl Fields {
    fn new(kind: &str) -> Self {
        Self {
            text: format!("{kind}\n"),
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        self.text
            .push_str(&format!("{name} {}\n{value}\n", value.len()));
    }
}

/// A path below the project's folder as people should see it.
pub(super) fn shown(path: &Path, folder: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}
