//! Layers and configuration into an [`Image`]: its config and manifest, byte for byte.
//!
//! ```text
//! base layers + package layers + site layer ──► diffIDs, history ─┐
//! base config + environment + labels ────────────────────────────┴──► config ──► manifest
//! ```
//!
//! Pure: the same parts give the same bytes. Start at [`assemble`].

mod labels;
mod time;

use indexmap::IndexMap;
use oci_format::config::{ContainerConfig, History, ImageConfig};
use oci_format::manifest::ImageManifest;
use oci_format::{Descriptor, Platform, annotation, media_type};

use crate::image::{Image, RecordedLayer};

pub use labels::{Facts, labels};
pub use time::{SourceDateEpoch, parse_rfc3339, rfc3339};

/// The most layers of any image. The kernel's overlay and containerd stop at 127 or 128.
pub const MOST_LAYERS: usize = 127;

/// All that an image is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What the image runs on.
    pub platform: Platform,
    /// The base image's config: its environment, user and command are the starting point.
    pub base: Option<&'a ImageConfig>,
    /// The base's layers, lowest first.
    pub base_layers: Vec<RecordedLayer>,
    /// Package layers and the site layer, lowest first.
    pub layers: Vec<RecordedLayer>,
    /// Variables; they win over the base's.
    pub environment: &'a IndexMap<String, String>,
    /// Labels; they win over the base's. The keys that the OCI specification defines become annotations too.
    pub labels: IndexMap<String, String>,
    /// The time that the image says it was made at.
    pub created: SourceDateEpoch,
}

/// Puts the parts together.
#[must_use]
pub fn assemble(parts: Parts<'_>) -> Image {
    let created = rfc3339(parts.created);
    let mut config = ImageConfig::new(&parts.platform);
    config.created = Some(created.clone());
    if let Some(base) = parts.base {
        config.author.clone_from(&base.author);
        config.config = base.config.clone();
        // A config that describes fewer or more layers than there are makes the history of every layer above
        // it wrong: then none is better.
        let described = base.history.iter().filter(|step| !step.empty_layer).count();
        if described == parts.base_layers.len() {
            config.history.clone_from(&base.history);
        }
    }
    if config.history.is_empty() {
        config.history = parts
            .base_layers
            .iter()
            .map(|layer| step(layer, &created))
            .collect();
    }
    config
        .history
        .extend(parts.layers.iter().map(|layer| step(layer, &created)));
    set_environment(&mut config.config, parts.environment);
    config.config.labels.extend(
        parts
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );

    let layers: Vec<RecordedLayer> = parts
        .base_layers
        .into_iter()
        .chain(parts.layers)
        .map(as_oci)
        .collect();
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();

    let config = config.to_json();
    let config_descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    let mut manifest = ImageManifest::new(
        config_descriptor.clone(),
        layers
            .iter()
            .map(|layer| layer.descriptor.clone())
            .collect(),
    );
    manifest.annotations = parts
        .labels
        .into_iter()
        .filter(|(key, _)| {
            key.starts_with("org.opencontainers.image.") || key.starts_with("org.spacktainers.")
        })
        .collect();
    manifest
        .annotations
        .insert(annotation::CREATED.to_owned(), created);
    let manifest = manifest.to_json();
    let manifest_descriptor = Descriptor::of(media_type::IMAGE_MANIFEST, &manifest);
    Image {
        config,
        config_descriptor,
        manifest,
        manifest_descriptor,
        layers,
    }
}

/// How a layer shows in `podman history`.
fn step(layer: &RecordedLayer, created: &str) -> History {
    History {
        created: Some(created.to_owned()),
        created_by: Some(layer.title.clone()),
        comment: Some("spacktainers".to_owned()),
        ..History::default()
    }
}

/// Replaces variables where they stand and appends new ones, so that what the base says first stays first.
fn set_environment(config: &mut ContainerConfig, environment: &IndexMap<String, String>) {
    let mut pending = environment.clone();
    for entry in &mut config.env {
        let name = entry.split('=').next().unwrap_or_default();
        if let Some(value) = pending.shift_remove(name) {
            *entry = format!("{name}={value}");
        }
    }
    config.env.extend(
        pending
            .into_iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
}

/// A base may have come with Docker's media types; an OCI manifest names its layers in OCI's words. The bytes are the
/// same.
fn as_oci(mut layer: RecordedLayer) -> RecordedLayer {
    let media_type = match layer.descriptor.media_type.as_str() {
        media_type::DOCKER_LAYER_GZIP => media_type::LAYER_TAR_GZIP,
        media_type::DOCKER_LAYER => media_type::LAYER_TAR,
        _ => return layer,
    };
    layer.descriptor.media_type = media_type.to_owned();
    layer
}

#[cfg(test)]
mod tests;
