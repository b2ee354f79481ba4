//! What systems allow, and what their jobs call.

use std::collections::BTreeMap;

use super::pack::Limits;
use super::work::Work;
use super::{Job, JobGraph, pack};
use crate::base::BaseArchitecture;
use crate::project::CiSettings;

/// A system that runs pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// GitLab CI.
    Gitlab,
    /// GitHub Actions.
    Github,
    /// Slurm.
    Slurm,
}

/// The most jobs that a job may wait for in GitLab.
///
/// Source: GitLab's documentation, "CI/CD YAML syntax reference", `needs`; and "Instance limits".
pub const GITLAB_NEEDS: usize = 50;

/// The longest name of a GitLab job, in characters. Source: "CI/CD YAML syntax reference", job names.
pub const GITLAB_NAME: usize = 255;

/// The most bytes of a pipeline that an artifact holds. Source: "Downstream pipelines", dynamic child pipelines.
pub const GITLAB_ARTIFACT: usize = 5_000_000;

/// The most jobs of one of our pipelines: what GitLab.com's smaller paid plan allows is 1,500 (source: "GitLab.com
/// settings"); those of people are not ours alone to fill.
const GITLAB_JOBS: usize = 1000;

/// The most jobs of one matrix. Source: GitHub's documentation, "Actions limits", job matrix.
pub const GITHUB_MATRIX: usize = 256;

/// The most bytes of a workflow file. Source: "Actions limits", workflow file size: 500 KB.
pub const GITHUB_FILE: usize = 500_000;

/// The most characters of a job's outputs. Source: "Workflow syntax", `jobs.<job_id>.outputs`: 1 MB, in UTF-16.
pub const GITHUB_OUTPUT: usize = 500_000;

/// As many as fit into a workflow file.
const GITHUB_JOBS: usize = 700;

/// The most jobs that are submitted. Source: slurm.conf, `MaxArraySize` and `MaxJobCount`: the default of the former is
/// 1001, and sites allow users about as many jobs.
const SLURM_JOBS: usize = 1000;

/// Part of the time-out that a job of several packages may fill: what they take is a guess.
const FILLED: u64 = 2;

impl System {
    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gitlab => "gitlab",
            Self::Github => "github",
            Self::Slurm => "slurm",
        }
    }

    /// What it allows by itself and by the settings.
    #[must_use]
    pub fn limits(self, ci: &CiSettings) -> Limits {
        let (jobs, needs) = match self {
            Self::Gitlab => (GITLAB_JOBS, Some(GITLAB_NEEDS)),
            Self::Github => (GITHUB_JOBS, None),
            Self::Slurm => (SLURM_JOBS, None),
        };
        Limits {
            overhead: ci.overhead_seconds,
            jobs: ci.max_jobs.unwrap_or(jobs).min(jobs),
            needs,
            longest: ci.timeout_minutes.saturating_mul(60) / FILLED,
            runners: ci.runners,
        }
    }
}

/// Jobs with names, and what they call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipeline {
    /// The jobs, each behind what it waits for.
    pub jobs: Vec<PipelineJob>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineJob {
    /// Its name: short, and no other job's.
    pub id: String,
    /// What it does, for people.
    pub title: String,
    /// What it runs on.
    pub architecture: BaseArchitecture,
    /// Places of the jobs that it waits for.
    pub after: Vec<usize>,
    /// Places in the work's packages of those that it builds.
    pub packages: Vec<usize>,
    /// Places in the work's containers of those that it publishes.
    pub containers: Vec<usize>,
    /// Seconds that it is expected to take, without its start.
    pub seconds: u64,
}

/// How containers are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Publishing<'a> {
    /// The environment of `[publish.…]`; none: images are built and go nowhere.
    pub environment: Option<&'a str>,
    /// Whether the newest base is taken first.
    pub updates_base: bool,
    /// Whether packages are built in a sandbox.
    pub sandbox: bool,
}

impl Pipeline {
    /// The jobs for `work`, within the limits of `system`. Jobs that build come before jobs that publish.
    #[must_use]
    pub fn of(work: &Work, system: System, ci: &CiSettings) -> Self {
        let tasks = work.tasks();
        Self::named(work, pack(&tasks, &system.limits(ci)))
    }

