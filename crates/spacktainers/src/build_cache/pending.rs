//! Entries that the index may not know yet.
//!
//! `.spacktainers/pending/zlib/zlib-1.3.1-<hash>` is an empty object. It is written *before* the manifest of the entry, so
//! whoever is killed leaves a mark without an entry and never an entry without a mark; and it is deleted by whoever
//! finds the entry in the index. Plain Spack never looks there.

use spack_format::build_cache::v3;

/// The folder of all marks.
pub(super) const FOLDER: &str = ".spacktainers/pending";

const MANIFEST_ENDING: &str = ".spec.manifest.json";

/// The mark of an entry.
pub(super) fn mark_of(manifest_key: &str) -> Option<String> {
    let below = manifest_key.strip_prefix(v3::SPEC_MANIFESTS_FOLDER)?;
    let stem = below.strip_suffix(MANIFEST_ENDING)?;
    Some(format!("{FOLDER}{stem}"))
}

/// The entry that a mark is of.
pub(super) fn manifest_of(mark: &str) -> Option<String> {
    let stem = mark.strip_prefix(FOLDER)?;
    let key = format!("{}{stem}{MANIFEST_ENDING}", v3::SPEC_MANIFESTS_FOLDER);
    v3::hash_of_spec_manifest(&key)?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_leads_to_its_entry_and_back() {
        let hash = "v2xkvre6nnz5uxaywvclfmfndak7xmmy";
        let key = format!("v3/manifests/spec/zlib/zlib-1.3.1-{hash}.spec.manifest.json");
        let mark = mark_of(&key).expect("a mark");
        assert_eq!(
            mark,
            format!(".spacktainers/pending/zlib/zlib-1.3.1-{hash}")
        );
        assert_eq!(manifest_of(&mark), Some(key));
        assert_eq!(manifest_of(".spacktainers/pending/x"), None);
        assert_eq!(mark_of("v3/layout.json"), None);
    }
}
