//! Image layouts: images as a directory.
//!
//! ```text
//! oci-layout                 {"imageLayoutVersion":"1.0.0"}
//! index.json                 an image index; each descriptor may have a name (org.opencontainers.image.ref.name)
//! blobs/sha256/<64 digits>   manifests, configs and layers
//! ```
//!
//! This module knows the names and edits `index.json`; `publish` in the product writes the files.
//!
//! Source: OCI image specification, `image-layout.md`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json::{self, JsonError, MAX_MANIFEST_BYTES};
use crate::{Descriptor, Digest, annotation, media_type};

/// Name of the file that says that a directory is an image layout.
pub const LAYOUT_FILE: &str = "oci-layout";
/// What it says.
pub const LAYOUT_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// Name of the entry point.
pub const INDEX_FILE: &str = "index.json";

/// Path of a blob from the layout's directory: `blobs/sha256/<64 digits>`.
#[must_use]
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Checks the content of `oci-layout`.
///
/// # Errors
/// When it is malformed or of a version whose rules we do not know.
pub fn check_layout_file(bytes: &[u8]) -> Result<(), JsonError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layout {
        image_layout_version: String,
    }
    const WHAT: &str = "the file `oci-layout`";
    let layout: Layout = json::parse(WHAT, bytes, 4096)?;
    if layout.image_layout_version.starts_with("1.") {
        Ok(())
    } else {
        Err(JsonError::Unexpected {
            what: WHAT,
            found: "of a version other than 1",
        })
    }
}

/// What `name` names in an `index.json`; without a name, the only manifest or the only one
/// without a name. `@2` is the third entry, as skopeo and podman count.
///
/// Source for `@`: containers-transports(5), `oci:PATH:@SOURCE-INDEX`. A `@` begins no name: those begin with a letter or
/// a digit (image-spec, annotations, `org.opencontainers.image.ref.name`).
///
/// # Errors
/// When the index is not valid.
pub fn find_reference(index: &[u8], name: Option<&str>) -> Result<Option<Descriptor>, JsonError> {
    let mut manifests = parse_index(index)?.1;
    // Entries that nobody asked for are not read further: they may be of kinds we do not know.
    let wanted = if let Some(place) = name.and_then(place) {
        (place < manifests.len()).then(|| manifests.swap_remove(place))
    } else if name.is_none() && manifests.len() == 1 {
        manifests.pop()
    } else {
        manifests
            .into_iter()
            .find(|entry| reference_name(entry) == name)
    };
    wanted.as_ref().map(descriptor).transpose()
}

/// The place that `@2` means, counted from 0.
#[must_use]
pub fn place(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('@')?;
    let is_number = digits.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Sets what `name` names in an `index.json` (or in a new one) and returns the new text.
///
/// Other entries are kept as they are, with members that we do not know. Entries are sorted by
/// name, so that the order in which several images were written does not show.
///
/// # Errors
/// When the present index is not valid.
pub fn set_reference(
    index: Option<&[u8]>,
    name: Option<&str>,
    target: &Descriptor,
) -> Result<Vec<u8>, JsonError> {
    let (mut document, mut manifests) = match index {
        Some(bytes) => parse_index(bytes)?,
        None => (new_index(), Vec::new()),
    };
    manifests.retain(|entry| reference_name(entry) != name);
    let mut target = target.clone();
    match name {
        Some(name) => {
            target
                .annotations
                .insert(annotation::REF_NAME.to_owned(), name.to_owned());
        }
        None => {
            target.annotations.remove(annotation::REF_NAME);
        }
    }
    let entry = serde_json::to_value(target).map_err(|source| JsonError::Malformed {
        what: "a descriptor",
        source,
    })?;
    manifests.push(entry);
    manifests.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    document.insert("manifests".to_owned(), Value::Array(manifests));
    Ok(json::to_vec(&document))
}

fn new_index() -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("schemaVersion".to_owned(), json!(2));
    document.insert("mediaType".to_owned(), json!(media_type::IMAGE_INDEX));
    document
}

/// The whole document and its entries, which are taken out of it.
fn parse_index(bytes: &[u8]) -> Result<(Map<String, Value>, Vec<Value>), JsonError> {
    const WHAT: &str = "the layout's `index.json`";
    let mut document: Map<String, Value> = json::parse(WHAT, bytes, MAX_MANIFEST_BYTES)?;
    if document.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err(JsonError::Unexpected {
            what: WHAT,
            found: "not of schema version 2",
        });
    }
    let manifests = match document.get_mut("manifests").map(Value::take) {
        Some(Value::Array(manifests)) => manifests,
        None | Some(Value::Null) => Vec::new(),
        Some(_) => {
            return Err(JsonError::Unexpected {
                what: WHAT,
                found: "without a list of manifests",
            });
        }
    };
    Ok((document, manifests))
}

