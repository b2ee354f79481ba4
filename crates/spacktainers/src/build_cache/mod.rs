//! Writing build caches: from packages that Spack installed to entries that Spack installs from.
//!
//! ```text
//! InstallTree ──► archive ──► push ──► blobs/sha256/…                     by digest, whoever writes them
//!                                      .spacktainers/pending/NAME/…       "the index does not know it yet"
//!                                      v3/manifests/spec/NAME/…           signed, last: now the entry is there
//!
//! index    pending + index + what the manifests say ──► v3/manifests/index/…      for plain Spack
//! verify   manifests ──► every signature and every blob
//! sync     FROM ──► TO   what TO does not have
//! list     what is there
//! ```
//!
//! Start at [`Destination`] and [`push_installed`]; for registries, which hold images instead, at [`RegistryCache`].
//!
//! Guaranteed:
//! - an entry is there when all of it is there: blobs are written before the manifest that names them, and who is killed
//!   in between leaves blobs that nobody names;
//! - the first entry of a DAG hash stays: manifests are written on the condition that there is none ([`When::Absent`]), and
//!   another content than that of the first is told apart by its digest and refused ([`Existing`]);
//! - a push costs the same whatever is in the cache: it touches only the objects of its own entry. The index is made
//!   anew by [`update_index`], from what pushes left in the folder of pending entries, under a condition as well: who
//!   loses a race reads what the winner wrote, and begins again;
//! - packages are found by hash without the index, so one that is behind hides nothing from who has a lock.
//!
//! [`When::Absent`]: crate::mirror::When::Absent

mod archive;
mod catalog;
mod destination;
mod error;
mod index;
mod keys;
mod list;
mod object;
mod pending;
mod push;
mod registry;
mod sync;
#[cfg(test)]
mod tests;
mod verify;

pub use archive::{Archive, ArchiveError, archive};
pub use catalog::Catalog;
pub use destination::{Destination, Existing, PushOptions, Signing};
pub use error::{CacheError, CacheFault};
pub use index::{IndexReport, IndexScope, update_index};
pub use list::{Listed, list};
pub use push::{Pushed, push_all, push_installed};
pub use registry::RegistryCache;
pub use sync::{SyncReport, sync};
pub use verify::{EntryFault, VerifyReport, verify};
