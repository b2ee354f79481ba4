//! GitLab's pipelines under gitlab-ci-local, on the demo project, with a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{commit, node, stage};
use crate::support::{Ran, Stage, has};

#[test]
fn pipelines_fit_the_published_schema() {
    let Some((folder, script)) = node("gitlab.mjs") else {
        return;
    };
    let stage = stage();
    stage.run(&["ci", "generate", "--for", "gitlab"]).ends(0);
    fs::remove_dir_all(stage.path("cache/v3/manifests/spec/libspike")).expect("a package");
    stage
        .run(&[
            "ci",
            "generate",
            "--for",
            "gitlab",
            "--dynamic",
            "--environment",
            "production",
        ])
        .ends(0);
    let mut command = Command::new("node");
    command
        .arg(script)
        .arg(folder)
        .arg(stage.path(".gitlab-ci.yml"))
        .arg(stage.path(".spacktainers/amd64.yml"));
    Ran::of(command.output().expect("node runs")).ends(0);
}

/// Runs the pipeline of a push to `main`.
fn push(stage: &Stage) -> Option<Ran> {
    let (folder, _) = node("gitlab.mjs")?;
    if !has("rsync") || !has("git") {
        return None;
    }
    stage.run(&["ci", "generate", "--for", "gitlab"]).ends(0);
    commit(stage, "a pipeline");
    let program = stage.path("bin/spacktainers");
    fs::create_dir_all(stage.path("bin")).expect("a folder");
    // The demo has no base, and so no C library: that is told, and is not what is tested here.
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = publish ]; then set -- \"$@\" --allow-missing-libraries; fi\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_spacktainers")
    );
    fs::write(&program, text).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("permissions");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(folder.join("node_modules/.bin/gitlab-ci-local"));
    command
        .args([
            "--shell-executor-no-image",
            "--variable",
            "CI_PIPELINE_SOURCE=push",
        ])
        .args(["--variable", "CI_COMMIT_BRANCH=main"])
        .current_dir(stage.path(""))
        .env("PATH", format!("{}:{path}", stage.path("bin").display()))
        .env("HOME", stage.path("local"))
        .env_remove("CI");
    Some(Ran::of(command.output().expect("gitlab-ci-local runs")))
}

#[test]
fn a_push_plans_and_publishes() {
    let stage = stage();
    let Some(ran) = push(&stage) else { return };
    let ran = ran.ends(0);
    assert!(ran.stdout.contains("publish-spike-amd64"), "{}", ran.stdout);
    assert!(
        stage.path("published/spike/index.json").is_file(),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_package_that_cannot_be_built_is_not_published() {
    let stage = stage();
    fs::remove_dir_all(stage.path("cache/v3/manifests/spec/libspike")).expect("a package");
    let Some(ran) = push(&stage) else { return };
    // There is no Spack: the job that builds fails, and that which publishes never starts. What gitlab-ci-local ends with
    // says nothing of child pipelines.
    assert!(ran.stdout.contains("FAIL  p1"), "{}", ran.stdout);
    assert!(
        !ran.stdout.contains("$ spacktainers publish"),
        "{}",
        ran.stdout
    );
    assert!(!stage.path("published").exists());
}
