//! Writing spec files: what is written into a build cache of the `.spack/spec.json` of a prefix, or of a spec file of
//! another layout.
//!
//! ```text
//! {"spec": ..., + "buildcache_layout_version": 2}                        a spec blob of layout 3
//! {"architecture": ..., "rootfs": ..., + "spec": ..., + checksum, size}   an image config of an OCI build cache
//! ```
//!
//! The part under `spec` is copied byte for byte: DAG hashes are made of it.
//!
//! Source: `push_binary_package` in `lib/spack/spack/url_buildcache.py`, `_oci_put_manifest` and `_oci_push` in
//! `binary_distribution.py` of Spack 1.1.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Checksum, SpecFileError};
use crate::concrete::JsonFault;

/// What Spack 1.x writes into spec blobs of layout 3.
const LAYOUT_IN_SPEC_BLOB: u32 = 2;
/// What Spack 1.x writes into image configs.
const LAYOUT_IN_CONFIG: u32 = 3;

/// A package as an image: what its config says beside the spec.
#[derive(Debug, Clone)]
pub struct PackageImage<'a> {
    /// The processor architecture in Go's words, such as `amd64`.
    pub architecture: &'a str,
    /// The sha256 of each uncompressed layer, the package's own last.
    pub diff_ids: &'a [Checksum],
    /// Variables as `NAME=value`.
    pub environment: &'a [String],
    /// The checksum of the package's own layer as it is stored.
    pub tarball: &'a Checksum,
    /// Its bytes.
    pub tarball_size: u64,
}

/// The text of a spec blob, made from any text that has the member `spec`.
///
/// # Errors
/// When the text is no JSON object with such a member.
pub fn spec_blob_text(text: &str) -> Result<String, SpecFileError> {
    let spec = spec_member(text)?;
    Ok(format!(
        "{{\"spec\":{spec},\"buildcache_layout_version\":{LAYOUT_IN_SPEC_BLOB}}}"
    ))
}

/// The text of the image config of a package, made from any text that has the member `spec`.
///
/// # Errors
/// When the text is no JSON object with such a member.
pub fn package_config_text(text: &str, image: &PackageImage<'_>) -> Result<String, SpecFileError> {
    let spec = spec_member(text)?;
    let diff_ids: Vec<String> = image
        .diff_ids
        .iter()
        .map(|it| format!("sha256:{it}"))
        .collect();
    let (architecture, diff_ids) = (json!(image.architecture), json!(diff_ids));
    let (environment, size) = (json!(image.environment), image.tarball_size);
    Ok(format!(
        "{{\"architecture\":{architecture},\"os\":\"linux\",\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":{diff_ids}}},\"config\":{{\"Env\":{environment}}},\
         \"spec\":{spec},\"buildcache_layout_version\":{LAYOUT_IN_CONFIG},\
         \"binary_cache_checksum\":{{\"hash_algorithm\":\"sha256\",\"hash\":\"{}\"}},\
         \"archive_size\":{size},\"archive_compression\":\"gzip\"}}",
        image.tarball
    ))
}

fn spec_member(text: &str) -> Result<&str, SpecFileError> {
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        spec: &'a RawValue,
    }
    serde_json::from_str::<File<'_>>(text)
        .map(|file| file.spec.get())
        .map_err(|error| SpecFileError::Json(JsonFault::within(text, text, &error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_cache::SpecFile;
    use crate::build_cache::oci::PackageConfig;

    const NODE: &str = r#"{"name":"a","version":"1","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64"},"parameters":{},"x":  1.50,"hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;

    #[test]
    fn the_spec_is_copied_as_it_stands() {
        let text = format!(
            r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{NODE}]}},"binary_cache_checksum":{{"hash_algorithm":"md5","hash":""}}}}"#
        );
        let written = spec_blob_text(&text).expect("written");
        assert!(written.contains(r#""x":  1.50"#) && !written.contains("md5"));
        let read = SpecFile::parse(&written).expect("a spec file");
        assert_eq!(read.layout_version, Some(2));
        assert!(spec_blob_text("[]").is_err());
    }

    #[test]
    fn a_config_is_a_spec_file_and_an_image_config() {
        let text = format!(r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{NODE}]}}}}"#);
        let (one, two) = (Checksum::from_bytes([1; 32]), Checksum::from_bytes([2; 32]));
        let image = PackageImage {
            architecture: "amd64",
            diff_ids: &[one, two],
            environment: &["A=\"b\"".to_owned()],
            tarball: &one,
            tarball_size: 7,
        };
        let written = package_config_text(&text, &image).expect("written");
        let read = PackageConfig::parse(&written).expect("a config");
        assert_eq!(read.diff_id, two);
        assert_eq!(read.environment, ["A=\"b\""]);
        assert_eq!(read.spec_file.tarball_checksum, Some(one));
        assert_eq!(read.spec_file.layout_version, Some(3));
    }
}
