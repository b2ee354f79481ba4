//! From a lock to verified blobs on this machine.
//!
//! ```text
//! ConcreteSpec ──► find ──► CacheEntry ──► fetch_all ──► Content
//!  (DAG hash)       │       what a mirror   the bytes,    in the local cache, or in place
//!                   │       says and signs  verified      where the mirror is a folder
//!                   └─► Missing: no mirror has it
//! ```
//!
//! Packages are found by hash: no index is ever read. In each [`BuildCache`], in the order given,
//! layout 3 is looked for before layout 2 (a registry has its own); the first that has the package
//! wins. That a mirror fails is an error and not a reason to ask the next one, so that the same lock
//! finds the same packages every time.
//!
//! What is trusted, and why:
//! - the *manifest* (layout 3) or *spec file* (layout 2) must be signed by a key of the mirror, unless
//!   the mirror's [`Trust`] says otherwise;
//! - it names the digests of spec file and tarball, and these are compared while bytes arrive;
//! - the spec file must be of the very DAG hash that was asked for, so that a signed manifest cannot
//!   be passed off under another package's name.
//!
//! Start at [`BuildCache::connect`], [`find_all`] and [`fetch_all`].
//!
//! Source: `lib/spack/spack/url_buildcache.py` and `binary_distribution.py` in Spack.

mod download;
mod entry;
mod error;
mod find;
mod oci;
mod small;
#[cfg(test)]
mod tests;
mod trust;
mod v2;
mod v2_nested;
mod v3;

use std::num::NonZeroUsize;
use std::time::SystemTime;

pub use download::{Fetched, fetch_all};
pub use entry::{CacheEntry, Found, Layout, Missing, Place, SignatureState, Tarball};
pub use error::{FailureKind, FetchError, FetchFault, FindError, FindFault};
pub use find::{find, find_all};
pub(crate) use small::{spec_text, utf8};
pub use trust::Trust;

use crate::event::Reporter;
use crate::local_cache::LocalCache;
use crate::mirror::{Access, Location, MirrorError, Source, connect};

/// A mirror that packages are looked for in.
pub struct BuildCache {
    /// Its name in the settings.
    pub name: String,
    /// Its URL, without credentials.
    pub url: String,
    /// Whose signatures count.
    pub trust: Trust,
    pub(crate) source: Source,
    /// Whether refusals mean absence there, once that was found out.
    hides_absence: tokio::sync::OnceCell<bool>,
}

impl BuildCache {
    /// The build cache at `location`.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(
        name: impl Into<String>,
        location: &Location,
        trust: Trust,
        access: &Access,
    ) -> Result<Self, MirrorError> {
        Ok(Self {
            name: name.into(),
            url: location.to_string(),
            trust,
            source: connect(location, access).await?,
            hides_absence: tokio::sync::OnceCell::new(),
        })
    }

    /// Whether it cannot be asked, because no network is to be used.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self.source, Source::Offline)
    }
}

/// What finding and fetching work with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where blobs go, and what mirrors said before.
    pub cache: &'a LocalCache,
    /// Who hears of the progress.
    pub reporter: &'a dyn Reporter,
    /// How many packages are worked on at once.
    pub jobs: NonZeroUsize,
    /// When signatures are judged.
    pub now: SystemTime,
}
