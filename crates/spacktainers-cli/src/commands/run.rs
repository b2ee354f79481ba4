//! `run` and `shell`: a command in an image.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use oci_format::{Digest, ImageConfig};
use spack_format::spec::SatisfiesIn;
use spacktainers::base::{self, BaseArchitecture};
use spacktainers::build::{self, Container, Sharing};
use spacktainers::content::Content;
use spacktainers::image::LayerContent;
use spacktainers::project::{Definition, Settings};
use spacktainers::run::{Invocation, command, replace_process, sandbox};
use spacktainers::source::{self, ImageSource, LoadedImage, LoadedLayer};
use spacktainers::unpack::unpack;

use super::session::{Session, build_failure, container_failure, shown_failure};
use super::{architecture, block_on, sound_project};
use crate::args::RunArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::processor;

/// Shells to look for, the better ones first.
const SHELLS: [&str; 2] = ["bin/bash", "bin/sh"];

pub(super) fn run(args: &RunArgs, context: &Context) -> Result<Exit, Failure> {
    start(&args.source, context, |image, _| {
        let config = &image.config.config;
        let entrypoint = config.entrypoint.clone().unwrap_or_default();
        let rest: Vec<OsString> = if args.command.is_empty() {
            config
                .cmd
                .clone()
                .unwrap_or_default()
                .into_iter()
                .map(OsString::from)
                .collect()
        } else {
            args.command.clone()
        };
        entrypoint
            .into_iter()
            .map(OsString::from)
            .chain(rest)
            .collect()
    })
}

pub(super) fn shell(source: &str, context: &Context) -> Result<Exit, Failure> {
    start(source, context, |_, root| {
        let shell = SHELLS
            .iter()
            .find(|shell| fs::symlink_metadata(root.join(shell)).is_ok());
        vec![OsString::from(format!("/{}", shell.unwrap_or(&SHELLS[1])))]
    })
}

/// An image with its bytes at hand.
struct Unpackable {
    /// What names its root file system: the layers, not the config.
    key: String,
    config: ImageConfig,
    layers: Vec<Content>,
}

fn start(
    source: &str,
    context: &Context,
    command_of: impl FnOnce(&Unpackable, &Path) -> Vec<OsString>,
) -> Result<Exit, Failure> {
    let (image, root) = block_on(async {
        let image = find(source, context).await?;
        let cache = context.local_cache()?;
        let root = unpacked(&image, &cache.root().join("roots"))?;
        Ok((image, root))
    })?;
    let arguments = command_of(&image, &root);
    if arguments.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            spacktainers::run::RunError::NoCommand,
        ));
    }
    let search: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let is_root = is_root();
    let sandbox = sandbox(&search, is_root).map_err(|error| Failure::new(Exit::Fault, error))?;
    let config = &image.config.config;
    let invocation = Invocation {
        root,
        env: config.env.clone(),
        working_dir: config.working_dir.clone().unwrap_or_default(),
        command: arguments,
    };
    Err(Failure::new(
        Exit::Fault,
        replace_process(command(&sandbox, &invocation)),
    ))
}

