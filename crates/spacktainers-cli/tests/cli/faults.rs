//! What is wrong in files is told at once, with file, line, column and what to do.

use crate::support::{Stage, fixtures};

fn broken() -> Stage {
    let stage = Stage::empty();
    stage.write(
        "spacktainers.toml",
        "[layers]\nbudgt = 3\n[arch.amd64]\nbase = \"debian\"\n",
    );
    stage.write(
        "container_definitions/amd64/a/spack.yaml",
        "spack:\n  specs:\n  - zlib@1.3:1.2 +\n  packages:\n    all:\n      requires: '@1'\n  view: somewhere\n",
    );
    stage.write(
        "container_definitions/amd64/b.yaml",
        "spack:\n  specs: [zlib\n  view: true\n",
    );
    stage
}

#[test]
fn every_fault_is_shown_with_its_line() {
    let ran = broken().run(&["check"]).ends(2);
    insta::assert_snapshot!(ran.stderr);
}

#[test]
fn programs_get_the_same_as_json() {
    let ran = broken().run(&["check", "--json", "-q"]).ends(2);
    let document = ran.json();
    let faults = document["faults"].as_array().expect("faults");
    assert!(faults.len() >= 5, "{faults:#?}");
    let at = |file: &str| faults.iter().find(|it| it["file"] == file);
    let fault = at("spacktainers.toml").expect("a fault of the settings");
    assert_eq!((&fault["line"], &fault["column"]), (&2.into(), &1.into()));
    assert!(at("container_definitions/amd64/b.yaml").is_some());
}

#[test]
fn nothing_is_built_from_a_project_with_faults() {
    let stage = broken();
    stage
        .run(&["build", "a"])
        .ends(2)
        .says("faults in the project's files");
    assert!(!stage.path("local").exists(), "not even a cache is made");
}

#[test]
fn names_folders_and_targets_that_are_not_there_are_told() {
    let stage = Stage::demo();
    stage
        .run(&["build", "spkie"])
        .ends(2)
        .says("did you mean `spike`?");
    stage
        .run(&["build", "spike", "--to", "dokcer://x/y:z"])
        .ends(2)
        .says("there is no transport `dokcer`");
    stage
        .run(&["--project", "elsewhere", "check"])
        .ends(2)
        .says("there is no project here");
    stage
        .run(&["build", "spike", "--arch", "x86"])
        .ends(2)
        .says("`amd64` and `arm64`");
    stage.run(&["biuld"]).ends(2);
}

#[test]
fn containers_are_listed_with_version_and_state() {
    let stage = Stage::demo();
    stage.write(
        "container_definitions/amd64/other.yaml",
        "spack:\n  specs: [zlib]\n",
    );
    stage.write(
        "container_definitions/_arm64/off.yaml",
        "spack:\n  specs: [zlib]\n",
    );
    stage.write(
        "container_definitions/amd64/storage.def",
        "Bootstrap: docker\nFrom: a.io/x/y:7.1\n",
    );
    let before = stage.run(&["list"]).ends(0).stdout;
    stage.run(&["lock", "spike"]).ends(0);
    let after = stage.run(&["list", "spike"]).ends(0).stdout;
    insta::assert_snapshot!(format!("{before}\n{after}"));
}

#[test]
fn answers_are_compared_with_spacks() {
    let stage = Stage::empty();
    stage.write(
        "rows.jsonl",
        "{\"kind\": \"parse\", \"text\": \"zlib@1.3 +pic\", \"canonical\": \"zlib@1.3+pic\"}\n\
         {\"kind\": \"version\", \"left\": \"1.9\", \"right\": \"1.10\", \"less\": false, \"equal\": false}\n",
    );
    let told = stage
        .run(&["spec", "replay", "rows.jsonl", "--json"])
        .ends(0)
        .json();
    assert_eq!((&told["agree"], &told["total"]), (&1.into(), &2.into()));
    assert_eq!(told["differences"][0]["line"], 2);
    stage.write("bad.jsonl", "{\"kind\": \"parse\"}\n");
    stage
        .run(&["spec", "replay", "bad.jsonl"])
        .ends(2)
        .says("line 1")
        .says("rows are JSON objects");
    let Some(fixtures) = fixtures() else {
        return;
    };
    let locks = fixtures.display().to_string();
    let table = fixtures.join("specs/concrete-satisfies.jsonl");
    let table = table.display().to_string();
    let told = stage
        .run(&["spec", "replay", "--locks", &locks, &table, "--json"])
        .ends(0)
        .json();
    assert!(told["total"].as_u64() > Some(4000), "{told}");
    assert_eq!(told["agree"], told["total"]);
}

#[test]
fn the_doctor_says_what_is_missing() {
    let stage = Stage::demo();
    let told = stage.run(&["doctor", "--json"]).ends(0).json();
    let state = |told: &serde_json::Value, subject: &str| {
        let findings = told["findings"].as_array().expect("findings");
        let found = findings.iter().find(|it| it["subject"] == subject);
        found.map(|it| it["state"].as_str().unwrap_or_default().to_owned())
    };
    for subject in ["local cache", "project", "mirror demo"] {
        assert_eq!(state(&told, subject).as_deref(), Some("ok"), "{subject}");
    }
    std::fs::remove_file(stage.path("keys/demo.pub")).expect("a file");
    let told = stage.run(&["doctor", "--json"]).ends(2).json();
    assert_eq!(state(&told, "mirror demo").as_deref(), Some("wrong"));
    let output = stage
        .command(&["doctor"])
        .env("PATH", "")
        .env_remove("SPACK_ROOT")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("missing  bwrap"), "{text}");
    assert!(text.contains("missing  spack"), "{text}");
}
