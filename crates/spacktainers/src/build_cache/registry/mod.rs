//! Build caches in registries: one image for each package, which Spack installs from and containers run.
//!
//! ```text
//! blobs        tarball of the package, which is its layer; config, which is its spec file     by digest
//! NAME-VERSION-HASH.spack    image: layers of what it needs, its own last                     last: now the entry is there
//! index.spack                image whose only layer is the index, for plain Spack
//!
//! RegistryCache ─┬─ push          layers of all, then images of all
//!                ├─ update_index  index + what the tags say ──► index
//!                ├─ copy_from     entries of objects ──► images
//!                ├─ copy_to       images ──► entries of objects, or images of another registry
//!                └─ list, verify
//! ```
//!
//! Start at [`RegistryCache`].
//!
//! Registries know no conditional writes: whoever writes a tag last has it. What is guaranteed all the same:
//!
//! - an entry is there when all of it is there: the tag is written last, and a registry takes no image whose blobs it
//!   does not have;
//! - an entry that is there is never replaced, unless that is asked for. It is looked for when the push begins and once
//!   more just before the tag is written. Two who write a tag within the same round trip are not kept apart: one of
//!   them stays, whole, and the other one is told so if he wrote first and was overtaken by the time he looks again;
//! - the index loses nothing that was pushed. Whoever has written it lists the tags afterwards and begins again while a
//!   package is missing, or while the index is not the one that he wrote. So the last one to write has seen every
//!   package that was there; and whoever pushes later updates it later. Only one who is killed between writing the
//!   index and looking leaves a gap, which the next update closes;
//!   While several write, one may be missing for a moment: from when a slower one writes until he has looked;
//! - packages are found by hash without the index.
//!
//! A registry that shows tags late (one behind a cache, say) weakens the last two.
//!
//! Spack 1.1 reads the index of `oci:` mirrors and passes over that of `oci+http:` ones, whoever wrote it; packages that
//! it knows the hash of it installs from both.
//!
//! Nothing is signed: there is no place for signatures in this layout.
//!
//! Source: `_oci_push`, `_oci_put_manifest`, `_oci_update_index` in `lib/spack/spack/binary_distribution.py` of Spack 1.1.

mod index;
mod look;
mod push;
mod sync_in;
mod sync_out;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use oci_format::{Descriptor, Digest, media_type};
use spack_format::build_cache::MAX_SPEC_FILE_BYTES;
use spack_format::build_cache::oci::{
    INDEX_TAG, LayerRecord, PackageConfig, PackageManifest, hash_of_tag, tag,
};
use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;

use push::{Parts, environment};

use super::destination::PushOptions;
use super::error::CacheFault;
use super::index::{blocking, pause};
use super::object::digest;
use crate::content::Content;
use crate::fetch::{FindFault, utf8};
use crate::mirror::Location;
use crate::registry::{FetchedManifest, ManifestKey, RegistryError, Repository, Upload};

/// How often a tag is read again that is just being written.
const TORN_READS: u32 = 10;

/// A build cache in a registry. One for a whole run: what was learned of layers is kept.
pub struct RegistryCache {
    repository: Repository,
    url: String,
    options: PushOptions,
    layers: Mutex<HashMap<DagHash, Layer>>,
}

/// The layer that a package is.
#[derive(Debug, Clone)]
struct Layer {
    blob: Descriptor,
    diff_id: Digest,
}

/// An image that is a package.
struct Entry {
    tarball: LayerRecord,
    config: PackageConfig,
    /// The text of the config, which has the spec.
    text: String,
}

impl RegistryCache {
    /// The build cache in this repository, which must be writable for all that writes.
    #[must_use]
    pub fn new(repository: Repository, options: PushOptions) -> Self {
        Self {
            url: Location::Registry(repository.as_origin()).to_string(),
            repository,
            options,
            layers: Mutex::default(),
        }
    }

    /// Its URL, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a tag; once more where somebody else is just writing it, which some registries answer with 400 as well.
    async fn put(&self, tag: &str, manifest: &[u8]) -> Result<(), CacheFault> {
        self.put_as(tag, media_type::IMAGE_MANIFEST, manifest).await
    }

