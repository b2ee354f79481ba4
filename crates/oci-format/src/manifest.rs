//! Image manifests: one image's config and layers, by descriptor.
//!
//! Source: OCI image specification, `manifest.md`; Docker's schema 2, which has the same members.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::index::ImageIndex;
use crate::json::{self, JsonError, MAX_MANIFEST_BYTES};
use crate::{Descriptor, media_type};

/// An image manifest, OCI's or Docker's schema 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::IMAGE_MANIFEST`], Docker's, or absent in old OCI manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// For artifacts: what kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "json::null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about: it is then that one's referrer.
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

impl ImageManifest {
    /// An OCI manifest with neither subject nor annotations.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::IMAGE_MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Reads an image manifest.
    ///
    /// # Errors
    /// When the bytes are too many, no manifest, or an index.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        match Manifest::parse(bytes)? {
            Manifest::Image(manifest) => Ok(*manifest),
            Manifest::Index(_) => Err(JsonError::Unexpected {
                what: "the image manifest",
                found: "an image index (one image for several platforms)",
            }),
        }
    }

    /// Compact JSON; equal manifests give equal bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::to_vec(self)
    }
}

/// What a registry may serve where a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One image.
    Image(Box<ImageManifest>),
    /// A list of manifests, one per platform.
    Index(Box<ImageIndex>),
}

/// Just enough to tell a manifest from an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    schema_version: Option<u32>,
    #[serde(borrow)]
    media_type: Option<std::borrow::Cow<'a, str>>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads an image manifest or an index, telling them apart by `mediaType` or, without one, by
    /// their members.
    ///
    /// # Errors
    /// When the bytes are too many or neither; also when they are both, because then two programs
    /// could see two different images under one digest (CVE-2021-41190).
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        const WHAT: &str = "the image manifest";
        let shape: Shape<'_> = json::parse(WHAT, bytes, MAX_MANIFEST_BYTES)?;
        let unexpected = |found| Err(JsonError::Unexpected { what: WHAT, found });
        if shape.schema_version == Some(1) {
            return unexpected("a Docker manifest of schema 1, which registries gave up in 2024");
        }
        let image = shape.config.is_some() || shape.layers.is_some();
        match (image, shape.manifests.is_some()) {
            (true, true) => unexpected("both a manifest and an index"),
            (false, false) => unexpected("neither a manifest nor an index"),
            (true, false) => match shape.media_type.as_deref() {
                None | Some(media_type::IMAGE_MANIFEST | media_type::DOCKER_MANIFEST) => {
                    json::parse(WHAT, bytes, MAX_MANIFEST_BYTES).map(|it| Self::Image(Box::new(it)))
                }
                Some(_) => unexpected("a manifest of an unknown media type"),
            },
            (false, true) => match shape.media_type.as_deref() {
                None | Some(media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST) => {
                    json::parse(WHAT, bytes, MAX_MANIFEST_BYTES).map(|it| Self::Index(Box::new(it)))
                }
                Some(_) => unexpected("an index of an unknown media type"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ImageManifest {
        let config = Descriptor::of(media_type::IMAGE_CONFIG, b"{}");
        let layer = Descriptor::of(media_type::LAYER_TAR_GZIP, b"layer");
        ImageManifest::new(config, vec![layer])
    }

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        let mut manifest = sample();
        manifest.subject = Some(Descriptor::of(media_type::IMAGE_MANIFEST, b"x"));
        manifest.annotations.insert("b".into(), "2".into());
        manifest.annotations.insert("a".into(), "1".into());
        let bytes = manifest.to_json();
        assert_eq!(
            Manifest::parse(&bytes).expect("ours"),
            Manifest::Image(Box::new(manifest))
        );
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"#));
        assert!(text.ends_with(r#""annotations":{"a":"1","b":"2"}}"#));
    }

    #[test]
    fn docker_schema_2_is_a_manifest_and_schema_1_is_refused_by_name() {
        let mut docker = sample();
        docker.media_type = Some(media_type::DOCKER_MANIFEST.to_owned());
        assert!(matches!(
            Manifest::parse(&docker.to_json()),
            Ok(Manifest::Image(_))
        ));
        let error = Manifest::parse(br#"{"schemaVersion":1,"fsLayers":[]}"#).expect_err("schema 1");
        assert!(error.to_string().contains("schema 1"), "{error}");
    }

    #[test]
    fn a_document_that_is_both_manifest_and_index_is_refused() {
        let text = br#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#;
        let error = Manifest::parse(text).expect_err("ambiguous");
        assert!(error.to_string().contains("both"), "{error}");
    }

    #[test]
    fn a_media_type_that_contradicts_the_members_is_refused() {
        let mut liar = sample();
        liar.media_type = Some(media_type::IMAGE_INDEX.to_owned());
        assert!(Manifest::parse(&liar.to_json()).is_err());
    }

    #[test]
    fn an_index_where_an_image_is_wanted_says_so() {
        let error =
            ImageManifest::parse(br#"{"schemaVersion":2,"manifests":[]}"#).expect_err("index");
        assert!(error.to_string().contains("index"), "{error}");
    }
}
