//! The main job: locks, images, targets, and what may go wrong with each.

use std::fs;

use crate::support::{Registry, SETTINGS, Stage};

/// Every file below a folder with its content, sorted.
fn snapshot(stage: &Stage, folder: &str) -> Vec<(String, Vec<u8>)> {
    let root = stage.path(folder);
    let mut pending = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path
                    .strip_prefix(&root)
                    .expect("below")
                    .display()
                    .to_string();
                files.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn two_machines_make_the_same_bytes() {
    let (one, two) = (Stage::demo(), Stage::demo());
    one.build("oci:image:v1").ends(0);
    two.run(&[
        "build",
        "spike",
        "--to",
        "oci:image:v1",
        "--allow-missing-libraries",
        "--jobs",
        "7",
    ])
    .ends(0);
    assert_eq!(snapshot(&one, "image"), snapshot(&two, "image"));
    let lock = "container_definitions/amd64/spike/container.lock";
    assert_eq!(one.read(lock), two.read(lock));
}

#[test]
fn what_is_up_to_date_is_not_built_again_and_what_is_not_says_why() {
    let stage = Stage::demo();
    stage
        .build("oci:image:v1")
        .ends(0)
        .says("there is no image yet");
    let before = snapshot(&stage, "image");
    stage.build("oci:image:v1").ends(0).says("is up to date in");
    assert_eq!(snapshot(&stage, "image"), before);
    stage
        .build("oci:image:v2")
        .ends(0)
        .says("there is no image yet");

    let text = stage.read(stage.definition());
    stage.write(stage.definition(), &format!("{text}# another thought\n"));
    stage
        .run(&["lock", "--check"])
        .ends(2)
        .says("the definition or the settings have changed");
    stage
        .run(&["build", "spike", "--locked"])
        .ends(2)
        .says("--locked");
    stage
        .run(&["plan", "--to", "oci:image:v1"])
        .ends(0)
        .stdout
        .contains("have changed")
        .then_some(())
        .expect("the plan says why");
    stage
        .build("oci:image:v1")
        .ends(0)
        .says("the definition or the settings have changed");
    stage.run(&["lock", "--check"]).ends(0);
}

#[test]
fn the_archives_of_the_cache_are_the_layers() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    let layers = snapshot(&stage, "image/blobs/sha256");
    for package in ["libspike", "spike", "spike-plot", "spike-models"] {
        let archive = stage.archive(package);
        let digest = archive.file_name().expect("a name").to_string_lossy();
        let layer = layers.iter().find(|(name, _)| *name == digest);
        let (_, bytes) = layer.unwrap_or_else(|| panic!("{package} is a layer"));
        assert_eq!(*bytes, fs::read(&archive).expect("the archive"));
    }
}

#[test]
fn the_lock_pins_all_that_decides_about_the_image() {
    let stage = Stage::demo();
    stage.run(&["lock"]).ends(0);
    insta::assert_snapshot!(stage.read("container_definitions/amd64/spike/container.lock"));
}

#[test]
fn a_budget_packs_small_packages_together() {
    let stage = Stage::demo();
    stage.write(
        "spacktainers.toml",
        &format!("{SETTINGS}\n[layers]\nbudget = 3\n"),
    );
    let ran = stage
        .run(&[
            "build",
            "spike",
            "--json",
            "--to",
            "oci:image:v1",
            "--allow-missing-libraries",
        ])
        .ends(0);
    assert_eq!(ran.json()["layers"], 3);
}

