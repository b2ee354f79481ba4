//! GitHub's workflows: read by its own parser, and run by the interpreter of these tests.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::actions::{Event, run};
use super::{node, stage};
use crate::support::{Ran, Stage};

fn generated() -> Stage {
    let stage = stage();
    stage.run(&["ci", "generate", "--for", "github"]).ends(0);
    stage
}

#[test]
fn workflows_are_read_by_the_parser_of_actions() {
    let Some((folder, script)) = node("github.mjs") else {
        return;
    };
    let stage = generated();
    let mut command = Command::new("node");
    command.arg(script).arg(folder);
    for name in ["spacktainers", "spacktainers-manual", "spacktainers-run"] {
        command.arg(stage.path(&format!(".github/workflows/{name}.yml")));
    }
    Ran::of(command.output().expect("node runs")).ends(0);
}

#[test]
fn a_push_publishes_to_production() {
    let stage = generated();
    let report = run(&stage, "spacktainers.yml", &Event::push("main"));
    assert_eq!(report.of("production/plan"), "success", "{report:?}");
    assert_eq!(
        report.of("production/publish-spike-amd64"),
        "success",
        "{report:?}"
    );
    assert_eq!(report.of("sandbox"), "skipped");
    assert!(stage.path("published/spike/index.json").is_file());
    assert!(!stage.path("sandbox").exists());
    // What is up to date has nothing to do.
    let report = run(&stage, "spacktainers.yml", &Event::push("main"));
    assert_eq!(
        report.of("production/publish-spike-amd64"),
        "skipped",
        "{report:?}"
    );
    let report = run(&stage, "spacktainers.yml", &Event::push("other"));
    assert_eq!(report.of("production"), "skipped");
}

#[test]
fn pull_requests_publish_to_the_sandbox_if_they_have_the_label() {
    let stage = generated();
    let without = Event::pull_request(&[]);
    assert_eq!(
        run(&stage, "spacktainers.yml", &without).of("sandbox"),
        "skipped"
    );
    assert!(!stage.path("sandbox").exists());
    if !super::commit(&stage, "first") {
        return;
    }
    stage.write(
        "container_definitions/amd64/spike/container.toml",
        "[env]\nA = \"b\"\n",
    );
    let report = run(&stage, "spacktainers.yml", &Event::pull_request(&["build"]));
    assert_eq!(
        report.of("sandbox/publish-spike-amd64"),
        "success",
        "{report:?}"
    );
    assert!(stage.path("sandbox/spike/index.json").is_file());
    assert!(!stage.path("published").exists());
}

#[test]
fn a_container_is_built_by_hand() {
    let stage = generated();
    let inputs = json!({"containers": "spike", "environment": "production", "update-base": false});
    let report = run(&stage, "spacktainers-manual.yml", &Event::dispatch(inputs));
    assert_eq!(
        report.of("production/publish-spike-amd64"),
        "success",
        "{report:?}"
    );
    assert_eq!(report.of("sandbox"), "skipped");
    let inputs = json!({"containers": "nobody", "environment": "production", "update-base": false});
    let report = run(&stage, "spacktainers-manual.yml", &Event::dispatch(inputs));
    assert_eq!(report.of("production/plan"), "failure");
    assert_eq!(report.of("production/publish-spike-amd64"), "skipped");
}

#[test]
fn a_leg_that_fails_does_not_publish_and_others_go_on() {
    let stage = stage();
    // The same container a second time, which nobody has solved: a leg of the matrix.
    let definition = stage.read(stage.definition());
    stage.write("container_definitions/amd64/twin/spack.yaml", &definition);
    stage.run(&["ci", "generate", "--for", "github"]).ends(0);
    let text = stage.read(".github/workflows/spacktainers-run.yml");
    assert!(text.contains("publish_1:"), "{text}");
    fs::remove_file(stage.path("container_definitions/amd64/spike/container.lock")).ok();
    fs::remove_dir_all(stage.path("cache/v3/manifests/spec/spike-plot")).expect("a package");
    let report = run(&stage, "spacktainers.yml", &Event::push("main"));
    assert!(
        report
            .jobs()
            .any(|(name, result)| name.contains("/p") && result == "failure"),
        "{report:?}"
    );
    // The job between the two had nothing to do and was skipped, so this one is started; it finds the package missing.
    assert_ne!(
        report.of("production/publish-spike-amd64"),
        "success",
        "{report:?}"
    );
    assert!(!stage.path("published/spike").exists());
    // The other leg was tried, whatever came of it.
    assert!(
        report
            .jobs()
            .any(|(name, _)| name == "production/publish_1"),
        "{report:?}"
    );
}
