//! `oci-archive:`: an image layout in a tar.

use std::path::Path;

use oci_format::json::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use oci_format::{Descriptor, ImageConfig, ImageIndex, Manifest, Platform, annotation, layout};

use super::archive::{Archive, ArchiveSourceError};
use super::{LoadedImage, LoadedLayer};
use crate::base::BaseArchitecture;

pub(super) fn load(
    path: &Path,
    reference: Option<&str>,
    architecture: BaseArchitecture,
    variant: Option<&str>,
) -> Result<LoadedImage, ArchiveSourceError> {
    let archive = Archive::open(path)?;
    let index = archive.read(layout::INDEX_FILE, MAX_MANIFEST_BYTES)?;
    let mut descriptor = pick(&index, reference)?;
    let mut manifest = parse(&archive, &descriptor)?;
    if let Manifest::Index(index) = &manifest {
        let wanted = Platform {
            architecture: architecture.to_string(),
            os: "linux".to_owned(),
            variant: variant.map(str::to_owned),
        };
        descriptor = index
            .select(&wanted)
            .ok_or_else(|| ArchiveSourceError::Platform {
                wanted: architecture.to_string(),
                found: platforms(index),
            })?
            .clone();
        manifest = parse(&archive, &descriptor)?;
    }
    let Manifest::Image(manifest) = manifest else {
        return Err(ArchiveSourceError::Missing(
            "image for this architecture".to_owned(),
        ));
    };
    let name = layout::blob_path(&manifest.config.digest);
    let config = archive.blob(&name, &manifest.config.digest, MAX_CONFIG_BYTES)?;
    let config =
        ImageConfig::parse(&config).map_err(|source| ArchiveSourceError::Json { name, source })?;
    if manifest.layers.len() != config.rootfs.diff_ids.len() {
        return Err(ArchiveSourceError::Layers {
            layers: manifest.layers.len(),
            diff_ids: config.rootfs.diff_ids.len(),
        });
    }
    let layers = manifest
        .layers
        .iter()
        .zip(&config.rootfs.diff_ids)
        .map(|(layer, diff_id)| {
            Ok(LoadedLayer {
                diff_id: *diff_id,
                digest: Some(layer.digest),
                content: archive.content(&layout::blob_path(&layer.digest))?,
            })
        });
    let layers = layers.collect::<Result<_, ArchiveSourceError>>()?;
    Ok(LoadedImage {
        manifest: Some(descriptor.digest),
        config,
        layers,
    })
}

/// The image of that name, or the only one.
fn pick(index: &[u8], reference: Option<&str>) -> Result<Descriptor, ArchiveSourceError> {
    let json = |source| ArchiveSourceError::Json {
        name: layout::INDEX_FILE.to_owned(),
        source,
    };
    if let Some(found) = layout::find_reference(index, reference).map_err(json)? {
        return Ok(found);
    }
    let index = ImageIndex::parse(index).map_err(json)?;
    let names: Vec<&str> = index
        .manifests
        .iter()
        .filter_map(|it| it.annotations.get(annotation::REF_NAME).map(String::as_str))
        .collect();
    Err(match reference {
        None if index.manifests.is_empty() => ArchiveSourceError::Missing("image".to_owned()),
        None => ArchiveSourceError::Ambiguous(names.join(", ")),
        Some(wanted) => ArchiveSourceError::NoSuchImage {
            wanted: wanted.to_owned(),
            found: names.join(", "),
        },
    })
}

fn parse(archive: &Archive, descriptor: &Descriptor) -> Result<Manifest, ArchiveSourceError> {
    let name = layout::blob_path(&descriptor.digest);
    let bytes = archive.blob(&name, &descriptor.digest, MAX_MANIFEST_BYTES)?;
    Manifest::parse(&bytes).map_err(|source| ArchiveSourceError::Json { name, source })
}

fn platforms(index: &ImageIndex) -> String {
    let found = index.manifests.iter().filter_map(|it| it.platform.as_ref());
    let mut names: Vec<String> = found
        .map(|it| format!("{}/{}", it.os, it.architecture))
        .collect();
    names.dedup();
    names.join(", ")
}
