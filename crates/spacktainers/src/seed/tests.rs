//! Made repositories, in the manner of the two public ones.

use std::collections::BTreeMap;

use super::*;
use crate::project::Settings;

const RUN: &str = r#"
name: Build
on:
  workflow_call:
    inputs:
      environment: {type: string, default: sandbox-a}
jobs:
  builder-container-job:
    runs-on: ["codebuild-x-${{ github.run_id }}", "instance-size:small"]
    steps:
      - uses: ./.github/actions/build_container
        with:
          AWS_ECR_PATH: /tools/builder
          GHCR_PATH: /org/spack-builder
  spacktainer-build-job:
    strategy:
      matrix:
        spacktainer: ${{ fromJson(inputs.spacktainers) }}
    runs-on: ["codebuild-x-${{ github.run_id }}"]
    steps:
      - uses: ./.github/actions/build_container
        with:
          AWS_ECR_URL: ${{ secrets.AWS_ECR_URL }}
          AWS_ECR_PATH: /tools/${{ matrix.spacktainer }}
          AWS_ACCESS_KEY_ID: ${{ secrets.AWS_ECR_ACCESS_KEY_ID }}
          GHCR_TOKEN: ${{ secrets.GHCR_TOKEN }}
          GHCR_PATH: /org/spack-${{ matrix.spacktainer }}
          BUILDAH_EXTRA_ARGS: --build-arg SPACK_BRANCH=v0.23.1 --build-arg REPOS_BRANCH=develop
  convert-to-singularity:
    runs-on: ubuntu-latest
    needs: [spacktainer-build-job]
    steps:
      - uses: some/action@v1
        with:
          destination: s3://${{ secrets.S3_SINGULARITY_BUCKET }}/${{ matrix.spacktainer }}.sif
"#;

const MANUAL: &str = r#"
on:
  workflow_dispatch:
    inputs:
      environment:
        type: choice
        default: sandbox-a
        options: [sandbox-a, staging, production]
jobs:
  build-spacktainers:
    if: ${{ contains(github.event.pull_request.labels.*.name, 'build') }}
    uses: ./.github/workflows/run.yaml
"#;

const BUILDER: &str = "ARG BASE_IMAGE=ubuntu:24.04\nARG CACHE_BUCKET=\"s3://cache-x\"\nARG SPACK_BRANCH=\"develop\"\n\
    RUN spack config --scope=site add \"config:install_tree:padded_length:128\" \\\n    && spack config --scope=site add \"config:install_tree:root:/opt/software\"\n\
    ONBUILD RUN spack config add packages:all:require:target=x86_64_v3; \\\n";

fn seed() -> Seed {
    let mut files = SeedFiles::new();
    for (path, text) in [
        (".github/workflows/run.yaml", RUN),
        (".github/workflows/manual.yaml", MANUAL),
        (".github/workflows/matrix.json", "[\"alpha\"]"),
        ("builder/Dockerfile", BUILDER),
        (
            "runtime/Dockerfile",
            "ONBUILD RUN apt-get update \\\n    && apt-get install -y libgomp1 binutils  gdb \\\n",
        ),
        (
            "README.md",
            "pull docker://1234.dkr.ecr.us-east-1.amazonaws.com/tools/alpha.",
        ),
    ] {
        files.insert(path.to_owned(), text.to_owned());
    }
    let container = |name: &str, is_deffile| SeedContainer {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        is_deffile,
    };
    read(
        &files,
        vec![
            container("alpha", false),
            container("beta", false),
            container("tool", true),
        ],
    )
}

fn parsed(conversion: &Conversion) -> Settings {
    let source = spack_format::yaml::SourceId(0);
    let (settings, faults) =
        Settings::parse(&conversion.settings, source, std::path::Path::new("."));
    assert!(faults.is_empty(), "{faults:?}\n{}", conversion.settings);
    settings
}

