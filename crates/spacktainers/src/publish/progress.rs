//! Telling the reporter about one blob on its way.

use std::sync::Arc;

use crate::event::{Event, Outcome, Reporter, TaskId, TaskKind};

/// A task that is reported as failed unless it is finished.
pub(crate) struct Task {
    id: TaskId,
    reporter: Arc<dyn Reporter>,
    finished: bool,
}

impl Task {
    pub(crate) fn start(
        reporter: &Arc<dyn Reporter>,
        kind: TaskKind,
        label: String,
        total: u64,
    ) -> Self {
        let id = TaskId::next();
        reporter.event(Event::Started {
            task: id,
            kind,
            label,
            total: Some(total),
        });
        Self {
            id,
            reporter: Arc::clone(reporter),
            finished: false,
        }
    }

    /// To be called with bytes as they move.
    pub(crate) fn advance(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let (task, reporter) = (self.id, Arc::clone(&self.reporter));
        move |bytes| reporter.event(Event::Advanced { task, bytes })
    }

    pub(crate) fn finish(mut self) {
        self.end(Outcome::Done);
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        self.reporter.event(Event::Finished {
            task: self.id,
            outcome,
        });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Outcome::Failed("interrupted".to_owned()));
        }
    }
}
