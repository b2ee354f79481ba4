//! Bills, statements and signatures, against programs that others read them with.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use oci_format::Digest;
use serde_json::{Value, json};
use spack_format::lockfile::SpackLockfile;

use super::*;
use crate::base::{LockedBase, LockedDebian, LockedPackage};
use crate::lock::Lock;
use crate::lock::tests::{hash, lock};
use crate::test_support::skipped;

/// Made for these tests, in the form of `cosign generate-key-pair`; its password is [`PASSWORD`].
const KEY: &str = include_str!("tests/cosign.key");
const PUBLIC: &str = include_str!("tests/cosign.pub");
const PASSWORD: &str = "a password";

fn key() -> SigningKey {
    SigningKey::from_pem(KEY, Some(PASSWORD)).expect("the test key")
}

#[test]
fn keys_are_read_as_cosign_and_openssl_write_them() {
    assert_eq!(key().public().to_pem(), PUBLIC);
    let error = |text: &str, password| SigningKey::from_pem(text, password).unwrap_err();
    assert_eq!(error(KEY, None), KeyError::NoPassword);
    assert_eq!(error(KEY, Some("another")), KeyError::WrongPassword);
    assert_eq!(error("nothing", None), KeyError::NotPem);
    assert_eq!(error(PUBLIC, None), KeyError::Kind("PUBLIC KEY".to_owned()));
    let damaged = KEY.replacen('A', "B", 3);
    assert!(SigningKey::from_pem(&damaged, Some(PASSWORD)).is_err());
    assert!(!format!("{:?}", key()).contains("MIG"));

    for arguments in [
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ][..],
        &["ecparam", "-genkey", "-name", "prime256v1"],
    ] {
        let Ok(made) = Command::new("openssl").args(arguments).output() else {
            skipped("no openssl on PATH");
            return;
        };
        let text = String::from_utf8(made.stdout).expect("PEM");
        let key = SigningKey::from_pem(&text, None).expect("a key of openssl's");
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let signature = key.sign(b"message");
        fs::write(file("message"), "message").expect("a file");
        fs::write(file("key.pub"), key.public().to_pem()).expect("a file");
        let decoded =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &signature);
        fs::write(file("signature"), decoded.expect("base64")).expect("a file");
        let verified = Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .args([file("key.pub")])
            .arg("-signature")
            .args([file("signature"), file("message")])
            .output()
            .expect("runs");
        assert!(verified.status.success(), "{verified:?}");
    }
}

fn spack_lock() -> SpackLockfile {
    let node = |name: &str, letter: char, dependencies: Value| {
        json!({
            "name": name, "version": "1.0",
            "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64_v3"},
            "namespace": "builtin",
            "parameters": {"shared": true, "build_system": "generic", "cflags": []},
            "patches": [Digest::of(name.as_bytes()).hex()],
            "package_hash": "x",
            "dependencies": dependencies,
            "hash": hash(letter).to_string(),
        })
    };
    let needs = json!([{
        "name": "zlib", "hash": hash('a').to_string(),
        "parameters": {"deptypes": ["build", "link"], "virtuals": []},
    }]);
    let text = json!({
        "_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
        "roots": [{"hash": hash('b').to_string(), "spec": "curl"}],
        "concrete_specs": {
            hash('a').to_string(): node("zlib", 'a', json!([])),
            hash('b').to_string(): node("curl", 'b', needs),
        },
    });
    SpackLockfile::parse(&text.to_string()).expect("a lock")
}

fn on_debian() -> Lock {
    let mut lock = lock();
    lock.base = LockedBase::Debian(LockedDebian {
        origin: "debian".to_owned(),
        suite: "bookworm".to_owned(),
        architecture: "amd64".to_owned(),
        apt_sources: Vec::new(),
        layer: None,
        packages: vec![LockedPackage {
            name: "libstdc++6".to_owned(),
            version: "1:12.2.0-14".to_owned(),
            architecture: "amd64".to_owned(),
            suite: "bookworm".to_owned(),
            filename: "pool/main/g/gcc-12/libstdc++6_12.2.0-14_amd64.deb".to_owned(),
            size: 1,
            sha256: Digest::of(b"deb").hex(),
        }],
    });
    lock
}

/// The attachments of an image whose digest is that of `image`.
fn made(image: &[u8], key: Option<&SigningKey>) -> Vec<Artifact> {
    let licences = BTreeMap::from([
        (hash('a'), "Zlib".to_owned()),
        (hash('b'), "curl, or so".to_owned()),
    ]);
    let origin = Origin {
        repository: Some("https://git.example/us".to_owned()),
        commit: Some("c0ffee".repeat(7).chars().take(40).collect()),
        sources: vec![Source {
            name: "spack".to_owned(),
            url: "https://git.example/spack".to_owned(),
            commit: "1".repeat(40),
        }],
        ..Origin::default()
    };
    artifacts(&TrustInput {
        lock: &on_debian(),
        lock_digest: Digest::of(b"container.lock"),
        spack: &spack_lock(),
        image: Digest::of(image),
        created: "2026-01-02T03:04:05Z".to_owned(),
        licences: &licences,
        origin: &origin,
        tool: "spacktainers-0.1.0",
        key,
        repository: "registry.example/it",
    })
}

