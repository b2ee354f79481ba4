//! What we write, read by the tools that everybody uses.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use spacktainers::publish::{Target, publish};

use crate::sample::{context, image, settings};
use crate::server::{self, has};

fn run(program: &str, arguments: &[&str], directory: &Path) -> Output {
    let storage = directory.join("storage.conf");
    let text = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
        directory.display()
    );
    fs::write(&storage, text).expect("writes");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("CONTAINERS_STORAGE_CONF", storage)
        .env_remove("REGISTRY_AUTH_FILE")
        .output()
        .expect("it is on PATH");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Publishes one image to a registry, a layout and both archives below `directory`.
async fn stage(directory: &Path, server: &server::Server) -> spacktainers::image::Image {
    let context = context(directory, settings());
    let image = image(directory, 5, &[100_000, 200_000, 10]);
    let path = directory.display();
    let targets: Vec<Target> = [
        format!("docker://{}/team/image:v1", server.address),
        format!("oci:{path}/layout:v1"),
        format!("oci-archive:{path}/oci.tar:v1"),
        format!("docker-archive:{path}/docker.tar:example.org/team/image:v1"),
    ]
    .iter()
    .map(|text| text.parse().expect("a target"))
    .collect();
    for result in publish(&image, &targets, &context).await {
        result.expect("publishes");
    }
    image
}

#[tokio::test]
async fn skopeo_copies_all_four_without_changing_the_image() {
    let Some(server) = server::start() else {
        return;
    };
    if !has("skopeo") {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let image = stage(root, &server).await;
    let registry = format!("docker://{}/team/image:v1", server.address);
    let policy = ["--insecure-policy"];
    for source in [
        registry.as_str(),
        "oci:layout:v1",
        "oci-archive:oci.tar:v1",
        "oci-archive:oci.tar",
    ] {
        let copy = root.join("copy");
        let _ = fs::remove_dir_all(&copy);
        let arguments = ["copy", "-q", "--src-tls-verify=false", source, "dir:copy"];
        run("skopeo", &[&policy[..], &arguments[..]].concat(), root);
        let manifest = fs::read(copy.join("manifest.json")).expect("reads");
        assert_eq!(manifest, image.manifest, "{source}");
        for layer in &image.layers {
            let blob = fs::read(copy.join(layer.descriptor.digest.hex())).expect("reads");
            assert_eq!(oci_format::Digest::of(&blob), layer.descriptor.digest);
        }
    }
    // A Docker archive has no manifest of its own: config and content are what must stay.
    let arguments = [
        "copy",
        "-q",
        "docker-archive:docker.tar:example.org/team/image:v1",
        "dir:docker",
    ];
    run("skopeo", &[&policy[..], &arguments[..]].concat(), root);
    let config = fs::read(
        root.join("docker")
            .join(image.config_descriptor.digest.hex()),
    );
    assert_eq!(config.expect("reads"), image.config);
    let arguments = ["copy", "-q", "oci-archive:docker.tar", "dir:both"];
    run("skopeo", &[&policy[..], &arguments[..]].concat(), root);
    assert_eq!(
        fs::read(root.join("both/manifest.json")).expect("reads"),
        image.manifest
    );
}

#[tokio::test]
async fn umoci_unpacks_the_layout() {
    let Some(server) = server::start() else {
        return;
    };
    if !has("umoci") {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    stage(root, &server).await;
    run(
        "umoci",
        &["unpack", "--rootless", "--image", "layout:v1", "bundle"],
        root,
    );
    let file = fs::metadata(root.join("bundle/rootfs/data/file-1")).expect("is there");
    assert_eq!(file.len(), 200_000);
}

#[tokio::test]
async fn podman_pulls_and_loads_the_image() {
    let Some(server) = server::start() else {
        return;
    };
    if !has("podman") {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path();
    let image = stage(root, &server).await;
    let id = image.config_descriptor.digest.hex();
    let name = format!("{}/team/image:v1", server.address);
    let pulled = run("podman", &["pull", "-q", "--tls-verify=false", &name], root);
    assert_eq!(String::from_utf8_lossy(&pulled.stdout).trim(), id);
    let loaded = run("podman", &["load", "-q", "-i", "docker.tar"], root);
    let text = String::from_utf8_lossy(&loaded.stdout).into_owned();
    assert!(text.contains("example.org/team/image:v1"), "{text}");
    let loaded = run(
        "podman",
        &[
            "image",
            "inspect",
            "-f",
            "{{.Id}}",
            "example.org/team/image:v1",
        ],
        root,
    );
    assert_eq!(String::from_utf8_lossy(&loaded.stdout).trim(), id);
}
