//! What one pass over a package's archive finds out, worth remembering for ever: blobs never change.

use std::collections::BTreeMap;

use oci_format::Digest;
use serde::{Deserialize, Serialize};

use super::elf::ElfFacts;

/// All that later stages know of a package's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    /// `gzip`, `zstd` or `none`.
    pub compression: String,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
    /// Where the archive's members lie, without the leading `/`; absent for archives of Spack 0.18 to 0.20, whose
    /// members lie below one folder `name-version-hash` and have to be moved.
    pub prefix: Option<String>,
    /// That folder, for those archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<String>,
    /// The text of `.spack/binary_distribution`: what Spack recorded about the build.
    pub binary_distribution: String,
    /// Everything below the prefix, in the archive's order.
    pub entries: Vec<PackageEntry>,
    /// Facts of every ELF file, by path below the prefix.
    pub elf: BTreeMap<String, ElfFacts>,
    /// Contents of small scripts in `bin` and of `pyvenv.cfg`: views copy and rewrite some of them.
    pub texts: BTreeMap<String, String>,
}

/// One member of a package's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageEntry {
    /// Path below the prefix.
    #[serde(rename = "p")]
    pub path: String,
    /// What it is.
    #[serde(rename = "k")]
    pub kind: PackageEntryKind,
    /// Permission bits.
    #[serde(rename = "m")]
    pub mode: u32,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackageEntryKind {
    /// A directory.
    #[serde(rename = "d")]
    Directory,
    /// A regular file, with its bytes.
    #[serde(rename = "f")]
    File(u64),
    /// A symbolic link, with its target verbatim.
    #[serde(rename = "l")]
    Symlink(String),
    /// Another name of a file, with that file's path below the prefix.
    #[serde(rename = "h")]
    HardLink(String),
}

impl PackageRecord {
    /// As it is remembered.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys and plain values: there is nothing that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What [`Self::to_bytes`] wrote, or nothing: a record that cannot be read is made again.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether the archive can be an image layer as it is.
    ///
    /// Its members must carry the full path, and its compression must be one that layers may have.
    #[must_use]
    pub fn is_layer(&self) -> bool {
        self.prefix.is_some()
    }
}
