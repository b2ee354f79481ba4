//! OCI build caches: one image per package.
//!
//! The config of the image is the package's spec file (and an image config as well), the last
//! layer is its tarball, the layers before are its dependencies' or a base image's. Every tag
//! that ends in `.spack` is a package, except [`INDEX_TAG`].
//!
//! Source: `lib/spack/spack/binary_distribution.py` (`_oci_put_manifest`, `_oci_get_blob_info`),
//! `oci/image.py` (`ensure_valid_tag`) of Spack 1.1.

use serde::Deserialize;

use super::{Checksum, SpecFile, SpecFileError};
use crate::concrete::{ConcreteSpec, JsonFault};
use crate::dag_hash::DagHash;

/// The tag of the image whose only layer is the index, as plain JSON.
pub const INDEX_TAG: &str = "index.spack";

/// The longest tag that registries take.
const MAX_TAG: usize = 128;

/// The tag of a package.
#[must_use]
pub fn tag(spec: &ConcreteSpec) -> String {
    let text = format!("{}-{}-{}.spack", spec.name, spec.version, spec.hash);
    let allowed = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
    let clean: String = text
        .chars()
        .map(|it| if allowed(it) { it } else { '_' })
        .collect();
    let length = clean.len();
    match (
        clean.get(..MAX_TAG / 2),
        clean.get(length.saturating_sub(MAX_TAG / 2)..),
    ) {
        (Some(head), Some(tail)) if length > MAX_TAG => format!("{head}{tail}"),
        _ => clean,
    }
}

/// The hash that a package's tag ends in.
#[must_use]
pub fn hash_of_tag(tag: &str) -> Option<DagHash> {
    if !is_package_tag(tag) {
        return None;
    }
    tag.strip_suffix(".spack")?.rsplit('-').next()?.parse().ok()
}

/// Whether a tag names a package.
#[must_use]
pub fn is_package_tag(tag: &str) -> bool {
    tag.ends_with(".spack") && tag != INDEX_TAG
}

/// Why an image is not a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OciEntryError {
    /// Not JSON, or of another shape.
    #[error("{0}")]
    Json(JsonFault),
    /// A digest that cannot be used.
    #[error("`{0}` is not a sha256 digest")]
    Digest(String),
    /// No layers.
    #[error("the image has no layers: the last one should be the package")]
    NoLayers,
    /// The config is not a spec file.
    #[error("the image config is not a spec file: {0}")]
    SpecFile(#[from] SpecFileError),
}

/// What a package's image manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageManifest {
    /// The config, which is the spec file.
    pub config: LayerRecord,
    /// The last layer, which is the package's tarball.
    pub tarball: LayerRecord,
}

/// A blob of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRecord {
    /// What it is.
    pub media_type: String,
    /// The sha256 of the stored bytes.
    pub checksum: Checksum,
    /// Their number.
    pub size: u64,
}

impl PackageManifest {
    /// Reads the text of an image manifest.
    ///
    /// # Errors
    /// When it is none, or has no layer.
    pub fn parse(text: &str) -> Result<Self, OciEntryError> {
        #[derive(Deserialize)]
        struct File {
            config: Record,
            layers: Vec<Record>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Record {
            media_type: String,
            digest: String,
            size: u64,
        }
        let read = |record: Record| {
            Ok::<_, OciEntryError>(LayerRecord {
                checksum: digest(&record.digest)?,
                media_type: record.media_type,
                size: record.size,
            })
        };
        let mut file: File = parse_json(text)?;
        let tarball = file.layers.pop().ok_or(OciEntryError::NoLayers)?;
        Ok(Self {
            config: read(file.config)?,
            tarball: read(tarball)?,
        })
    }
}

/// What a package's image config says.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageConfig {
    /// The package and its dependencies.
    pub spec_file: SpecFile,
    /// The sha256 of the last layer, uncompressed.
    pub diff_id: Checksum,
    /// The variables that the package's run environment sets, as `NAME=value`, merged into those
    /// of the base image.
    pub environment: Vec<String>,
}

