//! What a published SIF file says of itself beside its bytes, so that the next run can tell whether it is up to date
//! without fetching it.
//!
//! | fact | metadata of an object | annotation of an artifact |
//! |---|---|---|
//! | definition | `container-checksum` (hex) | `org.spacktainers.definition.digest` |
//! | `spack.lock` | `spack-lock-sha256` (hex) | `org.spacktainers.spack-lock.digest` |
//! | `container.lock` | `container-lock-sha256` (hex) | `org.spacktainers.lock.digest` |
//! | image | `image-digest`, and `digest` (hex) | `org.spacktainers.image.digest` |
//! | tree | `tree-digest` | `org.spacktainers.tree.digest` |
//! | file | `sha256` (hex) | the digest of the layer |
//!
//! `container-checksum`, `spack-lock-sha256` and `digest` are the names under which the two public repositories that this
//! project descends from keep the same facts, so that scripts that read them go on working.

use std::collections::BTreeMap;

use oci_format::{Digest, annotation};

/// What a published SIF file was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SifFacts {
    /// Digest of the manifest of the image, where there is one.
    pub image: Option<Digest>,
    /// Digest of the definition.
    pub definition: Option<Digest>,
    /// Digest of the `spack.lock`.
    pub spack_lock: Option<Digest>,
    /// Digest of the `container.lock`.
    pub lock: Option<Digest>,
    /// Digest of the tree, known when the file has been written.
    pub tree: Option<Digest>,
    /// Digest of the file, likewise.
    pub file: Option<Digest>,
}

impl SifFacts {
    /// What the labels of an image say.
    #[must_use]
    pub fn of_image(image: Digest, labels: &BTreeMap<String, String>) -> Self {
        Self {
            image: Some(image),
            ..Self::of_labels(&|key| labels.get(key)?.parse().ok())
        }
    }

    /// Whether a file with these facts is made from the same as one with `other`: the definition and the decision.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.definition.is_some()
            && (self.image, self.definition, self.lock)
                == (other.image, other.definition, other.lock)
    }

    /// As metadata of an object in a bucket.
    #[must_use]
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let plain = [
            ("container-checksum", self.definition),
            ("spack-lock-sha256", self.spack_lock),
            ("container-lock-sha256", self.lock),
            ("digest", self.image),
            ("sha256", self.file),
        ];
        let full = [("image-digest", self.image), ("tree-digest", self.tree)];
        let plain = plain
            .into_iter()
            .filter_map(|(key, it)| Some((key, it?.hex())));
        let full = full
            .into_iter()
            .filter_map(|(key, it)| Some((key, it?.to_string())));
        plain
            .chain(full)
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// What the metadata of an object says; what it does not say, or not in this form, is absent.
    #[must_use]
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Self {
        let full = |key: &str| metadata.get(key)?.parse().ok();
        let plain = |key: &str| format!("sha256:{}", metadata.get(key)?).parse().ok();
        Self {
            image: full("image-digest").or_else(|| plain("digest")),
            definition: plain("container-checksum"),
            spack_lock: plain("spack-lock-sha256"),
            lock: plain("container-lock-sha256"),
            tree: full("tree-digest"),
            file: plain("sha256"),
        }
    }

    /// As annotations of an artifact in a registry. The file is its layer, and has its digest there.
    #[must_use]
    pub fn to_annotations(&self) -> BTreeMap<String, String> {
        self.annotated()
            .into_iter()
            .filter_map(|(key, it)| Some((key.to_owned(), it?.to_string())))
            .collect()
    }

    /// What the annotations of an artifact say.
    #[must_use]
    pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Self {
        let digest = |key: &str| annotations.get(key)?.parse().ok();
        Self {
            image: digest(annotation::IMAGE_DIGEST),
            tree: digest(annotation::TREE_DIGEST),
            ..Self::of_labels(&digest)
        }
    }

    fn of_labels(digest: &dyn Fn(&str) -> Option<Digest>) -> Self {
        Self {
            definition: digest(annotation::DEFINITION_DIGEST),
            spack_lock: digest(annotation::SPACK_LOCK_DIGEST),
            lock: digest(annotation::LOCK_DIGEST),
            ..Self::default()
        }
    }

    fn annotated(&self) -> [(&'static str, Option<Digest>); 5] {
        [
            (annotation::DEFINITION_DIGEST, self.definition),
            (annotation::SPACK_LOCK_DIGEST, self.spack_lock),
            (annotation::LOCK_DIGEST, self.lock),
            (annotation::IMAGE_DIGEST, self.image),
            (annotation::TREE_DIGEST, self.tree),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> SifFacts {
        let digest = |text: &str| Some(Digest::of(text.as_bytes()));
        SifFacts {
            image: digest("image"),
            definition: digest("definition"),
            spack_lock: digest("spack"),
            lock: digest("lock"),
            tree: digest("tree"),
            file: digest("file"),
        }
    }

    #[test]
    fn metadata_and_annotations_say_the_same() {
        assert_eq!(SifFacts::from_metadata(&facts().to_metadata()), facts());
        let without_file = SifFacts {
            file: None,
            ..facts()
        };
        assert_eq!(
            SifFacts::from_annotations(&facts().to_annotations()),
            without_file
        );
    }

    #[test]
    fn what_an_older_script_wrote_is_understood() {
        let hex = Digest::of(b"source").hex();
        let metadata = BTreeMap::from([("digest".to_owned(), hex)]);
        let read = SifFacts::from_metadata(&metadata);
        assert_eq!(read.image, Some(Digest::of(b"source")));
        let nonsense = BTreeMap::from([("digest".to_owned(), "none".to_owned())]);
        assert_eq!(SifFacts::from_metadata(&nonsense), SifFacts::default());
    }

    #[test]
    fn nothing_is_up_to_date_with_what_says_nothing() {
        assert!(facts().is_of_same(&SifFacts {
            tree: None,
            file: None,
            ..facts()
        }));
        assert!(!SifFacts::default().is_of_same(&SifFacts::default()));
        assert!(!facts().is_of_same(&SifFacts {
            lock: None,
            ..facts()
        }));
    }
}
