//! Packages whose hash does not say what they were built from.
//!
//! The DAG hash of `tool@develop` is the same today and tomorrow, and the branch is not. A build cache that holds such a
//! package gives everybody whatever was on the branch of who pushed first.

use std::fmt;

use crate::concrete::{ConcreteSpec, VariantValue};
use crate::version::StandardVersion;

/// Why the sources of a package may change under its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MutableSource {
    /// A version that names a branch: `develop`, `main`, `1.0.head`.
    Branch(String),
    /// A git reference that is no commit.
    Reference(String),
    /// A folder of the machine that built it.
    Folder(String),
}

impl fmt::Display for MutableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(version) => write!(f, "the version `{version}` is a branch"),
            Self::Reference(reference) => {
                write!(f, "`{reference}` is a git reference and not a commit")
            }
            Self::Folder(path) => write!(f, "it was built from the folder `{path}`"),
        }
    }
}

/// Why the package's sources may change under its hash; nothing if they cannot.
///
/// A commit fixes the sources, be it the version or the variant `commit`, which Spack 1.1 and later record (and hash)
/// when they know to what commit a branch led.
#[must_use]
pub fn mutable_source(spec: &ConcreteSpec) -> Option<MutableSource> {
    if let Some(path) = spec.variants.get("dev_path") {
        return Some(MutableSource::Folder(path.to_string()));
    }
    if spec.is_external() || is_pinned(spec) {
        return None;
    }
    let (reference, version) = spec.version.split_once('=').unwrap_or((&spec.version, ""));
    if let Some(reference) = reference.strip_prefix("git.") {
        return Some(MutableSource::Reference(reference.to_owned()));
    }
    let named = if version.is_empty() {
        reference
    } else {
        version
    };
    let is_branch = StandardVersion::parse(named).is_ok_and(|version| version.is_develop());
    is_branch.then(|| MutableSource::Branch(spec.version.clone()))
}

/// Whether a commit fixes the package's sources, be it as the version or as the variant `commit`.
#[must_use]
pub fn is_pinned(spec: &ConcreteSpec) -> bool {
    let (reference, _) = spec.version.split_once('=').unwrap_or((&spec.version, ""));
    let variant = spec.variants.get("commit");
    is_commit(reference.strip_prefix("git.").unwrap_or(reference))
        || matches!(variant, Some(VariantValue::Single(commit)) if is_commit(commit))
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|it| it.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;

    fn of(version: &str, variant: Option<(&str, &str)>) -> Option<MutableSource> {
        let specs = test_specs::small();
        let mut spec = test_specs::named(&specs, "app").clone();
        spec.version = version.to_owned();
        if let Some((name, value)) = variant {
            spec.variants
                .insert(name.to_owned(), VariantValue::Single(value.to_owned()));
        }
        mutable_source(&spec)
    }

    #[test]
    fn branches_references_and_folders_are_mutable() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for version in ["develop", "main", "1.0.head", "master"] {
            assert_eq!(
                of(version, None),
                Some(MutableSource::Branch(version.to_owned()))
            );
        }
        assert_eq!(
            of("git.feature=1.2", None),
            Some(MutableSource::Reference("feature".to_owned()))
        );
        assert!(matches!(
            of("1.2", Some(("dev_path", "/home/me"))),
            Some(MutableSource::Folder(_))
        ));
        for version in ["1.2.3", "2024-01-02", "1.0rc1"] {
            assert_eq!(of(version, None), None, "{version}");
        }
        assert_eq!(of(&format!("git.{commit}=develop"), None), None);
        assert_eq!(of(&format!("{commit}=main"), None), None);
        assert_eq!(of("develop", Some(("commit", commit))), None);
        assert!(of("develop", Some(("commit", "deadbeef"))).is_some());
    }
}
