//! Entries of objects into images.
//!
//! An image says more than an entry does: the digest of its unpacked layer, and variables, which depend on the folders of
//! packages. So each archive is looked through once, and the answer is remembered. As when packages are pushed, the layers of
//! all are sent before the first image is written.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, stream};
use oci_format::{Descriptor, media_type};
use spack_format::build_cache::{BinaryDistribution, MAX_MANIFEST_BYTES, SpecFile, v3};
use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;

use super::{Layer, Parts, RegistryCache, environment};
use crate::build_cache::catalog::Catalog;
use crate::build_cache::error::{CacheError, CacheFault};
use crate::build_cache::index::{blocking, spec_text_of};
use crate::build_cache::object::{digest, parse};
use crate::build_cache::push::Pushed;
use crate::build_cache::sync::{SyncReport, begun, bring, ended};
use crate::event::{Event, TaskId};
use crate::fetch::{Context, Trust, utf8};
use crate::layer::{PackageEntryKind, PackageRecord, remember, remembered, scan};

/// What variables depend on: where a package was built to lie, and which folders it has.
struct Facts {
    /// Of itself and of what its files name.
    prefixes: HashMap<DagHash, String>,
    folders: HashSet<String>,
}

/// An entry whose layer is there now.
struct Sent {
    task: TaskId,
    layer: Layer,
    facts: Facts,
}

impl RegistryCache {
    /// Copies the entries of `from` that are not here, as images. Their signatures are checked by `trust` and not copied, as
    /// images have none. The index is not touched: see [`update_index`](Self::update_index).
    ///
    /// # Errors
    /// When it cannot be known what either of them has. What cannot be copied is in the report.
    pub async fn copy_from(
        &self,
        from: &Catalog,
        trust: &Trust,
        context: &Context<'_>,
    ) -> Result<SyncReport, CacheError> {
        let about = CacheError::about(format!("cannot copy {} to {}", from.url(), self.url));
        let known = async {
            let here: HashSet<DagHash> = self.tags().await?.into_iter().map(|it| it.0).collect();
            Ok((from.manifests().await?, here))
        };
        let (manifests, here): (Vec<String>, _) = match known.await {
            Ok(known) => known,
            Err(fault) => return Err(about(fault)),
        };
        let mut report = SyncReport::default();
        let absent = manifests.iter().filter_map(|key| {
            let hash = v3::hash_of_spec_manifest(key)?;
            (!here.contains(&hash)).then_some((key, hash))
        });
        let absent: Vec<(&String, DagHash)> = absent.collect();
        report.present = manifests.len() - absent.len();
        let mut layers = stream::iter(absent)
            .map(|(key, hash)| async move {
                (key, hash, self.send_entry(from, key, trust, context).await)
            })
            .buffered(context.jobs.get());
        let mut sent = Vec::new();
        let mut known = HashMap::new();
        while let Some((key, hash, layer)) = layers.next().await {
            match layer {
                Ok(Sent { task, layer, facts }) => {
                    self.remember(hash, layer.clone());
                    known.insert(hash, facts);
                    sent.push((key, hash, task, layer));
                }
                Err(fault) => report.faults.push((key.clone(), fault)),
            }
        }
        let known = &known;
        let mut images = stream::iter(sent)
            .map(|(key, hash, task, layer)| async move {
                let image = self.write_entry(from, key, hash, &layer, known, context);
                let copied = image.await.map(|is_new| is_new.then_some(layer.blob.size));
                ended(task, &copied, context);
                (key, copied)
            })
            .buffered(context.jobs.get());
        while let Some((key, copied)) = images.next().await {
            report.count(key, copied);
        }
        Ok(report)
    }

