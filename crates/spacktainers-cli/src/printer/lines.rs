//! Plain lines for logs.

use std::collections::HashMap;
use std::sync::Mutex;

use spacktainers::event::{Event, Outcome, Reporter, TaskId, TaskKind};

use super::{Verbosity, bytes, err};

/// One line when something that took time is done.
pub(super) struct Lines {
    verbosity: Verbosity,
    running: Mutex<HashMap<TaskId, Running>>,
}

struct Running {
    kind: TaskKind,
    label: String,
    moved: u64,
}

impl Lines {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            running: Mutex::default(),
        }
    }
}

/// What a finished task is called.
pub(super) fn verb(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Fetch => "fetched",
        TaskKind::Scan => "scanned",
        TaskKind::Write => "wrote",
        TaskKind::Upload => "sent",
        TaskKind::Execute => "executed",
        TaskKind::Other => "done",
    }
}

/// A line that a command wrote, told from ours.
pub(super) fn output(text: &str) -> String {
    format!("  | {text}")
}

impl Reporter for Lines {
    fn event(&self, event: Event) {
        let Ok(mut running) = self.running.lock() else {
            return;
        };
        match event {
            Event::Started {
                task, kind, label, ..
            } => {
                running.insert(
                    task,
                    Running {
                        kind,
                        label,
                        moved: 0,
                    },
                );
            }
            Event::Advanced { task, bytes } => {
                if let Some(it) = running.get_mut(&task) {
                    it.moved += bytes;
                }
            }
            Event::Finished { task, outcome } => {
                let Some(it) = running.remove(&task) else {
                    return;
                };
                // Scans are quick and many: they are for those who ask for every step.
                let wanted = match (&outcome, it.kind) {
                    (Outcome::Failed(_), _) => true,
                    (Outcome::Reused, _) | (_, TaskKind::Scan) => {
                        self.verbosity >= Verbosity::Verbose
                    }
                    _ => self.verbosity >= Verbosity::Normal,
                };
                if wanted {
                    let size = if it.moved > 0 {
                        format!(" ({})", bytes(it.moved))
                    } else {
                        String::new()
                    };
                    match outcome {
                        Outcome::Done => err(&format!("{} {}{size}", verb(it.kind), it.label)),
                        Outcome::Reused => err(&format!("kept {}", it.label)),
                        Outcome::Failed(why) => err(&format!("failed {}: {why}", it.label)),
                    }
                }
            }
            Event::Output { task, text } => {
                // What the author of a definition runs is heard; what Spack says only where somebody asks.
                let other = running.get(&task).filter(|it| it.kind != TaskKind::Execute);
                match other {
                    Some(it) if self.verbosity >= Verbosity::Verbose => {
                        err(&format!("{}: {text}", it.label));
                    }
                    None if self.verbosity >= Verbosity::Normal => err(&output(&text)),
                    _ => {}
                }
            }
            Event::Warning(text) => err(&format!("warning: {text}")),
            Event::Note(text) => {
                if self.verbosity >= Verbosity::Normal {
                    err(&text);
                }
            }
        }
    }
}
