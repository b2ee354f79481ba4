//! Layout 3: a signed manifest names the blobs.

use oci_format::layer::compression::Compression;
use spack_format::build_cache::MAX_MANIFEST_BYTES;
use spack_format::build_cache::v3::{self, BlobRecord, Manifest};
use spack_format::concrete::ConcreteSpec;

use super::entry::{Layout, Place, Tarball, label};
use super::error::{FindFault, unknown_compression};
use super::small::{SpecHead, computed, digest, spec_text, utf8};
use super::{BuildCache, CacheEntry, Context};
use crate::content::Content;
use crate::event::Event;
use crate::mirror::Source;

/// Looks for a package; nothing when this mirror has none of this layout.
pub(super) async fn find(
    mirror: &BuildCache,
    spec: &ConcreteSpec,
    context: &Context<'_>,
) -> Result<Option<CacheEntry>, FindFault> {
    let key = v3::spec_manifest_path(spec);
    let Some(bytes) = mirror.small(&key, MAX_MANIFEST_BYTES, context).await? else {
        return Ok(None);
    };
    let (text, signature) = mirror.trust.admit(&key, &utf8(&key, bytes)?, context.now)?;
    let wrong = |source| FindFault::Manifest {
        key: key.clone(),
        source,
    };
    let manifest = Manifest::parse(&text).map_err(wrong)?;
    let spec_record = manifest.spec_file().map_err(wrong)?;
    let tarball = manifest.tarball().map_err(wrong)?;
    for record in [spec_record, tarball] {
        if let Some(fault) = unknown_compression(&record.compression) {
            return Err(fault);
        }
    }
    let spec_key = v3::blob_path(&spec_record.checksum);
    let size = spec_record.content_length;
    let spec_digest = digest(&spec_record.checksum);
    let Some(bytes) = mirror.blob(&spec_key, &spec_digest, size, context).await? else {
        if mirror.is_offline() {
            return Ok(None);
        }
        // Pruned carelessly, or pushed by halves. A build would help, as if nothing were there.
        let warning = format!(
            "{} names `{spec_key}` and does not have it: {key}",
            mirror.url
        );
        context.reporter.event(Event::Warning(warning));
        return Ok(None);
    };
    let (wanted, entry) = (spec.hash, key.clone());
    computed(move || {
        let text = spec_text(&spec_key, &bytes)?;
        SpecHead::read(&spec_key, &text, wanted, &entry).map(drop)
    })
    .await?;
    Ok(Some(CacheEntry {
        package: label(spec),
        hash: spec.hash,
        mirror: 0,
        mirror_url: mirror.url.clone(),
        layout: Layout::V3,
        tarball: place(mirror, tarball),
        signature,
        diff_id: None,
        origin: None,
    }))
}

fn place(mirror: &BuildCache, record: &BlobRecord) -> Tarball {
    let key = v3::blob_path(&record.checksum);
    let path = match &mirror.source {
        Source::Objects(objects) => objects.local_path(&key),
        _ => None,
    };
    Tarball {
        digest: digest(&record.checksum),
        size: record.content_length,
        compression: match &record.compression {
            v3::Compression::None => Some(Compression::Plain),
            v3::Compression::Gzip => Some(Compression::Gzip),
            v3::Compression::Other(_) => None,
        },
        place: match path {
            Some(path) => Place::Here(Content::File {
                path,
                offset: 0,
                len: record.content_length,
            }),
            None => Place::Object { key },
        },
    }
}
