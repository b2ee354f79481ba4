//! Signatures: Apptainer verifies ours, and we verify Apptainer's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use super::{Apptainer, images, partition};
use crate::support::{Stage, has};

/// Makes a key without a passphrase, and writes its halves to `NAME.pub` and `NAME.sec`.
fn key(apptainer: &Apptainer, algorithm: &str) {
    let home = apptainer.path("gnupg");
    fs::create_dir_all(&home).expect("a folder");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("private");
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command
            .arg("--homedir")
            .arg(&home)
            .args(["--batch", "--quiet"]);
        let output = command.args(args).output().expect("gpg starts");
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let user = format!("{algorithm}@example.org");
    gpg(&[
        "--passphrase",
        "",
        "--quick-gen-key",
        &user,
        algorithm,
        "sign",
        "never",
    ]);
    let public = gpg(&["--armor", "--export", &user]);
    fs::write(apptainer.path(&format!("{algorithm}.pub")), public).expect("a file");
    let secret = gpg(&["--armor", "--export-secret-keys", &user]);
    fs::write(apptainer.path(&format!("{algorithm}.sec")), secret).expect("a file");
}

#[test]
fn each_verifies_what_the_other_signed() {
    let Some(apptainer) = Apptainer::find() else {
        return;
    };
    if !has("gpg") {
        return;
    }
    let stage = Stage::empty();
    images::layout_of(&stage.path("layout"), &[images::mount_points()], &json!({}));
    for algorithm in ["ed25519", "rsa2048"] {
        key(&apptainer, algorithm);
        let at = |name: &str| {
            apptainer
                .path(&format!("{algorithm}{name}"))
                .display()
                .to_string()
        };
        let (ours, theirs) = (at("-ours.sif"), at("-theirs.sif"));
        stage.run(&["sif", "oci:layout", "-o", &ours]).ends(0);
        fs::copy(&ours, &theirs).expect("copies");

        let unsigned = apptainer.run(&["verify", "--local", &ours]);
        assert!(
            !unsigned.status.success(),
            "{algorithm}: nothing is signed yet"
        );
        stage
            .run(&["sif", "sign", &ours, "--key", &at(".sec")])
            .ends(0);
        // Its public half comes with it.
        apptainer.says(&["key", "import", &at(".sec")]);
        let verified = apptainer.says(&["verify", "--local", "--all", &ours]);
        // The definition, the two objects that Apptainer writes as well, our own, and the file system.
        assert_eq!(
            verified.matches("|NONE    |").count(),
            5,
            "{algorithm}: {verified}"
        );

        let number = if algorithm == "ed25519" { "0" } else { "1" };
        // Asked for the key's passphrase, which is empty.
        apptainer.says_to("\n", &["sign", "--keyidx", number, &theirs]);
        stage
            .run(&["sif", "verify", &theirs, "--key", &at(".pub")])
            .ends(0)
            .says("good");

        for file in [&ours, &theirs] {
            let place = partition(file.as_ref()).0 as usize + 200;
            let mut bytes = fs::read(file).expect("a file");
            bytes[place] ^= 1;
            fs::write(file, bytes).expect("writes");
            let changed = apptainer.run(&["verify", "--local", file]);
            assert!(!changed.status.success(), "{algorithm}: {file} has changed");
            stage
                .run(&["sif", "verify", file, "--key", &at(".pub")])
                .ends(5);
        }
    }
}
