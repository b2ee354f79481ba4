//! Repositories of the kind that Spacktainers descends from, turned into projects. Pure.
//!
//! ```text
//! workflows, Dockerfiles, README ──read──► Seed: names, tags, targets, runners, jobs
//!                                            └──settings──► spacktainers.toml
//!                                            └──compare───► their jobs beside ours, and what differs, with the reason
//! ```
//!
//! Known are BlueBrain/spacktainers and openbraininstitute/spacktainers, and what was made from them: definitions below
//! `container_definitions/`, GitHub workflows that build them with a builder and a runtime image, or a `spack.yaml` that
//! says `ci: target: gitlab`. Definitions stay as they are.

mod compare;
mod read;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::pipeline::System;

pub use compare::{Differs, JobPair};

/// The files of a repository that say what it does, by path; those that are not there are left out.
pub type SeedFiles = BTreeMap<String, String>;

/// A container of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedContainer {
    /// Its name.
    pub name: String,
    /// Its architecture, as its folder is called.
    pub architecture: String,
    /// Whether it is a Singularity definition file.
    pub is_deffile: bool,
}

/// What a repository does, as far as its files say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seed {
    /// Its containers that are switched on.
    pub containers: Vec<SeedContainer>,
    /// For which systems it has pipelines.
    pub systems: Vec<System>,
    /// Its workflows, and their jobs.
    pub jobs: Vec<(String, String)>,
    /// Containers that its pipelines build; none: all.
    pub built: Option<BTreeSet<String>>,
    /// The repository in GHCR, with `{name}`.
    pub ghcr: Option<String>,
    /// The repository in ECR, with `{name}`, without its host.
    pub ecr: Option<String>,
    /// The host of ECR, where the README names one.
    pub ecr_host: Option<String>,
    /// Whether SIF files go to a bucket.
    pub has_sif: bool,
    /// Its environments; the first one is that of pull requests.
    pub environments: Vec<String>,
    /// Whether pull requests are built that have a label.
    pub has_labels: bool,
    /// Labels of the runners that build.
    pub runner: Vec<String>,
    /// Labels of the runners for small jobs.
    pub small_runner: Vec<String>,
    /// Names of secrets that it uses.
    pub secrets: BTreeSet<String>,
    /// The image that base and builder begin with, such as `ubuntu:24.04`.
    pub base_image: Option<String>,
    /// Packages of the runtime image.
    pub packages: Vec<String>,
    /// Where packages are installed, and how far their prefixes are padded.
    pub install: Option<(String, u64)>,
    /// The processor target of x86.
    pub target: Option<String>,
    /// The build cache, `s3://…`.
    pub cache: Option<String>,
    /// The Spack that its workflows build with: a commit, a tag or a branch.
    pub spack: Option<String>,
}

/// A project made from a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The text of `spacktainers.toml`.
    pub settings: String,
    /// For which systems there are pipelines.
    pub systems: Vec<System>,
    /// Each of their jobs, and what does the same now.
    pub jobs: Vec<JobPair>,
    /// What is not the same.
    pub differences: Vec<Differs>,
    /// Files that nothing needs any more, and that would go on doing what they did.
    pub replaced: Vec<String>,
}

/// Reads what the files of a repository say.
#[must_use]
pub fn read(files: &SeedFiles, containers: Vec<SeedContainer>) -> Seed {
    read::seed(files, containers)
}

/// Turns it into a project. `values` are values of variables that the repository keeps to itself, such as the host of
/// its registry: `AWS_ECR_URL`, `S3_SINGULARITY_BUCKET`, `S3_CONTAINER_ROOT`.
#[must_use]
pub fn convert(seed: &Seed, values: &BTreeMap<String, String>) -> Conversion {
    let mut seed = seed.clone();
    if let Some(host) = values.get("AWS_ECR_URL") {
        seed.ecr_host = Some(host.trim_end_matches('/').to_owned());
    }
    let bucket = values.get("S3_SINGULARITY_BUCKET").map(|bucket| {
        let root = values
            .get("S3_CONTAINER_ROOT")
            .map_or("containers", String::as_str);
        format!("s3://{bucket}/{}/{{name}}.sif", root.trim_matches('/'))
    });
    Conversion {
        settings: settings::text(&seed, bucket.as_deref()),
        systems: seed.systems.clone(),
        jobs: compare::jobs(&seed),
        differences: compare::differences(&seed, bucket.is_some()),
        replaced: compare::replaced(&seed),
    }
}
