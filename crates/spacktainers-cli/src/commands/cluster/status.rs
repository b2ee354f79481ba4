//! `farm status`: where runs are on their way.

use serde_json::{Value, json};
use spacktainers::farm::cluster::{Cluster, JobStatus, PackageState, RunStatus};

use super::farm_failure;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) async fn show(
    cluster: &Cluster,
    with_old: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let runs = cluster.status(with_old).await.map_err(farm_failure)?;
    if context.json {
        let runs: Vec<Value> = runs.iter().map(document).collect();
        printer::out(&json!({"event": "result", "runs": runs}).to_string());
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        printer::out("nothing is underway");
    }
    for run in &runs {
        lines(run).iter().for_each(|line| printer::out(line));
    }
    Ok(Exit::Done)
}

/// Words of [`PackageState`], and of packages that wait.
const WORDS: [(Option<PackageState>, &str); 5] = [
    (Some(PackageState::Built), "built"),
    (Some(PackageState::Building), "building"),
    (None, "waiting"),
    (Some(PackageState::Failed), "failed"),
    (Some(PackageState::HeldUp), "held up"),
];

fn count(run: &RunStatus, state: Option<PackageState>) -> usize {
    run.packages.iter().filter(|it| it.state == state).count()
}

fn lines(run: &RunStatus) -> Vec<String> {
    let counts: Vec<String> = WORDS
        .iter()
        .map(|(state, word)| (count(run, *state), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let state = match (run.is_over, run.is_watched) {
        (true, _) => ", over",
        (false, true) => ", watched",
        (false, false) => "",
    };
    let mut lines = vec![format!(
        "run {} for {}: {}{state}",
        run.name,
        run.containers.join(", "),
        counts.join(", ")
    )];
    for job in run.jobs.iter().filter(|it| !it.is_over) {
        lines.push(format!("  {}", job_line(job)));
    }
    let is_held = run.jobs.iter().any(|it| it.word() == "held back");
    if is_held && !run.is_watched {
        lines.push("  what is held back waits for somebody to run `spacktainers build NAME --build --on slurm --attach`".to_owned());
    }
    lines
}

fn job_line(job: &JobStatus) -> String {
    let name = match &job.task {
        Some(task) => format!("job {task} "),
        None => String::new(),
    };
    let mut details = Vec::new();
    if let Some(status) = &job.status {
        details.push(status.state.clone());
        let more = [&status.node, &status.reason].into_iter();
        details.extend(more.filter(|it| !it.is_empty()).cloned());
    }
    let details = match details.is_empty() {
        true => String::new(),
        false => format!(" ({})", details.join(", ")),
    };
    format!("{name}{}{details}: {}", job.word(), job.packages.join(", "))
}

fn document(run: &RunStatus) -> Value {
    let packages: Vec<Value> = run
        .packages
        .iter()
        .map(|it| {
            let word = WORDS.iter().find(|(state, _)| *state == it.state);
            json!({"package": it.package, "state": word.map(|(_, word)| word.replace(' ', "_"))})
        })
        .collect();
    let jobs: Vec<Value> = run
        .jobs
        .iter()
        .map(|job| {
            let status = job.status.as_ref();
            json!({
                "job": job.task.as_ref().map(ToString::to_string),
                "state": job.word().replace(' ', "_"),
                "scheduler": status.map(|it| &it.state),
                "reason": status.map(|it| &it.reason).filter(|it| !it.is_empty()),
                "node": status.map(|it| &it.node).filter(|it| !it.is_empty()),
                "packages": job.packages,
            })
        })
        .collect();
    json!({
        "run": run.name,
        "containers": run.containers,
        "over": run.is_over,
        "watched": run.is_watched,
        "packages": packages,
        "jobs": jobs,
    })
}
