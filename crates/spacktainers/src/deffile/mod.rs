//! Definition files into SIF files.
//!
//! ```text
//! BuildPlan ─► stages, in order: source ─► layers         begin.rs: registry, layout, archive, SIF file, Debian packages
//!                                %files ─► one layer more  files.rs, stage_files.rs
//!           ─► the last stage, with its scripts, labels and apps ─► SifInput
//! ```
//!
//! Everything is a layer, so that what is written is written as any image is: in one stream, without a root file system on
//! the disk, and without privileges. What has to *run* while the image is built (`%pre`, `%setup`, `%post`,
//! `%appinstall`) is refused by name: there is no sandbox for it yet.
//!
//! Start at [`prepare`].

mod begin;
mod error;
mod files;
mod parts;
mod stage_files;

use std::path::Path;

use oci_format::{Digest, ImageConfig};
use sif_format::deffile::{BuildPlan, ExecutionPlace, FilesFrom, SectionKind, Source, Stage};
use sif_format::singularity::{self, OciConfig};

use crate::base::{self, BaseArchitecture, BaseContext, BaseSource, LockedBase};
use crate::sif::{SifFacts, SifInput};
use crate::source::{self, LoadedLayer};

use begin::{Kind, Ready};

pub use error::DeffileError;

/// All that a SIF file of a definition file is made from.
#[derive(Debug)]
pub struct Prepared {
    layers: Vec<LoadedLayer>,
    /// How many of them are the image's that it begins with.
    source_layers: usize,
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
        let created = self
            .config
            .as_ref()
            .and_then(|config| config.created.as_deref());
        SifInput {
            layers: &self.layers,
            source: self.source.clone(),
            definition: self.definition.clone(),
            image: self.image,
            architecture: self.architecture.to_string(),
            variant: self
                .config
                .as_ref()
                .and_then(|config| config.variant.clone()),
            time: created
                .and_then(crate::assemble::parse_rfc3339)
                .map_or(0, |it| it.0),
        }
    }
}

impl Prepared {
    /// What is known of the file before it is written: the definition file, the image that it begins with, and a digest
    /// of the layers on top of that.
    #[must_use]
    pub fn facts(&self) -> SifFacts {
        let own = self.layers.get(self.source_layers..).unwrap_or_default();
        let own: Vec<String> = own.iter().map(|it| it.diff_id.to_string()).collect();
        SifFacts {
            lock: (!own.is_empty()).then(|| Digest::of(own.join("\n").as_bytes())),
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

/// Brings all that the plan needs. Relative paths of `%files` are taken from `folder`, as Apptainer takes them from where
/// the build is started.
///
/// # Errors
/// When something has to run, is not there, or cannot be fetched.
pub async fn prepare(
    plan: &BuildPlan,
    folder: &Path,
    architecture: BaseArchitecture,
    context: &BaseContext,
) -> Result<Prepared, DeffileError> {
    let mut warnings = Vec::new();
    for execution in plan.executions() {
        match execution.section {
            SectionKind::Test => {
                warnings.push("%test was not run: run it with `apptainer test FILE`".to_owned())
            }
            section => {
                return Err(DeffileError::Runs {
                    section: section.to_string(),
                    on_host: execution.place == ExecutionPlace::Host,
                });
            }
        }
    }
    let mut ready: Vec<Ready> = Vec::new();
    for stage in &plan.stages {
        let mut begun = begin::begin(&stage.source, architecture, context, &mut warnings).await?;
        add_files(stage, &mut begun, &ready, folder, context).await?;
        ready.push(begun);
    }
    let (Some(stage), Some(last)) = (plan.last(), ready.pop()) else {
        return Err(DeffileError::Empty);
    };
    let source = match (&last.config, last.kind) {
        (Some(config), Kind::Oci) => {
            let json = serde_json::to_value(&config.config).unwrap_or_default();
            let config = OciConfig::from_json(json);
            singularity::Source::Oci(
                config.map_err(|error| DeffileError::Config(error.to_string()))?,
            )
        }
        (_, Kind::Image) => singularity::Source::Image,
        _ => singularity::Source::Bare,
    };
    Ok(Prepared {
        source_layers: last.source_layers,
        layers: last.layers,
        config: last.config,
        source,
        definition: parts::of(stage, plan.definition()),
        architecture,
        image: last.image,
        warnings,
    })
}

/// `%files` and `%appfiles`, each section a layer on top.
async fn add_files(
    stage: &Stage,
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
    for (from, transfers, app) in sections.chain(apps) {
        if transfers.is_empty() {
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
                base::blocking(move || files::layer(&transfers, &folder, &below, &layers, &cache))
                    .await?
            }
            FilesFrom::Stage(index) => {
                let source = before
                    .get(index)
                    .map(|it| it.layers.clone())
                    .unwrap_or_default();
                base::blocking(move || stage_files::layer(&transfers, &source, &layers, &cache))
                    .await?
            }
        };
        ready.layers.push(made);
    }
    Ok(())
}