impl PackageConfig {
    /// Reads the text of an image config.
    ///
    /// # Errors
    /// When it is none, or is not a spec file as well.
    pub fn parse(text: &str) -> Result<Self, OciEntryError> {
        #[derive(Deserialize)]
        struct File {
            rootfs: RootFs,
            config: Option<Execution>,
        }
        #[derive(Deserialize)]
        struct RootFs {
            diff_ids: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Execution {
            #[serde(rename = "Env")]
            environment: Option<Vec<String>>,
        }
        let file: File = parse_json(text)?;
        let last = file.rootfs.diff_ids.last().ok_or(OciEntryError::NoLayers)?;
        Ok(Self {
            diff_id: digest(last)?,
            spec_file: SpecFile::parse(text)?,
            environment: file
                .config
                .and_then(|it| it.environment)
                .unwrap_or_default(),
        })
    }
}

fn parse_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, OciEntryError> {
    serde_json::from_str(text)
        .map_err(|error| OciEntryError::Json(JsonFault::within(text, text, &error)))
}

fn digest(text: &str) -> Result<Checksum, OciEntryError> {
    text.strip_prefix("sha256:")
        .and_then(|hex| hex.parse().ok())
        .ok_or_else(|| OciEntryError::Digest(text.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;

    #[test]
    fn tags_are_clean_and_not_too_long() {
        let specs = test_specs::small();
        let mut spec = test_specs::named(&specs, "app").clone();
        spec.version = "git.a/b=1.0".to_owned();
        let tagged = tag(&spec);
        assert_eq!(tagged, format!("app-git.a_b_1.0-{}.spack", spec.hash));
        assert!(is_package_tag(&tagged) && !is_package_tag(INDEX_TAG));
        assert_eq!(hash_of_tag(&tagged), Some(spec.hash));
        assert_eq!(hash_of_tag(INDEX_TAG), None);
        spec.version = "1".repeat(200);
        let tagged = tag(&spec);
        assert_eq!(tagged.len(), 128);
        assert!(
            tagged.starts_with("app-1111") && tagged.ends_with(&format!("{}.spack", spec.hash))
        );
    }

    #[test]
    fn the_last_layer_is_the_package() {
        let (config, base, own) = ("1".repeat(64), "2".repeat(64), "3".repeat(64));
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"sha256:{config}","size":7}},"layers":[{{"mediaType":"l","digest":"sha256:{base}","size":8}},{{"mediaType":"l","digest":"sha256:{own}","size":9}}]}}"#
        );
        let manifest = PackageManifest::parse(&text).expect("a manifest");
        assert_eq!((manifest.config.size, manifest.tarball.size), (7, 9));
        assert_eq!(manifest.tarball.checksum.to_string(), own);
        let no_layers = r#"{"config":{"mediaType":"c","digest":"sha256:1","size":7},"layers":[]}"#;
        assert_eq!(
            PackageManifest::parse(no_layers),
            Err(OciEntryError::NoLayers)
        );
        let md5 = text.replace("sha256:3", "md5:3");
        assert!(matches!(
            PackageManifest::parse(&md5),
            Err(OciEntryError::Digest(_))
        ));
    }

    #[test]
    fn the_config_is_a_spec_file_and_names_the_last_diff_id() {
        let node = r#"{"name":"a","version":"1","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64"},"parameters":{},"hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
        let (first, last) = ("1".repeat(64), "2".repeat(64));
        let rootfs = format!(
            r#""rootfs":{{"type":"layers","diff_ids":["sha256:{first}","sha256:{last}"]}},"config":{{"Env":["PATH=/bin"]}}"#
        );
        let text = format!(
            r#"{{"architecture":"amd64",{rootfs},"spec":{{"_meta":{{"version":4}},"nodes":[{node}]}}}}"#
        );
        let config = PackageConfig::parse(&text).expect("a config");
        assert_eq!(config.diff_id.to_string(), last);
        assert_eq!(config.environment, ["PATH=/bin"]);
        let image_only = format!("{{{rootfs}}}");
        assert!(matches!(
            PackageConfig::parse(&image_only),
            Err(OciEntryError::SpecFile(_))
        ));
    }
}
