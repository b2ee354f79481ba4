//! Counts what comes over the network, for the closing summary, and passes everything on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use spacktainers::event::{Event, Reporter, TaskId, TaskKind};

/// A reporter in front of another one.
pub(crate) struct Tally {
    next: Arc<dyn Reporter>,
    fetching: Mutex<HashSet<TaskId>>,
    fetched: AtomicU64,
}

impl Tally {
    pub(crate) fn new(next: Arc<dyn Reporter>) -> Self {
        Self {
            next,
            fetching: Mutex::default(),
            fetched: AtomicU64::new(0),
        }
    }

    /// Bytes fetched so far: of packages, bases and indices.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }
}

impl Reporter for Tally {
    fn event(&self, event: Event) {
        let fetching = || self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Event::Started {
                task,
                kind: TaskKind::Fetch,
                ..
            } => {
                fetching().insert(*task);
            }
            Event::Advanced { task, bytes } if fetching().contains(task) => {
                self.fetched.fetch_add(*bytes, Ordering::Relaxed);
            }
            Event::Finished { task, .. } => {
                fetching().remove(task);
            }
            _ => {}
        }
        self.next.event(event);
    }
}
