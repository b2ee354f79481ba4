//! What a stage of a definition file begins with: `Bootstrap:` and `From:`.
//!
//! Source: Apptainer User Guide, "Definition Files" and its appendix on bootstrap agents.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use oci_format::{Digest, ImageConfig, Reference};
use sif_format::deffile::{Source, Which};

use super::DeffileError;
use crate::base::debian::{DebianSettings, DebianVariant};
use crate::base::{self, BaseArchitecture, BaseContext, BaseSource};
use crate::content::Content;
use crate::event::TaskKind;
use crate::image::LayerContent;
use crate::publish::{Task, find_sif};
use crate::sif::{members, signing};
use crate::source::{self, ImageSource, LoadedLayer};

/// What a stage begins with, for Apptainer's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Oci,
    Image,
    Bare,
}

/// A stage that is there.
pub(super) struct Ready {
    pub(super) layers: Vec<LoadedLayer>,
    /// Besides the image that it begins with and the definition: digests of what decides about the layers.
    pub(super) inputs: Vec<Digest>,
    pub(super) config: Option<ImageConfig>,
    pub(super) image: Option<Digest>,
    pub(super) kind: Kind,
    /// Set when scripts ran: Apptainer's metadata is in the layers, and these labels were added.
    pub(super) built: Option<IndexMap<String, String>>,
}

/// Brings what a stage begins with to this machine.
pub(super) async fn begin(
    source: &Source,
    architecture: BaseArchitecture,
    context: &BaseContext,
    warnings: &mut Vec<String>,
) -> Result<Ready, DeffileError> {
    let image = match source {
        Source::Docker(reference) => ImageSource::Registry(reference.to_string()),
        Source::Oci(from) => ImageSource::OciLayout {
            directory: (&from.path).into(),
            reference: named(&from.image),
        },
        Source::OciArchive(from) => ImageSource::OciArchive {
            file: (&from.path).into(),
            reference: named(&from.image),
        },
        Source::DockerArchive(from) => ImageSource::DockerArchive {
            file: (&from.path).into(),
            reference: named(&from.image),
        },
        Source::Scratch => {
            return Ok(Ready {
                layers: Vec::new(),
                inputs: Vec::new(),
                config: None,
                image: None,
                kind: Kind::Bare,
                built: None,
            });
        }
        Source::Debootstrap(wanted) => {
            let mut settings = DebianSettings::new(&wanted.suite);
            // With `%{OSVERSION}` and such the mirror is Apptainer's business; a plain one is ours.
            settings.mirror = Some(wanted.mirror.clone()).filter(|it| it.contains("://"));
            settings.packages.clone_from(&wanted.include);
            settings.variant = DebianVariant::Minbase;
            return debian(settings, architecture, context, warnings).await;
        }
        Source::LocalImage { path, fingerprints } => {
            let path = context.folder.join(path);
            check_signers(&path, fingerprints, context).await?;
            return image_of_apptainer(path, context).await;
        }
        Source::Oras(reference) => return from_registry(&reference.to_string(), context).await,
        Source::Other { agent, .. } => return Err(DeffileError::Source(agent)),
    };
    let loaded = source::load(&image, architecture, context).await?;
    Ok(Ready {
        inputs: match loaded.manifest {
            Some(_) => Vec::new(),
            None => loaded.layers.iter().map(|it| it.diff_id).collect(),
        },
        layers: loaded.layers,
        config: Some(loaded.config),
        image: loaded.manifest,
        kind: Kind::Oci,
        built: None,
    })
}

/// A SIF file or a squashfs on this machine: its metadata stays, and the definition file adds to it.
async fn image_of_apptainer(path: PathBuf, context: &BaseContext) -> Result<Ready, DeffileError> {
    let cache = context.cache.clone();
    let layer = base::blocking(move || members::as_layer(&path, &cache)).await?;
    Ok(Ready {
        image: Some(layer.diff_id),
        inputs: Vec::new(),
        layers: vec![layer],
        config: None,
        kind: Kind::Image,
        built: None,
    })
}

/// A SIF file in a registry. It stays in the local cache: who builds on one does so again.
async fn from_registry(reference: &str, context: &BaseContext) -> Result<Ready, DeffileError> {
    let shown = || format!("oras://{reference}");
    if context.offline {
        return Err(DeffileError::Offline(shown()));
    }
    let parsed: Reference = reference
        .parse()
        .map_err(|_| DeffileError::NoSif(shown()))?;
    let repository = context.registries.repository(&parsed)?;
    let found = find_sif(&repository, &parsed).await?;
    let found = found.ok_or_else(|| DeffileError::NoSif(shown()))?;
    let task = Task::start(&context.reporter, TaskKind::Fetch, shown(), found.file.size);
    let content = repository
        .blob_to_cache(&found.file, &context.cache, task.advance())
        .await?;
    task.finish();
    match content {
        Content::File { path, .. } => image_of_apptainer(path, context).await,
        Content::Memory(_) => Err(DeffileError::NoSif(shown())),
    }
}

/// Checks that every one of the keys has signed all of the image, as `Fingerprints:` asks.
async fn check_signers(
    path: &Path,
    fingerprints: &[String],
    context: &BaseContext,
) -> Result<(), DeffileError> {
    if fingerprints.is_empty() {
        return Ok(());
    }
    let (owned, keys, now) = (path.to_owned(), context.sif_keys.clone(), context.now);
    let reports = base::blocking(move || signing::verify(&owned, &keys, now)).await?;
    let signers: Vec<&str> = reports
        .iter()
        .filter(|report| report.is_good())
        .filter_map(|report| Some(&*report.outcome.as_ref().ok()?.fingerprint))
        .collect();
    let has_signed = |wanted: &String| signers.iter().any(|it| it.eq_ignore_ascii_case(wanted));
    match fingerprints.iter().find(|wanted| !has_signed(wanted)) {
        None => Ok(()),
        Some(wanted) => Err(DeffileError::Unsigned {
            path: path.to_owned(),
            fingerprint: wanted.clone(),
        }),
    }
}

fn named(which: &Which) -> Option<String> {
    match which {
        Which::Only => None,
        Which::Named(name) => Some(name.clone()),
        Which::Index(index) => Some(format!("@{index}")),
    }
}

async fn debian(
    settings: DebianSettings,
    architecture: BaseArchitecture,
    context: &BaseContext,
    warnings: &mut Vec<String>,
) -> Result<Ready, DeffileError> {
    let mut context = context.clone();
    context.debian = Some(settings);
    let locked = base::resolve(&BaseSource::Debian, architecture, &context)
        .await
        .map_err(source::SourceError::from)?;
    let made = base::materialise(&locked, &context)
        .await
        .map_err(source::SourceError::from)?;
    warnings.extend(made.warnings);
    let mut layers = Vec::new();
    for layer in &made.layers {
        let content = match &layer.content {
            LayerContent::Here(content) => content.clone(),
            LayerContent::Remote(_) => base::layer_content(layer, &context)
                .await
                .map_err(source::SourceError::from)?,
        };
        layers.push(LoadedLayer {
            diff_id: layer.diff_id,
            digest: Some(layer.descriptor.digest),
            content,
        });
    }
    Ok(Ready {
        inputs: layers.iter().map(|it| it.diff_id).collect(),
        layers,
        config: made.config,
        image: None,
        kind: Kind::Bare,
        built: None,
    })
}