#[test]
fn several_targets_get_the_same_image_and_one_that_fails_stops_no_other() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let stage = Stage::demo();
    let place = format!("docker://{}/demo/{{name}}:{{version}}", registry.address);
    let ran = stage
        .run(&[
            "build",
            "spike",
            "--json",
            "--allow-missing-libraries",
            "--to",
            &place,
            "--to",
            "oci:image:v1",
            "--to",
            "docker://127.0.0.1:1/nobody/listens:v1",
            "--to",
            "oci-archive:image.tar:v1",
            "--to",
            "docker-archive:docker.tar:demo/spike:v1",
        ])
        .ends(4);
    let document = ran.json();
    let targets = document["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), 5);
    for (index, target) in targets.iter().enumerate() {
        match index {
            2 => assert!(target["error"].is_array(), "{target}"),
            _ => assert_eq!(target["digest"], document["digest"], "{target}"),
        }
    }
    let again = stage
        .run(&["build", "spike", "--json", "--to", &place])
        .ends(0);
    assert_eq!(again.json()["state"], "up to date");
    let forced = stage
        .run(&[
            "build",
            "spike",
            "--json",
            "--force",
            "--allow-missing-libraries",
            "--to",
            &place,
        ])
        .ends(0);
    assert_eq!(
        forced.json()["targets"][0]["sent"],
        0,
        "nothing is sent twice"
    );
}

#[test]
fn libraries_that_are_nowhere_fail_the_build_by_name() {
    let stage = Stage::demo();
    let ran = stage
        .run(&["build", "spike", "--to", "oci:image:v1"])
        .ends(5)
        .says("libc.so.6")
        .says("--allow-missing-libraries");
    assert!(ran.stderr.contains("spike@1.0.0"), "{}", ran.stderr);
    assert!(!stage.path("image").exists());
}

#[test]
fn a_package_that_is_in_no_mirror_is_exit_3() {
    let stage = Stage::demo();
    fs::remove_dir_all(stage.path("cache/v3/manifests/spec/libspike")).expect("removes");
    stage
        .build("oci:image:v1")
        .ends(3)
        .says("libspike@1.0.0")
        .says("spack buildcache push");
    stage
        .run(&["plan"])
        .ends(3)
        .stdout
        .contains("build libspike@1.0.0")
        .then_some(())
        .expect("the plan says what has to be built");
}

#[test]
fn damaged_and_unsigned_packages_are_exit_5() {
    let stage = Stage::demo();
    let archive = stage.archive("spike");
    let whole = fs::read(&archive).expect("the archive");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut long = whole.clone();
    long.extend([0; 100]);
    for (what, bytes) in [
        ("changed", flipped),
        ("cut", whole[..whole.len() - 7].to_vec()),
        ("too long", long),
        ("empty", Vec::new()),
    ] {
        fs::write(&archive, bytes).expect("writes");
        let ran = stage.build("oci:image:v1").ends(5);
        assert!(ran.stderr.contains("spike@1.0.0"), "{what}: {}", ran.stderr);
        assert!(!stage.path("image").exists(), "{what}");
    }
    fs::write(&archive, whole).expect("writes");
    stage.build("oci:image:v1").ends(0);
}

#[test]
fn only_the_mirrors_own_keys_count() {
    let stage = Stage::demo();
    let other = "crates/spacktainers/tests/data/openpgp/beta.pub";
    let key = fs::read(crate::support::repository().join(other)).expect("a key");
    fs::write(stage.path("keys/demo.pub"), key).expect("writes");
    stage.build("oci:image:v1").ends(5).says("sign");
    stage.write(
        "spacktainers.toml",
        &SETTINGS.replace("keys = [\"keys/demo.pub\"]", "signed = false"),
    );
    stage.build("oci:image:v1").ends(0);
}

#[test]
fn packages_for_another_processor_are_refused() {
    let stage = Stage::demo();
    stage.write(
        "spacktainers.toml",
        &SETTINGS.replace("x86_64_v3", "x86_64_v2"),
    );
    stage
        .build("oci:image:v1")
        .ends(2)
        .says("the project requires x86_64_v2");
}

#[test]
fn a_lock_for_other_specs_is_refused() {
    let stage = Stage::demo();
    let text = stage.read(stage.definition());
    stage.write(
        stage.definition(),
        &text.replace("  - spike@1\n", "  - spike@2\n"),
    );
    stage
        .build("oci:image:v1")
        .ends(2)
        .says("`spike@2` is asked for")
        .says("concretize");
}
