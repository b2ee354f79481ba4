//! Tables of records of one size, found by number.
//!
//! ```text
//! metadata block │ metadata block │ … │ list: where each of these blocks begins
//! ```

use std::cell::RefCell;
use std::io::{Read, Seek};

use crate::squashfs::layout::METADATA_BLOCK;

use super::ReadError;
use super::store::Store;

/// Where a table is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// Where its list of blocks is.
    pub(super) list: u64,
    /// How many records it has.
    pub(super) count: u64,
    /// What one record is, for messages.
    pub(super) what: &'static str,
}

impl Table {
    /// Record number `index`. `N` divides the size of metadata blocks.
    pub(super) fn record<const N: usize, R: Read + Seek>(
        &self,
        store: &RefCell<Store<R>>,
        index: u64,
    ) -> Result<[u8; N], ReadError> {
        let what = self.what;
        let missing = ReadError::Missing { what, index };
        if index >= self.count {
            return Err(missing);
        }
        let per_block = (METADATA_BLOCK / N) as u64;
        let mut place = [0; 8];
        let slot = self.list.saturating_add(index / per_block * 8);
        let mut store = store.borrow_mut();
        store.read(slot, &mut place, what)?;
        let place = u64::from_le_bytes(place);
        if place >= self.list {
            return Err(ReadError::Outside { what, place });
        }
        let block = store.metadata(place)?;
        // Below 8192.
        let at = (index % per_block) as usize * N;
        block
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .ok_or(missing)
    }
}
