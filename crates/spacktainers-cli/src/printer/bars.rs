//! Bars on a terminal.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use spacktainers::event::{Event, Outcome, Reporter, TaskId, TaskKind};

use super::{Verbosity, bytes, lines};

/// One bar per running task; finished ones scroll away as lines.
pub(super) struct Bars {
    verbosity: Verbosity,
    all: MultiProgress,
    running: Mutex<HashMap<TaskId, (TaskKind, String, ProgressBar)>>,
}

/// Columns for names before the bar.
const LABEL_WIDTH: usize = 36;

impl Bars {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            all: MultiProgress::new(),
            running: Mutex::default(),
        }
    }

    fn line(&self, text: &str) {
        // Printing through the bars keeps them in one piece.
        if self.all.println(super::shown(text)).is_err() {
            super::err(text);
        }
    }
}

fn style(kind: TaskKind, measured: bool) -> ProgressStyle {
    let template = match (kind, measured) {
        (_, true) => "{prefix:36!} [{bar:24}] {bytes:>10}/{total_bytes:10} {bytes_per_sec}",
        // Programs of others are heard, and move no bytes that we count.
        (TaskKind::Other, false) => "{prefix:36!} {spinner} {wide_msg}",
        (_, false) => "{prefix:36!} {spinner} {bytes}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Reporter for Bars {
    fn event(&self, event: Event) {
        let Ok(mut running) = self.running.lock() else {
            return;
        };
        match event {
            Event::Started {
                task,
                kind,
                label,
                total,
            } => {
                let bar = match total {
                    Some(total) => ProgressBar::new(total),
                    None => ProgressBar::new_spinner(),
                };
                let bar = self.all.add(bar.with_style(style(kind, total.is_some())));
                bar.set_prefix(label.chars().take(LABEL_WIDTH).collect::<String>());
                running.insert(task, (kind, label, bar));
            }
            Event::Advanced { task, bytes } => {
                if let Some((_, _, bar)) = running.get(&task) {
                    bar.inc(bytes);
                }
            }
            Event::Finished { task, outcome } => {
                let Some((kind, label, bar)) = running.remove(&task) else {
                    return;
                };
                let moved = bar.position();
                bar.finish_and_clear();
                self.all.remove(&bar);
                match outcome {
                    Outcome::Failed(why) => self.line(&format!("failed {label}: {why}")),
                    Outcome::Done
                        if kind != TaskKind::Scan || self.verbosity >= Verbosity::Verbose =>
                    {
                        let size = if moved > 0 {
                            format!(" ({})", bytes(moved))
                        } else {
                            String::new()
                        };
                        self.line(&format!("{} {label}{size}", lines::verb(kind)));
                    }
                    Outcome::Reused if self.verbosity >= Verbosity::Verbose => {
                        self.line(&format!("kept {label}"));
                    }
                    Outcome::Done | Outcome::Reused => {}
                }
            }
            Event::Output { task, text } => match running.get(&task) {
                Some((TaskKind::Execute, ..)) | None => self.line(&lines::output(&text)),
                Some((_, label, bar)) => {
                    bar.tick();
                    bar.set_message(text.clone());
                    if self.verbosity >= Verbosity::Verbose {
                        self.line(&format!("{label}: {text}"));
                    }
                }
            },
            Event::Warning(text) => self.line(&format!("warning: {text}")),
            Event::Note(text) => self.line(&text),
        }
    }
}
