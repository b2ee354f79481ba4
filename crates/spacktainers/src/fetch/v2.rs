//! Layouts 0, 1 and 2: a signed spec file names the tarball's checksum.

use oci_format::layer::compression::Compression;
use spack_format::build_cache::MAX_SPEC_FILE_BYTES;
use spack_format::build_cache::v2::{Paths, candidates};
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs};
use spack_format::dag_hash::DagHash;

use super::entry::{Layout, Place, SignatureState, Tarball, label};
use super::error::FindFault;
use super::small::{SpecHead, computed, utf8};
use super::{BuildCache, CacheEntry, Context, v2_nested};
use crate::content::Content;
use crate::event::Event;
use crate::mirror::{Mirror, Source, Start};

/// Looks for a package; nothing when this mirror has none of this layout.
pub(super) async fn find(
    mirror: &BuildCache,
    spec: &ConcreteSpec,
    specs: &ConcreteSpecs,
    context: &Context<'_>,
) -> Result<Option<CacheEntry>, FindFault> {
    for paths in candidates(spec, specs) {
        let found = spec_file(mirror, &paths, spec.hash, context).await?;
        let Some((key, head, signature)) = found else {
            continue;
        };
        let Some(tarball) = tarball(mirror, &paths, &key, &head, context).await? else {
            if mirror.is_offline() {
                continue;
            }
            let url = &mirror.url;
            let warning = format!("{url} has `{key}`, but not its `{}`", paths.tarball);
            context.reporter.event(Event::Warning(warning));
            continue;
        };
        return Ok(Some(CacheEntry {
            package: label(spec),
            hash: spec.hash,
            mirror: 0,
            mirror_url: mirror.url.clone(),
            layout: Layout::V2(head.layout.unwrap_or(0)),
            tarball,
            signature,
            diff_id: None,
            origin: None,
        }));
    }
    Ok(None)
}

/// The spec file, the signed one before the other, as Spack does it.
async fn spec_file(
    mirror: &BuildCache,
    paths: &Paths,
    wanted: DagHash,
    context: &Context<'_>,
) -> Result<Option<(String, SpecHead, SignatureState)>, FindFault> {
    for key in [&paths.signed_spec, &paths.unsigned_spec] {
        let found = mirror.small(key, MAX_SPEC_FILE_BYTES, context).await?;
        if let Some(bytes) = found {
            let (key, trust, now) = (key.clone(), mirror.trust.clone(), context.now);
            return computed(move || {
                let (text, signature) = trust.admit(&key, &utf8(&key, bytes)?, now)?;
                let head = SpecHead::read(&key, &text, wanted, &key)?;
                Ok(Some((key, head, signature)))
            })
            .await;
        }
    }
    Ok(None)
}

/// The tarball; nothing when it is not there. Spec files do not say how long it is, so the mirror is
/// asked, which also shows that it is there.
async fn tarball(
    mirror: &BuildCache,
    paths: &Paths,
    spec_key: &str,
    head: &SpecHead,
    context: &Context<'_>,
) -> Result<Option<Tarball>, FindFault> {
    let digest = head.tarball.ok_or_else(|| FindFault::NoChecksum {
        key: spec_key.to_owned(),
    })?;
    let key = paths.tarball.clone();
    let found = |size, place| {
        Ok(Some(Tarball {
            digest,
            size,
            compression: Some(Compression::Gzip),
            place,
        }))
    };
    if let Some(content) = context.cache.blob(&digest) {
        return found(content.len(), Place::Here(content));
    }
    let Source::Objects(objects) = &mirror.source else {
        return Ok(None);
    };
    if head.layout.unwrap_or(0) == 0 {
        let inner = v2_nested::tarball(objects, &key, &digest, context).await?;
        return match inner {
            Some(content) => found(content.len(), Place::Here(content)),
            None => Ok(None),
        };
    }
    let Some(size) = length(&**objects, &key).await? else {
        return Ok(None);
    };
    match objects.local_path(&key) {
        Some(path) => {
            let content = Content::File {
                path,
                offset: 0,
                len: size,
            };
            found(size, Place::Here(content))
        }
        None => found(size, Place::Object { key }),
    }
}

async fn length(objects: &dyn Mirror, key: &str) -> Result<Option<u64>, FindFault> {
    let Some(download) = objects.open(key, &Start::default()).await? else {
        return Ok(None);
    };
    let no_size = || FindFault::NoSize {
        key: key.to_owned(),
    };
    download.total.ok_or_else(no_size).map(Some)
}
