//! Build caches: binary packages on a mirror.
//!
//! ```text
//! layout 3, Spack 1.0 and later                                               v3
//!   v3/manifests/spec/zlib/zlib-1.3.1-<hash>.spec.manifest.json               v3::Manifest
//!   v3/manifests/index/index.manifest.json
//!   blobs/sha256/ab/ab12...       a tarball, a spec file, an index or a key
//!
//! layouts 1 and 2, Spack up to 0.23                                           v2
//!   build_cache/linux-debian12-x86_64-gcc-12.2.0-zlib-1.3.1-<hash>.spec.json.sig
//!   build_cache/linux-debian12-x86_64/gcc-12.2.0/zlib-1.3.1/....spack
//!
//! an OCI repository, Spack 0.21 and later                                     oci
//!   tag zlib-1.3.1-<hash>.spack   config = spec file, last layer = tarball
//! ```
//!
//! In each of them a package is a tarball and a [`SpecFile`]; the tarball holds a
//! [`BinaryDistribution`] that says for which prefixes it was built. Manifests and spec files may
//! be clear-signed: [`clearsign::split`] separates text from signature, and checking the
//! signature is up to the caller.
//!
//! Everything is found by hash from a lock; the index (see [`crate::database`]) is never needed.
//!
//! Source: `lib/spack/spack/url_buildcache.py`, `binary_distribution.py`, `oci/` in Spack.

mod binary_distribution;
mod binary_distribution_text;
mod checksum;
pub mod clearsign;
mod file_kind;
mod key_index;
mod mutable;
pub mod oci;
mod recipe;
mod spec_file;
mod spec_file_text;
pub mod v2;
pub mod v3;

pub use binary_distribution::{BinaryDistribution, BinaryDistributionError, METADATA_PATH};
pub use checksum::{Checksum, ChecksumError};
pub use file_kind::{FileInspector, PrefixFinder, Relocatable};
pub use key_index::{
    Fingerprint, FingerprintError, KeyIndexError, key_index_text, parse_key_index,
};
pub use mutable::{MutableSource, is_pinned, mutable_source};
pub use recipe::{Restriction, binary_restrictions, version_branch};
pub use spec_file::{SpecFile, SpecFileError};
pub use spec_file_text::{PackageImage, package_config_text, spec_blob_text};

/// The most bytes that a manifest, a layout file or a key may have. Real ones have under 10 KiB.
pub const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// The most bytes that a spec file may have, uncompressed. A package with hundreds of dependencies
/// has about one MiB.
pub const MAX_SPEC_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The most bytes that a `.spack/binary_distribution` may have. It lists the files of one package,
/// which may be hundreds of thousands.
pub const MAX_BINARY_DISTRIBUTION_BYTES: u64 = 256 * 1024 * 1024;
