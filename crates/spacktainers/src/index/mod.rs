//! What the mirrors hold: their indices, read once and remembered in a compact form.
//!
//! ```text
//! mirror ──source──► index text ──import──► table + texts ──► local cache       when the index is another than before
//!                    (a stream)             compact form                │
//!                                                                       ▼
//!                                       KnownSpecs ◄──table::decode── the same    every time
//! ```
//!
//! Start at [`load`]. Packages are *chosen* from an index and never fetched by it: an index is signed by nobody, so what
//! is chosen is found again by its hash in [`crate::fetch`], where signatures count. An index that lies can therefore
//! make a choice fail, and nothing else.
//!
//! - Layouts 3 (manifest and blob) and 2 (`index.json`), and registries (tag `index.spack`). A mirror that has layouts 2
//!   and 3 is asked for both.
//! - An index that has not changed is not fetched again: layout 3 and registries name its digest, layout 2 has a file
//!   with its checksum or, failing that, an entity tag.
//! - Without a network, what was remembered last is used.
//! - The *table* has, per spec, what choosing needs; equal texts are stored once. The JSON of each spec lies in a second
//!   file, from which the few that matter are read by position.

mod error;
mod import;
mod known;
mod source;
mod table;
#[cfg(test)]
pub(crate) mod test_index;
#[cfg(test)]
mod tests;

pub use error::{IndexError, IndexFault};
pub use known::{KnownEdge, KnownSpec, KnownSpecs, SpecId, Symbol};

use crate::event::Event;
use crate::fetch::{BuildCache, Context};

/// What all of `mirrors` hold. Of a spec that several have, the first mirror's record counts.
///
/// A mirror without an index holds nothing here; the [`crate::event::Reporter`] hears of it.
///
/// # Errors
/// When a mirror cannot say whether its index has changed, or has one that cannot be read.
pub async fn load(mirrors: &[BuildCache], context: &Context<'_>) -> Result<KnownSpecs, IndexError> {
    let mut known = KnownSpecs::default();
    for mirror in mirrors {
        let error = |fault| IndexError {
            mirror: mirror.url.clone(),
            fault,
        };
        let found = source::indices(mirror, context).await.map_err(error)?;
        if found.is_empty() {
            let why = if mirror.is_offline() {
                "no index is remembered, and no network is to be used"
            } else {
                "there is no index"
            };
            let warning = format!("{}: {why}", mirror.url);
            context.reporter.event(Event::Warning(warning));
        }
        for table in found {
            table::decode(&table, context.cache, &mut known).map_err(error)?;
        }
    }
    Ok(known)
}
