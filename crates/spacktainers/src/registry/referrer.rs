//! Referrers: manifests that are about another one, put so that readers find them.
//!
//! ```text
//! PUT manifests/<digest>            its `subject` names what it is about
//! GET referrers/<subject>           lists it: the registry keeps the list
//!    │ 404, nonsense, or a list without it
//!    ▼
//! GET manifests/sha256-<subject>    the fallback tag: an index that those who push keep themselves
//! PUT manifests/sha256-<subject>    the same and ours
//! GET manifests/sha256-<subject>    ours is in it, and still is a moment later?   else again from the second GET
//! ```
//!
//! The list decides, not the header `OCI-Subject` of the answer to the first PUT: ECR has sent that header without having the
//! list (sigstore-js, pull request 1183), and others answer 200 to any address (pull request 1187).
//!
//! Registries know no conditional writes. Two who add to a fallback tag at the same time can lose an entry: one that reads
//! before the other writes, and writes after the other has looked. So everybody reads again right before writing, and looks
//! twice afterwards, with a pause between that is longer than such a write takes. Whoever has to be sure looks once more when
//! all is done: [`Repository::put_referrer`] again sends nothing that is there.
//!
//! Source: OCI distribution specification 1.1, "Pushing Manifests with Subject", "Referrers Tag Schema".

use std::time::Duration;

use oci_format::{Descriptor, Digest, ImageIndex, ImageManifest, media_type};
use reqwest::{Method, StatusCode};

use super::request::{Message, read_bounded};
use super::{ManifestKey, RegistryError, Repository};

/// How often an entry is added to the fallback tag when others keep replacing it.
const ATTEMPTS: u32 = 24;
/// How often a registry with a list is asked for it until the new entry shows: some update theirs a little later.
const LOOKS: u32 = 3;
/// The wait before looking again, for what a registry or another writer was just doing.
const PAUSE: Duration = Duration::from_millis(250);

/// How readers find a referrer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrerListing {
    /// The registry lists it.
    Api,
    /// An index under the tag `sha256-<digest>` does.
    Tag,
}

/// A referrer that can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutReferrer {
    /// As it is listed: with the artifact's type and annotations.
    pub descriptor: Descriptor,
    /// Where it is listed.
    pub listing: ReferrerListing,
    /// Whether it was there, and listed, before.
    pub unchanged: bool,
}

/// The tag under which the referrers of `subject` are listed where a registry keeps no list: `sha256-<64 digits>`.
#[must_use]
pub fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The entry for `manifest`, whose bytes are `bytes`, in lists of referrers.
///
/// The artifact's type is that of the config where the manifest names none, and annotations are copied: the distribution
/// specification asks registries, and clients that keep the fallback tag, for both.
#[must_use]
pub fn referrer_descriptor(manifest: &ImageManifest, bytes: &[u8]) -> Descriptor {
    let mut descriptor = Descriptor::of(media_type::IMAGE_MANIFEST, bytes);
    let of_config = || manifest.config.media_type.clone();
    descriptor.artifact_type = Some(manifest.artifact_type.clone().unwrap_or_else(of_config));
    descriptor.annotations.clone_from(&manifest.annotations);
    descriptor
}

impl Repository {
    /// Stores the manifest `bytes`, which is about `subject` and is listed as `entry` ([`referrer_descriptor`]), and sees to it that
    /// readers find it. Its blobs must be there.
    ///
    /// # Errors
    /// When the registry fails or refuses, when it lists the referrer nowhere, or when others keep replacing the fallback tag.
    pub async fn put_referrer(
        &self,
        subject: &Digest,
        entry: &Descriptor,
        bytes: Vec<u8>,
    ) -> Result<PutReferrer, RegistryError> {
        let descriptor = entry.clone();
        let mut unchanged = self.manifest_head(descriptor.digest).await?.is_some();
        if !unchanged {
            let key = ManifestKey::Digest(descriptor.digest);
            self.put_manifest(key, media_type::IMAGE_MANIFEST, bytes)
                .await?;
        }
        let is_listed = |list: &[Descriptor]| list.iter().any(|it| it.digest == descriptor.digest);
        for look in 0..LOOKS {
            match self.listed_by_registry(subject).await? {
                Some(list) if is_listed(&list) => {
                    return Ok(PutReferrer {
                        descriptor,
                        listing: ReferrerListing::Api,
                        unchanged,
                    });
                }
                // Registries that answer anything with an empty list are not waited for when all was there already.
                Some(_) if look + 1 < LOOKS && !unchanged => tokio::time::sleep(PAUSE).await,
                _ => break,
            }
        }
        unchanged &= !self.add_to_fallback(subject, &descriptor).await?;
        Ok(PutReferrer {
            descriptor,
            listing: ReferrerListing::Tag,
            unchanged,
        })
    }

