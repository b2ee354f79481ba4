//! `container.lock`: all that decides the bytes of an image, as text that people can review and git can merge.
//!
//! ```text
//! [container]     whose lock this is, and the digest of what its author wrote
//! [spack]         which spack.lock it was made from
//! [install]       where packages lie in the image, and its views
//! [environment]   variables in the image config
//! [recipes]       what recipes set at run time, where Spack was asked
//! [slim]          what was done to packages besides relocation, where something was
//! [base]          the base image by digest, or its exact Debian packages
//! [[package]]     per package: DAG hash, prefix, blob, diffID — dependencies first
//! [[layer]]       which packages share a layer — lowest first
//! ```
//!
//! The text is deterministic: the same values give the same bytes. Its digest is in the image's labels, and an image
//! whose label differs is out of date. Start at [`Lock`]; [`text`] reads and writes it.
//!
//! A lock says nothing of where a blob was found: mirrors move, content does not.

mod text;

use indexmap::IndexMap;
use oci_format::Digest;
use serde::{Deserialize, Serialize};
use spack_format::dag_hash::DagHash;

use crate::base::LockedBase;
use crate::layer::slim::Profile;
use crate::layer::strip::Symbols;

pub use text::{LockError, parse, print};

/// The version that is written. Older ones would be read by modules of their own; there is none yet.
pub const LOCK_VERSION: u32 = 1;

/// What was decided for one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`LOCK_VERSION`].
    pub version: u32,
    /// Whose lock this is.
    pub container: LockedContainer,
    /// What Spack decided.
    pub spack: LockedSpack,
    /// Where packages lie.
    pub install: LockedInstall,
    /// Variables of the image config, in the order in which they are written there.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub environment: IndexMap<String, String>,
    /// What recipes set at run time, where Spack was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipes: Option<LockedRecipes>,
    /// What was done to packages besides relocation, where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slim: Option<LockedSlim>,
    /// What lies below the packages.
    pub base: LockedBase,
    /// Every package of the run-time closure, dependencies first.
    #[serde(rename = "package", default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<LockedPackage>,
    /// Which packages share a layer, lowest first.
    #[serde(rename = "layer", default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LockedLayer>,
}

/// Whose lock this is, and from what it was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedContainer {
    /// The container's name.
    pub name: String,
    /// `amd64` or `arm64`, with a variant where the image is for one: `amd64_v4`.
    pub arch: String,
    /// Version of the first root's package.
    pub version: String,
    /// Digest of what the author wrote: definition, site configuration and the settings that matter.
    pub definition: Digest,
    /// Digest of what the settings say of the base image: while it stays, so does the base.
    pub base_settings: Digest,
}

/// What Spack decided, and which Spack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSpack {
    /// Digest of the text of `spack.lock`.
    pub lock: Digest,
    /// Its format.
    pub lockfile_version: u32,
    /// Version of the Spack that wrote it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Commit of that Spack, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Processor target required of every package, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// Where packages lie in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedInstall {
    /// The store's root, padding included: prefixes and `.spack-db` lie below it.
    pub store: String,
    /// The root before padding: `bin/sbang` lies below it.
    pub root: String,
    /// Roots of the environment's views.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<String>,
    /// Where the variables come from, in words.
    pub environment_from: String,
}

/// What Spack was told by recipes about run time. Kept, so that nobody has to ask again for the same `spack.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedRecipes {
    /// Version and commit of the Spack that was asked.
    pub spack: String,
    /// Packages whose recipes could not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<DagHash>,
    /// Packages that set something, in the order in which Spack asks; all others set nothing.
    #[serde(rename = "package", default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<LockedRecipe>,
}

/// What one recipe sets, for dependents and for its own package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedRecipe {
    /// The package's name.
    pub name: String,
    /// The package.
    pub hash: DagHash,
    /// What it does, in order.
    pub sets: Vec<LockedModification>,
}

/// One thing that a recipe does to a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedModification {
    /// `set`, `unset`, `prepend_path`, `append_path`, `remove_path` or `append_flags`.
    pub command: String,
    /// The variable.
    pub name: String,
    /// The value; `{HASH}` stands for the prefix of that package.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What stands between paths.
    #[serde(default = "colon", skip_serializing_if = "is_colon")]
    pub separator: String,
}

fn colon() -> String {
    ":".to_owned()
}

fn is_colon(text: &String) -> bool {
    text == ":"
}

/// What was done to packages besides relocation. The patterns that decide about single paths are in the definition and the
/// settings, whose digest is [`LockedContainer::definition`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSlim {
    /// Which files stay.
    pub profile: Profile,
    /// What becomes of symbols, unless a package says otherwise.
    pub debug: Symbols,
    /// Versions of the rules: of those about files, and of those about symbols.
    pub rules: [u32; 2],
    /// How package layers are compressed: `zstd 3`; absent if they are as the build cache has them where they can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
}

/// The archive that was made of a package's blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedArchive {
    /// Digest of all that decides about it: the blob, which paths go, which symbols, prefixes, compression.
    pub rules: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the archive of its symbols, if they are kept apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<Digest>,
}

/// One package of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Spack's name of it: all its inputs.
    pub hash: DagHash,
    /// Where it lies in the image, and in the blob unless it was relocated.
    pub prefix: String,
    /// Where it lies in the blob, if it was relocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relocated_from: Option<String>,
    /// Digest of its archive in the build cache: its content.
    pub blob: Digest,
    /// Bytes of that archive.
    pub size: u64,
    /// `gzip`, `zstd` or `none`.
    pub compression: String,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Fingerprint of the key that vouches for it; absent if the mirror allows unsigned entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// What it became, if it was slimmed or compressed anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<LockedArchive>,
}

/// One package layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedLayer {
    /// The packages in it, in order.
    pub packages: Vec<DagHash>,
    /// Digest of the layer: the package's own blob where it holds one package as the cache has it.
    pub digest: Digest,
    /// Bytes of the layer.
    pub size: u64,
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// The layer's OCI media type.
    pub media_type: String,
}

#[cfg(test)]
pub(crate) mod tests;
