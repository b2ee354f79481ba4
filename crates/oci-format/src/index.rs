//! Image indexes: a list of manifests, one per platform.
//!
//! Source: OCI image specification, `image-index.md`; Docker's manifest list, which has the same members.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::manifest::Manifest;
use crate::{Descriptor, Platform, media_type};

/// An image index, OCI's or Docker's manifest list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::IMAGE_INDEX`], Docker's, or absent in old OCI indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// For artifacts: what kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, best first where several fit.
    #[serde(default, deserialize_with = "json::null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Key–value text; sorted, so that equal annotations are equal bytes.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl ImageIndex {
    /// An OCI index with neither subject nor annotations.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::IMAGE_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Reads an index.
    ///
    /// # Errors
    /// When the bytes are too many, no index, or an image manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        match Manifest::parse(bytes)? {
            Manifest::Index(index) => Ok(*index),
            Manifest::Image(_) => Err(JsonError::Unexpected {
                what: "the image index",
                found: "the manifest of one image",
            }),
        }
    }

    /// Compact JSON; equal indexes give equal bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(self)
    }

    /// The manifest for `platform`: same system and architecture, and of those the same variant,
    /// else one without a variant, else (for a `platform` without a variant) the first.
    ///
    /// An absent variant of arm64 means `v8`, and of amd64 `v1`, as in containerd's `platforms` package.
    #[must_use]
    pub fn select(&self, platform: &Platform) -> Option<&Descriptor> {
        let wanted = variant(platform);
        let fitting = || {
            self.manifests.iter().filter_map(|descriptor| {
                let found = descriptor.platform.as_ref()?;
                (found.os == platform.os && found.architecture == platform.architecture)
                    .then_some((descriptor, found))
            })
        };
        fitting()
            .find(|(_, found)| variant(found) == wanted)
            .or_else(|| fitting().find(|(_, found)| found.variant.is_none()))
            .or_else(|| fitting().next().filter(|_| platform.variant.is_none()))
            .map(|(descriptor, _)| descriptor)
    }
}

/// The variant with its default spoken.
fn variant(platform: &Platform) -> Option<&str> {
    match (platform.architecture.as_str(), platform.variant.as_deref()) {
        ("arm64", None | Some("8" | "")) => Some("v8"),
        ("amd64", None | Some("")) => Some("v1"),
        (_, variant) => variant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(architecture: &str, variant: Option<&str>) -> Platform {
        Platform {
            architecture: architecture.into(),
            os: "linux".into(),
            variant: variant.map(Into::into),
        }
    }

    fn index(platforms: &[(&str, Option<&str>)]) -> ImageIndex {
        let manifests = platforms.iter().map(|(architecture, variant)| {
            let mut descriptor =
                Descriptor::of(media_type::IMAGE_MANIFEST, architecture.as_bytes());
            descriptor.platform = Some(platform(architecture, *variant));
            descriptor
        });
        ImageIndex::new(manifests.collect())
    }

    #[test]
    fn the_platform_is_found_whether_or_not_its_variant_is_spoken() {
        let index = index(&[("unknown", None), ("amd64", None), ("arm64", Some("v8"))]);
        let found = index.select(&platform("arm64", None)).expect("arm64");
        assert_eq!(found, &index.manifests[2]);
        let found = index
            .select(&platform("amd64", Some("v3")))
            .expect("the plain one runs on v3");
        assert_eq!(found, &index.manifests[1]);
        assert_eq!(index.select(&platform("s390x", None)), None);
    }

    #[test]
    fn a_higher_level_is_not_given_to_who_asks_for_a_lower_one() {
        let index = index(&[("amd64", Some("v4"))]);
        assert_eq!(index.select(&platform("amd64", Some("v3"))), None);
    }

    #[test]
    fn an_index_survives_writing_and_reading() {
        let index = index(&[("amd64", None)]);
        assert_eq!(ImageIndex::parse(&index.to_json()).expect("ours"), index);
    }
}
