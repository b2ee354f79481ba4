//! Packages into layers.
//!
//! ```text
//! blob ──► [`scan()`] ──► PackageRecord   diffID, entries, ELF facts; remembered by the blob's digest
//! sizes ──► [`plan()`] ──► groups         which packages share a layer
//! record, chain ──► [`transform`]         a new blob where the image wants less of it, or wants it elsewhere:
//!                     [`slim`] what is left out, [`strip`] symbols, [`relocate`] prefixes, [`Compress`]
//! group ──► [`pack`] ──► RecordedLayer    one package: its blob as it is; several: one new tar
//! ```
//!
//! Start at [`PackageRecord`], which is all that later stages know of a package's content: the view, the library
//! check and the prefix check never open a blob again.

mod compress;
pub(crate) mod elf;
pub(crate) mod in_parallel;
mod pack;
mod package;
mod plan;
mod record;
pub mod relocate;
mod scan;
mod scan_all;
pub mod slim;
pub mod strip;
pub mod transform;
pub(crate) mod whole;

pub use compress::Compress;
pub use elf::ElfFacts;
pub use pack::{PackError, PackInput, pack};
pub use plan::{
    HORIZON, Observed, Plan, PlanInput, PlanPackage, PlannedLayer, Why, plan, rate, stay,
};
pub use record::{PackageEntry, PackageEntryKind, PackageRecord};
pub(crate) use scan::scan_tar;
pub use scan::{PackageFault, ScanError, scan};
pub(crate) use scan_all::remember;
pub use scan_all::{ScanJob, remembered, scan_all};
