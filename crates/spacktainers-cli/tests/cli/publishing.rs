//! SIF files to buckets and registries, and from there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Bucket, Ran, Registry, Stage, skipped};

/// A project whose container is published to a bucket, and to a registry as a SIF file.
struct Setup {
    stage: Stage,
    bucket: Bucket,
}

impl Setup {
    fn new(more: &str) -> Option<Self> {
        let bucket = Bucket::start("sif")?;
        let stage = Stage::demo();
        let settings = stage.read("spacktainers.toml");
        let targets = format!(
            "[publish.staging]\ntargets = [\"s3://sif/staging/{{name}}__{{version}}.sif\"{more}]\n"
        );
        stage.write("spacktainers.toml", &format!("{settings}\n{targets}"));
        Some(Self { stage, bucket })
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.stage.command(args);
        let output = self.bucket.known_to(&mut command).output();
        Ran::of(output.expect("the program runs"))
    }

    fn publish(&self, more: &[&str]) -> Ran {
        self.run(&[&["publish", "--allow-missing-libraries", "--json"], more].concat())
    }
}

#[test]
fn what_is_published_is_pulled_and_nothing_moves_twice() {
    let Some(setup) = Setup::new("") else {
        return;
    };
    let first = setup.publish(&[]).ends(0).json();
    let target = &first["targets"][0];
    assert_eq!(target["target"], "s3://sif/staging/spike__1.0.0.sif");
    assert!(target["sent"].as_u64() > Some(0), "{target}");
    let again = setup.publish(&["--locked"]).ends(0).json();
    assert_eq!(again["state"], "up to date", "{again}");

    let pull = ["pull", "spike", "--sif", "--json"];
    let pulled = setup.run(&pull).ends(0).json();
    assert_eq!(pulled["unchanged"], false);
    assert_eq!(pulled["tree"], target["tree"]);
    assert_eq!(pulled["image"], first["digest"]);
    assert_eq!(setup.run(&pull).ends(0).json()["unchanged"], true);
    setup.stage.run(&["sif", "inspect", "spike.sif"]).ends(0);
    setup.stage.build("oci:image:v1").ends(0);
    setup
        .stage
        .run(&["verify", "--same", "spike.sif", "oci:image:v1"])
        .ends(0);

    // The key is that of another version: what is there says what it was made from.
    let definition = setup.stage.definition();
    let text = setup.stage.read(definition);
    setup
        .stage
        .write(definition, &format!("{text}\n# changed\n"));
    setup.publish(&[]).ends(4).says("--replace");
    let changed = setup.publish(&["--replace"]).ends(0).json();
    assert_eq!(changed["state"], "built", "{changed}");
    assert_eq!(setup.run(&pull).ends(0).json()["unchanged"], false);
    // One that was cut off is no reason to stop: it is replaced.
    let whole = fs::read(setup.stage.path("spike.sif")).expect("a file");
    fs::write(setup.stage.path("spike.sif"), &whole[..whole.len() / 2]).expect("a file");
    setup.run(&pull).ends(0);
    assert!(fs::read(setup.stage.path("spike.sif")).expect("a file") == whole);
}

#[test]
fn a_definition_file_is_published_where_sif_files_go() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let image = format!("docker://{}/demo/{{name}}:{{version}}", registry.address);
    let Some(setup) = Setup::new(&format!(", \"{image}\"")) else {
        return;
    };
    setup.publish(&["spike"]).ends(0);
    let text = format!(
        "Bootstrap: docker\nFrom: {}/demo/spike:1.0.0\n\n%labels\n    Maker us\n",
        registry.address
    );
    let definition = "container_definitions/amd64/storage.def";
    setup.stage.write(definition, &text);
    let first = setup.publish(&["storage"]).ends(0).json();
    let targets = first["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), 1, "the registry takes no SIF files: {first}");
    assert_eq!(targets[0]["target"], "s3://sif/staging/storage__1.0.0.sif");
    let again = setup.publish(&["storage"]).ends(0).json();
    assert_eq!(again["state"], "up to date", "{again}");
    setup
        .stage
        .write(definition, &format!("{text}    New one\n"));
    setup.publish(&["storage"]).ends(4).says("--replace");
    let changed = setup.publish(&["storage", "--replace"]).ends(0).json();
    assert_eq!(changed["state"], "built", "{changed}");
    setup.run(&["pull", "storage"]).ends(0);
    let labels = setup.stage.run(&["sif", "inspect", "storage.sif"]).ends(0);
    assert!(labels.stdout.contains("New"), "{}", labels.stdout);
}