fn evidence(artifacts: &[Artifact]) -> Vec<Evidence> {
    let one = |it: &Artifact| Evidence {
        descriptor: it.descriptor.clone(),
        bytes: it.bytes.clone(),
    };
    artifacts.iter().map(one).collect()
}

#[test]
fn what_is_attached_can_be_verified_by_the_public_key_alone() {
    let (key, image) = (key(), Digest::of(b"image"));
    let all = made(b"image", Some(&key));
    assert_eq!(all, made(b"image", Some(&key)), "the same bytes each time");
    let public = VerifyingKey::from_pem(PUBLIC).expect("a public key");
    let findings = verify(&image, &evidence(&all), &public);
    findings
        .require(&Claim::ALL, &image, &public)
        .expect("all is well");
    assert!(findings.repositories.contains("registry.example/it"));
    let provenance = findings.provenance.expect("provenance").to_string();
    for part in [
        "c0ffee",
        "container.lock",
        "libstdc++6",
        "git+https://git.example/spack",
    ] {
        assert!(provenance.contains(part), "{part}: {provenance}");
    }

    // Of another image, by another key, or not signed at all, it says nothing.
    let of_other = verify(&image, &evidence(&made(b"other", Some(&key))), &public);
    assert_eq!(of_other.held.len(), 0);
    assert_eq!(of_other.of_others, 4);
    let unsigned = verify(&image, &evidence(&made(b"image", None)), &public);
    let error = unsigned
        .require(&[Claim::Signature], &image, &public)
        .unwrap_err();
    assert!(matches!(error, VerifyError::Missing { .. }), "{error}");
    let other = SigningKey::from_pem(
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8goAoGCCqGSM49\nAwEHoUQDQgAEUVw9P4QAKuxTvRgPMDDY+Up0+l/dHk0gDXaBYZpaD5A\n-----END EC PRIVATE KEY-----\n",
        None,
    );
    assert!(other.is_err(), "damaged");

    // A changed payload, and a bill that somebody put there instead.
    let mut changed = evidence(&all);
    for it in &mut changed {
        let text =
            String::from_utf8_lossy(&it.bytes).replace("registry.example", "registry.invalid");
        it.bytes = text.into_bytes();
    }
    assert!(
        !verify(&image, &changed, &public)
            .held
            .contains(&Claim::Signature)
    );
    let mut replaced = evidence(&all);
    replaced[0].bytes = json!({"spdxVersion": "SPDX-2.3"}).to_string().into_bytes();
    let findings = verify(&image, &replaced, &public);
    let error = findings.require(&Claim::ALL, &image, &public).unwrap_err();
    assert!(matches!(error, VerifyError::Unvouched(_)), "{error}");
}

/// A Python interpreter that has `module`.
fn python_with(module: &str) -> Option<String> {
    let candidates = std::env::var("SPACKTAINERS_PYTHON");
    let candidates = candidates.into_iter().chain(["python3".to_owned()]);
    let found = candidates.into_iter().find(|python| {
        let import = format!("import {module}");
        let output = Command::new(python).args(["-c", &import]).output();
        output.is_ok_and(|it| it.status.success())
    });
    if found.is_none() {
        skipped(&format!("no Python that has {module}"));
    }
    found
}

#[test]
fn bills_are_valid_by_the_validators_of_their_specifications() {
    let all = made(b"image", None);
    let [spdx, cyclonedx] = all.as_slice() else {
        panic!("two bills");
    };
    let text = String::from_utf8_lossy(&spdx.bytes);
    for part in [
        "pkg:spack/builtin/zlib@1.0?hash=",
        "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14?arch=amd64&distro=bookworm",
        "\"licenseDeclared\":\"Zlib\"",
        "LicenseRef-spack-curl--or-so",
        "PATCH_FOR",
        "DEPENDS_ON",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let judge = |module: &str, script: &str, document: std::path::PathBuf| {
        let Some(python) = python_with(module) else {
            return;
        };
        let judged = Command::new(python)
            .args(["-c", script])
            .arg(document)
            .output()
            .expect("runs");
        assert!(
            judged.status.success(),
            "{}{}",
            String::from_utf8_lossy(&judged.stdout),
            String::from_utf8_lossy(&judged.stderr)
        );
    };
    judge(
        "spdx_tools",
        "import sys\n\
         from spdx_tools.spdx.parser.parse_anything import parse_file\n\
         from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document\n\
         faults = validate_full_spdx_document(parse_file(sys.argv[1]))\n\
         sys.exit('\\n'.join(str(it) for it in faults) or 0)",
        file("it.spdx.json", &spdx.bytes),
    );
    judge(
        "cyclonedx",
        "import sys\n\
         from cyclonedx.schema import SchemaVersion\n\
         from cyclonedx.validation.json import JsonStrictValidator\n\
         fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())\n\
         sys.exit(str(fault) if fault else 0)",
        file("it.cdx.json", &cyclonedx.bytes),
    );
}
