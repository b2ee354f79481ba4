//! Layout 3: manifests that name blobs by checksum.
//!
//! Source: `URLBuildcacheEntry` in `lib/spack/spack/url_buildcache.py`,
//! `schema/url_buildcache_manifest.py` of Spack 1.1.

use serde::{Deserialize, Serialize};

use super::{Checksum, ChecksumError, Fingerprint};
use crate::concrete::{ConcreteSpec, JsonFault};
use crate::dag_hash::DagHash;
use crate::prefix::polite_filename;

/// The version that manifests state.
const VERSION: u32 = 3;

/// Where the mirror says how it is signed.
pub const LAYOUT_PATH: &str = "v3/layout.json";
/// What Spack writes there.
pub const LAYOUT_TEXT: &str = r#"{"signing": "gpg"}"#;
/// Where the manifest of the list of keys lies.
pub const KEYS_MANIFEST_PATH: &str = "v3/manifests/key/keys.manifest.json";
/// The folder of all spec manifests.
pub const SPEC_MANIFESTS_FOLDER: &str = "v3/manifests/spec";

/// A tarball of an install prefix.
pub const TARBALL_MEDIA_TYPE: &str = "application/vnd.spack.install.v2.tar+gzip";
/// A spec file as Spack 1.0 and later name it, whatever the format of the nodes within. Spack
/// finds no other name, so this one has to be written.
pub const SPEC_MEDIA_TYPE: &str = "application/vnd.spack.spec.v5+json";
/// An index, likewise.
pub const INDEX_MEDIA_TYPE: &str = "application/vnd.spack.db.v8+json";
/// A public key.
pub const KEY_MEDIA_TYPE: &str = "application/pgp-keys";
/// A list of public keys.
pub const KEY_INDEX_MEDIA_TYPE: &str = "application/vnd.spack.keyindex.v1+json";

/// The path of the manifest of a package.
#[must_use]
pub fn spec_manifest_path(spec: &ConcreteSpec) -> String {
    // Names are checked when a node is read; versions are made harmless here.
    let name = &spec.name;
    let stem = polite_filename(&format!("{name}-{}-{}", spec.version, spec.hash));
    format!("{SPEC_MANIFESTS_FOLDER}/{name}/{stem}.spec.manifest.json")
}

/// The hash that the path of a spec manifest ends in.
#[must_use]
pub fn hash_of_spec_manifest(path: &str) -> Option<DagHash> {
    let stem = path
        .strip_prefix(SPEC_MANIFESTS_FOLDER)?
        .strip_suffix(".spec.manifest.json")?;
    stem.rsplit('-').next()?.parse().ok()
}

/// The path of the manifest of the index, or of a named part of it (Spack 1.2 and later).
#[must_use]
pub fn index_manifest_path(view: Option<&str>) -> String {
    match view {
        None => "v3/manifests/index/index.manifest.json".to_owned(),
        Some(view) => {
            format!(
                "v3/manifests/index/{}/index.manifest.json",
                polite_filename(view)
            )
        }
    }
}

/// The path of the manifest of a public key.
#[must_use]
pub fn key_manifest_path(fingerprint: &Fingerprint) -> String {
    format!("v3/manifests/key/{fingerprint}.key.manifest.json")
}

/// The path of a blob.
#[must_use]
pub fn blob_path(checksum: &Checksum) -> String {
    let hex = checksum.to_string();
    format!("blobs/sha256/{}/{hex}", hex.get(..2).unwrap_or_default())
}

/// A manifest: the blobs that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its blobs, in order.
    pub records: Vec<BlobRecord>,
}

/// What a manifest says of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRecord {
    /// The size of the stored bytes.
    pub content_length: u64,
    /// What it is.
    pub media_type: String,
    /// How the stored bytes are compressed.
    pub compression: Compression,
    /// The checksum of the stored bytes.
    pub checksum: Checksum,
}

/// How a blob is compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By something that Spack did not write when this was written.
    Other(String),
}

/// Why a text is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or of another shape.
    #[error("{0}")]
    Json(JsonFault),
    /// Of another version.
    #[error("manifest version {0} is not known: version {VERSION} is")]
    Version(u32),
    /// A blob that is named by something other than its sha256.
    #[error("a blob has a `{0}` checksum: only sha256 is supported")]
    Algorithm(String),
    /// A checksum that is none.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    /// A blob that should be there is not.
    #[error("the manifest names no {0}")]
    Missing(&'static str),
}

