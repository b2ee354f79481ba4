//! Descriptors: media type + digest + size, a typed pointer to a blob.
//!
//! Source: OCI image specification, `descriptor.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, json};

/// A typed pointer to content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is; one of [`crate::media_type`] or somebody else's.
    pub media_type: String,
    /// The digest of the content as stored.
    pub digest: Digest,
    /// Bytes of the content as stored.
    pub size: u64,
    /// Where else the content can be had; Docker's foreign layers have them.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
    /// Key–value text; sorted, so that equal annotations are equal bytes.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// For manifests in an index: what they run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// For manifests in an index of referrers: what kind of artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor with neither annotations nor platform.
    #[must_use]
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// The descriptor of `bytes`.
    #[must_use]
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// What an image runs on, in Go's words: `amd64`, `arm64`, `linux`, variant `v8` or `v3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `GOARCH`: `amd64`, `arm64`, …
    pub architecture: String,
    /// `GOOS`: `linux`.
    pub os: String,
    /// `v8` for arm64; `v2`, `v3`, `v4` for x86-64 levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}
