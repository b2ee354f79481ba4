//! SIF files from the command line, and what Apptainer makes of them.

use std::fs;
use std::process::Command;

use crate::apptainer::Apptainer;
use crate::support::{Stage, has};

#[test]
fn an_image_becomes_the_same_file_each_time_and_says_what_it_is() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    stage.run(&["sif", "oci:image:v1", "-o", "one.sif"]).ends(0);
    stage
        .run(&["sif", "oci:image:v1", "-o", "two.sif", "--jobs", "5"])
        .ends(0);
    assert!(
        fs::read(stage.path("one.sif")).ok() == fs::read(stage.path("two.sif")).ok(),
        "the same bytes"
    );
    let ran = stage.run(&["sif", "inspect", "one.sif", "--json"]).ends(0);
    let document = ran.json();
    assert_eq!(document["arch"], "amd64");
    let labels = &document["metadata"]["data"]["attributes"]["labels"];
    assert_eq!(labels["org.opencontainers.image.title"], "spike");
    let dumped = stage.run(&["sif", "dump", "one.sif", "2"]).ends(0);
    assert_eq!(dumped.stdout, "bootstrap: oci\nfrom: image:v1\n\n");
    let zstd = [
        "sif",
        "oci:image:v1",
        "-o",
        "zstd.sif",
        "--compression",
        "zstd",
        "--json",
    ];
    let zstd = stage.run(&zstd).ends(0).json();
    assert_eq!(
        zstd["tree"], document["record"]["tree"],
        "the same tree, however compressed"
    );
}

#[test]
fn a_container_is_built_to_a_sif_file_and_is_up_to_date_then() {
    let stage = Stage::demo();
    stage
        .build("sif:spike.sif")
        .ends(0)
        .says("there is no image yet");
    let before = fs::read(stage.path("spike.sif")).expect("a file");
    stage
        .build("sif:spike.sif")
        .ends(0)
        .says("is up to date in sif:spike.sif");
    stage.run(&["sif", "spike", "-o", "other.sif"]).ends(0);
    assert_eq!(fs::read(stage.path("spike.sif")).expect("a file"), before);
    stage.build("squashfs:spike.squashfs").ends(0);
    let magic = fs::read(stage.path("spike.squashfs")).expect("a file");
    assert_eq!(&magic[..4], b"hsqs");
}

#[test]
fn faults_leave_no_file() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    let make = |stage: &Stage| stage.run(&["sif", "oci:image:v1", "-o", "out.sif"]);
    let archive = stage.archive("spike-models");
    let name = archive
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let blob = stage.path(&format!("image/blobs/sha256/{name}"));
    let whole = fs::read(&blob).expect("a layer");
    fs::set_permissions(&blob, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("may be written");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&blob, flipped).expect("writes");
    make(&stage).ends(5);
    assert!(!stage.path("out.sif").exists());
    fs::write(&blob, &whole).expect("writes");
    make(&stage).ends(0);
    stage
        .run(&["sif", "oci:image:v9", "-o", "none.sif"])
        .ends(4)
        .says("no base image");
    stage
        .run(&["sif", "elsewhere:x", "-o", "none.sif"])
        .ends(2)
        .says("names no image");
    stage
        .run(&["sif", "oci:image:v1", "-o", "x.sif", "--block-size", "5000"])
        .ends(2)
        .says("powers of two");
    stage
        .run(&["sif", "inspect", "spacktainers.toml"])
        .ends(5)
        .says("not a SIF file");
    assert!(!stage.path("none.sif").exists());
    let left: Vec<_> = fs::read_dir(stage.path(""))
        .expect("a folder")
        .flatten()
        .map(|it| it.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|it| !it.to_string_lossy().starts_with(".spacktainers-")),
        "{left:?}"
    );
}

