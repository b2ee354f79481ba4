//! From an image to the finished one: instructions in order.

use std::path::Path;
use std::sync::Arc;

use oci_format::config::{History, ImageConfig};
use oci_format::{Descriptor, ImageManifest, annotation, media_type};

use super::below::Below;
use super::configure::Configuration;
use super::copy::{Copying, copy, folder};
use super::run::run;
use super::words::WordFault;
use super::{Epilogue, EpilogueError, Instruction, Step};
use crate::assemble::{SourceDateEpoch, rfc3339};
use crate::base::BaseArchitecture;
use crate::event::Reporter;
use crate::image::{Image, RecordedLayer};
use crate::local_cache::LocalCache;
use crate::sandbox::{Machine, Sandbox, Stop};
use crate::source::LoadedLayer;

/// What carrying out an epilogue needs to know.
pub struct EpilogueContext<'a> {
    /// The definition's folder: what can be copied lies in it.
    pub folder: &'a Path,
    /// What the image is for.
    pub architecture: BaseArchitecture,
    /// Where layers are put.
    pub cache: &'a LocalCache,
    /// The time that the image says it was made at.
    pub created: SourceDateEpoch,
    /// What commands are run on.
    pub machine: &'a Machine,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
}

impl Epilogue {
    /// Whether the layers of the image have to be read: an epilogue of metadata alone needs none of them.
    #[must_use]
    pub fn needs_layers(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(
                step.instruction,
                Instruction::Run(_) | Instruction::Copy { .. } | Instruction::Workdir(_)
            )
        })
    }
}

/// Carries out `epilogue` on `image`, whose layers are `below`, lowest first; none where [`Epilogue::needs_layers`] says
/// that none are needed.
///
/// # Errors
/// When an instruction cannot be carried out, which the error names.
pub fn apply(
    image: &Image,
    below: &[LoadedLayer],
    epilogue: &Epilogue,
    context: &EpilogueContext<'_>,
) -> Result<Image, EpilogueError> {
    let mut config = ImageConfig::parse(&image.config)?;
    let mut work = Work {
        configuration: Configuration::new(std::mem::take(&mut config.config)),
        below: below.to_vec(),
        layers: image.layers.clone(),
        sandbox: Sandbox::new(
            context.machine.clone(),
            context.cache.clone(),
            Arc::clone(&context.reporter),
            Stop::default(),
        ),
        context,
    };
    let created = rfc3339(context.created);
    for step in &epilogue.steps {
        let before = work.layers.len();
        work.carry_out(step)?;
        config.history.push(History {
            created: Some(created.clone()),
            created_by: Some(step.text.clone()),
            comment: Some("spacktainers".to_owned()),
            empty_layer: work.layers.len() == before,
            ..History::default()
        });
    }
    config.config = work.configuration.config;
    config.rootfs.diff_ids = work.layers.iter().map(|layer| layer.diff_id).collect();
    Ok(assemble(&config, work.layers, image)?)
}

