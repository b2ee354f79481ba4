//! `spacktainers.toml` for what a repository does.

use super::Seed;
use crate::pipeline::System;

/// Secrets that jobs of ours take, with what the repositories call them.
const SECRETS: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "AWS_ECR_ACCESS_KEY_ID"),
    ("AWS_SECRET_ACCESS_KEY", "AWS_ECR_SECRET_ACCESS_KEY"),
    ("DOCKERHUB_PASSWORD", "DOCKERHUB_PASSWORD"),
    ("DOCKERHUB_USER", "DOCKERHUB_USER"),
    ("GHCR_TOKEN", "GHCR_TOKEN"),
    ("GHCR_USER", "GHCR_USER"),
    (
        "SPACK_DEPLOYMENT_KEY_PRIVATE",
        "SPACK_DEPLOYMENT_KEY_PRIVATE",
    ),
];

/// Releases of Ubuntu by number. Source: the archive's `dists/`.
const UBUNTU: &[(&str, &str)] = &[("20.04", "focal"), ("22.04", "jammy"), ("24.04", "noble")];

pub(super) fn text(seed: &Seed, bucket: Option<&str>) -> String {
    let mut text = String::from(
        "# Made by `spacktainers init --from-seed`. Every key has a default; these are the ones that keep the names, tags and\n\
         # targets of the repository as they were.\n",
    );
    mirror(&mut text, seed);
    if let Some((root, padded)) = &seed.install {
        text.push_str(&format!("\n[install]\nroot = {}\n", quoted(root)));
        if *padded > 0 {
            text.push_str(&format!("padded_length = {padded}\n"));
        }
    }
    base(&mut text, seed);
    publish(&mut text, seed, bucket);
    ci(&mut text, seed);
    text
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

fn mirror(text: &mut String, seed: &Seed) {
    let Some(cache) = &seed.cache else { return };
    text.push_str(&format!(
        "\n# The build cache. Its packages are signed, and only what a known key has signed goes into an image: put the public key\n\
         # into the project, and take the `#` away.\n\
         # [[mirror]]\n# name = \"build_s3\"\n# url = {}\n# keys = [\"keys/deployment.pub\"]\n# push = true\n",
        quoted(cache)
    ));
}

fn base(text: &mut String, seed: &Seed) {
    let image = seed.base_image.as_deref().unwrap_or("ubuntu:24.04");
    let release = image
        .strip_prefix("ubuntu:")
        .and_then(|it| UBUNTU.iter().find(|(number, _)| *number == it));
    let mut architectures: Vec<&str> = seed
        .containers
        .iter()
        .map(|it| it.architecture.as_str())
        .collect();
    architectures.sort_unstable();
    architectures.dedup();
    for architecture in architectures {
        let base = match release {
            Some(_) => "debian".to_owned(),
            None => format!("docker://docker.io/library/{image}"),
        };
        text.push_str(&format!(
            "\n[arch.{architecture}]\nbase = {}\n",
            quoted(&base)
        ));
        if let (Some(target), "amd64") = (&seed.target, architecture) {
            text.push_str(&format!("target = {}\n", quoted(target)));
        }
    }
    let Some((number, suite)) = release else {
        return;
    };
    text.push_str(&format!(
        "\n[base.debian]                     # Ubuntu {number}, with what runtime/Dockerfile installs; there is no runtime image\n\
         suite = {}\nmirror = \"http://archive.ubuntu.com/ubuntu\"\ncomponents = [\"main\", \"universe\"]\npackages = {}\n",
        quoted(suite),
        list(seed.packages.iter().map(String::as_str)),
    ));
}

fn publish(text: &mut String, seed: &Seed, bucket: Option<&str>) {
    let production = ["production".to_owned()];
    let environments = match seed.environments.is_empty() {
        true => production.as_slice(),
        false => &seed.environments,
    };
    for environment in environments {
        text.push_str(&format!("\n[publish.{environment}]\ntargets = [\n"));
        if let Some(ecr) = &seed.ecr {
            match &seed.ecr_host {
                Some(host) => text.push_str(&format!("  {},\n", quoted(&format!("docker://{host}/{ecr}:latest")))),
                None => text.push_str(&format!("  # \"docker://ACCOUNT.dkr.ecr.REGION.amazonaws.com/{ecr}:latest\",  # the host is AWS_ECR_URL\n")),
            }
        }
        if let Some(ghcr) = &seed.ghcr {
            text.push_str(&format!(
                "  {},\n",
                quoted(&format!("docker://{ghcr}:latest"))
            ));
        }
        match bucket {
            Some(bucket) => text.push_str(&format!("  {},\n", quoted(bucket))),
            None if seed.has_sif => text.push_str("  # \"s3://BUCKET/ROOT/{name}.sif\",  # S3_SINGULARITY_BUCKET and S3_CONTAINER_ROOT\n"),
            None => {}
        }
        text.push_str("]\n");
    }
}

fn ci(text: &mut String, seed: &Seed) {
    text.push_str("\n[ci]\n# image = \"HOST/REPO:TAG\"          # what jobs run in: it has spacktainers, Spack's needs and a compiler\n");
    let secrets = SECRETS
        .iter()
        .filter(|(_, theirs)| seed.secrets.contains(*theirs));
    let secrets: Vec<String> = secrets
        .map(|(ours, theirs)| {
            if ours == theirs {
                (*ours).to_owned()
            } else {
                format!("{ours}={theirs}")
            }
        })
        .collect();
    if !secrets.is_empty() {
        text.push_str(&format!(
            "secrets = {}\n",
            list(secrets.iter().map(String::as_str))
        ));
    }
    let skipped: Vec<&str> = skipped(seed).collect();
    if !skipped.is_empty() {
        text.push_str(&format!(
            "# Not in the repository's matrix. Take a name out to have it built.\nskip = {}\n",
            list(skipped)
        ));
    }
    if !seed.runner.is_empty() {
        text.push_str(&format!(
            "\n[ci.arch.amd64]\nrunner = {}\n",
            list(seed.runner.iter().map(String::as_str))
        ));
        if !seed.small_runner.is_empty() {
            text.push_str(&format!(
                "small_runner = {}\n",
                list(seed.small_runner.iter().map(String::as_str))
            ));
        }
    }
    for (index, environment) in seed.environments.iter().enumerate() {
        text.push_str(&format!("\n[ci.environment.{environment}]\n"));
        match index {
            0 if seed.has_labels => text.push_str("pull_requests = true               # with the label `build` or `build-with-base`\n"),
            _ => text.push_str("branches = []                      # by hand\n"),
        }
    }
    if seed.environments.is_empty()
        && seed.systems.contains(&System::Github)
        && !seed.jobs.is_empty()
    {
        text.push_str("\n[ci.environment.production]\nbranches = [\"**\"]                  # every push, as before\n");
    }
}

/// Containers that the repository's own pipelines do not build.
pub(super) fn skipped(seed: &Seed) -> impl Iterator<Item = &str> {
    let built = seed.built.as_ref();
    let names = seed.containers.iter().map(|it| it.name.as_str());
    names.filter(move |name| built.is_some_and(|built| !built.contains(*name)))
}
