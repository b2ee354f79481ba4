//! What Slurm says of tasks.

use super::super::cluster::{Phase, Task, TaskStatus};

/// A line of `squeue --format=%i|%T|%N|%r`.
pub(super) fn of_squeue(line: &str) -> Option<TaskStatus> {
    let mut fields = line.trim().split('|');
    let (id, state) = (fields.next()?, fields.next()?);
    let (node, reason) = (fields.next()?, fields.next()?);
    status(id, state, node, reason)
}

/// A line of `sacct --parsable2 --format=JobID,State,NodeList`.
pub(super) fn of_sacct(line: &str) -> Option<TaskStatus> {
    let mut fields = line.trim().split('|');
    let (id, state, node) = (fields.next()?, fields.next()?, fields.next()?);
    // `CANCELLED by 1000`
    let (state, reason) = state.split_once(' ').unwrap_or((state, ""));
    status(id, state, node, reason)
}

fn status(id: &str, state: &str, node: &str, reason: &str) -> Option<TaskStatus> {
    let text = |text: &str| match text {
        "None" | "None assigned" | "(null)" => String::new(),
        other => other.to_owned(),
    };
    Some(TaskStatus {
        task: task(id)?,
        phase: phase(state),
        state: state.to_owned(),
        reason: text(reason),
        node: text(node),
    })
}

/// `17` or `17_2`.
fn task(id: &str) -> Option<Task> {
    let (job, index) = match id.split_once('_') {
        Some((job, index)) => (job, Some(index.parse().ok()?)),
        None => (id, None),
    };
    let is_number = !job.is_empty() && job.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| Task {
        job: job.to_owned(),
        index,
    })
}

/// What a state means for us. A state that we do not know is one of a job that goes on.
fn phase(state: &str) -> Phase {
    match state {
        "COMPLETED" => Phase::Done,
        "BOOT_FAIL" | "CANCELLED" | "DEADLINE" | "FAILED" | "NODE_FAIL" | "OUT_OF_MEMORY"
        | "PREEMPTED" | "REVOKED" | "TIMEOUT" => Phase::Broken,
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT"
        | "CONFIGURING" | "RESV_DEL_HOLD" => Phase::Waiting,
        _ => Phase::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read() {
        let status = of_squeue("1_2|PENDING||Resources").expect("a task");
        assert_eq!(status.task.to_string(), "1_2");
        assert_eq!(
            (status.phase, &*status.reason),
            (Phase::Waiting, "Resources")
        );
        let status = of_squeue("7|RUNNING|n1|None").expect("a task");
        assert_eq!(
            (status.phase, &*status.node, &*status.reason),
            (Phase::Running, "n1", "")
        );
        let status = of_sacct("7|CANCELLED by 1000|n1").expect("a task");
        assert_eq!((status.phase, &*status.state), (Phase::Broken, "CANCELLED"));
        assert_eq!(
            of_squeue("7|COMPLETED|n1|None").map(|it| it.phase),
            Some(Phase::Done)
        );
        for line in [
            "",
            "x",
            "1_[2-3]|PENDING||None",
            "_1|PENDING||",
            "1_|PENDING||",
        ] {
            assert_eq!(of_squeue(line), None, "{line}");
        }
    }
}
