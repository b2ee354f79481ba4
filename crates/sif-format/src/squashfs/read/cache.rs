//! The blocks that were used last.
//!
//! ```text
//! young: up to N ──(full)──► old: the N before ──(next time)──► forgotten
//!          ▲────── used ───────┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;

/// Keeps at most twice `half` values, by the place of their block.
pub(super) struct Cache<V> {
    young: HashMap<u64, Arc<V>>,
    old: HashMap<u64, Arc<V>>,
    half: usize,
}

impl<V> Cache<V> {
    pub(super) fn new(half: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half,
        }
    }

    pub(super) fn get(&mut self, place: u64) -> Option<Arc<V>> {
        if let Some(value) = self.young.get(&place) {
            return Some(Arc::clone(value));
        }
        let value = self.old.remove(&place)?;
        self.put(place, Arc::clone(&value));
        Some(value)
    }

    pub(super) fn put(&mut self, place: u64, value: Arc<V>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = Cache::new(2);
        for place in 0..100 {
            cache.put(place, Arc::new(place));
            assert!(cache.young.len() + cache.old.len() <= 4);
            assert_eq!(cache.get(0).as_deref(), Some(&0), "after {place}");
        }
        assert_eq!(cache.get(50), None);
        assert_eq!(cache.get(99).as_deref(), Some(&99));
    }
}