impl Manifest {
    /// Reads the text of a manifest, without a signature around it.
    ///
    /// # Errors
    /// When it is none, or of an unknown version.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let file: File = serde_json::from_str(text)
            .map_err(|error| ManifestError::Json(JsonFault::within(text, text, &error)))?;
        if file.version != VERSION {
            return Err(ManifestError::Version(file.version));
        }
        let records = file
            .data
            .into_iter()
            .map(Record::read)
            .collect::<Result<_, _>>()?;
        Ok(Self { records })
    }

    /// The tarball of a spec manifest.
    ///
    /// # Errors
    /// When there is none.
    pub fn tarball(&self) -> Result<&BlobRecord, ManifestError> {
        self.find(|it| it == TARBALL_MEDIA_TYPE, "tarball")
    }

    /// The spec file of a spec manifest, whatever the format number in its media type.
    ///
    /// # Errors
    /// When there is none.
    pub fn spec_file(&self) -> Result<&BlobRecord, ManifestError> {
        self.find(
            |it| numbered(it, "application/vnd.spack.spec.v"),
            "spec file",
        )
    }

    /// The index of an index manifest, whatever the number in its media type.
    ///
    /// # Errors
    /// When there is none.
    pub fn index(&self) -> Result<&BlobRecord, ManifestError> {
        self.find(|it| numbered(it, "application/vnd.spack.db.v"), "index")
    }

    /// The key of a key manifest.
    ///
    /// # Errors
    /// When there is none.
    pub fn key(&self) -> Result<&BlobRecord, ManifestError> {
        self.find(|it| it == KEY_MEDIA_TYPE, "key")
    }

    /// The list of a key index manifest.
    ///
    /// # Errors
    /// When there is none.
    pub fn key_index(&self) -> Result<&BlobRecord, ManifestError> {
        self.find(|it| it == KEY_INDEX_MEDIA_TYPE, "list of keys")
    }

    /// The text as Spack writes it: one token per line, because gpg cuts very long lines when it
    /// clear-signs.
    #[must_use]
    pub fn to_text(&self) -> String {
        let data = self.records.iter().map(Record::written).collect();
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        // Neither the types nor a Vec give a reason to fail.
        let _ = File {
            version: VERSION,
            data,
        }
        .serialize(&mut serializer);
        String::from_utf8(out)
            .unwrap_or_default()
            .replace("\": ", "\":")
    }

    fn find(
        &self,
        matches: impl Fn(&str) -> bool,
        what: &'static str,
    ) -> Result<&BlobRecord, ManifestError> {
        self.records
            .iter()
            .find(|record| matches(&record.media_type))
            .ok_or(ManifestError::Missing(what))
    }
}

/// `<prefix>NUMBER+json`
fn numbered(media_type: &str, prefix: &str) -> bool {
    media_type
        .strip_prefix(prefix)
        .and_then(|it| it.strip_suffix("+json"))
        .is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    data: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    content_length: u64,
    media_type: String,
    compression: String,
    checksum_algorithm: String,
    checksum: String,
}

impl Record {
    fn read(self) -> Result<BlobRecord, ManifestError> {
        if self.checksum_algorithm != "sha256" {
            return Err(ManifestError::Algorithm(self.checksum_algorithm));
        }
        Ok(BlobRecord {
            content_length: self.content_length,
            media_type: self.media_type,
            compression: match self.compression.as_str() {
                "none" => Compression::None,
                "gzip" => Compression::Gzip,
                _ => Compression::Other(self.compression),
            },
            checksum: self.checksum.parse()?,
        })
    }

    fn written(record: &BlobRecord) -> Self {
        Self {
            content_length: record.content_length,
            media_type: record.media_type.clone(),
            compression: match &record.compression {
                Compression::None => "none".to_owned(),
                Compression::Gzip => "gzip".to_owned(),
                Compression::Other(other) => other.clone(),
            },
            checksum_algorithm: "sha256".to_owned(),
            checksum: record.checksum.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;

    fn manifest() -> Manifest {
        let record = |media_type: &str, length, compression| BlobRecord {
            content_length: length,
            media_type: media_type.to_owned(),
            compression,
            checksum: Checksum::from_bytes([7; 32]),
        };
        Manifest {
            records: vec![
                record(TARBALL_MEDIA_TYPE, 146_464, Compression::Gzip),
                record(SPEC_MEDIA_TYPE, 1038, Compression::None),
            ],
        }
    }

    #[test]
    fn a_manifest_is_written_as_it_is_read() {
        let text = manifest().to_text();
        assert!(text.starts_with("{\n\"version\":3,\n\"data\":[\n{\n\"contentLength\":146464,\n"));
        assert!(text.ends_with("\"\n}\n]\n}"), "{text}");
        assert_eq!(Manifest::parse(&text), Ok(manifest()));
    }

    #[test]
    fn records_are_found_by_media_type() {
        let mut manifest = manifest();
        assert_eq!(manifest.tarball().map(|it| it.content_length), Ok(146_464));
        assert_eq!(manifest.spec_file().map(|it| it.content_length), Ok(1038));
        assert_eq!(manifest.index(), Err(ManifestError::Missing("index")));
        manifest.records[1].media_type = "application/vnd.spack.spec.v+json".to_owned();
        assert!(manifest.spec_file().is_err());
    }

    #[test]
    fn other_versions_and_algorithms_are_refused() {
        let text = manifest().to_text();
        let newer = text.replace("\"version\":3", "\"version\":4");
        assert_eq!(Manifest::parse(&newer), Err(ManifestError::Version(4)));
        let md5 = text.replace("sha256", "md5");
        assert_eq!(
            Manifest::parse(&md5),
            Err(ManifestError::Algorithm("md5".to_owned()))
        );
        let path = text.replace(&"07".repeat(32), "../../../etc/passwd");
        assert!(matches!(
            Manifest::parse(&path),
            Err(ManifestError::Checksum(_))
        ));
        let negative = text.replace("146464", "-1");
        assert!(matches!(
            Manifest::parse(&negative),
            Err(ManifestError::Json(_))
        ));
    }

    #[test]
    fn paths_are_made_of_name_version_and_hash() {
        let specs = test_specs::small();
        let mut spec = test_specs::named(&specs, "app").clone();
        spec.version = "git.a/b=1.0".to_owned();
        assert_eq!(
            spec_manifest_path(&spec),
            format!(
                "v3/manifests/spec/app/app-git.a_b_1.0-{}.spec.manifest.json",
                spec.hash
            )
        );
        assert_eq!(
            hash_of_spec_manifest(&spec_manifest_path(&spec)),
            Some(spec.hash)
        );
        assert_eq!(hash_of_spec_manifest(&index_manifest_path(None)), None);
        let checksum = Checksum::from_bytes([0xab; 32]);
        assert_eq!(
            blob_path(&checksum),
            format!("blobs/sha256/ab/{}", "ab".repeat(32))
        );
        assert_eq!(
            index_manifest_path(Some("a/b")),
            "v3/manifests/index/a_b/index.manifest.json"
        );
    }
}