    fn named(work: &Work, graph: JobGraph) -> Self {
        let mut jobs: Vec<PipelineJob> = Vec::with_capacity(graph.jobs.len());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for job in graph.jobs {
            let job = describe(work, job, &jobs, &mut counts);
            jobs.push(job);
        }
        Self { jobs }
    }
}

/// What a job does, and a name for it: `p3`, `join2`, or the container's own.
fn describe(
    work: &Work,
    job: Job,
    before: &[PipelineJob],
    counts: &mut BTreeMap<&str, usize>,
) -> PipelineJob {
    let first_container = work.packages.len();
    let (packages, containers): (Vec<usize>, Vec<usize>) =
        job.tasks.iter().partition(|it| **it < first_container);
    let containers: Vec<usize> = containers.iter().map(|it| it - first_container).collect();
    let package = |it: &usize| work.packages.get(*it);
    let container = |it: &usize| work.containers.get(*it);
    let mut number = |kind| {
        let count = counts.entry(kind).or_default();
        *count += 1;
        *count
    };
    let names = |all: Vec<&str>| match all.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one}, {two}"),
        [one, two, more @ ..] => format!("{one}, {two} and {} more", more.len()),
    };
    let built = packages.iter().filter_map(package);
    let seconds = built.clone().map(|it| it.seconds);
    let sent = containers.iter().filter_map(container);
    let seconds = seconds
        .chain(sent.clone().map(|it| it.seconds))
        .fold(0, u64::saturating_add);
    let architecture = built
        .clone()
        .map(|it| it.architecture)
        .chain(sent.clone().map(|it| it.architecture))
        .next();
    let architecture = architecture.or_else(|| Some(before.get(*job.after.first()?)?.architecture));
    let (id, title) = if let Some(first) = sent.clone().next() {
        let id = format!("publish-{}-{}", first.name, first.architecture);
        (
            id,
            format!("publish {}", names(sent.map(|it| &*it.name).collect())),
        )
    } else if packages.is_empty() {
        (
            format!("join{}", number("join")),
            "wait for the others".to_owned(),
        )
    } else {
        let title = format!("build {}", names(built.map(|it| &*it.name).collect()));
        (format!("p{}", number("p")), title)
    };
    PipelineJob {
        id,
        title,
        architecture: architecture.unwrap_or(BaseArchitecture::Amd64),
        after: job.after,
        packages,
        containers,
        seconds,
    }
}

impl PipelineJob {
    /// The commands that it calls: of `spacktainers`, and of nothing else.
    #[must_use]
    pub fn commands(&self, work: &Work, publishing: &Publishing<'_>) -> Vec<String> {
        let arch = self.architecture;
        let no_sandbox = if publishing.sandbox {
            ""
        } else {
            " --no-sandbox"
        };
        if !self.packages.is_empty() {
            let hashes = self.packages.iter().filter_map(|it| work.packages.get(*it));
            let hashes: Vec<&str> = hashes.map(|it| it.hash.as_str()).collect();
            return vec![format!(
                "spacktainers ci build --arch {arch}{no_sandbox} {}",
                hashes.join(" ")
            )];
        }
        let containers: Vec<_> = self
            .containers
            .iter()
            .filter_map(|it| work.containers.get(*it))
            .collect();
        if containers.is_empty() {
            return vec!["spacktainers --version".to_owned()];
        }
        let names: Vec<&str> = containers.iter().map(|it| &*it.name).collect();
        let is_solved = containers.iter().all(|it| it.is_solved);
        container_commands(&names.join(" "), &arch.to_string(), is_solved, publishing)
    }
}

/// The commands for containers by name. What nobody has solved is solved, and its packages are built, on the way.
pub(super) fn container_commands(
    names: &str,
    arch: &str,
    is_solved: bool,
    publishing: &Publishing<'_>,
) -> Vec<String> {
    let mut commands = Vec::new();
    if publishing.updates_base {
        commands.push(format!(
            "spacktainers lock --update-base --arch {arch} {names}"
        ));
    }
    let builds = match (is_solved, publishing.sandbox) {
        (true, _) => "",
        (false, true) => " --build",
        (false, false) => " --build --no-sandbox",
    };
    commands.push(match publishing.environment {
        Some(environment) => format!(
            "spacktainers publish --environment {environment} --arch {arch}{builds} {names}"
        ),
        None => format!(
            "spacktainers build --to oci:images/{{name}}-{{arch}} --arch {arch}{builds} {names}"
        ),
    });
    commands
}
