//! What was decided about the base image: the part of `container.lock` that pins it.
//!
//! Enough to get the same bytes again from any mirror, and nothing about a machine: no host of a
//! package mirror, no path outside the project.

use oci_format::Digest;
use serde::{Deserialize, Serialize};

/// A base image, pinned. Written as a TOML table whose `kind` says which; has no nulls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LockedBase {
    /// An image in a registry.
    Registry(LockedImage),
    /// An image in an OCI layout.
    Layout(LockedImage),
    /// A tar of a root file system.
    Rootfs(LockedRootfs),
    /// Nothing.
    Scratch,
    /// Debian or Ubuntu packages.
    Debian(LockedDebian),
}

/// An image, pinned by the digest of its manifest for the architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedImage {
    /// As in the settings: `host/repository:tag`, or `DIR[:ref]`, relative to the project's folder.
    pub reference: String,
    /// Digest of the manifest (not of the index above it).
    pub manifest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
}

/// A tar of a root file system, pinned by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedRootfs {
    /// As in the settings.
    pub file: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Bytes of the file.
    pub size: u64,
}

/// Debian or Ubuntu packages, each pinned by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedDebian {
    /// `debian` or `ubuntu`: the `Origin` of the archive in lower case.
    pub origin: String,
    /// The release: `bookworm`.
    pub suite: String,
    /// `amd64` or `arm64`, in Debian's words.
    pub architecture: String,
    /// Lines for the image's own `/etc/apt/sources.list`: only what the settings named, never what
    /// happened to be configured on the machine that made the lock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apt_sources: Vec<String>,
    /// The layer that these packages make, once it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LockedLayer>,
    /// The packages, by name.
    pub packages: Vec<LockedPackage>,
}

/// A layer's digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedLayer {
    /// Digest of the layer as stored.
    pub digest: Digest,
    /// Digest of its uncompressed tar.
    pub diff_id: Digest,
    /// Bytes as stored.
    pub size: u64,
}

/// One binary package of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LockedPackage {
    /// `bash`
    pub name: String,
    /// `5.2.15-2+b2`
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// The suite that it was taken from: `bookworm`, `bookworm-security`.
    pub suite: String,
    /// Where it is below the archive's root: `pool/main/b/bash/…deb`.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// 64 hexadecimal digits, as in the archive's own index.
    pub sha256: String,
}

impl LockedBase {
    /// One line for people and for the image's label: what the base is.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Registry(image) => format!("docker://{}@{}", image.reference, image.manifest),
            Self::Layout(image) => format!("oci:{}@{}", image.reference, image.manifest),
            Self::Rootfs(rootfs) => format!("rootfs:{}@{}", rootfs.file, rootfs.digest),
            Self::Scratch => "scratch".to_owned(),
            Self::Debian(debian) => format!(
                "{} {} {}, {} packages",
                debian.origin,
                debian.suite,
                debian.architecture,
                debian.packages.len()
            ),
        }
    }

    /// What people call it, without what pins it: `docker://debian:12`, `debian bookworm`.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Registry(image) => format!("docker://{}", image.reference),
            Self::Layout(image) => format!("oci:{}", image.reference),
            Self::Rootfs(rootfs) => format!("rootfs:{}", rootfs.file),
            Self::Scratch => "scratch".to_owned(),
            Self::Debian(debian) => format!("{} {}", debian.origin, debian.suite),
        }
    }

    /// The same with the layer that was made of it, so that a later run can tell that it made the
    /// same one. Only a Debian base learns something here: the others name their layers already.
    #[must_use]
    pub fn with_layer(mut self, layer: LockedLayer) -> Self {
        if let Self::Debian(debian) = &mut self {
            debian.layer = Some(layer);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_base_survives_writing_and_reading() {
        let debian = LockedBase::Debian(LockedDebian {
            origin: "debian".into(),
            suite: "bookworm".into(),
            architecture: "arm64".into(),
            apt_sources: Vec::new(),
            layer: None,
            packages: vec![LockedPackage {
                name: "bash".into(),
                version: "5.2.15-2".into(),
                architecture: "arm64".into(),
                suite: "bookworm".into(),
                filename: "pool/main/b/bash/bash_5.2.15-2_arm64.deb".into(),
                size: 1,
                sha256: Digest::of(b"x").hex(),
            }],
        });
        let layer = LockedLayer {
            digest: Digest::of(b"a"),
            diff_id: Digest::of(b"b"),
            size: 3,
        };
        for base in [
            debian.clone(),
            debian.with_layer(layer),
            LockedBase::Scratch,
        ] {
            let text = serde_json::to_string(&base).expect("serialisable");
            assert!(!text.contains("null"), "{text}");
            assert_eq!(
                serde_json::from_str::<LockedBase>(&text).expect("readable"),
                base
            );
        }
    }
}
