//! Tar streams: the format of layers.
//!
//! ```text
//! header (512 bytes) │ content, padded to 512 │ header │ content │ … │ two blocks of zeros
//! ```
//!
//! A member's facts that do not fit its header stand in a member of their own before it: a pax record
//! set (`x`), or GNU's long name (`L`) and long link (`K`).
//!
//! - [`TarReader`] reads what GNU tar, bsdtar, Python, Go and star write. It never allocates from a
//!   length it has not bounded, and yields only names that cannot leave the root.
//! - [`TarWriter`] writes ustar, with pax records only where ustar cannot say it. The same entries give
//!   the same bytes on every machine.
//!
//! Sources: POSIX.1-2017 `pax` ("ustar Interchange Format", "pax Interchange Format"); GNU tar manual,
//! "Basic Tar Format" and "Storing Sparse Files".

mod error;
mod header;
mod member;
mod path;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use error::{PaxError, TarError};
pub use member::Member;
pub use path::{PathFault, normalize, printable};
pub use reader::{Limits, Policy, TarReader};
pub use writer::{TarWriteError, TarWriter};

/// Tar's unit: headers are one block, and content is padded to whole blocks.
pub const BLOCK: usize = 512;

/// Zeros after `size` bytes of content, up to a whole block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}