    /// What the registry itself lists; nothing where it keeps no list.
    pub(super) async fn listed_by_registry(
        &self,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let mut url = self.url(&format!("referrers/{subject}"))?;
        let mut found = Vec::new();
        for page in 0..super::listing::MAX_PAGES {
            let response = self.send(&Message::new(Method::GET, url.clone())).await?;
            match response.status() {
                StatusCode::OK => {}
                // Some registries without referrers refuse the address instead of not knowing it.
                StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_IMPLEMENTED => return Ok(None),
                _ => return Err(super::request::refusal(response).await),
            }
            let next = super::listing::next_page(&url, response.headers());
            let bytes = read_bounded(response, oci_format::json::MAX_MANIFEST_BYTES).await?;
            match ImageIndex::parse(&bytes) {
                Ok(index) => found.extend(index.manifests),
                // A page for people under every address is no list.
                Err(_) if page == 0 => return Ok(None),
                Err(source) => {
                    return Err(RegistryError::Json {
                        url: super::http::shown(&url),
                        source,
                    });
                }
            }
            match next {
                Some(next) if self.owns(&next) => url = next,
                _ => return Ok(Some(found)),
            }
        }
        Err(RegistryError::Answer {
            url: super::http::shown(&url),
            fault: "the list of referrers has no end",
        })
    }

    /// The index under the fallback tag, and its digest; nothing where there is none.
    pub(super) async fn listed_by_tag(
        &self,
        subject: &Digest,
    ) -> Result<Option<(ImageIndex, Digest)>, RegistryError> {
        let tag = fallback_tag(subject);
        let url = self.url(&format!("manifests/{tag}"))?;
        let Some(found) = self.manifest(ManifestKey::Tag(tag)).await? else {
            return Ok(None);
        };
        let index = ImageIndex::parse(&found.bytes).map_err(|source| RegistryError::Json {
            url: super::http::shown(&url),
            source,
        })?;
        Ok(Some((index, found.descriptor.digest)))
    }

    /// Adds an entry to the index under the fallback tag; says whether it had to.
    async fn add_to_fallback(
        &self,
        subject: &Digest,
        entry: &Descriptor,
    ) -> Result<bool, RegistryError> {
        let tag = fallback_tag(subject);
        let mut was_written = false;
        // Written by us, and not looked at again yet.
        let mut is_fresh = false;
        for attempt in 0..ATTEMPTS {
            let (mut index, version) = match self.listed_by_tag(subject).await? {
                Some((index, version)) => (index, Some(version)),
                None => (ImageIndex::new(Vec::new()), None),
            };
            if add(&mut index, entry) {
                if !is_fresh {
                    return Ok(was_written);
                }
                is_fresh = false;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if attempt > 0 {
                self.settings().retry.pause(attempt, None).await;
            }
            let bytes = index.to_json();
            // As late as possible: what was written meanwhile is not to be lost.
            let key = ManifestKey::Tag(tag.clone());
            let now = self.manifest_head(key.clone()).await?;
            let is_same = match (&now, version) {
                (None, None) => true,
                // A registry that tells no digest is believed.
                (Some(now), Some(version)) => now.digest.is_none_or(|it| it == version),
                _ => false,
            };
            if !is_same {
                continue;
            }
            self.put_manifest(key, media_type::IMAGE_INDEX, bytes)
                .await?;
            was_written = true;
            is_fresh = true;
        }
        Err(RegistryError::Answer {
            url: super::http::shown(&self.url(&format!("manifests/{tag}"))?),
            fault: "others keep replacing the list of referrers, and ours gets lost",
        })
    }
}

/// Adds `entry` unless it is there, with what the specification wants copied; says whether it was there.
///
/// Entries are kept in their order, and what others wrote is kept as it is.
pub(crate) fn add(index: &mut ImageIndex, entry: &Descriptor) -> bool {
    let same = index
        .manifests
        .iter_mut()
        .find(|it| it.digest == entry.digest);
    match same {
        Some(known) if known == entry => true,
        // Of a client that copied neither type nor annotations (cosign, issue 4641): nobody would find it by its type.
        Some(known) => {
            known.clone_from(entry);
            false
        }
        None => {
            index.manifests.push(entry.clone());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_type_and_annotations_and_incomplete_ones_are_mended() {
        let config = Descriptor::of("application/vnd.example.config", b"{}");
        let mut manifest = ImageManifest::new(config, Vec::new());
        manifest.annotations.insert("k".into(), "v".into());
        let entry = referrer_descriptor(&manifest, &manifest.to_json());
        assert_eq!(
            entry.artifact_type.as_deref(),
            Some("application/vnd.example.config")
        );
        assert_eq!(entry.annotations["k"], "v");
        manifest.artifact_type = Some("text/x".into());
        let named = referrer_descriptor(&manifest, &manifest.to_json());
        assert_eq!(named.artifact_type.as_deref(), Some("text/x"));

        let bare = Descriptor::new(media_type::IMAGE_MANIFEST, entry.digest, entry.size);
        let other = Descriptor::of("a/b", b"other");
        let mut index = ImageIndex::new(vec![bare, other.clone()]);
        assert!(!add(&mut index, &entry));
        assert!(add(&mut index, &entry));
        assert_eq!(index.manifests, [entry, other]);
    }
}
