//! Events as JSON lines on standard output.
//!
//! Each line is an object with `event`: `started`, `advanced`, `finished`, `output`, `warning`, `note`; a command's closing
//! document has `event: "result"`. Byte counts are numbers; ids join the events of one task.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use spacktainers::event::{Event, Outcome, Reporter, TaskId, TaskKind};

use super::out;

/// At most this often is the advance of one task told: a reader wants to draw a bar, not to count packets.
const ADVANCE_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct JsonLines {
    advances: Mutex<HashMap<TaskId, (u64, Option<Instant>)>>,
}

fn kind_name(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Fetch => "fetch",
        TaskKind::Scan => "scan",
        TaskKind::Write => "write",
        TaskKind::Upload => "upload",
        TaskKind::Execute => "execute",
        TaskKind::Other => "other",
    }
}

impl Reporter for JsonLines {
    fn event(&self, event: Event) {
        let Ok(mut advances) = self.advances.lock() else {
            return;
        };
        let line = match event {
            Event::Started {
                task,
                kind,
                label,
                total,
            } => {
                advances.insert(task, (0, None));
                json!({"event": "started", "task": task.0, "kind": kind_name(kind), "label": label, "total": total})
            }
            Event::Advanced { task, bytes } => {
                let now = Instant::now();
                let (moved, told) = advances.entry(task).or_insert((0, None));
                *moved += bytes;
                if told.is_some_and(|told| now - told < ADVANCE_INTERVAL) {
                    return;
                }
                *told = Some(now);
                json!({"event": "advanced", "task": task.0, "bytes": *moved})
            }
            Event::Finished { task, outcome } => {
                let moved = advances.remove(&task).map_or(0, |(moved, _)| moved);
                let (name, why) = match outcome {
                    Outcome::Done => ("done", None),
                    Outcome::Reused => ("reused", None),
                    Outcome::Failed(why) => ("failed", Some(why)),
                };
                json!({"event": "finished", "task": task.0, "outcome": name, "bytes": moved, "reason": why})
            }
            Event::Output { task, text } => {
                json!({"event": "output", "task": task.0, "text": text})
            }
            Event::Warning(text) => json!({"event": "warning", "text": text}),
            Event::Note(text) => json!({"event": "note", "text": text}),
        };
        out(&line.to_string());
    }
}