/// The image with this config and these layers; annotations are those of `before`, and what labels say anew.
fn assemble(
    config: &ImageConfig,
    layers: Vec<RecordedLayer>,
    before: &Image,
) -> Result<Image, oci_format::JsonError> {
    let mut annotations = ImageManifest::parse(&before.manifest)?.annotations;
    for (key, value) in &config.config.labels {
        if key.starts_with("org.opencontainers.image.") && key != annotation::CREATED {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let config = config.to_json();
    let config_descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    let descriptors = layers.iter().map(|layer| layer.descriptor.clone());
    let mut manifest = ImageManifest::new(config_descriptor.clone(), descriptors.collect());
    manifest.annotations = annotations;
    let manifest = manifest.to_json();
    let manifest_descriptor = Descriptor::of(media_type::IMAGE_MANIFEST, &manifest);
    Ok(Image {
        config,
        config_descriptor,
        manifest,
        manifest_descriptor,
        layers,
    })
}

struct Work<'a> {
    configuration: Configuration,
    below: Vec<LoadedLayer>,
    layers: Vec<RecordedLayer>,
    sandbox: Sandbox,
    context: &'a EpilogueContext<'a>,
}

impl Work<'_> {
    fn carry_out(&mut self, step: &Step) -> Result<(), EpilogueError> {
        let wrong = |(_, message): WordFault| EpilogueError::Value {
            place: step.place.clone(),
            message,
        };
        let configuration = &mut self.configuration;
        match &step.instruction {
            Instruction::Env(pairs) => configuration.env(pairs).map_err(wrong),
            Instruction::Label(pairs) => configuration.label(pairs).map_err(wrong),
            Instruction::Arg(arguments) => {
                let architecture = self.context.architecture.as_str();
                let platform = format!("linux/{architecture}");
                let predefined = [
                    ("TARGETPLATFORM", platform.as_str()),
                    ("TARGETOS", "linux"),
                    ("TARGETARCH", architecture),
                ];
                for (name, value) in arguments {
                    configuration
                        .argument(name, value.as_deref(), &predefined)
                        .map_err(wrong)?;
                }
                Ok(())
            }
            Instruction::User(user) => configuration.user(user).map_err(wrong),
            Instruction::Entrypoint(command) => {
                configuration.entrypoint(command);
                Ok(())
            }
            Instruction::Cmd(command) => {
                configuration.cmd(command);
                Ok(())
            }
            Instruction::Expose(ports) => configuration.expose(ports).map_err(wrong),
            Instruction::Volume(paths) => configuration.volume(paths).map_err(wrong),
            Instruction::Shell(words) => {
                configuration.shell.clone_from(words);
                Ok(())
            }
            Instruction::StopSignal(signal) => configuration.stop_signal(signal).map_err(wrong),
            Instruction::Workdir(path) => {
                let path = configuration.workdir(path).map_err(wrong)?;
                let below = Below::new(&self.below)?;
                let made = folder(&path, &below, &step.text, self.context)?;
                self.extend(made);
                Ok(())
            }
            Instruction::Copy {
                sources,
                documents,
                destination,
                flags,
                unpacks,
            } => {
                let fill = |text: &String| configuration.fill(text).map_err(wrong);
                let destination = fill(destination)?;
                let documents = documents.iter().map(|it| {
                    let text = match it.expands {
                        true => configuration.fill_document(&it.text).map_err(wrong)?,
                        false => it.text.clone(),
                    };
                    Ok((it.name.clone(), text))
                });
                let copying = Copying {
                    sources: sources.iter().map(fill).collect::<Result<_, _>>()?,
                    documents: documents.collect::<Result<_, EpilogueError>>()?,
                    is_folder: destination.ends_with('/')
                        || matches!(destination.as_str(), "." | "..")
                        || destination.ends_with("/."),
                    destination: configuration.absolute(&destination),
                    owner: flags.owner.as_ref().map(fill).transpose()?,
                    mode: flags.mode,
                    unpacks: *unpacks,
                    place: &step.place,
                };
                let below = Below::new(&self.below)?;
                let made = copy(&copying, &below, &step.text, self.context)?;
                self.extend(Some(made));
                Ok(())
            }
            Instruction::Run(command) => {
                let (below, sandbox) = (&self.below, &mut self.sandbox);
                let made = run(command, step, configuration, below, sandbox, self.context)?;
                self.extend(made);
                Ok(())
            }
        }
    }

    fn extend(&mut self, layer: Option<RecordedLayer>) {
        let Some(layer) = layer else {
            return;
        };
        if let crate::image::LayerContent::Here(content) = &layer.content {
            self.below.push(LoadedLayer {
                diff_id: layer.diff_id,
                digest: Some(layer.descriptor.digest),
                content: content.clone(),
            });
        }
        self.layers.push(layer);
    }
}
