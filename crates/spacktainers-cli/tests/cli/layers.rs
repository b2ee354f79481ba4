//! `plan --layers`, and that plans stay.

use crate::support::{SETTINGS, Stage};

#[test]
fn a_plan_says_why_and_what_users_pull_and_stays_when_it_is_locked() {
    let stage = Stage::demo();
    stage.write(
        "spacktainers.toml",
        &format!("{SETTINGS}\n[layers]\nbudget = 3\n"),
    );
    let planned = |expected: &str| {
        let document = stage
            .run(&["plan", "spike", "--layers", "--json"])
            .ends(0)
            .json();
        let layers = document["layers"]["layers"]
            .as_array()
            .expect("layers")
            .clone();
        assert!(!layers.is_empty() && layers.len() <= 2, "{document}");
        assert!(
            layers
                .iter()
                .all(|layer| layer["why"] == expected || layer["why"] == "alone"),
            "{document}"
        );
        document["layers"]["pulls"].clone()
    };
    // Nobody has it yet.
    assert_eq!(planned("together"), serde_json::json!([]));
    stage.run(&["lock"]).ends(0);
    let lock = stage.read("container_definitions/amd64/spike/container.lock");
    let pulls = planned("kept");
    assert_eq!(pulls[0]["size"], 0, "{pulls}");
    stage
        .run(&[
            "build",
            "spike",
            "--to",
            "oci:image:v1",
            "--allow-missing-libraries",
        ])
        .ends(0);
    assert_eq!(
        stage.read("container_definitions/amd64/spike/container.lock"),
        lock
    );
    let text = stage
        .run(&["plan", "spike", "--layers", "--to", "oci:image:v1"])
        .ends(0)
        .stdout;
    assert!(text.contains("who has oci:image:v1 pulls 0"), "{text}");
    assert!(text.contains("as it was"), "{text}");
}
