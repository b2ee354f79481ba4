//! What the author wants done to the image at its end: `container.toml`, `Dockerfile.epilogue`.

use spack_format::yaml::Span;

use crate::base;
use crate::epilogue::{EpilogueContext, EpilogueError, apply};
use crate::image::{Image, LayerContent};
use crate::source::LoadedLayer;

use super::{BuildError, BuildInput, Made, World};

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
            folder: input.folder,
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
        image = apply(&image, &below, epilogue, &context).map_err(failed)?;
    }
    Ok(Made { image, findings })
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
