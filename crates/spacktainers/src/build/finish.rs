//! What the author wants done to the image at its end: `container.toml`, `Dockerfile.epilogue`, `[image] tree_digest`.

use oci_format::{Descriptor, Digest, ImageConfig, ImageManifest, annotation, media_type};
use spack_format::yaml::Span;
use tokio::task::block_in_place;

use crate::base;
use crate::epilogue::{EpilogueContext, EpilogueError, apply};
use crate::event::TaskKind;
use crate::image::{Image, LayerContent};
use crate::publish::Task;
use crate::sif::layers_tree_digest;
use crate::source::LoadedLayer;

use super::{BuildError, BuildInput, Made, World};

/// The kind of record of trees' digests: from a digest of the layers' diffIDs.
const TREE: &str = "tree-digest-1";

/// Finishes an image. Its layers are read only where an instruction has to know what lies below it.
///
/// # Errors
/// When an instruction cannot be carried out, or a layer not be fetched.
pub async fn finish(
    made: Made,
    input: &BuildInput<'_>,
    world: &World<'_>,
) -> Result<Made, BuildError> {
    let Made {
        mut image,
        findings,
    } = made;
    for finish in input.finish {
        let epilogue = &finish.epilogue;
        if epilogue.steps.is_empty() {
            continue;
        }
        let below = match epilogue.needs_layers() {
            true => bring(&mut image, world).await?,
            false => Vec::new(),
        };
        let context = EpilogueContext {
            folder: &finish.folder,
            architecture: input.architecture,
            cache: world.cache,
            created: world.created,
            machine: world.machine,
            reporter: world.reporter.clone(),
        };
        let failed = |error: EpilogueError| BuildError::Finish {
            place: error
                .place()
                .map(|place| Span::from_range(finish.source, place.clone())),
            source: Box::new(error),
        };
        // Commands take their time.
        let applied = block_in_place(|| apply(&image, &below, epilogue, &context));
        image = applied.map_err(failed)?;
    }
    if input.tree_digest {
        let below = bring(&mut image, world).await?;
        let digest = block_in_place(|| tree_digest(&below, world))?;
        image = labelled(&image, annotation::TREE_DIGEST, &digest.to_string())?;
    }
    Ok(Made { image, findings })
}

/// Digest of the tree that layers make, found out once: every file is read for it.
fn tree_digest(layers: &[LoadedLayer], world: &World<'_>) -> Result<Digest, BuildError> {
    let ids: Vec<String> = layers.iter().map(|it| it.diff_id.to_string()).collect();
    let key = Digest::of(ids.join("\n").as_bytes()).hex();
    let known = world.cache.record(TREE, &key);
    let known = known.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    if let Some(known) = known {
        return Ok(known);
    }
    let size = layers.iter().map(|it| it.content.len()).sum();
    let label = "tree digest".to_owned();
    let task = Task::start(&world.reporter, TaskKind::Scan, label, size);
    let digest = layers_tree_digest(layers, &task.advance())?;
    task.finish();
    // Not remembered is only slower.
    let _ = world
        .cache
        .put_record(TREE, &key, digest.to_string().as_bytes());
    Ok(digest)
}

/// The image with one more label, which is an annotation too.
fn labelled(image: &Image, key: &str, value: &str) -> Result<Image, BuildError> {
    let mut config = ImageConfig::parse(&image.config)?;
    config
        .config
        .labels
        .insert(key.to_owned(), value.to_owned());
    let config = config.to_json();
    let config_descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    let mut manifest = ImageManifest::parse(&image.manifest)?;
    manifest.config = config_descriptor.clone();
    manifest
        .annotations
        .insert(key.to_owned(), value.to_owned());
    let manifest = manifest.to_json();
    Ok(Image {
        config,
        config_descriptor,
        manifest_descriptor: Descriptor::of(media_type::IMAGE_MANIFEST, &manifest),
        manifest,
        layers: image.layers.clone(),
    })
}

/// Brings all layers to this machine.
async fn bring(image: &mut Image, world: &World<'_>) -> Result<Vec<LoadedLayer>, BuildError> {
    let mut below = Vec::new();
    for layer in &mut image.layers {
        let content = base::layer_content(layer, world.base).await?;
        layer.content = LayerContent::Here(content.clone());
        below.push(LoadedLayer {
            diff_id: layer.diff_id,
            digest: Some(layer.descriptor.digest),
            content,
        });
    }
    Ok(below)
}