fn descriptor(entry: &Value) -> Result<Descriptor, JsonError> {
    Descriptor::deserialize(entry).map_err(|source| JsonError::Malformed {
        what: "a descriptor in `index.json`",
        source,
    })
}

fn reference_name(entry: &Value) -> Option<&str> {
    entry
        .get("annotations")?
        .get(annotation::REF_NAME)?
        .as_str()
}

/// By name; lists of referrers, which are no images, come last: there are readers who take the first entry.
fn sort_key(entry: &Value) -> (bool, Option<&str>, Option<&str>) {
    let name = reference_name(entry);
    (
        name.is_some_and(is_referrers_tag),
        name,
        entry.get("digest").and_then(Value::as_str),
    )
}

/// `sha256-<64 digits>`: what names the list of those manifests that are about another one.
///
/// Source: OCI distribution specification 1.1, "Referrers Tag Schema".
fn is_referrers_tag(name: &str) -> bool {
    name.strip_prefix("sha256-")
        .is_some_and(|it| it.len() == 64 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(content: &str) -> Descriptor {
        Descriptor::of(media_type::IMAGE_MANIFEST, content.as_bytes())
    }

    #[test]
    fn references_are_set_found_and_replaced_whatever_the_order() {
        let one = set_reference(None, Some("one"), &manifest("1")).expect("new");
        let both = set_reference(Some(&one), Some("two"), &manifest("2")).expect("second");
        let two = set_reference(None, Some("two"), &manifest("2")).expect("new");
        let other = set_reference(Some(&two), Some("one"), &manifest("1")).expect("second");
        assert_eq!(both, other, "order of writing does not show");
        let replaced = set_reference(Some(&both), Some("one"), &manifest("3")).expect("again");
        let found = find_reference(&replaced, Some("one"))
            .expect("valid")
            .expect("there");
        assert_eq!(found.digest, Digest::of(b"3"));
        let kept = find_reference(&replaced, Some("two"))
            .expect("valid")
            .expect("there");
        assert_eq!(kept.digest, Digest::of(b"2"));
        assert_eq!(find_reference(&replaced, None).expect("valid"), None);
        let second = find_reference(&replaced, Some("@1")).expect("valid");
        assert_eq!(second.map(|it| it.digest), Some(Digest::of(b"2")));
        for absent in ["@2", "@", "@x", "@-1"] {
            assert_eq!(
                find_reference(&replaced, Some(absent)).expect("valid"),
                None
            );
        }
    }

    #[test]
    fn without_a_name_the_only_manifest_is_meant() {
        let index = set_reference(None, Some("one"), &manifest("1")).expect("new");
        assert_eq!(
            find_reference(&index, None)
                .expect("valid")
                .expect("one")
                .digest,
            Digest::of(b"1")
        );
        let index = set_reference(Some(&index), None, &manifest("2")).expect("unnamed");
        assert_eq!(
            find_reference(&index, None)
                .expect("valid")
                .expect("one")
                .digest,
            Digest::of(b"2")
        );
    }

    #[test]
    fn what_others_wrote_into_the_index_is_kept() {
        let foreign = br#"{"schemaVersion":2,"x":1,"manifests":[{"mediaType":"a/b","digest":"sha512:aa","size":1,"data":"eA==","annotations":{"org.opencontainers.image.ref.name":"theirs"}}]}"#;
        let text = set_reference(Some(foreign), Some("ours"), &manifest("1")).expect("kept");
        let text = String::from_utf8(text).expect("text");
        assert!(
            text.contains(r#""data":"eA==""#) && text.contains(r#""x":1"#),
            "{text}"
        );
    }

    #[test]
    fn only_layouts_of_version_1_are_accepted() {
        check_layout_file(LAYOUT_CONTENT.as_bytes()).expect("our own");
        assert!(check_layout_file(br#"{"imageLayoutVersion":"2.0.0"}"#).is_err());
        assert!(check_layout_file(b"").is_err());
    }

    #[test]
    fn lists_of_referrers_come_behind_images() {
        let tag = format!("sha256-{}", "0".repeat(64));
        let index = set_reference(None, Some(&tag), &manifest("list")).expect("new");
        let index = set_reference(Some(&index), Some("v1"), &manifest("image")).expect("ours");
        let first = find_reference(&index, Some("@0")).expect("ours");
        assert_eq!(first.map(|it| it.digest), Some(manifest("image").digest));
    }
}