pub(super) fn is_root() -> bool {
    // The owner of our own process, without asking for more than the file system.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// The image that `source` names: with a transport, an image; without, a container of the project.
async fn find(source: &str, context: &Context) -> Result<Unpackable, Failure> {
    match source.contains(':') {
        true => find_image(source, context).await,
        false => build_container(source, context).await,
    }
}

async fn find_image(source: &str, context: &Context) -> Result<Unpackable, Failure> {
    let source = ImageSource::parse(source).map_err(|error| Failure::new(Exit::Usage, error))?;
    let session = Session::new(&Settings::default(), &[], context).await?;
    let architecture = architecture(context)?.unwrap_or_else(host_architecture);
    let mut base_context = session.base_to_run(architecture);
    // What is typed is taken from where it is typed.
    base_context.folder = PathBuf::new();
    let image = source::load(&source, architecture, &base_context)
        .await
        .map_err(|error| {
            let exit = if error.is_verification() {
                Exit::Unverified
            } else {
                Exit::Refused
            };
            Failure::new(exit, error)
        })?;
    Ok(Unpackable {
        key: key(image.layers.iter().map(|layer| layer.diff_id)),
        layers: image
            .layers
            .into_iter()
            .map(|layer| layer.content)
            .collect(),
        config: image.config,
    })
}

pub(super) fn host_architecture() -> BaseArchitecture {
    match std::env::consts::ARCH {
        "aarch64" => BaseArchitecture::Arm64,
        _ => BaseArchitecture::Amd64,
    }
}

async fn build_container(name: &str, context: &Context) -> Result<Unpackable, Failure> {
    let image = build_image(name, context).await?;
    Ok(Unpackable {
        key: key(image.layers.iter().map(|layer| layer.diff_id)),
        layers: image
            .layers
            .into_iter()
            .map(|layer| layer.content)
            .collect(),
        config: image.config,
    })
}

/// The image of a container of the project, sent nowhere. Libraries that it lacks are no reason not to look into it.
pub(super) async fn build_image(name: &str, context: &Context) -> Result<LoadedImage, Failure> {
    let project = sound_project(context)?;
    let architecture = architecture(context)?.unwrap_or_else(host_architecture);
    let selected = project
        .select(&[name.to_owned()], Some(architecture))
        .map_err(|error| {
            Failure::new(Exit::Usage, error).hint("an image is named with its transport: `oci:DIR`")
        })?;
    let definition = best_here(&selected);
    let container = Container::load(&project, definition).map_err(container_failure)?;
    let session = Session::new(&project.settings, &[], context).await?;
    let satisfies = SatisfiesIn::new(&container.spack_lock.specs);
    let satisfies = |spec: &_, constraint: &str| satisfies.satisfies(spec, constraint);
    let world = session.world(context);
    let sharing = Sharing::of(&project, definition, world.cache);
    let input = container.input(&satisfies, &sharing, true);
    let locked = build::lock(&input, &container.spack_lock, &world)
        .await
        .map_err(build_failure)?;
    let made = build::image(&locked, &input, &container.spack_lock, &world, true)
        .map_err(build_failure)?;
    let made = build::finish(made, &input, &world)
        .await
        .map_err(|error| shown_failure(error, &project, context))?;
    let mut layers = Vec::new();
    for layer in &made.image.layers {
        let content = match &layer.content {
            LayerContent::Here(content) => content.clone(),
            LayerContent::Remote(_) => base::layer_content(layer, session.base())
                .await
                .map_err(|error| Failure::new(Exit::Refused, error))?,
        };
        layers.push(LoadedLayer {
            diff_id: layer.diff_id,
            digest: Some(layer.descriptor.digest),
            content,
        });
    }
    let config =
        ImageConfig::parse(&made.image.config).map_err(|error| Failure::new(Exit::Fault, error))?;
    Ok(LoadedImage {
        manifest: Some(made.image.manifest_descriptor.digest),
        config,
        layers,
    })
}

/// Of definitions of one name and architecture, the one for the highest variant that runs here. There is at least one.
pub(super) fn best_here<'a>(selected: &[&'a Definition]) -> &'a Definition {
    let runs = processor::variant(selected[0].architecture);
    let fits = |it: &&&Definition| it.variant <= runs;
    // Variants are `v` and a digit: their order is that of their names.
    let best = selected
        .iter()
        .filter(fits)
        .max_by_key(|it| it.variant.clone());
    best.unwrap_or(&selected[0])
}

/// The same layers in the same order give the same tree.
fn key(diff_ids: impl Iterator<Item = Digest>) -> String {
    let ids: Vec<String> = diff_ids.map(|it| it.to_string()).collect();
    Digest::of(ids.join("\n").as_bytes()).hex()
}

/// The root file system, unpacked once and kept.
fn unpacked(image: &Unpackable, roots: &Path) -> Result<PathBuf, Failure> {
    let root = roots.join(&image.key);
    if root.is_dir() {
        return Ok(root);
    }
    let fault = |error: std::io::Error, path: &Path| {
        let why = anyhow::Error::new(error).context(format!("cannot write `{}`", path.display()));
        Failure::new(Exit::Fault, why)
    };
    fs::create_dir_all(roots).map_err(|error| fault(error, roots))?;
    let temporary = tempfile::Builder::new()
        .prefix(".unpacking-")
        .tempdir_in(roots)
        .map_err(|error| fault(error, roots))?;
    let inside = temporary.path().join("root");
    unpack(&image.layers, &inside, is_root())
        .map_err(|error| Failure::new(Exit::Unverified, error))?;
    // What is mounted in the sandbox needs a place; images of nothing but packages have none.
    for place in ["dev", "proc", "sys", "tmp"] {
        let place = inside.join(place);
        if fs::symlink_metadata(&place).is_err() {
            fs::create_dir(&place).map_err(|error| fault(error, &place))?;
        }
    }
    match fs::rename(&inside, &root) {
        // Somebody else was faster with the very same tree.
        Err(_) if root.is_dir() => Ok(root),
        Err(error) => Err(fault(error, &root)),
        Ok(()) => Ok(root),
    }
}
