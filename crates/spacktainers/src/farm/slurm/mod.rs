//! Slurm as a [`Scheduler`], by its programs: `sbatch`, `squeue`, `scancel`, `scontrol`, `sinfo`, and `sacct` and
//! `sacctmgr` where accounts are kept.
//!
//! ```text
//! Submission ──► script: which batch a task does ──► sbatch --array --dependency=afterany:…
//! squeue, sacct ──► states                 scontrol, sinfo, sacctmgr ──► limits
//! ```
//!
//! Jobs have the environment of the submitter (`--export=ALL`): credentials come to them that way, or by the files that
//! settings name, and stand in no script and on no command line.
//!
//! Source: the manual pages of these programs in Slurm 22.05.

mod limits;
mod script;
mod states;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use async_trait::async_trait;

use super::cluster::{Limits, Scheduler, SchedulerError, Submission, Task, TaskStatus};

/// The name for people.
const NAME: &str = "Slurm";

/// What Slurm alone is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlurmSettings {
    /// `--partition`.
    pub partition: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--qos`.
    pub qos: Option<String>,
    /// More options of `sbatch`, each in one word.
    pub options: Vec<String>,
}

/// Slurm, on a machine that has its programs.
#[derive(Debug, Clone)]
pub struct Slurm {
    settings: SlurmSettings,
    environment: BTreeMap<String, String>,
}

impl Slurm {
    /// Slurm as `environment` finds it, which jobs have too.
    #[must_use]
    pub fn new(settings: SlurmSettings, mut environment: BTreeMap<String, String>) -> Self {
        // In a job, these are about that job.
        environment.retain(|name, _| {
            !name.starts_with("SLURM_") || ["SLURM_CONF", "SLURM_CLUSTERS"].contains(&&**name)
        });
        Self {
            settings,
            environment,
        }
    }

    /// What a program says.
    async fn ask(&self, program: &str, arguments: &[String]) -> Result<String, SchedulerError> {
        let output = tokio::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|source| SchedulerError::Start {
                program: program.to_owned(),
                source,
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let prefix = format!("{program}: error: ");
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines
            .map(|line| line.strip_prefix(&prefix).unwrap_or(line))
            .collect();
        let message = match lines.is_empty() {
            true => format!("{program} ended with {}", output.status),
            false => lines.join("; "),
        };
        Err(refusal(message))
    }
}

/// Whether it refuses for ever or for now.
fn refusal(message: String) -> SchedulerError {
    const FOR_NOW: [&str; 6] = [
        "MaxSubmit",
        "GrpSubmit",
        "temporarily",
        "Socket timed out",
        "Unable to contact slurm controller",
        "Job limit",
    ];
    let scheduler = NAME;
    match FOR_NOW.iter().any(|words| message.contains(words)) {
        true => SchedulerError::Full { scheduler, message },
        false => SchedulerError::Refused { scheduler, message },
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[async_trait]
impl Scheduler for Slurm {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn limits(&self) -> Result<Limits, SchedulerError> {
        limits::ask(self).await
    }

    async fn queued(&self) -> Result<usize, SchedulerError> {
        let arguments = words(["--me", "--noheader", "--array", "--format=%i"]);
        Ok(self.ask("squeue", &arguments).await?.lines().count())
    }

    async fn submit(&self, submission: &Submission) -> Result<String, SchedulerError> {
        let file = submission.folder.join(format!("{}.sh", submission.name));
        let refused = |error: std::io::Error| SchedulerError::Refused {
            scheduler: NAME,
            message: format!("the script `{}` cannot be written: {error}", file.display()),
        };
        fs::write(&file, script::script(submission)).map_err(refused)?;
        let mut arguments = script::options(submission, &self.settings);
        arguments.push(file.display().to_string());
        let said = self.ask("sbatch", &arguments).await?;
        // With several clusters: `17;name`.
        let job = said.trim().split(';').next().unwrap_or_default();
        match !job.is_empty() && job.bytes().all(|it| it.is_ascii_digit()) {
            true => Ok(job.to_owned()),
            false => Err(SchedulerError::Refused {
                scheduler: NAME,
                message: format!("sbatch says `{}`, which is no job", said.trim()),
            }),
        }
    }

    async fn find(&self, name: &str) -> Result<Option<String>, SchedulerError> {
        let mut arguments = words(["--me", "--noheader", "--states=all", "--format=%F"]);
        arguments.push(format!("--name={name}"));
        let said = self.ask("squeue", &arguments).await?;
        let job = said.lines().next().map(str::trim);
        Ok(job.filter(|it| !it.is_empty()).map(str::to_owned))
    }

    async fn tasks(&self, tasks: &[Task]) -> Result<Vec<TaskStatus>, SchedulerError> {
        let arguments = words([
            "--me",
            "--noheader",
            "--array",
            "--states=all",
            "--format=%i|%T|%N|%r",
        ]);
        let said = self.ask("squeue", &arguments).await?;
        let is_asked = |status: &TaskStatus| tasks.contains(&status.task);
        let mut known: Vec<TaskStatus> = said
            .lines()
            .filter_map(states::of_squeue)
            .filter(is_asked)
            .collect();
        let is_known = |task: &Task| known.iter().any(|it| it.task == *task);
        let mut gone: Vec<String> = tasks
            .iter()
            .filter(|task| !is_known(task))
            .map(|task| task.job.clone())
            .collect();
        gone.dedup();
        if !gone.is_empty() {
            let mut arguments = words([
                "--noheader",
                "--parsable2",
                "--allocations",
                "--format=JobID,State,NodeList",
            ]);
            arguments.push(format!("--jobs={}", gone.join(",")));
            // Where no accounts are kept, nobody knows.
            let said = self.ask("sacct", &arguments).await.unwrap_or_default();
            let remembered: Vec<TaskStatus> = said
                .lines()
                .filter_map(states::of_sacct)
                .filter(|it| is_asked(it) && !is_known(&it.task))
                .collect();
            known.extend(remembered);
        }
        Ok(known)
    }

    async fn cancel(&self, jobs: &[String]) -> Result<(), SchedulerError> {
        let mut arguments = words(["--quiet"]);
        arguments.extend(jobs.iter().cloned());
        match self.ask("scancel", &arguments).await {
            // What is over already needs no end.
            Err(SchedulerError::Refused { message, .. }) if message.contains("Invalid job id") => {
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let is_full =
            |message: &str| matches!(refusal(message.to_owned()), SchedulerError::Full { .. });
        assert!(is_full(
            "QOSMaxSubmitJobPerUserLimit; Batch job submission failed: Job violates accounting/QOS policy (job submit \
             limit, user's size and/or time limits)"
        ));
        assert!(is_full(
            "Slurm temporarily unable to accept job, sleeping and retrying"
        ));
        assert!(!is_full("invalid partition specified: none"));
        assert!(!is_full(
            "Batch job submission failed: Requested node configuration is not available"
        ));
    }

    #[test]
    fn a_job_is_not_told_of_the_job_that_submits_it() {
        let variables = [
            "SLURM_ARRAY_TASK_ID",
            "SLURM_CONF",
            "SBATCH_ACCOUNT",
            "PATH",
        ];
        let environment = variables.map(|name| (name.to_owned(), "x".to_owned()));
        let slurm = Slurm::new(SlurmSettings::default(), environment.into_iter().collect());
        let kept: Vec<&str> = slurm.environment.keys().map(String::as_str).collect();
        assert_eq!(kept, ["PATH", "SBATCH_ACCOUNT", "SLURM_CONF"]);
    }
}
