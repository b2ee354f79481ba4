//! Definition files into SIF files.
//!
//! ```text
//! BuildPlan ─► stages, in order: source ─► layers         begin.rs: registry, layout, archive, SIF file, Debian packages
//!                                %files ─► one layer more  files.rs, stage_files.rs
//!                                scripts ─► one layer more scripts.rs: %setup, %post, %appinstall, executed in a sandbox
//!           ─► the last stage, with its scripts, labels and apps ─► SifInput
//! ```
//!
//! Everything is a layer, so that what is written is written as any image is: in one stream, and without privileges. A root file
//! system is unpacked only where something has to be executed ([`crate::sandbox`]).
//!
//! Start at [`prepare`].

mod begin;
mod error;
mod files;
mod parts;
mod scripts;
mod stage_files;

use std::path::Path;

use oci_format::{Digest, ImageConfig};
use sif_format::deffile::{BuildPlan, FilesFrom, Source, Stage};
use sif_format::singularity::{self, OciConfig};

use crate::base::{self, BaseArchitecture, BaseContext, BaseSource, LockedBase};
use crate::sif::{SifFacts, SifInput};
use crate::source::{self, LoadedLayer};

use begin::{Kind, Ready};
use scripts::{Executor, runs};

pub use error::DeffileError;
pub use scripts::Scripts;

/// All that a SIF file of a definition file is made from.
#[derive(Debug)]
pub struct Prepared {
    layers: Vec<LoadedLayer>,
    /// Besides the image that it begins with and the definition: digests of what decides about the layers.
    inputs: Vec<Digest>,
    config: Option<ImageConfig>,
    source: singularity::Source,
    definition: singularity::DefinitionParts,
    architecture: BaseArchitecture,
    /// Digest of the manifest of the last stage's image, where it has one.
    pub image: Option<Digest>,
    /// What the person who builds should know.
    pub warnings: Vec<String>,
}

impl Prepared {
    /// What [`crate::sif::write_sif`] wants.
    #[must_use]
    pub fn input(&self) -> SifInput<'_> {
        let config = self.config.as_ref();
        SifInput {
            layers: &self.layers,
            source: self.source.clone(),
            definition: self.definition.clone(),
            image: self.image,
            architecture: self.architecture.to_string(),
            variant: config.and_then(|config| config.variant.clone()),
            time: time(config),
        }
    }
}

/// The time that everything of ours is stamped with: that of the image that it begins with.
fn time(config: Option<&ImageConfig>) -> u64 {
    config
        .and_then(|config| config.created.as_deref())
        .and_then(crate::assemble::parse_rfc3339)
        .map_or(0, |it| it.0)
}

impl Prepared {
    /// What is known of the file before it is written: the definition file, the image that it begins with, and a digest
    /// of the files that are copied. What scripts make of these is not part of it: the same script may make something else
    /// on another machine or day, and that is no reason to publish again.
    #[must_use]
    pub fn facts(&self) -> SifFacts {
        let inputs: Vec<String> = self.inputs.iter().map(ToString::to_string).collect();
        SifFacts {
            lock: (!inputs.is_empty()).then(|| Digest::of(inputs.join("\n").as_bytes())),
            ..facts_of(&self.definition, self.image)
        }
    }

    /// What the layers are, lowest first.
    pub fn diff_ids(&self) -> impl Iterator<Item = &Digest> {
        self.layers.iter().map(|layer| &layer.diff_id)
    }

    /// Bytes of the layers that will be read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.content.len()).sum()
    }
}

fn facts_of(definition: &singularity::DefinitionParts, image: Option<Digest>) -> SifFacts {
    SifFacts {
        image,
        definition: Some(Digest::of(definition.text.as_bytes())),
        ..SifFacts::default()
    }
}

