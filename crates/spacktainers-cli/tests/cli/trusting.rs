//! What is attached to a published image, who can verify it, and what keeps an image from being published.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::fault_proxy::ask;
use crate::support::{Ran, Registry, Stage, has, repository, skipped};

/// A key of the tests of the library, in cosign's form.
const PASSWORD: &str = "a password";

fn test_data(name: &str) -> String {
    let folder = repository().join("crates/spacktainers/src/trust/tests");
    fs::read_to_string(folder.join(name)).expect("test data")
}

struct Setup {
    stage: Stage,
    registry: Registry,
}

impl Setup {
    fn new() -> Option<Self> {
        let registry = Registry::start()?;
        let stage = Stage::demo();
        let settings = stage.read("spacktainers.toml");
        let targets = format!(
            "[publish.production]\ntargets = [\"docker://{0}/team/{{name}}\"]\n[publish.users]\ntargets = [\"docker://{0}/users/{{name}}\"]\n\
             [trust]\npublic_key = \"cosign.pub\"\n",
            registry.address
        );
        stage.write("spacktainers.toml", &format!("{settings}\n{targets}"));
        stage.write("cosign.pub", &test_data("cosign.pub"));
        Some(Self { stage, registry })
    }

    fn publish(&self, more: &[(&str, &str)]) -> Ran {
        let arguments = [
            "publish",
            "--allow-missing-libraries",
            "--branch",
            "main",
            "--environment",
            "production",
            "--json",
        ];
        let mut command = self.stage.command(&arguments);
        command
            .env("COSIGN_PRIVATE_KEY", test_data("cosign.key"))
            .env("COSIGN_PASSWORD", PASSWORD);
        for (name, value) in more {
            command.env(name, value);
        }
        Ran::of(command.output().expect("the program runs"))
    }

    fn image(&self) -> String {
        format!("{}/team/spike", self.registry.address)
    }
}

#[test]
fn what_is_published_can_be_verified_by_others() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let first = setup.publish(&[]).ends(0).json();
    let digest = first["digest"].as_str().expect("a digest").to_owned();
    let attached = first["targets"][0]["attachments"].as_array().map(Vec::len);
    assert_eq!(attached, Some(6), "{first}");

    // By name, by address, and with the key alone.
    let verified = setup
        .stage
        .run(&["verify", "spike", "--environment", "production", "--json"])
        .ends(0)
        .json();
    assert_eq!(verified["digest"], json!(digest));
    let held = json!(["signature", "spdx", "cyclonedx", "provenance"]);
    assert_eq!(verified["held"], held);
    let image = format!("docker://{}:1.0.0", setup.image());
    let key = setup.stage.path("cosign.pub").display().to_string();
    let elsewhere = Stage::empty();
    let arguments = ["verify", &image, "--key", &key];
    elsewhere
        .run(&arguments)
        .ends(0)
        .says("vouched for by the key");

    // Nobody else's key vouches for it.
    if has("openssl") {
        let made = Command::new("openssl")
            .args(["ecparam", "-genkey", "-name", "prime256v1", "-noout"])
            .output()
            .expect("openssl runs");
        elsewhere.write("other.key", &String::from_utf8_lossy(&made.stdout));
        let public = Command::new("openssl")
            .args(["ec", "-pubout", "-in"])
            .arg(elsewhere.path("other.key"))
            .output()
            .expect("openssl runs");
        elsewhere.write("other.pub", &String::from_utf8_lossy(&public.stdout));
        let other = elsewhere.path("other.pub").display().to_string();
        elsewhere
            .run(&["verify", &image, "--key", &other])
            .ends(5)
            .says("has no signature");
    }

    // skopeo lets it pass by its own policy, and nothing with another key.
    if !has("skopeo") {
        skipped("no skopeo on PATH");
        return;
    }
    let policy = |key: &str| {
        json!({
            "default": [{"type": "reject"}],
            "transports": {"docker": {setup.registry.address.clone(): [{
                "type": "sigstoreSigned",
                "keyPath": key,
                "signedIdentity": {"type": "exactRepository", "dockerRepository": setup.image()},
            }]}},
        })
    };
    let registries = format!(
        "docker:\n  {}:\n    use-sigstore-attachments: true\n",
        setup.registry.address
    );
    elsewhere.write("registries.d/ours.yaml", &registries);
    let copy = |key: &str, to: &str| {
        elsewhere.write("policy.json", &policy(key).to_string());
        Command::new("skopeo")
            .arg("--policy")
            .arg(elsewhere.path("policy.json"))
            .arg("--registries.d")
            .arg(elsewhere.path("registries.d"))
            .args(["copy", "--src-tls-verify=false", &image])
            .arg(format!("dir:{}", elsewhere.path(to).display()))
            .output()
            .expect("skopeo runs")
    };
    let copied = copy(&key, "copied");
    let told = String::from_utf8_lossy(&copied.stderr);
    if told.contains("sigstore disabled") {
        skipped("this skopeo was built without sigstore");
        return;
    }
    assert!(copied.status.success(), "{told}");
    if has("openssl") {
        let other = elsewhere.path("other.pub").display().to_string();
        assert!(!copy(&other, "refused").status.success());
    }
}

