//! What a change touches.

use super::{commit, stage};
use crate::support::Stage;

/// Two containers, and a definition file that copies a file.
fn committed() -> Option<Stage> {
    let stage = stage();
    let definition = stage.read(stage.definition());
    stage.write("container_definitions/amd64/other.yaml", &definition);
    stage.write(
        "container_definitions/amd64/tool.def",
        "Bootstrap: docker\nFrom: alpine:3\n\n%files\n    data/config /etc/config\n",
    );
    stage.write("data/config", "1\n");
    stage.write("spack.yaml", "spack:\n  config:\n    build_jobs: 4\n");
    commit(&stage, "first").then_some(stage)
}

/// The names of what is affected, and the first reason of each.
fn affected(stage: &Stage, range: &str) -> Vec<(String, String)> {
    let ran = stage
        .run(&["list", "--affected-by", range, "--json"])
        .ends(0);
    let document = ran.json();
    let all = document["affected"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    all.iter()
        .map(|it| (text(&it["name"]), text(&it["because"][0])))
        .collect()
}

fn pair(name: &str, why: &str) -> (String, String) {
    (name.to_owned(), why.to_owned())
}

#[test]
fn each_kind_of_change_touches_what_it_decides_about() {
    let Some(stage) = committed() else { return };
    assert_eq!(affected(&stage, "HEAD"), []);
    // A comment in the settings decides about nothing, nor does the project's README.
    stage.write(
        "spacktainers.toml",
        &format!("# new\n{}", stage.read("spacktainers.toml")),
    );
    stage.write("README.md", "text\n");
    assert_eq!(affected(&stage, "HEAD"), []);

    stage.write("container_definitions/amd64/spike/files/x", "1\n");
    stage.write(
        "container_definitions/amd64/spike/Dockerfile.epilogue",
        "COPY files/x /x\n",
    );
    assert_eq!(
        affected(&stage, "HEAD"),
        [pair("spike", "its definition has changed")]
    );
    commit(&stage, "an epilogue");
    stage.write("container_definitions/amd64/spike/files/x", "2\n");
    assert_eq!(
        affected(&stage, "HEAD"),
        [pair("spike", "its definition has changed")]
    );
    commit(&stage, "a file");

    stage.write("spack.yaml", "spack:\n  config:\n    build_jobs: 8\n");
    let template = "the project's spack.yaml has changed";
    assert_eq!(
        affected(&stage, "HEAD"),
        [pair("other", template), pair("spike", template)]
    );
    commit(&stage, "the template");

    stage.write("data/config", "2\n");
    assert_eq!(
        affected(&stage, "HEAD"),
        [pair("tool", "its definition has changed")]
    );
    commit(&stage, "data");

    let settings = stage
        .read("spacktainers.toml")
        .replace("target = \"x86_64_v3\"", "target = \"x86_64_v2\"");
    stage.write("spacktainers.toml", &settings);
    let changed = "settings have changed";
    assert_eq!(
        affected(&stage, "HEAD"),
        [pair("other", changed), pair("spike", changed)]
    );
    commit(&stage, "a target");
    assert_eq!(affected(&stage, "HEAD~1..HEAD").len(), 2);
    assert_eq!(
        affected(&stage, "HEAD~2..HEAD~1"),
        [pair("tool", "its definition has changed")]
    );

    std::fs::remove_file(stage.path("container_definitions/amd64/tool.def")).expect("a file");
    std::fs::rename(
        stage.path("container_definitions/amd64/other.yaml"),
        stage.path("container_definitions/amd64/renamed.yaml"),
    )
    .expect("a file");
    assert_eq!(
        affected(&stage, "HEAD"),
        [
            pair("renamed", "it is new"),
            pair("other", "it is gone"),
            pair("tool", "it is gone")
        ]
    );
}

#[test]
fn recipes_touch_the_containers_that_hold_their_packages() {
    let Some(stage) = committed() else { return };
    let settings = stage.read("spacktainers.toml");
    let repository =
        "\n[spack]\nroot = \"spack\"\n\n[[spack.repo]]\nname = \"mine\"\npath = \"recipes\"\n";
    stage.write("spacktainers.toml", &format!("{settings}{repository}"));
    let recipe = |package: &str| format!("recipes/packages/{package}/package.py");
    stage.write(&recipe("spike_plot"), "1\n");
    stage.write(&recipe("unused"), "1\n");
    commit(&stage, "recipes");
    stage.write(&recipe("unused"), "2\n");
    // Nobody knows what a container will hold that was never solved.
    let recipes = "recipes of its packages have changed";
    assert_eq!(affected(&stage, "HEAD"), [pair("other", recipes)]);
    stage.write(&recipe("spike_plot"), "2\n");
    assert_eq!(
        affected(&stage, "HEAD"),
        [pair("other", recipes), pair("spike", recipes)]
    );
}

#[test]
fn what_git_does_not_know_is_told() {
    let stage = stage();
    stage
        .run(&["list", "--affected-by", "HEAD"])
        .ends(2)
        .says("is not in a git repository");
    if !commit(&stage, "first") {
        return;
    }
    stage
        .run(&["list", "--affected-by", "nothing"])
        .ends(2)
        .says("there is no commit `nothing`");
    let mut command = stage.command(&["list", "--affected-by", "HEAD"]);
    let ran = crate::support::Ran::of(
        command
            .env("PATH", "/nowhere")
            .output()
            .expect("the program runs"),
    );
    ran.ends(2).says("the program `git` is not there");
    // Nothing is affected: nothing is built.
    stage
        .run(&["build", "--affected", "HEAD", "--to", "oci:out"])
        .ends(0);
    assert!(!stage.path("out").exists());
}

/// A lock of the project as it is; there is no base, and so nothing to fetch for it.
fn lock(stage: &Stage) {
    stage.run(&["lock", "spike"]).ends(0);
}

#[test]
fn why_names_the_line_and_the_commit_that_made_a_container_stale() {
    let Some(stage) = committed() else { return };
    stage.run(&["why", "spike"]).ends(0);
    lock(&stage);
    commit(&stage, "locked");
    let ran = stage.run(&["why", "spike"]).ends(0);
    assert!(
        ran.stdout.contains("up to date with its container.lock"),
        "{}",
        ran.stdout
    );

    let settings = stage
        .read("spacktainers.toml")
        .replace("\"x86_64_v3\"", "\"x86_64_v2\"");
    let line = settings
        .lines()
        .position(|it| it.starts_with("target"))
        .expect("a target")
        + 1;
    stage.write("spacktainers.toml", &settings);
    commit(&stage, "older machines");
    let ran = stage.run(&["why", "spike"]).ends(0);
    let wanted = format!(
        "spike (amd64) is stale: `arch.amd64.target` changed x86_64_v3 → x86_64_v2: spacktainers.toml:{line}, commit "
    );
    assert!(
        ran.stdout.starts_with(&wanted) && ran.stdout.contains("N): older machines\n"),
        "{}",
        ran.stdout
    );

    // Somebody changes the definition as well, and has not committed that.
    let definition = stage.read(stage.definition());
    stage.write(stage.definition(), &format!("{definition}# a comment\n"));
    let ran = stage.run(&["why", "spike", "--json"]).ends(0);
    let document = ran.json();
    assert_eq!(
        (&document["stale"], &document["first"]["line"]),
        (&true.into(), &line.into())
    );
    assert_eq!(document["causes"][1]["file"], stage.definition());
    assert!(document["causes"][1]["commit"].is_null(), "{document}");
    assert_eq!(document["since"]["subject"], "locked");
}

#[test]
fn why_asks_what_is_published() {
    let Some(stage) = committed() else { return };
    lock(&stage);
    commit(&stage, "locked");
    let ran = stage
        .run(&["why", "spike", "--environment", "production"])
        .ends(0);
    assert!(
        ran.stdout.contains("there is no image yet"),
        "{}",
        ran.stdout
    );
    stage
        .run(&[
            "publish",
            "spike",
            "--environment",
            "production",
            "--allow-missing-libraries",
        ])
        .ends(0);
    let ran = stage
        .run(&["why", "spike", "--environment", "production"])
        .ends(0);
    assert!(
        ran.stdout.contains("is up to date in production"),
        "{}",
        ran.stdout
    );
    // A package of another version, in the lock and nowhere else.
    let path = "container_definitions/amd64/spike/spack.lock";
    let text = stage.read(path).replace(
        "\"name\":\"spike-plot\",\"version\":\"1.0.0\"",
        "\"name\":\"spike-plot\",\"version\":\"1.0.1\"",
    );
    let text = match text == stage.read(path) {
        true => text.replace(
            "\"name\": \"spike-plot\",\n      \"version\": \"1.0.0\"",
            "\"name\": \"spike-plot\",\n      \"version\": \"1.0.1\"",
        ),
        false => text,
    };
    let text = text.replace(
        "t6lrwcztznuggdf3vxehpkmy5hhsnmht",
        "t6lrwcztznuggdf3vxehpkmy5hhsnmha",
    );
    stage.write(path, &text);
    commit(&stage, "a newer plot");
    let ran = stage
        .run(&["why", "spike", "--environment", "production"])
        .ends(0);
    assert!(
        ran.stdout.contains("spike-plot changed 1.0.0 → 1.0.1"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains(&format!("{path}:")) && ran.stdout.contains("a newer plot"),
        "{}",
        ran.stdout
    );
}