#[test]
fn an_image_says_which_tree_it_holds_where_that_is_asked_for() {
    let stage = Stage::demo();
    let settings = stage.read("spacktainers.toml");
    let settings = format!("{settings}\n[image]\ntree_digest = true\n");
    stage.write("spacktainers.toml", &settings);
    let build = ["build", "spike", "--allow-missing-libraries", "--json"];
    let targets = ["--to", "oci:image", "--to", "sif:image.sif"];
    let built = stage.run(&[&build[..], &targets].concat()).ends(0).json();
    let sif = &built["targets"][1];
    let tree = sif["tree"].as_str().expect("a digest");
    let index: serde_json::Value =
        serde_json::from_str(&stage.read("image/index.json")).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    let manifest = stage.read(&format!("image/blobs/{}", digest.replace(':', "/")));
    let told = format!("\"org.spacktainers.tree.digest\":\"{tree}\"");
    assert!(manifest.contains(&told), "{manifest}");
}

#[test]
fn what_cannot_be_published_is_told() {
    let Some(setup) = Setup::new("") else {
        return;
    };
    setup
        .publish(&["--environment", "production"])
        .ends(2)
        .says("there is no environment `production`")
        .says("the settings have: staging");
    setup
        .run(&["pull", "s3://sif/none.sif"])
        .ends(4)
        .says("there is no SIF file at `s3://sif/none.sif`");
    setup
        .run(&[
            "build",
            "spike",
            "--allow-missing-libraries",
            "--to",
            "s3://no-such-bucket/a.sif",
        ])
        .ends(4)
        .says("there is no bucket `no-such-bucket`");
    setup
        .run(&["--offline", "pull", "s3://sif/none.sif"])
        .ends(4)
        .says("no network is to be used");
    assert!(!setup.stage.path("none.sif").exists());
}

#[test]
fn a_sif_file_in_a_registry_is_what_apptainer_pulls() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let stage = Stage::demo();
    let place = format!("oras://{}/demo/spike:v1", registry.address);
    stage.build(&place).ends(0);
    stage.build(&place).ends(0).says("is up to date");
    stage.build("sif:direct.sif").ends(0);
    stage.run(&["pull", &place, "-o", "pulled.sif"]).ends(0);
    let direct = fs::read(stage.path("direct.sif")).expect("a file");
    assert!(direct == fs::read(stage.path("pulled.sif")).expect("a file"));
    stage
        .run(&["pull", &place, "-o", "pulled.sif"])
        .ends(0)
        .says("is up to date");
    // An image under the same name is no SIF file.
    let image = format!("docker://{}/demo/spike:image", registry.address);
    stage.build(&image).ends(0);
    let no_sif = image.replace("docker://", "oras://");
    stage.run(&["pull", &no_sif]).ends(4).says("no SIF file");
    // It is made into one, once.
    stage.run(&["pull", &image]).ends(0);
    stage
        .run(&["pull", &image])
        .ends(0)
        .says("spike_image.sif is up to date");

    let Some(program) = std::env::var_os("SPACKTAINERS_APPTAINER").map(PathBuf::from) else {
        skipped("no Apptainer: name it by SPACKTAINERS_APPTAINER");
        return;
    };
    let share = std::env::var_os("SPACKTAINERS_APPTAINER_SHARE").map(PathBuf::from);
    let share = tempfile::tempdir_in(share.unwrap_or_else(std::env::temp_dir)).expect("a folder");
    let output = Command::new(program)
        .args(["pull", "--no-https", "--disable-cache", "theirs.sif"])
        .arg(&place)
        .current_dir(share.path())
        .output()
        .expect("starts");
    let ran = Ran::of(output).ends(0);
    let theirs = fs::read(share.path().join("theirs.sif")).expect("a file");
    assert!(direct == theirs, "{}", ran.stderr);
}
