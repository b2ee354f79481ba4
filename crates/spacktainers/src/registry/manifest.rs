//! Manifests: get, head, put.

use std::fmt;

use bytes::Bytes;
use oci_format::json::MAX_MANIFEST_BYTES;
use oci_format::{Descriptor, Digest, Reference, media_type};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;

use super::http::shown;
use super::request::{Message, read_bounded, refusal};
use super::{RegistryError, Repository};

/// What we can read where a manifest is asked for.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// The digest of what the registry serves, in an answer's head.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// How a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestKey {
    /// By a name that may move.
    Tag(String),
    /// By its content.
    Digest(Digest),
}

impl fmt::Display for ManifestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<&Reference> for ManifestKey {
    /// The digest where there is one, else the tag, else `latest`.
    fn from(reference: &Reference) -> Self {
        match reference.digest() {
            Some(digest) => Self::Digest(*digest),
            None => {
                let tag = reference
                    .effective_tag()
                    .unwrap_or(oci_format::reference::DEFAULT_TAG);
                Self::Tag(tag.to_owned())
            }
        }
    }
}

impl From<Digest> for ManifestKey {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// A manifest as the registry serves it.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes, which have that digest.
    pub bytes: Vec<u8>,
}

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest, where the registry tells (nearly all do).
    pub digest: Option<Digest>,
    /// Its media type, where the registry tells.
    pub media_type: Option<String>,
    /// Its bytes, where the registry tells.
    pub size: Option<u64>,
}

impl Repository {
    /// The manifest or index that `key` names; nothing where the registry has none.
    ///
    /// # Errors
    /// When the registry cannot or will not give it, or gives something of another digest.
    pub async fn manifest(
        &self,
        key: impl Into<ManifestKey>,
    ) -> Result<Option<FetchedManifest>, RegistryError> {
        let key = key.into();
        let Some(response) = self.ask_manifest(Method::GET, &key).await? else {
            return Ok(None);
        };
        let url = shown(response.url());
        let told = content_digest(response.headers());
        let content_type = content_type(response.headers());
        let bytes = read_bounded(response, MAX_MANIFEST_BYTES).await?;
        let actual = Digest::of(&bytes);
        let expected = match key {
            ManifestKey::Digest(digest) => Some(digest),
            ManifestKey::Tag(_) => told,
        };
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(RegistryError::Digest {
                url,
                expected,
                actual,
            });
        }
        let media_type = own_media_type(&bytes)
            .or(content_type)
            .unwrap_or_else(|| media_type::IMAGE_MANIFEST.to_owned());
        let descriptor = Descriptor::new(media_type, actual, bytes.len() as u64);
        Ok(Some(FetchedManifest { descriptor, bytes }))
    }

    /// What the registry says of the manifest that `key` names; nothing where it has none.
    ///
    /// # Errors
    /// When the registry cannot or will not tell.
    pub async fn manifest_head(
        &self,
        key: impl Into<ManifestKey>,
    ) -> Result<Option<ManifestHead>, RegistryError> {
        let response = self.ask_manifest(Method::HEAD, &key.into()).await?;
        Ok(response.map(|response| {
            let headers = response.headers();
            let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
            ManifestHead {
                digest: content_digest(headers),
                media_type: content_type(headers),
                size: length.and_then(|it| it.parse().ok()),
            }
        }))
    }

    /// Stores a manifest under `key`. All that it names must be there.
    ///
    /// # Errors
    /// When the registry cannot or will not take it, or took it for something else.
    pub async fn put_manifest(
        &self,
        key: impl Into<ManifestKey>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<(), RegistryError> {
        let url = self.url(&format!("manifests/{}", key.into()))?;
        let mut message = Message::new(Method::PUT, url);
        let content_type = HeaderValue::from_str(media_type)
            .map_err(|_| RegistryError::Address(media_type.to_owned()))?;
        message.headers.insert(CONTENT_TYPE, content_type);
        message.body = bytes.into();
        let policy = &self.settings().retry;
        let mut failures = 0;
        let response = loop {
            let response = self.send(&message).await?;
            if response.status().is_success() {
                break response;
            }
            let error = refusal(response).await;
            failures += 1;
            // distribution 2 says this of good digests as well, when another client is just writing a blob of the same
            // digest: it finds a file that is still empty.
            let may_pass = matches!(&error, RegistryError::Status { code: Some(code), .. } if code == "DIGEST_INVALID");
            if !may_pass || failures >= policy.tries {
                return Err(error);
            }
            policy.pause(failures, None).await;
        };
        let expected = Digest::of(&message.body);
        match content_digest(response.headers()) {
            Some(actual) if actual != expected => Err(RegistryError::Digest {
                url: shown(response.url()),
                expected,
                actual,
            }),
            _ => Ok(()),
        }
    }

    async fn ask_manifest(
        &self,
        method: Method,
        key: &ManifestKey,
    ) -> Result<Option<Response>, RegistryError> {
        let mut message = Message::new(method, self.url(&format!("manifests/{key}"))?);
        message
            .headers
            .insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let response = self.send(&message).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(response).await),
        }
    }
}

fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// Without parameters such as `charset`.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or(text).trim().to_owned())
}

/// What a manifest calls itself: covered by its digest, so it counts more than the header.
fn own_media_type(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        media_type: Option<String>,
    }
    serde_json::from_slice::<Named>(bytes).ok()?.media_type
}