#[test]
fn names_tags_and_targets_stay() {
    let conversion = convert(&seed(), &BTreeMap::new());
    let settings = parsed(&conversion);
    assert_eq!(conversion.systems, [System::Github]);
    let names: Vec<&str> = settings.publish.keys().map(String::as_str).collect();
    assert_eq!(names, ["production", "sandbox-a", "staging"]);
    let targets: Vec<&str> = settings.publish["staging"]
        .targets
        .iter()
        .map(|it| it.0.as_str())
        .collect();
    assert_eq!(
        targets,
        [
            "docker://1234.dkr.ecr.us-east-1.amazonaws.com/tools/{name}:latest",
            "docker://ghcr.io/org/spack-{name}:latest",
        ]
    );
    assert_eq!(settings.ci.skip, ["beta", "tool"]);
    assert!(settings.ci.environments["sandbox-a"].pull_requests);
    assert_eq!(
        settings.ci.secrets,
        ["AWS_ACCESS_KEY_ID=AWS_ECR_ACCESS_KEY_ID", "GHCR_TOKEN"]
    );
    let runner = settings
        .ci
        .architecture(crate::base::BaseArchitecture::Amd64);
    assert_eq!(runner.runner, ["codebuild-x-${{ github.run_id }}"]);
    assert_eq!(runner.small_runner[1], "instance-size:small");
    let debian = settings.debian.as_ref().expect("a base");
    assert_eq!((debian.suite.as_str(), debian.packages.len()), ("noble", 3));
    assert_eq!(
        settings
            .architecture(crate::base::BaseArchitecture::Amd64)
            .target
            .as_deref(),
        Some("x86_64_v3")
    );
}

#[test]
fn values_that_are_kept_as_secrets_can_be_said() {
    let values = [
        ("AWS_ECR_URL", "host.example"),
        ("S3_SINGULARITY_BUCKET", "b"),
        ("S3_CONTAINER_ROOT", "c/d"),
    ];
    let values = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let conversion = convert(&seed(), &values.collect());
    let settings = parsed(&conversion);
    let targets: Vec<&str> = settings.publish["production"]
        .targets
        .iter()
        .map(|it| it.0.as_str())
        .collect();
    assert!(
        targets.contains(&"docker://host.example/tools/{name}:latest"),
        "{targets:?}"
    );
    assert!(targets.contains(&"s3://b/c/d/{name}.sif"), "{targets:?}");
}

#[test]
fn each_of_their_jobs_has_one_of_ours_or_a_reason() {
    let conversion = convert(&seed(), &BTreeMap::new());
    let ours = |theirs: &str| {
        let pair = conversion.jobs.iter().find(|it| it.theirs == theirs);
        pair.unwrap_or_else(|| panic!("no {theirs} in {:?}", conversion.jobs))
            .ours
            .clone()
    };
    assert_eq!(
        ours("spacktainer-build-job (alpha)").as_deref(),
        Some("publish alpha")
    );
    assert_eq!(
        ours("convert-to-singularity (alpha)").as_deref(),
        Some("publish alpha")
    );
    assert_eq!(ours("builder-container-job"), None);
    assert!(
        conversion
            .jobs
            .iter()
            .all(|it| !it.why.is_empty() && !it.theirs.contains("beta"))
    );
    let is_open = |text: &str| {
        conversion
            .differences
            .iter()
            .any(|it| it.what.contains(text) && it.is_open)
    };
    assert!(is_open("build cache") && is_open("Spack `v0.23.1`") && is_open("bucket of SIF files"));
    assert_eq!(
        conversion.replaced,
        [
            ".github/workflows/manual.yaml",
            ".github/workflows/run.yaml"
        ]
    );
}

#[test]
fn a_repository_of_definitions_alone_is_one_for_gitlab_if_its_template_says_so() {
    let files = SeedFiles::from([(
        "spack.yaml".to_owned(),
        "spack:\n  specs: []\n  ci:\n    target: gitlab\n".to_owned(),
    )]);
    let container = SeedContainer {
        name: "a".to_owned(),
        architecture: "arm64".to_owned(),
        is_deffile: false,
    };
    let conversion = convert(&read(&files, vec![container]), &BTreeMap::new());
    assert_eq!(conversion.systems, [System::Gitlab]);
    parsed(&conversion);
    assert!(
        conversion
            .differences
            .iter()
            .any(|it| it.what == "nothing is published" && it.is_open)
    );
}
