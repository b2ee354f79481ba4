//! The index of a build cache in a registry.
//!
//! ```text
//! 1  read the image `index.spack`                 everything that was indexed before
//! 2  list the tags                                everything that is there
//! 3  read the configs of what is new
//! 4  if `index.spack` is still that of 1: write the new one
//! 5  look again: is it the one that was written, and does it have all tags by now?      else from 1
//! ```
//!
//! 4 is no guarantee, as the tag may change between looking and writing; 5 is: see the guarantees of the module above.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use oci_format::manifest::ImageManifest;
use oci_format::{Descriptor, Digest, media_type};
use spack_format::build_cache::oci::{INDEX_TAG, tag};
use spack_format::dag_hash::DagHash;
use spack_format::database::{BuildCacheIndex, CacheIndexBuilder};

use super::{RegistryCache, package_manifest};
use crate::build_cache::error::{CacheError, CacheFault};
use crate::build_cache::index::{Attempt, IndexReport, IndexScope, READ_AT_ONCE, blocking, settle};
use crate::build_cache::object::digest;
use crate::fetch::Context;
use crate::registry::RegistryError;

/// The longest index that is read: real ones have some hundred megabytes.
const LONGEST: u64 = 4 << 30;

/// The index as it was at one moment.
struct Before {
    /// The digest of its image; none where there was no index.
    version: Option<Digest>,
    index: Option<BuildCacheIndex>,
}

impl RegistryCache {
    /// Brings the index up to date. Any number of processes may do so, and push, at the same time.
    ///
    /// [`IndexScope::Pending`] lists the tags as [`IndexScope::All`] does: in a registry nothing else tells what is new.
    /// It takes nothing out.
    ///
    /// # Errors
    /// When the registry fails, the index is none, or others keep replacing it.
    pub async fn update_index(
        &self,
        scope: IndexScope,
        context: &Context<'_>,
    ) -> Result<IndexReport, CacheError> {
        let update = Update {
            cache: self,
            context,
            scope,
            before: None,
            report: IndexReport::default(),
        };
        settle(update, &self.url, INDEX_TAG, context).await
    }

    /// What the index says; nothing where there is none.
    pub(super) async fn index(&self) -> Result<Option<BuildCacheIndex>, CacheFault> {
        Ok(self.indexed().await?.index)
    }

    async fn indexed(&self) -> Result<Before, CacheFault> {
        let Some(found) = self.manifest(INDEX_TAG).await? else {
            return Ok(Before {
                version: None,
                index: None,
            });
        };
        let layer = package_manifest(INDEX_TAG, &found)?.tarball;
        let blob = Descriptor::new(&layer.media_type, digest(&layer.checksum), layer.size);
        let bytes = self.repository.blob_bytes(&blob, LONGEST).await?;
        let parsed = blocking(move || BuildCacheIndex::parse(&String::from_utf8_lossy(&bytes)));
        let index = parsed.await?.map_err(|source| CacheFault::Index {
            key: INDEX_TAG.to_owned(),
            source,
        })?;
        Ok(Before {
            version: Some(found.descriptor.digest),
            index: Some(index),
        })
    }

    /// Which index is there.
    async fn version(&self) -> Result<Option<Digest>, CacheFault> {
        Ok(self
            .manifest(INDEX_TAG)
            .await?
            .map(|it| it.descriptor.digest))
    }
}

/// What goes through the attempts.
struct Update<'u> {
    cache: &'u RegistryCache,
    context: &'u Context<'u>,
    scope: IndexScope,
    /// What the index had when it was first read.
    before: Option<BTreeSet<DagHash>>,
    report: IndexReport,
}

