//! `docker-archive:`: what `docker save` makes.
//!
//! ```text
//! manifest.json   [{"Config": "….json", "RepoTags": ["repo:tag"], "Layers": ["…/layer.tar", …]}]
//! ```
//!
//! Source: Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format".

use std::path::Path;

use oci_format::json::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use oci_format::{ImageConfig, JsonError, Reference, layout};
use serde::Deserialize;

use super::archive::{Archive, ArchiveSourceError};
use super::{LoadedImage, LoadedLayer};

const MANIFEST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn load(
    path: &Path,
    reference: Option<&str>,
) -> Result<LoadedImage, ArchiveSourceError> {
    let archive = Archive::open(path)?;
    let bytes = archive.read(MANIFEST, MAX_MANIFEST_BYTES)?;
    let saved: Vec<Saved> =
        oci_format::json::parse("list of saved images", &bytes, MAX_MANIFEST_BYTES).map_err(
            |source: JsonError| ArchiveSourceError::Json {
                name: MANIFEST.to_owned(),
                source,
            },
        )?;
    let image = pick(&saved, reference)?;
    let bytes = archive.read(&image.config, MAX_CONFIG_BYTES)?;
    let config = ImageConfig::parse(&bytes).map_err(|source| ArchiveSourceError::Json {
        name: image.config.clone(),
        source,
    })?;
    if image.layers.len() != config.rootfs.diff_ids.len() {
        return Err(ArchiveSourceError::Layers {
            layers: image.layers.len(),
            diff_ids: config.rootfs.diff_ids.len(),
        });
    }
    let layers = image
        .layers
        .iter()
        .zip(&config.rootfs.diff_ids)
        .map(|(name, diff_id)| {
            Ok(LoadedLayer {
                diff_id: *diff_id,
                digest: None,
                content: archive.content(name)?,
            })
        });
    let layers = layers.collect::<Result<_, ArchiveSourceError>>()?;
    Ok(LoadedImage {
        manifest: None,
        config,
        layers,
    })
}

fn pick<'a>(saved: &'a [Saved], reference: Option<&str>) -> Result<&'a Saved, ArchiveSourceError> {
    let tags = || -> String {
        let tags = saved
            .iter()
            .flat_map(|it| it.repo_tags.iter().flatten().cloned());
        tags.collect::<Vec<_>>().join(", ")
    };
    let Some(wanted) = reference else {
        return match saved {
            [only] => Ok(only),
            [] => Err(ArchiveSourceError::Missing("image".to_owned())),
            _ => Err(ArchiveSourceError::Ambiguous(tags())),
        };
    };
    if let Some(place) = layout::place(wanted) {
        return saved
            .get(place)
            .ok_or_else(|| ArchiveSourceError::NoSuchImage {
                wanted: wanted.to_owned(),
                found: tags(),
            });
    }
    // `debian` is `docker.io/library/debian:latest` whoever writes it.
    let full = |text: &str| {
        text.parse::<Reference>().ok().map(|it| {
            let tag = it.effective_tag().unwrap_or_default().to_owned();
            (it.registry().to_owned(), it.repository().to_owned(), tag)
        })
    };
    saved
        .iter()
        .find(|it| {
            let tags = it.repo_tags.iter().flatten();
            tags.into_iter()
                .any(|tag| tag == wanted || full(tag).is_some() && full(tag) == full(wanted))
        })
        .ok_or_else(|| ArchiveSourceError::NoSuchImage {
            wanted: wanted.to_owned(),
            found: tags(),
        })
}
