//! Symbols that are kept apart, as an artifact about the image.

use indexmap::IndexMap;
use oci_format::annotation;

use super::make::{Locked, platform};
use super::{BuildInput, World};
use crate::assemble::{Parts, assemble};
use crate::content::Content;
use crate::image::LayerContent;
use crate::publish::{AttachedBlob, Attachment};

/// The artifact type of images with debug files.
pub const DEBUG_ARTIFACT: &str = "application/vnd.spacktainers.debug.v1";

/// The debug files of all packages, to attach to the image; nothing if no symbols are kept apart.
///
/// It has the form of an image: layers with `usr/lib/debug/.build-id/…`, where debuggers look, and a config that names them. Who
/// pulls it by its digest can unpack it over the image, or anywhere, for gdb's `set debug-file-directory`.
#[must_use]
pub fn debug_attachment(
    locked: &Locked<'_>,
    input: &BuildInput<'_>,
    world: &World<'_>,
) -> Option<Attachment> {
    let layers = locked.debug_layers();
    if layers.is_empty() {
        return None;
    }
    let container = &locked.lock.container;
    let labels = [
        (
            annotation::TITLE,
            format!("debug symbols of {}", container.name),
        ),
        (annotation::VERSION, container.version.clone()),
    ];
    let labels: IndexMap<String, String> = labels
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let image = assemble(Parts {
        platform: platform(input),
        base: None,
        base_layers: Vec::new(),
        layers,
        environment: &IndexMap::new(),
        labels: labels.clone(),
        created: world.created,
    });
    let blobs = image.layers.into_iter().filter_map(|layer| {
        let content = match layer.content {
            LayerContent::Here(content) => content,
            // What was written here is here.
            LayerContent::Remote(_) => return None,
        };
        Some(AttachedBlob {
            descriptor: layer.descriptor,
            content,
        })
    });
    let mut attachment = Attachment::of_blobs(DEBUG_ARTIFACT, blobs.collect());
    attachment.config = Some(AttachedBlob {
        descriptor: image.config_descriptor,
        content: Content::Memory(image.config.into()),
    });
    attachment.annotations = labels.into_iter().collect();
    Some(attachment)
}