/// What [`Prepared::facts`] will say, found out without fetching a layer; nothing where that takes more than a question
/// to a registry: when files are copied into the image, or it does not come from a registry.
///
/// # Errors
/// When the registry cannot be asked.
pub async fn facts_ahead(
    plan: &BuildPlan,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<Option<SifFacts>, DeffileError> {
    let Some(stage) = plan.last() else {
        return Err(DeffileError::Empty);
    };
    let copies = |app: &sif_format::deffile::App| !app.files.is_empty();
    let Source::Docker(reference) = &stage.source else {
        return Ok(None);
    };
    if !stage.files.is_empty() || stage.apps.iter().any(copies) {
        return Ok(None);
    }
    let source = BaseSource::Registry(reference.to_string());
    let locked = base::resolve(&source, architecture, context)
        .await
        .map_err(source::SourceError::from)?;
    let LockedBase::Registry(image) = locked else {
        return Ok(None);
    };
    let parts = parts::of(stage, plan.definition());
    Ok(Some(facts_of(&parts, Some(image.manifest))))
}

/// Brings all that the plan needs, and executes what it asks to. Relative paths of `%files` are taken from `folder`, as
/// Apptainer takes them from where the build is started.
///
/// Without `%pre`, `%setup`, `%post`, `%appinstall` and `%test` nothing is executed.
///
/// # Errors
/// When something is not there, cannot be fetched, cannot be executed here, or fails.
pub async fn prepare(
    plan: &BuildPlan,
    folder: &Path,
    architecture: BaseArchitecture,
    context: &BaseContext,
    scripts: &Scripts,
) -> Result<Prepared, DeffileError> {
    let mut warnings = Vec::new();
    let mut executor = Executor::new(scripts, folder, context);
    let mut ready: Vec<Ready> = Vec::new();
    for stage in &plan.stages {
        executor.pre(stage, &mut warnings).await?;
        let mut begun = begin::begin(&stage.source, architecture, context, &mut warnings).await?;
        let definition = parts::of(stage, plan.definition());
        if runs(stage) {
            executor.put_metadata(&definition, &mut begun).await?;
        }
        add_files(
            stage,
            Turn::BeforeSetup,
            &mut begun,
            &ready,
            folder,
            context,
        )
        .await?;
        executor.setup(stage, &mut begun).await?;
        add_files(stage, Turn::AfterSetup, &mut begun, &ready, folder, context).await?;
        executor.post(stage, &mut begun).await?;
        if executor.tests(stage) {
            let prepared = prepared(&begun, definition, architecture)?;
            executor.test(prepared).await?;
        }
        ready.push(begun);
    }
    let (Some(stage), Some(last)) = (plan.last(), ready.pop()) else {
        return Err(DeffileError::Empty);
    };
    warnings.extend(executor.warnings());
    let definition = parts::of(stage, plan.definition());
    let mut prepared = prepared(&last, definition, architecture)?;
    prepared.warnings = warnings;
    Ok(prepared)
}

/// A stage as an image.
fn prepared(
    ready: &Ready,
    mut definition: singularity::DefinitionParts,
    architecture: BaseArchitecture,
) -> Result<Prepared, DeffileError> {
    if let Some(labels) = &ready.built {
        definition.added_labels.clone_from(labels);
    }
    Ok(Prepared {
        inputs: ready.inputs.clone(),
        layers: ready.layers.clone(),
        config: ready.config.clone(),
        source: source_of(ready)?,
        definition,
        architecture,
        image: ready.image,
        warnings: Vec::new(),
    })
}

/// What a stage's root file system is, for Apptainer's metadata.
fn source_of(ready: &Ready) -> Result<singularity::Source, DeffileError> {
    use singularity::Source;
    let config = match (&ready.config, ready.kind) {
        (Some(config), Kind::Oci) => {
            let json = serde_json::to_value(&config.config).unwrap_or_default();
            let config = OciConfig::from_json(json);
            Some(config.map_err(|error| DeffileError::Config(error.to_string()))?)
        }
        _ => None,
    };
    Ok(match (config, ready.kind) {
        (config, _) if ready.built.is_some() => Source::Built(config),
        (Some(config), _) => Source::Oci(config),
        (None, Kind::Image) => Source::Image,
        (None, Kind::Oci | Kind::Bare) => Source::Bare,
    })
}

/// Files are copied before and after `%setup`, as Apptainer does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// `%appfiles`, and files from other stages.
    BeforeSetup,
    /// Files of the machine.
    AfterSetup,
}

/// `%files` and `%appfiles`, each section a layer on top.
async fn add_files(
    stage: &Stage,
    turn: Turn,
    ready: &mut Ready,
    before: &[Ready],
    folder: &Path,
    context: &BaseContext,
) -> Result<(), DeffileError> {
    let apps = stage
        .apps
        .iter()
        .filter(|app| !app.files.is_empty())
        .map(|app| (FilesFrom::Host, &app.files, Some(&app.name)));
    let sections = stage
        .files
        .iter()
        .map(|files| (files.from, &files.transfers, None));
    for (from, transfers, app) in apps.chain(sections) {
        let own_turn = match (from, app) {
            (FilesFrom::Host, None) => Turn::AfterSetup,
            _ => Turn::BeforeSetup,
        };
        if transfers.is_empty() || turn != own_turn {
            continue;
        }
        let below = app.map_or_else(String::new, |name| format!("scif/apps/{name}"));
        let (layers, cache, transfers) = (
            ready.layers.clone(),
            context.cache.clone(),
            transfers.clone(),
        );
        let made = match from {
            FilesFrom::Host => {
                let folder = folder.to_owned();
                let made = base::blocking(move || {
                    files::layer(&transfers, &folder, &below, &layers, &cache)
                })
                .await?;
                ready.inputs.push(made.diff_id);
                made
            }
            FilesFrom::Stage(index) => {
                let source = before.get(index);
                if let Some(source) = source {
                    ready.inputs.extend(source.image);
                    ready.inputs.extend(&source.inputs);
                }
                let source = source.map(|it| it.layers.clone()).unwrap_or_default();
                base::blocking(move || stage_files::layer(&transfers, &source, &layers, &cache))
                    .await?
            }
        };
        ready.layers.push(made);
    }
    Ok(())
}