#[test]
fn signatures_are_where_cosign_looks_and_verify_by_openssl() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let first = setup.publish(&[]).ends(0).json();
    let digest = first["digest"].as_str().expect("a digest").to_owned();
    let blob = |path: &str| {
        let path = format!("/v2/team/spike/{path}");
        let (status, _, body) = ask(&setup.registry.address, "GET", &path);
        assert_eq!(status, 200, "{path}");
        body
    };
    let fallback = digest.replace(':', "-");
    let listed = |tag: &str| -> Value {
        serde_json::from_slice(&blob(&format!("manifests/{tag}"))).expect("JSON")
    };
    let signed = listed(&format!("{fallback}.sig"));
    let layer = &signed["layers"][0];
    let payload = blob(&format!(
        "blobs/{}",
        layer["digest"].as_str().expect("a digest")
    ));
    let said: Value = serde_json::from_slice(&payload).expect("JSON");
    let critical = &said["critical"];
    assert_eq!(critical["image"]["docker-manifest-digest"], json!(digest));
    assert_eq!(
        critical["identity"]["docker-reference"],
        json!(setup.image())
    );
    if has("openssl") {
        let stage = &setup.stage;
        fs::write(stage.path("payload"), &payload).expect("a file");
        let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str();
        stage.write("signature", signature.expect("a signature"));
        let verify = "base64 -d signature > signature.der && \
             openssl dgst -sha256 -verify cosign.pub -signature signature.der payload";
        let verified = Command::new("sh")
            .args(["-c", verify])
            .current_dir(stage.path(""))
            .output()
            .expect("sh runs");
        assert!(verified.status.success(), "{verified:?}");
    } else {
        skipped("no openssl on PATH");
    }

    // Promoted, it is vouched for as well, and found in both ways.
    let promote = [
        "promote",
        "spike",
        "--from",
        "production",
        "--to",
        "users",
        "--branch",
        "main",
    ];
    setup.stage.run(&promote).ends(0);
    let verify = ["verify", "spike", "--environment", "users"];
    setup.stage.run(&verify).ends(0).says("provenance");
    let path = format!("/v2/users/spike/manifests/{fallback}.sig");
    let (status, _, _) = ask(&setup.registry.address, "GET", &path);
    assert_eq!(status, 200, "{path}");

    // Again: nothing is sent, nothing is added.
    assert_eq!(
        listed(&fallback)["manifests"].as_array().map(Vec::len),
        Some(6)
    );
    assert_eq!(
        listed(&format!("{fallback}.sig"))["layers"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    setup.publish(&[]).ends(0);
    assert_eq!(
        listed(&fallback)["manifests"].as_array().map(Vec::len),
        Some(6)
    );
}

/// A secret is made here, so that no file of this project holds one.
fn canary() -> String {
    format!("canary-{}-{}", "0123456789", "abcdefgh")
}

#[test]
fn secrets_are_neither_published_nor_shown() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let canary = canary();
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let folder = "container_definitions/amd64/spike";
    for (file, text, what) in [
        (
            "container.toml",
            format!("[env]\nTOKEN = \"{canary}\"\n"),
            "the value of MY_TOKEN",
        ),
        (
            "container.toml",
            format!("[labels]\nnote = \"{token}\"\n"),
            "a GitHub token",
        ),
        (
            "Dockerfile.epilogue",
            format!("COPY <<EOF /etc/it\n{canary}\nEOF\n"),
            "the value of MY_TOKEN",
        ),
    ] {
        let path = format!("{folder}/{file}");
        setup.stage.write(&path, &text);
        let ran = setup.publish(&[("MY_TOKEN", &canary)]);
        let ran = ran.ends(5).says(what);
        for output in [&ran.stdout, &ran.stderr] {
            assert!(!output.contains(&canary), "{output}");
        }
        let (status, _, _) = ask(
            &setup.registry.address,
            "GET",
            "/v2/team/spike/manifests/1.0.0",
        );
        assert_eq!(status, 404, "nothing is published");
        fs::remove_file(setup.stage.path(&path)).expect("removed");
    }
    // What is known to be harmless.
    let path = format!("{folder}/container.toml");
    setup
        .stage
        .write(&path, &format!("[labels]\nnote = \"{token}\"\n"));
    let settings = setup.stage.read("spacktainers.toml");
    let allowed =
        "[secrets]\nallow = [\"container_definitions/*/*/container.toml\", \"the image's *\"]\n";
    setup
        .stage
        .write("spacktainers.toml", &format!("{settings}\n{allowed}"));
    let ran = setup.publish(&[("MY_TOKEN", &canary)]).ends(0);
    assert!(!ran.stdout.contains(&canary) && !ran.stderr.contains(&canary));
}

#[test]
fn an_image_that_fails_its_tests_is_not_published() {
    if !has("bwrap") {
        skipped("no bubblewrap on PATH");
        return;
    }
    let Some(setup) = Setup::new() else {
        return;
    };
    // There is nothing below its packages, so that tests cannot be run: that is no reason to believe they would pass.
    let path = "container_definitions/amd64/spike/container.toml";
    setup.stage.write(path, "tests = [\"spike --version\"]\n");
    let ran = setup.publish(&[]);
    ran.ends(5).says("there is no shell in it");
    let (status, _, _) = ask(
        &setup.registry.address,
        "GET",
        "/v2/team/spike/manifests/1.0.0",
    );
    assert_eq!(status, 404, "no name means it");
}
