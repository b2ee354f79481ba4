//! Small objects: manifests and spec files, remembered for days without a network.
//!
//! What a mirror on the network said is written down as it came, signature included, and judged again
//! whenever it is read: remembering it trusts nobody.

use std::io::Read;

use oci_format::Digest;
use oci_format::layer::compression::Decoder;
use spack_format::build_cache::{Checksum, MAX_SPEC_FILE_BYTES, SpecFile};
use spack_format::dag_hash::DagHash;

use super::error::FindFault;
use super::{BuildCache, Context};
use crate::event::Event;
use crate::local_cache::LocalCache;
use crate::mirror::{MirrorError, SharedMirror, Source};

/// What mirrors said, by URL and key.
const REMEMBERED: &str = "mirror-1";

/// Objects of which every build cache that Spack wrote has one: who may read one of these may read
/// all that is there.
const PROBES: [&str; 3] = [
    "v3/layout.json",
    "v3/manifests/index/index.manifest.json",
    "build_cache/index.json",
];

impl BuildCache {
    /// An object of at most `limit` bytes; nothing when there is none, or when no network is to be
    /// used and nothing is remembered of it.
    pub(crate) async fn small(
        &self,
        key: &str,
        limit: u64,
        context: &Context<'_>,
    ) -> Result<Option<Vec<u8>>, FindFault> {
        let objects = match &self.source {
            Source::Objects(objects) => objects,
            Source::Repository(_) => return Ok(None),
            Source::Offline => return Ok(self.remembered(key, context.cache)),
        };
        let found = match objects.get(key, limit).await {
            Err(error) if error.may_mean_absent() && self.hides_absence(objects).await => None,
            result => result?,
        };
        if let Some(bytes) = &found
            && objects.local_path(key).is_none()
        {
            self.remember(key, bytes, context);
        }
        Ok(found)
    }

    /// What is remembered of an object.
    pub(super) fn remembered(&self, key: &str, cache: &LocalCache) -> Option<Vec<u8>> {
        cache.record(REMEMBERED, &format!("{} {key}", self.url))
    }

    pub(super) fn remember(&self, key: &str, bytes: &[u8], context: &Context<'_>) {
        let record = format!("{} {key}", self.url);
        if self.remembered(key, context.cache).as_deref() == Some(bytes) {
            return;
        }
        if let Err(error) = context.cache.put_record(REMEMBERED, &record, bytes) {
            let warning = format!("cannot remember what {} said: {error}", self.url);
            context.reporter.event(Event::Warning(warning));
        }
    }

    /// Whether this mirror refuses what it does not have, as stores do that let nobody list them: it
    /// does if it lets us read something else.
    async fn hides_absence(&self, objects: &SharedMirror) -> bool {
        let probe = || async {
            for key in PROBES {
                if readable(objects.get(key, u64::from(u32::MAX)).await) {
                    return true;
                }
            }
            false
        };
        *self.hides_absence.get_or_init(probe).await
    }

    /// A spec blob, from the local cache if it is there.
    pub(super) async fn blob(
        &self,
        key: &str,
        digest: &Digest,
        size: u64,
        context: &Context<'_>,
    ) -> Result<Option<Vec<u8>>, FindFault> {
        if let Some(content) = context.cache.blob(digest).filter(|it| it.len() == size)
            && let Some(bytes) = whole(content, digest)
        {
            return Ok(Some(bytes));
        }
        let objects = match &self.source {
            Source::Objects(objects) => objects,
            Source::Repository(_) | Source::Offline => return Ok(None),
        };
        let Some(bytes) = objects.get(key, MAX_SPEC_FILE_BYTES).await? else {
            return Ok(None);
        };
        if bytes.len() as u64 != size {
            return Err(FindFault::Size {
                key: key.to_owned(),
                expected: size,
                actual: bytes.len() as u64,
            });
        }
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(FindFault::Digest {
                key: key.to_owned(),
                expected: *digest,
                actual,
            });
        }
        if objects.local_path(key).is_none() {
            context.cache.insert(digest, size, &bytes[..])?;
        }
        Ok(Some(bytes))
    }
}

/// The bytes of a cached blob, if they still have the digest.
pub(super) fn whole(content: crate::content::Content, digest: &Digest) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let reader = content.open(0).ok()?;
    reader
        .take(MAX_SPEC_FILE_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    (Digest::of(&bytes) == *digest).then_some(bytes)
}

fn readable(result: Result<Option<Vec<u8>>, MirrorError>) -> bool {
    matches!(result, Ok(Some(_)))
}

/// What of a spec file matters here.
pub(super) struct SpecHead {
    /// The layout of the tarball, where stated.
    pub(super) layout: Option<u32>,
    /// The tarball's digest, where stated.
    pub(super) tarball: Option<Digest>,
}

impl SpecHead {
    /// Reads a spec file, which must be of the package `wanted`. `entry` is what led to it.
    pub(super) fn read(
        key: &str,
        text: &str,
        wanted: DagHash,
        entry: &str,
    ) -> Result<Self, FindFault> {
        let file = SpecFile::parse(text).map_err(|source| FindFault::SpecFile {
            key: key.to_owned(),
            source: source.into(),
        })?;
        if file.root != wanted {
            return Err(FindFault::Renamed {
                key: entry.to_owned(),
                found: file.root,
            });
        }
        Ok(Self {
            layout: file.layout_version,
            tarball: file.tarball_checksum.as_ref().map(digest),
        })
    }
}

/// The text of a spec blob, decompressed as its first bytes say.
pub(crate) fn spec_text(key: &str, bytes: &[u8]) -> Result<String, FindFault> {
    let mut text = Vec::new();
    Decoder::new(bytes, MAX_SPEC_FILE_BYTES)
        .and_then(|mut decoder| decoder.read_to_end(&mut text))
        .map_err(|source| FindFault::Decompress {
            key: key.to_owned(),
            source,
        })?;
    utf8(key, text)
}

pub(crate) fn utf8(key: &str, bytes: Vec<u8>) -> Result<String, FindFault> {
    String::from_utf8(bytes).map_err(|_| FindFault::NotText {
        key: key.to_owned(),
    })
}

/// Runs what takes a processor for a while (spec files of large environments have megabytes) where
/// it keeps no connection waiting.
pub(super) async fn computed<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FindFault> + Send + 'static,
) -> Result<T, FindFault> {
    let result = tokio::task::spawn_blocking(work).await;
    result.unwrap_or(Err(FindFault::Abandoned))
}

pub(super) fn digest(checksum: &Checksum) -> Digest {
    Digest::from_bytes(*checksum.as_bytes())
}
