//! Instructions above the target.

use crate::support::{SETTINGS, Stage};

#[test]
fn packages_keep_to_the_level_that_they_are_built_for_and_not_to_a_lower_one() {
    let stage = Stage::demo();
    stage.write(
        "spacktainers.toml",
        &format!("{SETTINGS}cpu = \"require\"\n"),
    );
    stage
        .run(&[
            "build",
            "spike",
            "--to",
            "oci:image:v1",
            "--allow-missing-libraries",
        ])
        .ends(0);
    stage
        .run(&["verify", "--cpu", "x86_64_v3", "oci:image:v1"])
        .ends(0);
    let document = stage.run(&["verify", "--json", "--cpu", "x86_64", "oci:image:v1"]);
    let code = document.code;
    // Of two documents where there are findings, the first has them; the other says how it ended.
    let first = document.stdout.lines().next().expect("a document");
    let document: serde_json::Value = serde_json::from_str(first).expect("JSON");
    let findings = document["findings"].as_array().expect("findings");
    // The demo's packages are small; whether the compiler found a use for more is its business.
    assert_eq!(code, Some(if findings.is_empty() { 0 } else { 5 }));
    for finding in findings {
        assert!(
            finding["uses"][0]["count"]
                .as_u64()
                .is_some_and(|it| it > 0),
            "{finding}"
        );
    }
    stage
        .run(&["verify", "--cpu", "neoverse_n1", "oci:image:v1"])
        .ends(2);
}

#[test]
fn a_word_that_the_settings_do_not_know_is_told() {
    let stage = Stage::demo();
    stage.write(
        "spacktainers.toml",
        &format!("{SETTINGS}cpu = \"sometimes\"\n"),
    );
    stage.run(&["check"]).ends(2).says("sometimes");
    stage.write(
        "spacktainers.toml",
        &format!("{SETTINGS}cpu_allow = [\"[\"]\n"),
    );
    stage.run(&["check"]).ends(2).says("no pattern");
}
