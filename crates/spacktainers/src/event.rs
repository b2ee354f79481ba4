//! What happens while the product works, for whoever watches: a terminal, a CI log, a JSON reader.
//!
//! The library never prints. It tells a [`Reporter`] and goes on.

/// A piece of work that takes time. Ids are unique within one run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u64);

impl TaskId {
    /// An id that no other task of this process has.
    #[must_use]
    pub fn next() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNTER: AtomicU64 = AtomicU64::new(1);
        Self(COUNTER.fetch_add(1, Ordering::Relaxed))
    }
}

/// What kind of work a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Bytes come from a mirror or registry.
    Fetch,
    /// A blob is verified, decompressed, hashed and listed.
    Scan,
    /// A layer is written.
    Write,
    /// A command is executed in a sandbox.
    Execute,
    /// Bytes go to a target.
    Upload,
    /// Anything else that takes time.
    Other,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work.
    Done,
    /// What it would have made was there already.
    Reused,
    /// It failed, with the reason in one line.
    Failed(String),
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Work began.
    Started {
        /// Which work.
        task: TaskId,
        /// What kind.
        kind: TaskKind,
        /// What it works on, for people: `zlib-1.3.1 /abc1234`.
        label: String,
        /// Bytes in all, when known.
        total: Option<u64>,
    },
    /// Work went on.
    Advanced {
        /// Which work.
        task: TaskId,
        /// Bytes since the last such event.
        bytes: u64,
    },
    /// Work ended.
    Finished {
        /// Which work.
        task: TaskId,
        /// How.
        outcome: Outcome,
    },
    /// A line that a command wrote.
    Output {
        /// Which work it is.
        task: TaskId,
        /// The line, without its end.
        text: String,
    },
    /// A sentence worth reading that is no reason to stop.
    Warning(String),
    /// A sentence about what goes on.
    Note(String),
}

/// Somebody who watches. Called from many threads.
pub trait Reporter: Send + Sync {
    /// Takes note of `event`; must be quick.
    fn event(&self, event: Event);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: Event) {}
}
