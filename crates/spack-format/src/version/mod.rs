//! Versions, and sets of them.
//!
//! ```text
//! 1.2.3  develop  1.0rc1             StandardVersion   components, then a prerelease
//! git.main=1.2   <40 hex>=1.2        GitVersion        a reference, compared as the version that it is said to be
//!            └──────┬───────┘
//!                Version                               one version
//! 1.2:1.4   1.2:   :1.4   1.2        VersionRange      from one version up to all that begin like another
//! =1.2,1.4:1.6                       VersionList       exact versions and ranges, sorted and merged
//! ```
//!
//! `@1.2` is a *range* (all that begin with 1.2), `@=1.2` a version. Ranges are half open: `:1.1` ends below `1.2`, so
//! it holds `1.2rc1`, and `1.2` (the range) does not.
//!
//! Source: `lib/spack/spack/version/version_types.py` and `common.py` in Spack 1.1.0.

mod concrete;
mod error;
mod list;
mod number;
mod range;
mod standard;

pub use concrete::{GitVersion, Version};
pub use error::VersionError;
pub use list::{VersionItem, VersionList};
pub use range::VersionRange;
pub use standard::StandardVersion;
