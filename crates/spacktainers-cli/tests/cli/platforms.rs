//! One name for several platforms.

use std::fs;

use crate::support::Stage;

#[test]
fn a_container_and_its_variant_have_one_name() {
    let stage = Stage::demo();
    let (plain, higher) = (
        "container_definitions/amd64/spike",
        "container_definitions/amd64_v3/spike",
    );
    for entry in fs::read_dir(stage.path(plain)).expect("a folder").flatten() {
        if entry.path().is_file() {
            let name = entry.file_name().into_string().expect("a name");
            stage.write(
                &format!("{higher}/{name}"),
                &stage.read(&format!("{plain}/{name}")),
            );
        }
    }
    let build = |code| {
        let line = [
            "build",
            "spike",
            "--to",
            "oci:image:v1",
            "--allow-missing-libraries",
        ];
        stage.run(&line).ends(code)
    };
    build(0).says("spike (amd64_v3)");
    let read = |digest: &str| -> serde_json::Value {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let text = stage.read(&format!("image/blobs/sha256/{hex}"));
        serde_json::from_str(&text).expect("JSON")
    };
    let layout: serde_json::Value =
        serde_json::from_str(&stage.read("image/index.json")).expect("JSON");
    let named = layout["manifests"].as_array().expect("manifests");
    assert_eq!(named.len(), 1, "{layout}");
    let index = read(named[0]["digest"].as_str().expect("a digest"));
    let images = index["manifests"].as_array().expect("manifests");
    let platforms: Vec<_> = images.iter().map(|it| it["platform"].clone()).collect();
    assert_eq!(
        platforms,
        [
            serde_json::json!({"architecture": "amd64", "os": "linux"}),
            serde_json::json!({"architecture": "amd64", "os": "linux", "variant": "v3"}),
        ]
    );
    let config = read(
        read(images[1]["digest"].as_str().expect("a digest"))["config"]["digest"]
            .as_str()
            .expect("a digest"),
    );
    assert_eq!(config["variant"], "v3");
    build(0).says("up to date");
    // Where a name holds one image, the platform has to be in it.
    let line = ["build", "spike", "--to", "oci-archive:image.tar:v1"];
    stage.run(&line).ends(2).says("{arch}");
    // Packages for another level than the folder's are refused.
    stage.write(
        "container_definitions/amd64_v2/spike/spack.yaml",
        &stage.read(&format!("{plain}/spack.yaml")),
    );
    stage.write(
        "container_definitions/amd64_v2/spike/spack.lock",
        &stage.read(&format!("{plain}/spack.lock")),
    );
    build(2).says("x86_64_v2");
}

#[test]
fn a_folder_of_no_platform_is_told() {
    let stage = Stage::demo();
    stage.write(
        "container_definitions/amd64_v9/x/spack.yaml",
        "spack: {specs: [zlib]}\n",
    );
    stage.run(&["check"]).ends(2).says("amd64_v9");
}
