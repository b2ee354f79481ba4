//! Which entries a build cache has.

use spack_format::build_cache::MAX_MANIFEST_BYTES;
use spack_format::build_cache::v3;
use spack_format::database::BuildCacheIndex;

use super::error::CacheFault;
use super::index::blocking;
use super::object::{blob_bytes, digest, parse};
use crate::mirror::{Mirror, SharedMirror, SharedWriter};

/// A build cache that is looked through.
#[derive(Clone)]
pub enum Catalog {
    /// One whose objects can be listed: a folder, or a bucket that we have credentials for.
    Listed(SharedWriter),
    /// One that only has an index: a web server.
    Indexed(SharedMirror),
}

impl Catalog {
    /// The mirror itself.
    #[must_use]
    pub fn mirror(&self) -> &dyn Mirror {
        match self {
            Self::Listed(writer) => &**writer,
            Self::Indexed(mirror) => &**mirror,
        }
    }

    /// Its URL, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        self.mirror().url()
    }

    /// The keys of all spec manifests, in order.
    pub(super) async fn manifests(&self) -> Result<Vec<String>, CacheFault> {
        if let Self::Listed(writer) = self {
            let mut keys = writer.list(v3::SPEC_MANIFESTS_FOLDER).await?;
            keys.retain(|key| v3::hash_of_spec_manifest(key).is_some());
            return Ok(keys);
        }
        let index = self.index().await?.ok_or(CacheFault::NoList)?;
        let mut keys: Vec<String> = index
            .records
            .values()
            .filter(|record| record.in_build_cache)
            .map(|record| v3::spec_manifest_path(&record.spec))
            .collect();
        keys.sort();
        Ok(keys)
    }

    /// What the index says; nothing where there is none.
    pub(super) async fn index(&self) -> Result<Option<BuildCacheIndex>, CacheFault> {
        let key = v3::index_manifest_path(None);
        let Some(bytes) = self.mirror().get(&key, MAX_MANIFEST_BYTES).await? else {
            return Ok(None);
        };
        let manifest = parse(&key, &bytes)?;
        let record = manifest.index().map_err(|source| CacheFault::Manifest {
            key: key.clone(),
            source,
        })?;
        let bytes = blob_bytes(self.mirror(), record).await?;
        let bytes = bytes.ok_or_else(|| CacheFault::Gone {
            key,
            digest: digest(&record.checksum),
        })?;
        let blob = v3::blob_path(&record.checksum);
        let parsed = blocking(move || BuildCacheIndex::parse(&String::from_utf8_lossy(&bytes)));
        let index = parsed.await?;
        index
            .map(Some)
            .map_err(|source| CacheFault::Index { key: blob, source })
    }
}