    async fn put_as(&self, tag: &str, kind: &str, manifest: &[u8]) -> Result<(), CacheFault> {
        let mut tries = 0;
        loop {
            let key = ManifestKey::Tag(tag.to_owned());
            let bytes = manifest.to_vec();
            match self.repository.put_manifest(key, kind, bytes).await {
                Err(RegistryError::Status { status, .. })
                    if status == 400 && tries < TORN_READS =>
                {
                    tries += 1;
                    pause().await;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// Registries that keep tags in files answer 400 to who reads one that is just being written; so that is asked again.
    async fn manifest(&self, tag: &str) -> Result<Option<FetchedManifest>, CacheFault> {
        for _ in 0..TORN_READS {
            let key = ManifestKey::Tag(tag.to_owned());
            match self.repository.manifest(key).await {
                Err(RegistryError::Status { status, .. }) if status == 400 => pause().await,
                answer => return Ok(answer?),
            }
        }
        Ok(self
            .repository
            .manifest(ManifestKey::Tag(tag.to_owned()))
            .await?)
    }

    async fn is_there(&self, tag: &str) -> Result<bool, CacheFault> {
        let key = ManifestKey::Tag(tag.to_owned());
        match self.repository.manifest_head(key).await {
            Err(RegistryError::Status { status, .. }) if status == 400 => {
                Ok(self.manifest(tag).await?.is_some())
            }
            answer => Ok(answer?.is_some()),
        }
    }

    /// The tags of packages with the hashes that they end in, in order.
    async fn tags(&self) -> Result<Vec<(DagHash, String)>, CacheFault> {
        let tags = self.repository.tags().await?;
        let packages = tags.into_iter().filter(|it| it != INDEX_TAG);
        let mut packages: Vec<_> = packages
            .filter_map(|tag| Some((hash_of_tag(&tag)?, tag)))
            .collect();
        packages.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(packages)
    }

    /// What an image says; nothing where there is none. That it is of the package which its tag names is checked.
    async fn entry(&self, name: &str, hash: DagHash) -> Result<Option<Entry>, CacheFault> {
        let Some(found) = self.manifest(name).await? else {
            return Ok(None);
        };
        let manifest = package_manifest(name, &found)?;
        let blob = Descriptor::new(
            &manifest.config.media_type,
            digest(&manifest.config.checksum),
            manifest.config.size,
        );
        let bytes = self
            .repository
            .blob_bytes(&blob, MAX_SPEC_FILE_BYTES)
            .await?;
        let text = utf8(name, bytes)?;
        let image = name.to_owned();
        let config = blocking(move || -> Result<_, FindFault> {
            let config = PackageConfig::parse(&text).map_err(|source| FindFault::Image {
                tag: image.clone(),
                source: Box::new(source),
            })?;
            let found = config.spec_file.root;
            let is_named = config.spec_file.root().is_some_and(|it| tag(it) == image);
            if found == hash && is_named {
                Ok((config, text))
            } else {
                Err(FindFault::Renamed { key: image, found })
            }
        });
        let (config, text) = config.await??;
        Ok(Some(Entry {
            config,
            text,
            tarball: manifest.tarball,
        }))
    }

    /// The layer of a package that was pushed, by us or somebody else; nothing where it was not.
    async fn layer(&self, spec: &ConcreteSpec) -> Result<Option<Layer>, CacheFault> {
        let known = self
            .layers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&spec.hash)
            .cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(entry) = self.entry(&tag(spec), spec.hash).await? else {
            return Ok(None);
        };
        let tarball = entry.tarball;
        let blob = Descriptor::new(tarball.media_type, digest(&tarball.checksum), tarball.size);
        let diff_id = digest(&entry.config.diff_id);
        let layer = Layer { blob, diff_id };
        self.remember(spec.hash, layer.clone());
        Ok(Some(layer))
    }

    fn remember(&self, hash: DagHash, layer: Layer) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.insert(hash, layer);
    }

    /// Sends a blob unless it is there.
    async fn send(&self, content: &Content, digest: Digest) -> Result<(), CacheFault> {
        if self.repository.blob_head(&digest).await?.is_some() {
            return Ok(());
        }
        let upload = Upload {
            digest,
            content,
            session: None,
            on_bytes: std::sync::Arc::new(|_| {}),
        };
        Ok(self.repository.upload(upload).await?)
    }

    /// Sends bytes as a blob of this type.
    async fn send_bytes(&self, bytes: &[u8], media_type: &str) -> Result<Descriptor, CacheFault> {
        let digest = Digest::of(bytes);
        let content = Content::Memory(bytes.into());
        self.send(&content, digest).await?;
        Ok(Descriptor::new(media_type, digest, content.len()))
    }
}

fn package_manifest(tag: &str, found: &FetchedManifest) -> Result<PackageManifest, CacheFault> {
    let parsed = PackageManifest::parse(&String::from_utf8_lossy(&found.bytes));
    parsed.map_err(|source| {
        CacheFault::Entry(FindFault::Image {
            tag: tag.to_owned(),
            source: Box::new(source),
        })
    })
}
