//! Definition files into SIF files.

use std::process::Command;

use crate::support::{Registry, Stage, has, repository};

const DEFINITION: &str = "\
Bootstrap: oci
From: image:v1
Stage: first

%files
    data/one.txt /opt/stage/one.txt

Bootstrap: oci
From: image:v1

%files from first
    /opt/stage /srv
    /opt/stage/one.txt /copied
%files
    data/*.txt /data/
    data /whole
%labels
    Maker us
%environment
    export WHO={{ WHO }}
%runscript
    echo \"$WHO\"
";

/// A project with an image `oci:image:v1`, and files to be copied.
fn stage() -> Stage {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    stage.write("data/one.txt", "one\n");
    stage.write("data/two.txt", "two\n");
    stage.write("thing.def", DEFINITION);
    stage
}

/// A file in the image, read by the squashfs tools.
fn cat(stage: &Stage, path: &str) -> String {
    let document = stage
        .run(&["sif", "inspect", "thing.sif", "--json"])
        .ends(0)
        .json();
    let objects = document["objects"].as_array().expect("objects");
    let partition = objects
        .iter()
        .find(|it| it["type"] == "partition")
        .expect("a partition");
    let output = Command::new("unsquashfs")
        .args(["-q", "-o", &partition["offset"].to_string(), "-cat"])
        .arg(stage.path("thing.sif"))
        .arg(path)
        .output()
        .expect("unsquashfs runs");
    assert!(
        output.status.success(),
        "{path}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn stages_files_and_sections_come_into_the_file() {
    if !has("unsquashfs") {
        return;
    }
    let stage = stage();
    let make = [
        "sif",
        "thing.def",
        "-o",
        "thing.sif",
        "--build-arg",
        "WHO=moon",
    ];
    stage.run(&make).ends(0);
    for (path, text) in [
        ("srv/one.txt", "one\n"),
        ("copied", "one\n"),
        ("data/one.txt", "one\n"),
        ("data/two.txt", "two\n"),
        ("whole/two.txt", "two\n"),
        (
            ".singularity.d/runscript",
            "#!/bin/sh\n\n    echo \"$WHO\"\n\n",
        ),
    ] {
        assert_eq!(cat(&stage, path), text, "{path}");
    }
    assert!(cat(&stage, ".singularity.d/env/90-environment.sh").contains("export WHO=moon"));
    let labels = cat(&stage, ".singularity.d/labels.json");
    assert!(labels.contains("\"Maker\": \"us\""), "{labels}");
    // What was kept is the definition with its templates filled in.
    let kept = cat(&stage, ".singularity.d/Singularity");
    assert!(
        kept.contains("export WHO=moon") && kept.contains("%files from first"),
        "{kept}"
    );
    let before = std::fs::read(stage.path("thing.sif")).expect("a file");
    stage.run(&make).ends(0);
    assert!(
        before == std::fs::read(stage.path("thing.sif")).expect("a file"),
        "the same bytes each time"
    );
}

#[test]
fn faults_are_shown_where_they_are() {
    let stage = stage();
    stage
        .run(&["sif", "thing.def", "-o", "thing.sif"])
        .ends(2)
        .says("WHO")
        .says("thing.def:");
    stage.write(
        "thing.def",
        &DEFINITION
            .replace("data/*.txt", "none/*.txt")
            .replace("{{ WHO }}", "me"),
    );
    stage
        .run(&["sif", "thing.def", "-o", "thing.sif"])
        .ends(2)
        .says("there is no `none/*.txt` to be copied")
        .says("thing.def:15:5");
    stage.write(
        "thing.def",
        "Bootstrap: oci\nFrom: image:v1\n%evironment\n    export A=b\n",
    );
    stage
        .run(&["sif", "thing.def", "-o", "thing.sif"])
        .ends(2)
        .says("did you mean `%environment`?");
    assert!(!stage.path("thing.sif").exists());
}

#[test]
fn a_definition_file_of_the_project_is_written_again_when_something_changed() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let stage = stage();
    let place = format!("docker://{}/demo/spike:7.1", registry.address);
    stage.build(&place).ends(0);
    let definition = "container_definitions/amd64/storage.def";
    let text = format!(
        "Bootstrap: docker\nFrom: {}/demo/spike:7.1\n\n%startscript\n    /opt/view/bin/spike $@\n",
        registry.address
    );
    stage.write(definition, &text);
    let build = ["build", "storage", "--to", "sif:{name}-{version}.sif"];
    stage.run(&build).ends(0);
    assert!(
        stage.path("storage-7.1.sif").exists(),
        "the version is the tag of `From:`"
    );
    stage.run(&build).ends(0).says("is up to date");
    stage.write(definition, &format!("{text}%labels\n    New label\n"));
    let ran = stage.run(&build).ends(0);
    assert!(!ran.stderr.contains("is up to date"), "{}", ran.stderr);
    stage
        .run(&["build", "storage", "--to", "oci:elsewhere"])
        .ends(2)
        .says("a definition file makes SIF files");
}

/// A key of the project's tests, and its fingerprint.
const SIGNER: &str = "341DDE1A0845DFB9EA90AC1411E09B00BC327572";

#[test]
fn an_image_of_apptainers_is_a_source_if_the_right_keys_signed_it() {
    let stage = stage();
    for key in ["alpha.secret", "alpha.pub", "beta.pub"] {
        let from = repository().join("crates/spacktainers/tests/data/openpgp");
        std::fs::copy(from.join(key), stage.path(key)).expect("a file");
    }
    stage
        .run(&["sif", "oci:image:v1", "-o", "below.sif"])
        .ends(0);
    let text = format!(
        "Bootstrap: localimage\nFrom: below.sif\nFingerprints: {SIGNER}\n\n%labels\n    Maker us\n"
    );
    stage.write("thing.def", &text);
    let make = ["sif", "thing.def", "-o", "thing.sif", "--key", "alpha.pub"];
    stage
        .run(&make)
        .ends(5)
        .says("below.sif` has no good signature by");
    stage
        .run(&["sif", "sign", "below.sif", "--key", "alpha.secret"])
        .ends(0);
    stage
        .run(&make[..4])
        .ends(5)
        .says("say which public keys count");
    let other = [&make[..5], &["beta.pub"]].concat();
    stage.run(&other).ends(5);
    assert!(!stage.path("thing.sif").exists());
    stage.run(&make).ends(0);
    stage
        .run(&["verify", "--same", "thing.sif", "oci:image:v1"])
        .ends(0);
    // The same by the settings, for a container of the project.
    stage.write("container_definitions/amd64/thing.def", &text);
    let build = ["build", "thing", "--to", "sif:thing.sif", "--force"];
    stage.run(&build).ends(5);
    let settings = stage.read("spacktainers.toml");
    let settings = format!("{settings}\n[sif]\nkeys = [\"alpha.pub\"]\n");
    stage.write("spacktainers.toml", &settings);
    stage.run(&build).ends(0);
}

#[test]
fn a_sif_file_in_a_registry_is_a_source() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let stage = stage();
    let place = format!("oras://{}/demo/spike:7.1", registry.address);
    stage.build(&place).ends(0);
    let from = format!("{}/demo/spike", registry.address);
    let text = format!("Bootstrap: oras\nFrom: {from}:7.1\n\n%labels\n    Maker us\n");
    stage.write("thing.def", &text);
    let make = ["sif", "thing.def", "-o", "thing.sif"];
    stage.run(&make).ends(0);
    stage
        .run(&["verify", "--same", "thing.sif", "oci:image:v1"])
        .ends(0);
    let labels = stage.run(&["sif", "inspect", "thing.sif"]).ends(0);
    assert!(labels.stdout.contains("Maker"), "{}", labels.stdout);
    // It is here now, but nobody knows whether it is still what the tag means.
    let offline = [&["--offline"], &make[..]].concat();
    stage.run(&offline).ends(4).says("no network is to be used");
    stage.write("thing.def", &text.replace(":7.1", ":7.2"));
    stage.run(&make).ends(4).says("there is no SIF file at");
}

#[test]
fn an_image_may_be_named_by_its_place() {
    let stage = stage();
    stage.build("oci:image:v2").ends(0);
    for (index, code) in [(0, 0), (1, 0), (2, 2)] {
        let text = format!("Bootstrap: oci\nFrom: image:@{index}\n");
        stage.write("thing.def", &text);
        let ran = stage.run(&["sif", "thing.def", "-o", "thing.sif"]);
        assert_eq!(ran.code == Some(0), code == 0, "{index}: {}", ran.stderr);
    }
    stage
        .run(&["sif", "oci:image:@1", "-o", "thing.sif"])
        .ends(0);
}
