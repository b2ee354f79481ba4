//! A set of ids found by what they stand for: the hash table below names and places.
//!
//! The things themselves lie elsewhere (in an arena), so a slot is eight bytes. Nothing is ever taken
//! out, which keeps probing simple; ids that mean nothing any more are the owner's business.

/// Stands for "no id" in every list of this module.
pub(super) const NONE: u32 = u32::MAX;

/// Most ids a table may hold: every id fits below [`NONE`], and the table's size fits a `u32`.
pub(super) const MOST: usize = 1 << 30;

/// A table with linear probing, at most half full.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The lower half of the hash: tells most strangers apart, and lets the table grow without its
    /// owner's help.
    hash: u32,
    id: u32,
}

const EMPTY: Slot = Slot { hash: 0, id: NONE };

impl Table {
    /// The id with this hash that `is_it`.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let hash = hash as u32;
        let mut at = hash as usize & mask;
        // Half of the slots are empty, so this ends.
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.id != NONE) {
            if slot.hash == hash && is_it(slot.id) {
                return Some(slot.id);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Adds an id that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, id: u32) {
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.len += 1;
        self.put(Slot {
            hash: hash as u32,
            id,
        });
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(16);
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
        for slot in old.into_iter().filter(|slot| slot.id != NONE) {
            self.put(slot);
        }
    }

    fn put(&mut self, new: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = new.hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.id == NONE {
                *slot = new;
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_whatever_their_hashes() {
        // Many ids share a hash, and some hashes are neighbours, so that probing has to work.
        let hash = |id: u32| u64::from(id / 7);
        let mut table = Table::default();
        for id in 0..1000 {
            assert_eq!(table.find(hash(id), |found| found == id), None);
            table.insert(hash(id), id);
        }
        for id in 0..1000 {
            assert_eq!(table.find(hash(id), |found| found == id), Some(id));
        }
        assert_eq!(table.find(5, |_| false), None);
    }
}
