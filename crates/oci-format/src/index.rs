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

    /// The manifest for `platform`: same system and architecture, and of those the highest variant that is not above the
    /// platform's, else one without a variant, else (for a `platform` without a variant) the first.
    ///
    /// An absent variant of arm64 means `v8`, and of amd64 `v1`, as in containerd's `platforms` package.
    #[must_use]
    pub fn select(&self, platform: &Platform) -> Option<&Descriptor> {
        let fitting = || {
            self.manifests.iter().filter_map(|descriptor| {
                let found = descriptor.platform.as_ref()?;
                (found.os == platform.os && found.architecture == platform.architecture)
                    .then_some((descriptor, found))
            })
        };
        let highest = level(platform).and_then(|wanted| {
            // Of equals the first.
            let mut best: Option<(&Descriptor, Level)> = None;
            for (descriptor, found) in fitting() {
                if let Some(found) = level(found)
                    && found <= wanted
                    && best.is_none_or(|(_, level)| found > level)
                {
                    best = Some((descriptor, found));
                }
            }
            best.map(|(descriptor, _)| descriptor)
        });
        highest
            .or_else(|| {
                let mut all = fitting();
                let plain = all.find(|(_, found)| found.variant.is_none());
                plain.map(|(descriptor, _)| descriptor)
            })
            .or_else(|| {
                let mut all = fitting().filter(|_| platform.variant.is_none());
                all.next().map(|(descriptor, _)| descriptor)
            })
    }

    /// The entry for exactly this platform, an absent variant being what [`Self::select`] says.
    #[must_use]
    pub fn entry(&self, platform: &Platform) -> Option<&Descriptor> {
        self.manifests
            .iter()
            .find(|it| it.platform.as_ref().is_some_and(|it| is_same(it, platform)))
    }

    /// Puts `image` in the place of what is there for its platform. All other entries stay, but for what was said about the
    /// image that goes (attestations, as BuildKit writes them). Entries with a platform come first, by platform, so that
    /// the order in which they were put does not show.
    pub fn put(&mut self, image: Descriptor) {
        let Some(platform) = image.platform.clone() else {
            return;
        };
        let is_replaced = |it: &Descriptor| {
            let its = it.platform.as_ref();
            its.is_some_and(|its| is_same(its, &platform))
        };
        let gone: Vec<String> = self
            .manifests
            .iter()
            .filter(|it| is_replaced(it) && it.digest != image.digest)
            .map(|it| it.digest.to_string())
            .collect();
        self.manifests.retain(|it| {
            let about = it.annotations.get(ATTESTED);
            !is_replaced(it) && about.is_none_or(|digest| !gone.contains(digest))
        });
        self.manifests.push(image);
        let key = |it: &Descriptor| {
            let platform = it.platform.clone().filter(|it| it.os != UNKNOWN);
            let spoken = platform.as_ref().and_then(level);
            let names = platform.map(|it| (it.os, it.architecture, spoken, it.variant));
            (names.is_none(), names)
        };
        self.manifests.sort_by_key(key);
    }
}

/// The digest of the image that an entry is about. Source: BuildKit, `docs/attestations/attestation-storage.md`.
const ATTESTED: &str = "vnd.docker.reference.digest";

/// The system and architecture of such an entry.
const UNKNOWN: &str = "unknown";

/// Whether both name the same platform, spoken or not.
fn is_same(a: &Platform, b: &Platform) -> bool {
    a.os == b.os && a.architecture == b.architecture && variant(a) == variant(b)
}

/// `v8.2` as numbers.
type Level = (u32, u32);

/// The variant as something that can be compared, if it can.
fn level(platform: &Platform) -> Option<Level> {
    let text = variant(platform)?;
    let text = text.strip_prefix('v').unwrap_or(text);
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
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
    fn the_highest_variant_that_runs_is_taken() {
        let index = index(&[
            ("amd64", None),
            ("amd64", Some("v4")),
            ("amd64", Some("v2")),
            ("arm64", Some("v8")),
            ("arm64", Some("v9")),
        ]);
        for (architecture, variant, expected) in [
            ("amd64", None, 0),
            ("amd64", Some("v2"), 2),
            ("amd64", Some("v3"), 2),
            ("amd64", Some("v4"), 1),
            ("amd64", Some("what"), 0),
            ("arm64", Some("v8.6"), 3),
            ("arm64", Some("v9.1"), 4),
        ] {
            let found = index.select(&platform(architecture, variant));
            let place = index.manifests.iter().position(|it| Some(it) == found);
            assert_eq!(place, Some(expected), "{architecture} {variant:?}");
        }
    }

    #[test]
    fn an_image_takes_the_place_of_the_one_for_its_platform_and_of_nothing_else() {
        let mut index = index(&[("arm64", Some("v8")), ("amd64", None)]);
        let old = index.manifests[1].digest;
        let attestation = |about: &str| {
            let mut entry = Descriptor::of(media_type::IMAGE_MANIFEST, about.as_bytes());
            entry.platform = Some(Platform {
                os: UNKNOWN.to_owned(),
                ..platform(UNKNOWN, None)
            });
            entry
                .annotations
                .insert(ATTESTED.to_owned(), about.to_owned());
            entry
        };
        let kept = attestation(&index.manifests[0].digest.to_string());
        index.manifests.insert(0, attestation(&old.to_string()));
        index.manifests.insert(0, kept.clone());
        let mut new = Descriptor::of(media_type::IMAGE_MANIFEST, b"new");
        new.platform = Some(platform("amd64", Some("v1")));
        index.put(new.clone());
        let arm = index
            .select(&platform("arm64", None))
            .expect("stays")
            .clone();
        assert_eq!(index.manifests, [new.clone(), arm, kept]);
        assert_eq!(index.entry(&platform("amd64", None)), Some(&new));
        let before = index.clone();
        index.put(new);
        assert_eq!(index, before);
    }

    #[test]
    fn an_index_survives_writing_and_reading() {
        let index = index(&[("amd64", None)]);
        assert_eq!(ImageIndex::parse(&index.to_json()).expect("ours"), index);
    }
}
