//! What was found out about a package before its tarball is fetched.

use std::fmt;
use std::path::PathBuf;

use oci_format::Digest;
use oci_format::layer::compression::Compression;
use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;

use crate::content::Content;
use crate::image::RegistryOrigin;
use crate::openpgp::Reservation;

/// The result of looking for a package.
#[derive(Debug, Clone)]
pub enum Found {
    /// A mirror has it.
    Here(Box<CacheEntry>),
    /// No mirror has it.
    Nowhere(Missing),
}

/// A package that no mirror has: a build would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The package, for people: `zlib@1.3.1 /v2xkvre`.
    pub package: String,
    /// Its DAG hash.
    pub hash: DagHash,
    /// The URLs of the mirrors that were asked.
    pub asked: Vec<String>,
    /// The URLs of mirrors that could not be asked, because no network is to be used.
    pub offline: Vec<String>,
}

/// A package in a build cache. Small: the spec files that were read to find it are not kept, as those
/// of a large environment would fill the memory.
#[derive(Debug, Clone)]
pub struct CacheEntry {
    /// The package, for people: `zlib@1.3.1 /v2xkvre`.
    pub package: String,
    /// Its DAG hash.
    pub hash: DagHash,
    /// The mirror that has it: its place in the list that was searched.
    pub mirror: usize,
    /// That mirror's URL.
    pub mirror_url: String,
    /// How the mirror lays out packages.
    pub layout: Layout,
    /// The archive of its prefix.
    pub tarball: Tarball,
    /// Who vouches for it.
    pub signature: SignatureState,
    /// The digest of the uncompressed tarball, as a registry's image config says. A claim, until the
    /// tarball was decompressed once.
    pub diff_id: Option<Digest>,
    /// The repository that holds the tarball as a blob, from which a target in the same registry can
    /// mount it.
    pub origin: Option<RegistryOrigin>,
}

/// How a build cache names things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Manifests and blobs, Spack 1.0 and later.
    V3,
    /// Long names, Spack before 1.0; with the number in the spec file: 0, 1 or 2.
    V2(u32),
    /// One image per package in a registry.
    Oci,
}

/// The archive of a package's prefix.
#[derive(Debug, Clone)]
pub struct Tarball {
    /// Of the bytes as stored.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// How they are compressed, as the mirror says; its first bytes decide.
    pub compression: Option<Compression>,
    /// Where they are.
    pub place: Place,
}

/// Where a tarball is.
#[derive(Debug, Clone)]
pub enum Place {
    /// An object of the mirror.
    Object {
        /// Its key.
        key: String,
    },
    /// A file of this machine, or a part of one: nothing needs to be fetched.
    Here(Content),
    /// A blob of the mirror's repository.
    Blob {
        /// What the image's manifest says that it is.
        media_type: String,
    },
}

/// Who vouches for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureState {
    /// One of the mirror's keys.
    Signed {
        /// Of the key, or of its subkey: upper-case hexadecimal digits.
        fingerprint: String,
        /// What is to be said about the key.
        reservations: Vec<Reservation>,
    },
    /// It is signed, but not by a key that we know, and the mirror's settings do not ask for more.
    Unknown,
    /// Nobody, and the mirror's settings do not ask for more.
    Unsigned,
}

/// A package for people: `zlib@1.3.1 /v2xkvre`.
pub(super) fn label(spec: &ConcreteSpec) -> String {
    format!("{}@{} /{}", spec.name, spec.version, spec.hash.short())
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V3 => f.write_str("v3"),
            Self::V2(_) => f.write_str("v2"),
            Self::Oci => f.write_str("oci"),
        }
    }
}

impl CacheEntry {
    /// The file that the tarball is in, where it is read in place.
    #[must_use]
    pub fn path(&self) -> Option<&PathBuf> {
        match &self.tarball.place {
            Place::Here(Content::File { path, .. }) => Some(path),
            _ => None,
        }
    }
}