#[test]
fn gnupg_and_we_sign_alike() {
    if !has("gpg") {
        return;
    }
    let stage = Stage::demo();
    stage.build("sif:spike.sif").ends(0);
    let home = stage.path("gnupg");
    fs::create_dir(&home).expect("a folder");
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("private");
    let gpg = |args: &[&str]| -> Vec<u8> {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(&home)
            .args(["--batch", "--quiet"])
            .args(args)
            .output();
        let output = output.expect("runs");
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    gpg(&[
        "--passphrase",
        "",
        "--quick-gen-key",
        "Test <test@example.org>",
        "ed25519",
        "sign",
        "never",
    ]);
    fs::write(stage.path("key.pub"), gpg(&["--armor", "--export"])).expect("writes");
    fs::write(
        stage.path("key.sec"),
        gpg(&["--armor", "--export-secret-keys"]),
    )
    .expect("writes");
    let verify = ["sif", "verify", "spike.sif", "--key", "key.pub"];
    stage.run(&verify).ends(5).says("is not signed");
    stage
        .run(&["sif", "sign", "spike.sif", "--key", "key.sec"])
        .ends(0);
    stage.run(&verify).ends(0).says("good");
    // The signed text is one that GnuPG itself takes.
    let objects = stage
        .run(&["sif", "inspect", "spike.sif", "--json"])
        .ends(0)
        .json();
    let signature = objects["objects"]
        .as_array()
        .and_then(|it| it.last())
        .expect("a signature")["id"]
        .to_string();
    stage
        .run(&[
            "sif",
            "dump",
            "spike.sif",
            &signature,
            "-o",
            "signature.asc",
        ])
        .ends(0);
    gpg(&[
        "--verify",
        &stage.path("signature.asc").display().to_string(),
    ]);
    let other = "crates/spacktainers/tests/data/openpgp/beta.pub";
    fs::copy(
        crate::support::repository().join(other),
        stage.path("other.pub"),
    )
    .expect("copies");
    stage
        .run(&["sif", "verify", "spike.sif", "--key", "other.pub"])
        .ends(5);
    let mut bytes = fs::read(stage.path("spike.sif")).expect("a file");
    bytes[40_000] ^= 1;
    fs::write(stage.path("spike.sif"), bytes).expect("writes");
    stage.run(&verify).ends(5).says("has changed since");
}

#[test]
fn an_image_and_its_files_hold_the_same_and_one_changed_name_is_told() {
    let stage = Stage::demo();
    stage.build("oci:image:v1").ends(0);
    stage.run(&["sif", "oci:image:v1", "-o", "one.sif"]).ends(0);
    stage.build("squashfs:bare.squashfs").ends(0);
    for other in ["one.sif", "sif:one.sif", "bare.squashfs"] {
        stage
            .run(&["verify", "--same", "oci:image:v1", other])
            .ends(0)
            .says("hold the same files");
    }
    let definition = "Bootstrap: localimage\nFrom: one.sif\n\n%files\n    extra /opt/extra\n";
    stage.write("more.def", definition);
    stage.write("extra", "more\n");
    stage.run(&["sif", "more.def", "-o", "more.sif"]).ends(0);
    let ran = stage
        .run(&["verify", "--same", "oci:image:v1", "more.sif"])
        .ends(5)
        .says("/opt/extra: only the second has it")
        .says("differ in 1 names");
    assert!(!ran.stderr.contains(".singularity.d"), "{}", ran.stderr);
    stage.run(&["sif", "unpack", "more.sif", "tree"]).ends(0);
    assert_eq!(stage.read("tree/opt/extra"), "more\n");
    let script = fs::read_to_string(stage.path("tree/.singularity.d/bootstrap_history/Apptainer0"));
    assert_eq!(
        script.ok().as_deref(),
        Some("bootstrap: oci\nfrom: image:v1\n\n")
    );
    stage
        .run(&["sif", "unpack", "more.sif", "tree"])
        .ends(2)
        .says("is not empty");
}

// --- Apptainer ---------------------------------------------------------------------------------------------

#[test]
fn apptainer_lists_and_inspects_files_of_containers() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    let stage = Stage::demo();
    let file = apptainer.path("spike.sif");
    let target = format!("sif:{}", file.display());
    stage.build(&target).ends(0);
    let file = file.display().to_string();
    assert!(
        apptainer
            .says(&["sif", "list", &file])
            .contains("FS (Squashfs/*System/amd64)")
    );
    let labels = apptainer.says(&["inspect", "--json", &file]);
    assert!(
        labels.contains("\"org.opencontainers.image.title\": \"spike\""),
        "{labels}"
    );
    let environment = apptainer.says(&["inspect", "--environment", &file]);
    assert!(environment.contains("/opt/view/bin"), "{environment}");
    // Without a C library nothing of the demo starts; what lies there can be listed all the same.
    let listed = apptainer.run(&["exec", "--userns", &file, "/bin/true"]);
    assert!(!listed.status.success());
}
