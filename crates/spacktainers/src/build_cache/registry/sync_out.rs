//! Images into entries of objects, and images into another registry.

use std::collections::HashSet;

use futures::{StreamExt, stream};
use oci_format::Descriptor;
use oci_format::layer::compression::Compression;
use oci_format::manifest::ImageManifest;
use spack_format::build_cache::v3;
use spack_format::dag_hash::DagHash;

use super::RegistryCache;
use crate::build_cache::destination::Destination;
use crate::build_cache::error::{CacheError, CacheFault};
use crate::build_cache::object::digest;
use crate::build_cache::push::{Tarball, write_entry};
use crate::build_cache::sync::{Brought, SyncReport, begun, ended};
use crate::event::Event;
use crate::fetch::{Context, FindFault, Trust};
use crate::mirror::Put;

impl RegistryCache {
    /// Copies the images that `to` does not have as entries, which are signed as `to` says: images are not. The index of `to`
    /// is not touched: see [`update_index`](crate::build_cache::update_index).
    ///
    /// # Errors
    /// When it cannot be known what either of them has, or `trust` asks for signatures. What cannot be copied is in the
    /// report.
    pub async fn copy_to(
        &self,
        to: &Destination,
        trust: &Trust,
        context: &Context<'_>,
    ) -> Result<SyncReport, CacheError> {
        let about = CacheError::about(format!("cannot copy {} to {}", self.url, to.url()));
        let known = async {
            let tags = self.trusted_tags(trust).await?;
            let there = to.writer().list(v3::SPEC_MANIFESTS_FOLDER).await?;
            let there = there.iter().filter_map(|it| v3::hash_of_spec_manifest(it));
            let there: HashSet<DagHash> = there.collect();
            to.prepare().await?;
            Ok((tags, there))
        };
        let (tags, there) = match known.await {
            Ok(known) => known,
            Err(fault) => return Err(about(fault)),
        };
        let there = &there;
        let copies = stream::iter(&tags)
            .map(|(hash, tag)| async move {
                if there.contains(hash) {
                    return (tag, Ok(None));
                }
                (tag, self.copy_entry(tag, *hash, to, context).await)
            })
            .buffered(context.jobs.get());
        Ok(SyncReport::of(copies).await)
    }

    /// Copies the images that `to` does not have, as they are. The index of `to` is not touched.
    ///
    /// # Errors
    /// As [`copy_to`](Self::copy_to).
    pub async fn copy_to_registry(
        &self,
        to: &Self,
        trust: &Trust,
        context: &Context<'_>,
    ) -> Result<SyncReport, CacheError> {
        let about = CacheError::about(format!("cannot copy {} to {}", self.url, to.url));
        let known = async { Ok((self.trusted_tags(trust).await?, to.tags().await?)) };
        let (tags, there) = match known.await {
            Ok(known) => known,
            Err(fault) => return Err(about(fault)),
        };
        let there: HashSet<DagHash> = there.into_iter().map(|it| it.0).collect();
        let there = &there;
        let copies = stream::iter(&tags)
            .map(|(hash, tag)| async move {
                if there.contains(hash) {
                    return (tag, Ok(None));
                }
                (tag, self.copy_image(tag, *hash, to, context).await)
            })
            .buffered(context.jobs.get());
        Ok(SyncReport::of(copies).await)
    }

    /// The packages, unless somebody wants them to be signed.
    async fn trusted_tags(&self, trust: &Trust) -> Result<Vec<(DagHash, String)>, CacheFault> {
        if trust.wants_signatures() {
            return Err(FindFault::Unsignable.into());
        }
        self.tags().await
    }

    async fn copy_entry(
        &self,
        tag: &str,
        hash: DagHash,
        to: &Destination,
        context: &Context<'_>,
    ) -> Result<Option<u64>, CacheFault> {
        let task = begun(tag, context);
        let copied = async {
            let absent = || CacheFault::Absent {
                key: tag.to_owned(),
            };
            let entry = self.entry(tag, hash).await?.ok_or_else(absent)?;
            let spec = entry.config.spec_file.root().ok_or_else(absent)?;
            let key = v3::spec_manifest_path(spec);
            let tarball = entry.tarball;
            if Compression::of_media_type(&tarball.media_type) != Some(Compression::Gzip) {
                return Err(CacheFault::NotGzip {
                    key: tag.to_owned(),
                });
            }
            let blob =
                Descriptor::new(&tarball.media_type, digest(&tarball.checksum), tarball.size);
            let brought = self.bring(&blob, context).await?;
            let on_bytes = |bytes| context.reporter.event(Event::Advanced { task, bytes });
            let tarball = Tarball {
                content: &brought.content,
                digest: blob.digest,
            };
            let put = write_entry(to, &key, &tarball, &entry.text, context, &on_bytes).await?;
            brought.done(context.cache)?;
            Ok((put == Put::Written).then_some(blob.size))
        };
        let copied = copied.await;
        ended(task, &copied, context);
        copied
    }

    async fn copy_image(
        &self,
        tag: &str,
        hash: DagHash,
        to: &Self,
        context: &Context<'_>,
    ) -> Result<Option<u64>, CacheFault> {
        let task = begun(tag, context);
        let copied = async {
            let absent = || CacheFault::Absent {
                key: tag.to_owned(),
            };
            // That it is the package which its tag names.
            self.entry(tag, hash).await?.ok_or_else(absent)?;
            let found = self.manifest(tag).await?.ok_or_else(absent)?;
            let image = ImageManifest::parse(&found.bytes).map_err(|source| CacheFault::Image {
                tag: tag.to_owned(),
                source,
            })?;
            let mut sent = 0;
            for blob in image.layers.iter().chain([&image.config]) {
                if to.repository.blob_head(&blob.digest).await?.is_some() {
                    continue;
                }
                let brought = self.bring(blob, context).await?;
                to.send(&brought.content, blob.digest).await?;
                brought.done(context.cache)?;
                let bytes = blob.size;
                context.reporter.event(Event::Advanced { task, bytes });
                sent += bytes;
            }
            if to.is_there(tag).await? {
                return Ok(None);
            }
            to.put_as(tag, &found.descriptor.media_type, &found.bytes)
                .await?;
            Ok(Some(sent))
        };
        let copied = copied.await;
        ended(task, &copied, context);
        copied
    }

    /// A blob into the local cache.
    async fn bring(&self, blob: &Descriptor, context: &Context<'_>) -> Result<Brought, CacheFault> {
        let was_here = context.cache.blob(&blob.digest).is_some();
        let content = self
            .repository
            .blob_to_cache(blob, context.cache, |_| {})
            .await?;
        Ok(Brought {
            content,
            goes: (!was_here).then_some(blob.digest),
        })
    }
}
