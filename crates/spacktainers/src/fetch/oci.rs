//! Build caches in registries: the image's config is the spec file, its last layer the tarball.

use oci_format::Descriptor;
use oci_format::layer::compression::Compression;
use spack_format::build_cache::MAX_SPEC_FILE_BYTES;
use spack_format::build_cache::oci::{LayerRecord, PackageConfig, PackageManifest, tag};
use spack_format::concrete::ConcreteSpec;

use super::entry::{Layout, Place, SignatureState, Tarball, label};
use super::error::FindFault;
use super::small::{computed, digest, utf8, whole};
use super::{BuildCache, CacheEntry, Context};
use crate::mirror::Source;
use crate::registry::{ManifestKey, Repository};

/// Looks for a package; nothing when the repository has none.
pub(super) async fn find(
    mirror: &BuildCache,
    spec: &ConcreteSpec,
    context: &Context<'_>,
) -> Result<Option<CacheEntry>, FindFault> {
    let tag = tag(spec);
    let repository = match &mirror.source {
        Source::Repository(repository) => Some(repository),
        Source::Offline => None,
        Source::Objects(_) => return Ok(None),
    };
    let Some(text) = manifest(mirror, repository, &tag, context).await? else {
        return Ok(None);
    };
    if mirror.trust.wants_signatures() {
        return Err(FindFault::Unsignable);
    }
    let manifest = PackageManifest::parse(&text).map_err(|source| FindFault::Image {
        tag: tag.clone(),
        source: Box::new(source),
    })?;
    let Some(config_text) = config(repository, &manifest.config, context).await? else {
        return Ok(None);
    };
    let (wanted, image) = (spec.hash, tag.clone());
    let diff_id = computed(move || {
        let config = PackageConfig::parse(&config_text).map_err(|source| FindFault::Image {
            tag: image.clone(),
            source: Box::new(source),
        })?;
        let found = config.spec_file.root;
        if found == wanted {
            Ok(digest(&config.diff_id))
        } else {
            Err(FindFault::Renamed { key: image, found })
        }
    })
    .await?;
    let LayerRecord {
        media_type,
        checksum,
        size,
    } = manifest.tarball;
    Ok(Some(CacheEntry {
        package: label(spec),
        hash: spec.hash,
        mirror: 0,
        mirror_url: mirror.url.clone(),
        layout: Layout::Oci,
        tarball: Tarball {
            digest: digest(&checksum),
            size,
            compression: Compression::of_media_type(&media_type),
            place: Place::Blob { media_type },
        },
        signature: SignatureState::Unsigned,
        diff_id: Some(diff_id),
        origin: repository.map(Repository::as_origin),
    }))
}

async fn manifest(
    mirror: &BuildCache,
    repository: Option<&Repository>,
    tag: &str,
    context: &Context<'_>,
) -> Result<Option<String>, FindFault> {
    let bytes = match repository {
        None => mirror.remembered(tag, context.cache),
        Some(repository) => {
            let found = repository
                .manifest(ManifestKey::Tag(tag.to_owned()))
                .await?;
            if let Some(found) = &found {
                mirror.remember(tag, &found.bytes, context);
            }
            found.map(|found| found.bytes)
        }
    };
    bytes.map(|bytes| utf8(tag, bytes)).transpose()
}

/// The text of the config; nothing without a network, unless it is in the local cache.
async fn config(
    repository: Option<&Repository>,
    record: &LayerRecord,
    context: &Context<'_>,
) -> Result<Option<String>, FindFault> {
    let blob = Descriptor::new(&record.media_type, digest(&record.checksum), record.size);
    if let Some(content) = context.cache.blob(&blob.digest)
        && let Some(bytes) = whole(content, &blob.digest)
    {
        return utf8(&blob.digest.to_string(), bytes).map(Some);
    }
    let Some(repository) = repository else {
        return Ok(None);
    };
    let bytes = repository.blob_bytes(&blob, MAX_SPEC_FILE_BYTES).await?;
    context.cache.insert(&blob.digest, blob.size, &bytes[..])?;
    utf8(&blob.digest.to_string(), bytes).map(Some)
}
