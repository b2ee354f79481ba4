//! What lies in images, path by path, against listings of what real Spack installed from the same lock and cache.

use std::collections::BTreeMap;
use std::fs;

use oci_format::Digest;
use oci_format::layer::EntryKind;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarReader;
use std::io::Read;

use crate::support::{Stage, fixtures, skipped};

/// What there is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    Directory,
    File { mode: u32, digest: Digest },
    Link(String),
}

/// All that the image's layers hold; hard links are the files that they name.
pub(crate) fn tree(stage: &Stage, layout: &str) -> BTreeMap<String, Thing> {
    let json = |path: &str| -> serde_json::Value {
        serde_json::from_str(&stage.read(path)).expect("JSON")
    };
    let blob = |digest: &serde_json::Value| {
        let digest = digest.as_str().expect("a digest").replace(':', "/");
        format!("{layout}/blobs/{digest}")
    };
    let index = json(&format!("{layout}/index.json"));
    let manifest = json(&blob(&index["manifests"][0]["digest"]));
    let mut tree: BTreeMap<String, Thing> = BTreeMap::new();
    for layer in manifest["layers"].as_array().expect("layers") {
        let file = fs::File::open(stage.path(&blob(&layer["digest"]))).expect("a layer");
        let mut tar = TarReader::new(Decoder::new(file, 1 << 32).expect("compressed"));
        while let Some(mut member) = tar.next_member().expect("a tar") {
            let path = String::from_utf8_lossy(&member.entry.path).into_owned();
            let mode = member.entry.mode;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let thing = match &member.entry.kind {
                EntryKind::Directory => Thing::Directory,
                EntryKind::Symlink(target) => Thing::Link(text(target)),
                EntryKind::HardLink(target) => tree[&text(target)].clone(),
                EntryKind::File => {
                    let mut bytes = Vec::new();
                    member.read_to_end(&mut bytes).expect("content");
                    Thing::File {
                        mode,
                        digest: Digest::of(&bytes),
                    }
                }
                other => panic!("{path}: {other:?}"),
            };
            tree.insert(path, thing);
        }
    }
    tree
}

/// A listing of the fixtures: JSON lines of `path`, `type`, `mode`, `target`, `sha256`.
pub(crate) fn listing(text: &str) -> BTreeMap<String, serde_json::Value> {
    let rows = text.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        (row["path"].as_str().expect("a path").to_owned(), row)
    });
    rows.collect()
}

/// Where the packages of the fixtures were built to lie, and where the listing's were installed.
const BUILT: &str = "/opt/software/__spack_path_placeholder__/__spack_path_placeholder__/__spack_path_placeholder__/__spack_path_placeholder__/__spac";
const LISTED: &str = "/opt/fxroot";

#[test]
fn packages_and_view_are_those_that_spack_installs() {
    let Some(fixtures) = fixtures() else { return };
    let expected = |name: &str| fs::read_to_string(fixtures.join("expected").join(name));
    let (Ok(store), Ok(view)) = (
        expected("small-store-relocated.jsonl"),
        expected("small-view-relocated.jsonl"),
    ) else {
        skipped("the fixtures have no listings");
        return;
    };
    let stage = Stage::empty();
    for file in ["spack.yaml", "spack.lock"] {
        let text = fs::read_to_string(fixtures.join("envs/small").join(file)).expect("a fixture");
        stage.write(&format!("container_definitions/amd64/small/{file}"), &text);
    }
    stage.write(
        "spacktainers.toml",
        &format!(
            "[[mirror]]\nname = \"small\"\nurl = \"file://{0}/small-v3\"\nkeys = [\"{0}/signing-key.pub\"]\n",
            fixtures.join("caches").display()
        ),
    );
    stage
        .run(&[
            "build",
            "small",
            "--to",
            "oci:image:v1",
            "--allow-missing-libraries",
        ])
        .ends(0);
    let tree = tree(&stage, "image");

    let mut same = 0;
    let mut relocated = 0;
    for (path, row) in listing(&store) {
        if path == "bin" || path == "bin/sbang" {
            continue;
        }
        let full = format!("{BUILT}/{path}");
        let found = tree
            .get(full.trim_start_matches('/'))
            .unwrap_or_else(|| panic!("{full} is not in the image"));
        match (found, row["type"].as_str()) {
            // Spack sets directories' setgid bits from its `packages:permissions`; archives have none.
            (Thing::Directory, Some("dir")) => {}
            (Thing::Link(target), Some("link")) => {
                assert_eq!(
                    target.replace(BUILT, LISTED),
                    row["target"].as_str().expect("a target"),
                    "{full}"
                );
            }
            (Thing::File { mode, digest }, Some("file")) => {
                assert_eq!(
                    format!("0o{mode:o}"),
                    row["mode"].as_str().expect("a mode"),
                    "{full}"
                );
                // Spack writes the time that an install takes anew.
                if path.ends_with("/.spack/install_times.json") {
                    continue;
                }
                if digest.hex() == row["sha256"].as_str().expect("a digest") {
                    same += 1;
                } else {
                    relocated += 1;
                }
            }
            (found, other) => panic!("{full} is {found:?} and should be {other:?}"),
        }
    }
    // The listing is of another install root: files that name it differ there. `relocation` compares those.
    assert!(
        same > 3_000 && relocated < same / 10,
        "{same} same, {relocated} not"
    );

    let root = tree.get("opt/view").cloned();
    let Some(Thing::Link(real)) = root else {
        panic!("the view is a link: {root:?}")
    };
    let view = listing(&view);
    let prefix = format!("{}/", real.trim_start_matches('/'));
    let ours: BTreeMap<&str, &Thing> = tree
        .iter()
        .filter_map(|(path, thing)| Some((path.strip_prefix(&prefix)?, thing)))
        .collect();
    let paths: Vec<&str> = view.keys().map(String::as_str).collect();
    assert_eq!(
        ours.keys().copied().collect::<Vec<_>>(),
        paths,
        "the same paths"
    );
    for (path, row) in &view {
        match (ours[path.as_str()], row["type"].as_str()) {
            (Thing::Link(target), Some("link")) => {
                assert_eq!(
                    target.replace(BUILT, LISTED),
                    row["target"].as_str().expect("a target"),
                    "{path}"
                );
            }
            (Thing::Directory, Some("dir")) | (Thing::File { .. }, Some("file")) => {}
            (found, other) => panic!("{path} is {found:?} and should be {other:?}"),
        }
    }
}
