//! Packages that lie in the image elsewhere than where they were built.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{Ran, SETTINGS, Stage, fixtures, has, skipped};
use crate::trees::{Thing, listing, tree};

/// Where the demo's packages shall lie.
const ROOT: &str = "/opt/other";

fn demo() -> Stage {
    let stage = Stage::demo();
    stage.write(
        "spacktainers.toml",
        &format!("{SETTINGS}\n[install]\nroot = \"{ROOT}\"\n"),
    );
    stage
}

#[test]
fn the_demo_moves_to_another_root() {
    let stage = demo();
    stage.build("oci:image:v1").ends(0);
    let tree = tree(&stage, "image");
    assert!(tree.contains_key("opt/other/bin/sbang"));
    let placeholder = "__spack_path_placeholder__";
    let old: Vec<&String> = tree.keys().filter(|it| it.contains(placeholder)).collect();
    assert!(old.is_empty(), "{old:?}");
    let leads_back = tree.iter().find(|(_, thing)| match thing {
        Thing::Link(target) => target.contains(placeholder),
        _ => false,
    });
    assert_eq!(leads_back, None);

    let lock = stage.read("container_definitions/amd64/spike/container.lock");
    let lock: toml::Table = toml::from_str(&lock).expect("a lock");
    assert_eq!(lock["install"]["store"].as_str(), Some(ROOT));
    let packages = lock["package"].as_array().expect("packages");
    for package in packages {
        let text = |key: &str| package[key].as_str().expect("text").to_owned();
        assert!(text("prefix").starts_with("/opt/other/"), "{package}");
        assert!(text("relocated_from").contains(placeholder), "{package}");
    }
    // Each layer is none of the build cache's blobs.
    let blobs: Vec<&str> = packages
        .iter()
        .filter_map(|it| it["blob"].as_str())
        .collect();
    for layer in lock["layer"].as_array().expect("layers") {
        assert!(!blobs.contains(&layer["digest"].as_str().expect("a digest")));
    }
}

#[test]
fn the_same_bytes_come_out_each_time() {
    let (one, two) = (demo(), demo());
    one.build("oci:image:v1").ends(0);
    two.run(&["lock", "spike"]).ends(0);
    let lock = "container_definitions/amd64/spike/container.lock";
    assert_eq!(one.read(lock), two.read(lock));
    two.build("oci:image:v1").ends(0);
    assert_eq!(one.read("image/index.json"), two.read("image/index.json"));
    // What is in the local cache is not made again, and is the same.
    one.run(&["lock", "spike"]).ends(0);
    assert_eq!(one.read(lock), two.read(lock));
}

#[test]
fn what_finds_no_room_is_refused_by_name() {
    let stage = Stage::demo();
    let long = "long".repeat(31);
    stage.write(
        "spacktainers.toml",
        &format!("{SETTINGS}\n[install]\nroot = \"/opt/{long}\"\n"),
    );
    stage.build("oci:image:v1").ends(2).says("sbang");
    // C strings in binaries cannot grow: more padding than the packages were built with.
    let Some(stage) = small("root = \"/opt/fxroot\"\npadded_length = 200") else {
        return;
    };
    build_small(&stage)
        .ends(5)
        .says("is longer than")
        .says("at byte");
}

#[test]
fn the_demo_runs_where_it_was_not_built_to_lie() {
    if !Path::new("/etc/apt").is_dir() || !has("bwrap") {
        skipped("a Debian base needs the configuration of apt, and a sandbox to run in");
        return;
    }
    let demo = crate::support::repository().join("demo/spacktainers.toml");
    let demo = fs::read_to_string(demo).expect("the demo's settings");
    // Shorter than the cache's root, and longer: search paths grow then.
    for install in [
        "root = \"/opt/other\"",
        "root = \"/opt/other\"\npadded_length = 200",
    ] {
        let settings = demo.replace("root = \"/opt/software\"\npadded_length = 128", install);
        assert_ne!(settings, demo);
        let stage = Stage::demo();
        stage.write("spacktainers.toml", &settings);
        stage
            .run(&["build", "spike", "--to", "oci:image:v1"])
            .ends(0);
        let ran = stage.run(&["run", "spike", "--", "spike-demo"]).ends(0);
        assert!(ran.stdout.contains("with libspike 1.0.0"), "{}", ran.stdout);
        let where_is = [
            "run",
            "spike",
            "--",
            "sh",
            "-c",
            "readlink -f $(command -v spike-demo)",
        ];
        let found = stage.run(&where_is).ends(0);
        assert!(found.stdout.starts_with("/opt/other/"), "{}", found.stdout);
    }
}

#[test]
fn store_and_view_are_those_that_spack_installs_there() {
    let Some(fixtures) = fixtures() else { return };
    let expected = |name: &str| fs::read_to_string(fixtures.join("expected").join(name));
    let (Ok(store), Ok(view)) = (
        expected("small-store-relocated.jsonl"),
        expected("small-view-relocated.jsonl"),
    ) else {
        skipped("the fixtures have no listings");
        return;
    };
    let Some(stage) = small("root = \"/opt/fxroot\"") else {
        return;
    };
    build_small(&stage).ends(0);
    let tree = tree(&stage, "image");
    let mut store = listing(&store);
    store.retain(|path, _| {
        // Ours; and Spack writes the time that an install takes anew.
        path != "bin" && path != "bin/sbang" && !path.ends_with("/.spack/install_times.json")
    });
    assert_eq!(
        differences(&tree, "opt/fxroot", &store),
        Vec::<String>::new()
    );
    let Some(Thing::Link(real)) = tree.get("opt/fxview") else {
        panic!("the view is a link");
    };
    let view = listing(&view);
    let wrong = differences(&tree, real.trim_start_matches('/'), &view);
    assert_eq!(wrong, Vec::<String>::new());
}

/// A project of the fixtures' environment, with these settings of `[install]`.
fn small(install: &str) -> Option<Stage> {
    let fixtures = fixtures()?;
    let stage = Stage::empty();
    for file in ["spack.yaml", "spack.lock"] {
        let text = fs::read_to_string(fixtures.join("envs/small").join(file)).expect("a fixture");
        let text = text.replace("/opt/view", "/opt/fxview");
        stage.write(&format!("container_definitions/amd64/small/{file}"), &text);
    }
    stage.write(
        "spacktainers.toml",
        &format!(
            "[[mirror]]\nname = \"small\"\nurl = \"file://{0}/small-v3\"\nkeys = [\"{0}/signing-key.pub\"]\n[install]\n{install}\n",
            fixtures.join("caches").display()
        ),
    );
    Some(stage)
}

fn build_small(stage: &Stage) -> Ran {
    stage.run(&[
        "build",
        "small",
        "--to",
        "oci:image:v1",
        "--allow-missing-libraries",
    ])
}

/// What is not the same in the image as in a listing.
fn differences(
    tree: &BTreeMap<String, Thing>,
    root: &str,
    listing: &BTreeMap<String, serde_json::Value>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, row) in listing {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let same = match (tree.get(&format!("{root}/{path}")), text("type")) {
            // Spack sets directories' setgid bits from its `packages:permissions`; archives have none.
            (Some(Thing::Directory), "dir") => true,
            (Some(Thing::Link(target)), "link") => target == text("target"),
            (Some(Thing::File { mode, digest }), "file") => {
                format!("0o{mode:o}") == text("mode") && digest.hex() == text("sha256")
            }
            _ => false,
        };
        if !same {
            wrong.push(path.clone());
        }
    }
    wrong
}