    /// Sends the archive of an entry as a layer, and looks it through.
    async fn send_entry(
        &self,
        from: &Catalog,
        key: &str,
        trust: &Trust,
        context: &Context<'_>,
    ) -> Result<Sent, CacheFault> {
        let task = begun(key, context);
        let sent = async {
            let bytes = from.mirror().get(key, MAX_MANIFEST_BYTES).await?;
            let bytes = bytes.ok_or_else(|| CacheFault::Absent {
                key: key.to_owned(),
            })?;
            let (text, _) = trust.admit(key, &utf8(key, bytes)?, context.now)?;
            let manifest = parse(key, text.as_bytes())?;
            let tarball = manifest.tarball().map_err(|source| CacheFault::Manifest {
                key: key.to_owned(),
                source,
            })?;
            let brought = bring(from.mirror(), key, tarball, context.cache).await?;
            let blob = digest(&tarball.checksum);
            let record = match remembered(context.cache, &blob) {
                Some(record) => record,
                None => {
                    let (content, size) = (brought.content.clone(), tarball.content_length);
                    let record = blocking(move || scan(&content, &blob, size)).await?;
                    let record = record.map_err(|source| CacheFault::Scan {
                        key: key.to_owned(),
                        source,
                    })?;
                    remember(context.cache, &blob, &record, key, context.reporter);
                    record
                }
            };
            if record.compression != "gzip" {
                return Err(CacheFault::NotGzip {
                    key: key.to_owned(),
                });
            }
            let facts = facts(key, &record)?;
            self.send(&brought.content, blob).await?;
            brought.done(context.cache)?;
            let bytes = tarball.content_length;
            context.reporter.event(Event::Advanced { task, bytes });
            let layer = Layer {
                blob: Descriptor::new(media_type::LAYER_TAR_GZIP, blob, tarball.content_length),
                diff_id: record.diff_id,
            };
            Ok(Sent { task, layer, facts })
        };
        let sent = sent.await;
        if let Err(fault) = &sent {
            ended(task, &Err::<Option<u64>, _>(fault), context);
        }
        sent
    }

    /// Writes the image of an entry whose layer is there; false where somebody else was faster.
    async fn write_entry(
        &self,
        from: &Catalog,
        key: &str,
        hash: DagHash,
        layer: &Layer,
        known: &HashMap<DagHash, Facts>,
        context: &Context<'_>,
    ) -> Result<bool, CacheFault> {
        let text = spec_text_of(from.mirror(), key).await?;
        let absent = || CacheFault::Absent {
            key: key.to_owned(),
        };
        let text = text.ok_or_else(absent)?;
        let file = SpecFile::parse(&text)?;
        let is_named = file.root().map(v3::spec_manifest_path).as_deref() == Some(key);
        if file.root != hash || !is_named {
            return Err(CacheFault::Entry(crate::fetch::FindFault::Renamed {
                key: key.to_owned(),
                found: file.root,
            }));
        }
        let own = known.get(&hash);
        let prefix = |spec: &ConcreteSpec| -> Option<String> {
            let of_own = || own?.prefixes.get(&spec.hash);
            let of_itself = || known.get(&spec.hash)?.prefixes.get(&spec.hash);
            of_own().or_else(of_itself).cloned()
        };
        let is_folder = |path: &str| known.values().any(|it| it.folders.contains(path));
        let parts = Parts {
            specs: &file.specs,
            hash,
            spec_text: &text,
            environment: environment(&file.specs, hash, &prefix, &is_folder),
        };
        let pushed = self.write_image(&parts, layer, context).await?;
        Ok(matches!(pushed, Pushed::Written { .. }))
    }
}

/// What is to be known of a package for the variables of images.
fn facts(key: &str, record: &PackageRecord) -> Result<Facts, CacheFault> {
    let built = BinaryDistribution::parse(&record.binary_distribution);
    let built = built.map_err(|source| CacheFault::BinaryDistribution {
        key: key.to_owned(),
        source,
    })?;
    let prefix = built.prefix();
    let folders = record
        .entries
        .iter()
        .filter(|it| matches!(it.kind, PackageEntryKind::Directory))
        // No variable is about folders that are further in.
        .filter(|it| it.path.matches('/').count() < 3)
        .map(|it| format!("{prefix}/{}", it.path))
        .chain([prefix.clone()])
        .collect();
    let mut prefixes: HashMap<DagHash, String> = built.hash_to_prefix.into_iter().collect();
    if let Some(hash) = v3::hash_of_spec_manifest(key) {
        prefixes.insert(hash, prefix);
    }
    Ok(Facts { prefixes, folders })
}