impl Attempt for Update<'_> {
    fn report(self) -> IndexReport {
        self.report
    }

    async fn attempt(&mut self, _: u32) -> Result<bool, CacheFault> {
        let scope = self.scope;
        let anew = scope == IndexScope::Rebuild && !self.report.is_written;
        let there = if anew {
            Before {
                version: self.cache.version().await?,
                index: None,
            }
        } else {
            self.cache.indexed().await?
        };
        let mut builder = CacheIndexBuilder::default();
        let mut names = BTreeMap::new();
        if let Some(index) = &there.index {
            builder.add_index(index);
            let records = index.records.iter().filter(|(_, it)| it.in_build_cache);
            names.extend(records.map(|(hash, record)| (*hash, tag(&record.spec))));
        }
        let indexed: BTreeSet<DagHash> = builder.packages().collect();
        let tags = self.cache.tags().await?;
        self.add_new(&mut builder, &tags).await?;
        if scope != IndexScope::Pending {
            self.remove_gone(&mut builder, &names, &tags).await?;
        }
        let after: BTreeSet<DagHash> = builder.packages().collect();
        let before = self.before.get_or_insert_with(|| indexed.clone());
        self.report.packages = after.len();
        self.report.added = after.difference(before).count();
        self.report.removed = before.difference(&after).count();
        if after == indexed && there.version.is_some() && !anew {
            return Ok(true);
        }
        let text = blocking(move || builder.to_text()).await?;
        let layer = self
            .cache
            .send_bytes(text.as_bytes(), media_type::LAYER_TAR_GZIP)
            .await?;
        let config = self
            .cache
            .send_bytes(b"{}", media_type::IMAGE_CONFIG)
            .await?;
        let manifest = ImageManifest::new(config, vec![layer]).to_json();
        let ours = Digest::of(&manifest);
        if self.cache.version().await? != there.version {
            return Ok(false);
        }
        self.cache.put(INDEX_TAG, &manifest).await?;
        self.report.is_written = true;
        let seen: BTreeSet<&String> = tags.iter().map(|(_, tag)| tag).collect();
        let now = self.cache.tags().await?;
        let has_all = now
            .iter()
            .all(|(hash, tag)| after.contains(hash) || seen.contains(tag));
        Ok(has_all && self.cache.version().await? == Some(ours))
    }
}

impl Update<'_> {
    /// Adds packages that the index does not have.
    async fn add_new(
        &mut self,
        builder: &mut CacheIndexBuilder,
        tags: &[(DagHash, String)],
    ) -> Result<(), CacheFault> {
        let cache = self.cache;
        self.report.skipped.clear();
        let new: Vec<_> = tags
            .iter()
            .filter(|(hash, _)| !builder.holds(hash))
            .collect();
        let at_once = self.context.jobs.get().saturating_mul(READ_AT_ONCE);
        let mut read = stream::iter(new)
            .map(|(hash, tag)| async move { (tag, cache.entry(tag, *hash).await) })
            .buffer_unordered(at_once);
        while let Some((tag, entry)) = read.next().await {
            match entry {
                Ok(Some(entry)) => {
                    let file = entry.config.spec_file;
                    builder.add_package(file.root, &file.specs);
                }
                // Just deleted.
                Ok(None) => {}
                Err(fault) if is_of_the_registry(&fault) => return Err(fault),
                Err(fault) => self.report.skipped.push((tag.clone(), fault)),
            }
        }
        Ok(())
    }

    /// Takes out what was indexed and is not there any more.
    async fn remove_gone(
        &self,
        builder: &mut CacheIndexBuilder,
        names: &BTreeMap<DagHash, String>,
        tags: &[(DagHash, String)],
    ) -> Result<(), CacheFault> {
        let mut present: BTreeSet<DagHash> = tags.iter().map(|(hash, _)| *hash).collect();
        for (hash, name) in names {
            // A list may be behind; what was indexed is taken out only when it is surely gone.
            if !present.contains(hash) && self.cache.is_there(name).await? {
                present.insert(*hash);
            }
        }
        builder.keep_only(&present);
        Ok(())
    }
}

/// Whether it cannot be known what is there, rather than something wrong being there.
fn is_of_the_registry(fault: &CacheFault) -> bool {
    match fault {
        CacheFault::Registry(RegistryError::Missing(_) | RegistryError::TooLarge { .. }) => false,
        CacheFault::Registry(error) => !error.is_verification(),
        CacheFault::Abandoned => true,
        _ => false,
    }
}
