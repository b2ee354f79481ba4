//! Images to layouts and archives.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use oci_format::layout;
use spacktainers::content::Content;
use spacktainers::image::LayerContent;
use spacktainers::publish::{Target, existing, publish};

use crate::sample::{context, image, settings, told};

fn target(text: &str) -> Target {
    text.parse().expect("a target")
}

/// Every file below `root` with its bytes.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .expect("below")
                    .display()
                    .to_string();
                found.insert(name, fs::read(&path).expect("reads"));
            }
        }
    }
    found
}

#[tokio::test]
async fn two_runs_give_the_same_layout_and_the_same_archives() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let context = context(root, settings());
    let image = image(root, 1, &[100_000, 0, 300_000]);
    let mut made = Vec::new();
    for run in ["one", "two"] {
        let folder = root.join(run);
        fs::create_dir(&folder).expect("makes");
        let path = folder.display();
        let targets = [
            target(&format!("oci:{path}/layout:v1")),
            target(&format!("oci-archive:{path}/oci.tar:v1")),
            target(&format!(
                "docker-archive:{path}/docker.tar:example.org/a/b:v1"
            )),
        ];
        for result in publish(&image, &targets, &context).await {
            let receipt = result.expect("publishes");
            assert_eq!((receipt.blobs_sent, receipt.unchanged), (4, false));
        }
        made.push(tree(&folder));
    }
    assert!(made[0] == made[1], "byte by byte");
    let names: Vec<_> = made[0]
        .keys()
        .filter(|name| !name.contains("blobs"))
        .collect();
    assert_eq!(
        names,
        [
            "docker.tar",
            "layout/index.json",
            "layout/oci-layout",
            "oci.tar"
        ]
    );
    assert_eq!(made[0].len(), names.len() + 5, "nothing temporary stays");
}

#[tokio::test]
async fn a_layout_keeps_other_images_and_what_it_has_is_left_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let context = context(root, settings());
    let one = image(root, 1, &[10_000, 20_000]);
    let two = image(root, 2, &[30_000]);
    let path = root.join("layout");
    let first = target(&format!("oci:{}:one", path.display()));
    let second = target(&format!("oci:{}:two", path.display()));
    // Both at once: neither loses the other's entry.
    let targets = [
        first.clone(),
        target(&format!("oci:{}:same", path.display())),
    ];
    for result in publish(&one, &targets, &context).await {
        result.expect("publishes");
    }
    publish(&two, std::slice::from_ref(&second), &context)
        .await
        .remove(0)
        .expect("publishes");
    let found = existing(&first, &context)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(found.descriptor.digest, one.manifest_descriptor.digest);
    let found = existing(&second, &context)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!(found.config.config.labels["seed"], "2");
    assert_eq!(found.manifest.layers.len(), 1);
    assert!(
        existing(&target(&format!("oci:{}:none", path.display())), &context)
            .await
            .expect("reads")
            .is_none()
    );

    let before = tree(&path);
    let receipt = publish(&one, &[first], &context)
        .await
        .remove(0)
        .expect("publishes");
    assert!(receipt.unchanged);
    assert_eq!((receipt.bytes_sent, receipt.blobs_reused), (0, 3));
    assert!(tree(&path) == before);
}

#[tokio::test]
async fn a_damaged_config_in_a_layout_is_written_again() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let context = context(root, settings());
    let image = image(root, 1, &[10_000]);
    let path = root.join("layout");
    let target = target(&format!("oci:{}:v1", path.display()));
    publish(&image, std::slice::from_ref(&target), &context)
        .await
        .remove(0)
        .expect("publishes");
    let config = path.join(layout::blob_path(&image.config_descriptor.digest));
    fs::write(&config, vec![b' '; image.config.len()]).expect("writes");
    assert!(existing(&target, &context).await.expect("reads").is_none());
    publish(&image, std::slice::from_ref(&target), &context)
        .await
        .remove(0)
        .expect("publishes");
    assert_eq!(fs::read(&config).expect("reads"), image.config);
    assert!(existing(&target, &context).await.expect("reads").is_some());
}

#[tokio::test]
async fn a_layer_that_changed_on_this_machine_reaches_neither_layout_nor_archive() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let context = context(root, settings());
    let mut image = image(root, 1, &[10_000]);
    let damaged = vec![0; usize::try_from(image.layers[0].descriptor.size).expect("small")];
    image.layers[0].content = LayerContent::Here(Content::Memory(damaged.into()));
    let path = root.join("out");
    fs::create_dir(&path).expect("makes");
    fs::write(path.join("archive.tar"), "what was there").expect("writes");
    let targets = [
        target(&format!("oci:{}/layout:v1", path.display())),
        target(&format!("oci-archive:{}/archive.tar", path.display())),
    ];
    for result in publish(&image, &targets, &context).await {
        let error = result.expect_err("changed");
        assert!(error.is_verification(), "{}", told(&error));
    }
    let tree = tree(&path);
    assert_eq!(tree["archive.tar"], b"what was there");
    assert!(!tree.contains_key("layout/index.json"));
    assert!(
        tree.keys().all(|name| !name.contains(".spacktainers-")),
        "nothing temporary stays"
    );
}

#[tokio::test]
async fn a_layer_may_be_a_part_of_a_file() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let context = context(root, settings());
    let mut image = image(root, 1, &[50_000]);
    let LayerContent::Here(Content::File { path, len, .. }) = &image.layers[0].content else {
        panic!("a file");
    };
    let len = *len;
    let mut nested = b"outer header".to_vec();
    nested.extend(fs::read(path).expect("reads"));
    nested.extend(b"outer trailer");
    let outer = root.join("outer");
    fs::write(&outer, nested).expect("writes");
    image.layers[0].content = LayerContent::Here(Content::File {
        path: outer,
        offset: 12,
        len,
    });
    let target = target(&format!("oci:{}", root.join("layout").display()));
    publish(&image, &[target], &context)
        .await
        .remove(0)
        .expect("publishes");
}
