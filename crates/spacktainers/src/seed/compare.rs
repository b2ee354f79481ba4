//! Their jobs beside ours, and what is not the same.

use super::Seed;
use super::settings::skipped;
use crate::pipeline::System;

/// A job of the repository, and what does the same now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPair {
    /// The file that it is in.
    pub file: String,
    /// Its name, with that of the container where it is a leg of a matrix.
    pub theirs: String,
    /// What does the same; none: nothing has to.
    pub ours: Option<String>,
    /// How it is another way of doing it.
    pub why: String,
}

/// Something that is not the same, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    /// What is different.
    pub what: String,
    /// The reason.
    pub why: String,
    /// Whether a person has to do something about it.
    pub is_open: bool,
}

/// The containers that their matrices have legs for.
fn legs(seed: &Seed) -> impl Iterator<Item = &str> {
    let built = seed.built.as_ref();
    let spack = seed
        .containers
        .iter()
        .filter(|it| !it.is_deffile)
        .map(|it| it.name.as_str());
    spack.filter(move |name| built.is_none_or(|all| all.contains(*name)))
}

pub(super) fn jobs(seed: &Seed) -> Vec<JobPair> {
    let mut pairs = Vec::new();
    for (file, job) in &seed.jobs {
        let mut pair = |theirs: String, ours: Option<String>, why: &str| {
            pairs.push(JobPair {
                file: file.clone(),
                theirs,
                ours,
                why: why.to_owned(),
            });
        };
        match job.as_str() {
            "builder-container-job" => pair(
                job.clone(),
                None,
                "there is no builder image: packages come from the build cache, and Spack builds those that it lacks",
            ),
            "runtime-container-job" => pair(
                job.clone(),
                Some("plan (update-base)".to_owned()),
                "the base is locked by digest in container.lock; the label `build-with-base` takes the newest",
            ),
            "spacktainer-build-job" => {
                for name in legs(seed) {
                    pair(
                        format!("{job} ({name})"),
                        Some(format!("publish {name}")),
                        "the same names and tags; nothing is pushed twice",
                    );
                }
            }
            "convert-to-singularity" => {
                for name in legs(seed) {
                    pair(
                        format!("{job} ({name})"),
                        Some(format!("publish {name}")),
                        "the SIF file is written from the layers of this very image, never from one that was there before",
                    );
                }
            }
            "matrix" => pair(
                job.clone(),
                Some("plan".to_owned()),
                "legs are what is stale, and not a list that is kept by hand",
            ),
            "build-base-containers" => pair(
                job.clone(),
                Some("spacktainers-run.yml (update-base)".to_owned()),
                "an input of the same workflow",
            ),
            "build-spacktainers" => pair(
                job.clone(),
                Some("spacktainers-run.yml".to_owned()),
                "one workflow for all events",
            ),
            "notify-user" => pair(
                job.clone(),
                None,
                "the labels do the same as before; no job writes comments, which needs a right that building does not",
            ),
            _ => pair(
                job.clone(),
                None,
                "not known: look whether it is still needed",
            ),
        }
    }
    pairs
}

pub(super) fn replaced(seed: &Seed) -> Vec<String> {
    let mut files: Vec<String> = seed.jobs.iter().map(|(file, _)| file.clone()).collect();
    files.dedup();
    files
}

pub(super) fn differences(seed: &Seed, has_bucket: bool) -> Vec<Differs> {
    let mut found = Vec::new();
    let mut differs = |is_open: bool, what: &str, why: &str| {
        found.push(Differs {
            what: what.to_owned(),
            why: why.to_owned(),
            is_open,
        });
    };
    if seed.cache.is_some() {
        differs(
            true,
            "the build cache is written as a comment into spacktainers.toml",
            "only signed packages go into images, and the public key is not in the repository: put it there and take the `#` away",
        );
    }
    if seed.ecr.is_some() && seed.ecr_host.is_none() {
        differs(
            true,
            "ECR is written as a comment into spacktainers.toml",
            "its host is kept as the secret AWS_ECR_URL: say --value AWS_ECR_URL=HOST, or write it there; an address is no secret",
        );
    } else if seed.ecr.is_some() && seed.environments.len() > 1 {
        differs(
            true,
            "all environments have the same host of ECR",
            "the repository keeps one for each as a secret, and its README names this one: write the others into `[publish.…]`",
        );
    }
    if seed.has_sif && !has_bucket {
        differs(
            true,
            "the bucket of SIF files is written as a comment into spacktainers.toml",
            "its name is kept as the secrets S3_SINGULARITY_BUCKET and S3_CONTAINER_ROOT: say them with --value",
        );
    }
    if seed.ghcr.is_none() && seed.ecr.is_none() {
        differs(
            true,
            "nothing is published",
            "no workflow of the repository names a registry: add targets to `[publish.production]`",
        );
    }
    if let Some(spack) = &seed.spack {
        let what = format!("Spack `{spack}` is not pinned");
        differs(
            true,
            &what,
            "a branch or tag moves, and locks have to stay repeatable: write its commit into `[spack]`, where packages shall be built",
        );
    }
    for name in skipped(seed) {
        let what = format!("`{name}` is skipped");
        differs(
            false,
            &what,
            "the repository has its definition, and no leg for it",
        );
    }
    if seed.secrets.contains("AWS_CACHE_ACCESS_KEY_ID") {
        differs(
            true,
            "one pair of AWS keys is used for the registry, the bucket and the build cache",
            "a job has one identity: let that of AWS_ECR_ACCESS_KEY_ID read and write the cache, or let the runner's role do it all",
        );
    }
    differs(
        false,
        "binaries are not stripped by default, and neither is Spack run inside of the image's build",
        "packages are laid into the image as the build cache has them, byte for byte",
    );
    differs(
        false,
        "a container whose leg fails keeps its last SIF file and tags",
        "theirs went on to convert whatever `latest` was; ours publishes all targets of a container or none",
    );
    if seed.systems.contains(&System::Gitlab) {
        differs(
            false,
            "child pipelines are made by `spacktainers ci generate --dynamic`",
            "`spack ci generate` and the job creator needed an image with Spack, podman and skopeo for the same plan",
        );
    }
    found
}
