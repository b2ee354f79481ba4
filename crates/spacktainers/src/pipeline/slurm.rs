//! Slurm: one script that submits everything, each job behind those that it waits for.
//!
//! ```text
//! ids[p1]=$(submit …)                                 sbatch --parsable
//! ids[p2]=$(submit --dependency=afterok:${ids[p1]} …) starts when p1 has ended well, and never if it has not
//! ```
//!
//! Jobs that wait for nothing and need the same are one array.
//!
//! Sources: the manual pages `sbatch(1)` (`--dependency`, `--kill-on-invalid-dep`, `--array`, `--parsable`) and
//! `slurm.conf(5)` (`MaxArraySize`).

use super::head;
use super::system::{Pipeline, PipelineJob, Publishing, System};
use super::work::Work;
use crate::base::BaseArchitecture;
use crate::project::Settings;

/// The script, unless the command line names another file.
pub const FILE: &str = "spacktainers-slurm.sh";

/// The script for `work`.
#[must_use]
pub fn script(settings: &Settings, work: &Work, publishing: &Publishing<'_>) -> String {
    let pipeline = Pipeline::of(work, System::Slurm, &settings.ci);
    let mut text = String::from("#!/usr/bin/env bash\n");
    for line in head(System::Slurm).lines() {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(
        "#\n# Submit it from the project's folder: bash spacktainers-slurm.sh\n# Credentials are taken from the environment of \
         who submits. A job whose dependencies failed is cancelled; all others go on.\nset -euo pipefail\n\ndeclare -A ids\n\
         mkdir -p .spacktainers/log\n\nsubmit() {\n  sbatch --parsable --kill-on-invalid-dep=yes --export=ALL --chdir=\"$PWD\" \"$@\" | cut -d ';' -f 1\n}\n",
    );
    for (name, value) in &settings.ci.variables {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    let first = firsts(&pipeline);
    for (architecture, jobs) in &first {
        array(&mut text, settings, work, publishing, *architecture, jobs);
    }
    for job in pipeline.jobs.iter().filter(|it| {
        !it.after.is_empty()
            || !first
                .iter()
                .any(|(_, all)| all.iter().any(|one| one.id == it.id))
    }) {
        single(&mut text, settings, work, publishing, &pipeline, job);
    }
    text.push_str(&format!(
        "\necho \"submitted {} jobs; see: squeue --me\"\n",
        pipeline.jobs.len()
    ));
    text
}

/// Jobs that wait for nothing, where there are several of an architecture.
fn firsts(pipeline: &Pipeline) -> Vec<(BaseArchitecture, Vec<&PipelineJob>)> {
    let mut found = Vec::new();
    for architecture in [BaseArchitecture::Amd64, BaseArchitecture::Arm64] {
        let jobs = pipeline
            .jobs
            .iter()
            .filter(|it| it.after.is_empty() && it.architecture == architecture);
        let jobs: Vec<&PipelineJob> = jobs.collect();
        if jobs.len() > 1 {
            found.push((architecture, jobs));
        }
    }
    found
}

/// What every `sbatch` is told.
fn options(settings: &Settings, architecture: BaseArchitecture) -> String {
    let ci = &settings.ci;
    let mut options = format!("--time={}", ci.timeout_minutes);
    for option in &ci.architecture(architecture).options {
        options.push(' ');
        options.push_str(&quoted(option));
    }
    options
}

fn array(
    text: &mut String,
    settings: &Settings,
    work: &Work,
    publishing: &Publishing<'_>,
    architecture: BaseArchitecture,
    jobs: &[&PipelineJob],
) {
    let last = jobs.len() - 1;
    text.push_str(&format!(
        "\n# What waits for nothing, on {architecture}: an array.\narray=$(submit --array=0-{last} --job-name=spacktainers-{architecture} --output=.spacktainers/log/%x-%a.log {} <<'JOB'\n#!/usr/bin/env bash\nset -e\ncase \"$SLURM_ARRAY_TASK_ID\" in\n",
        options(settings, architecture)
    ));
    for (index, job) in jobs.iter().enumerate() {
        text.push_str(&format!("# {}\n{index})\n", job.title));
        for command in job.commands(work, publishing) {
            text.push_str(&format!("  {command}\n"));
        }
        text.push_str("  ;;\n");
    }
    text.push_str("esac\nJOB\n)\n");
    for (index, job) in jobs.iter().enumerate() {
        text.push_str(&format!("ids[{}]=${{array}}_{index}\n", job.id));
    }
}

fn single(
    text: &mut String,
    settings: &Settings,
    work: &Work,
    publishing: &Publishing<'_>,
    pipeline: &Pipeline,
    job: &PipelineJob,
) {
    let before = job.after.iter().filter_map(|it| pipeline.jobs.get(*it));
    let before: Vec<String> = before.map(|it| format!("${{ids[{}]}}", it.id)).collect();
    let dependency = match before.is_empty() {
        true => String::new(),
        false => format!(" --dependency=afterok:{}", before.join(":")),
    };
    text.push_str(&format!(
        "\n# {}\nids[{id}]=$(submit{dependency} --job-name={id} --output=.spacktainers/log/%x.log {} <<'JOB'\n#!/usr/bin/env bash\nset -e\n",
        job.title,
        options(settings, job.architecture),
        id = job.id,
    ));
    for command in job.commands(work, publishing) {
        text.push_str(&format!("{command}\n"));
    }
    text.push_str("JOB\n)\n");
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
