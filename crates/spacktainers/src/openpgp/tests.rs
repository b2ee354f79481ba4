//! The verdicts, on stored signatures, on Spack's own, and beside those of `gpg` itself.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::*;
use crate::test_support::{fixtures, sign_as_alpha};

const ALPHA: &str = "341DDE1A0845DFB9EA90AC1411E09B00BC327572";
const BETA: &str = "512693D00CBB6C69367985CB1A57E635338AD023";
const BETA_SUBKEY: &str = "0F965DAEA346B38B8FDF399E1CF77D7B67C6EDF1";
const TEXT: &str = "{\n\"a\": 1,\n-dash\n- item\n\n\"grüße\": \"x\"\n}";

const ALPHA_PUB: &[u8] = include_bytes!("../../tests/data/openpgp/alpha.pub");
const BETA_PUB: &[u8] = include_bytes!("../../tests/data/openpgp/beta.pub");
const ALPHA_SECRET: &[u8] = include_bytes!("../../tests/data/openpgp/alpha.secret");
const ALPHA_SIGNED: &str = include_str!("../../tests/data/openpgp/alpha.asc");
const BETA_SIGNED: &str = include_str!("../../tests/data/openpgp/beta.asc");

/// 2026-03-01: after the signatures, before the subkey expires.
fn spring() -> SystemTime {
    at(1_772_323_200)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn keys(bytes: &[u8]) -> PublicKeys {
    PublicKeys::parse(bytes).expect("a key")
}

#[test]
fn a_signed_text_comes_back_without_dashes_and_trailing_blanks() {
    let verified = verify(ALPHA_SIGNED, &keys(ALPHA_PUB), spring()).expect("good");
    assert_eq!(verified.text, TEXT);
    assert_eq!(verified.fingerprint, ALPHA);
    assert_eq!(verified.reservations, []);
    assert_eq!(unverified_text(ALPHA_SIGNED).expect("framed"), TEXT);
}

#[test]
fn a_subkey_signs_for_its_primary_key() {
    let verified = verify(BETA_SIGNED, &keys(BETA_PUB), spring()).expect("good");
    assert_eq!(verified.fingerprint, BETA_SUBKEY);
    assert_eq!(verified.primary_fingerprint, BETA);
}

#[test]
fn line_ends_of_another_system_do_not_matter() {
    let crlf = BETA_SIGNED.replace('\n', "\r\n");
    assert_eq!(
        verify(&crlf, &keys(BETA_PUB), spring()).expect("good").text,
        TEXT
    );
}

#[test]
fn several_keys_may_lie_in_one_file_armoured_or_not() {
    let both = keys(&[ALPHA_PUB, BETA_PUB].concat());
    assert_eq!(both.fingerprints(), [ALPHA, BETA]);
    for signed in [ALPHA_SIGNED, BETA_SIGNED] {
        verify(signed, &both, spring()).expect("good");
    }
    let mut joined = keys(ALPHA_PUB);
    joined.extend(keys(BETA_PUB));
    verify(BETA_SIGNED, &joined, spring()).expect("good");
}

#[test]
fn an_unknown_key_is_named() {
    let error = verify(ALPHA_SIGNED, &keys(BETA_PUB), spring()).expect_err("not beta's");
    assert!(
        matches!(&error, SignatureError::UnknownKey { issuers } if issuers == ALPHA),
        "{error}"
    );
    let none = verify(ALPHA_SIGNED, &PublicKeys::default(), spring()).expect_err("no keys");
    assert!(matches!(none, SignatureError::UnknownKey { .. }));
}

#[test]
fn a_changed_text_is_bad_and_an_unsigned_one_is_not_signed() {
    let changed = ALPHA_SIGNED.replace("\"a\": 1", "\"a\": 2");
    let error = verify(&changed, &keys(ALPHA_PUB), spring()).expect_err("changed");
    assert!(matches!(error, SignatureError::Bad { .. }), "{error}");
    let error = verify(TEXT, &keys(ALPHA_PUB), spring()).expect_err("unsigned");
    assert!(matches!(error, SignatureError::NotSigned), "{error}");
}

#[test]
fn what_stands_around_the_signed_text_is_refused() {
    let keys = keys(ALPHA_PUB);
    for text in [
        format!("{{}}\n{ALPHA_SIGNED}"),
        format!("{ALPHA_SIGNED}{{}}\n"),
        ALPHA_SIGNED.replacen("Hash: SHA256\n", "Hash: SHA256\n{\"evil\": 1}\n", 1),
        ALPHA_SIGNED.replacen("Hash: SHA256\n", "Comment: evil\n", 1),
        ALPHA_SIGNED.replace("- -dash", "-dash"),
        ALPHA_SIGNED.replace("\"a\": 1", "\"a\": \r1"),
        ALPHA_SIGNED.replace("-----END PGP SIGNATURE-----", ""),
        ALPHA_SIGNED
            .split("-----BEGIN PGP SIGNATURE")
            .next()
            .unwrap_or_default()
            .to_owned(),
    ] {
        verify(&text, &keys, spring()).expect_err(&text);
    }
}

#[test]
fn cutting_or_changing_any_byte_never_panics_and_never_changes_the_text() {
    let keys = keys(BETA_PUB);
    for index in 0..BETA_SIGNED.len() {
        let mut bytes = BETA_SIGNED.as_bytes().to_vec();
        bytes[index] ^= 0x01;
        for variant in [&bytes[..], &bytes[..index]] {
            if let Ok(verified) = verify(&String::from_utf8_lossy(variant), &keys, spring()) {
                assert_eq!(verified.text, TEXT, "byte {index}");
            }
        }
    }
}

#[test]
fn a_key_that_has_expired_since_is_good_with_a_reservation() {
    let later = at(1_830_000_000);
    let verified = verify(BETA_SIGNED, &keys(BETA_PUB), later).expect("good, as gpg says");
    assert_eq!(verified.reservations, [Reservation::KeyExpired]);
    let earlier = at(1_769_000_000);
    let verified = verify(BETA_SIGNED, &keys(BETA_PUB), earlier).expect("good, as gpg says");
    assert_eq!(verified.reservations, [Reservation::FromTheFuture]);
}

#[test]
fn files_without_a_usable_key_say_what_they_are() {
    assert!(matches!(PublicKeys::parse(b"hello"), Err(KeyError::NoKey)));
    assert!(matches!(PublicKeys::parse(b""), Err(KeyError::NoKey)));
    assert!(matches!(
        PublicKeys::parse(ALPHA_SECRET),
        Err(KeyError::Secret)
    ));
    assert!(PublicKeys::parse(&ALPHA_PUB[..200]).is_err());
    assert!(PublicKeys::parse(&[0xff; 100]).is_err());
}

#[test]
fn a_text_of_a_hundred_thousand_lines_is_checked_in_no_time() {
    let long = "\"key\": \"value\",\n".repeat(200_000);
    let signed = sign_as_alpha(&long);
    let start = std::time::Instant::now();
    verify(&signed, &keys(ALPHA_PUB), SystemTime::now()).expect("good");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn every_manifest_that_spack_signed_is_good() {
    let Some(fixtures) = fixtures() else { return };
    let key = fs::read(fixtures.join("caches/signing-key.pub")).expect("the public key");
    let keys = keys(&key);
    let mut seen = 0;
    for cache in [
        "caches/small-v3/v3/manifests/spec",
        "caches/tiny-v2/build_cache",
    ] {
        for path in files(&fixtures.join(cache)) {
            let name = path.to_string_lossy();
            if name.ends_with(".spec.manifest.json") || name.ends_with(".spec.json.sig") {
                let text = fs::read_to_string(&path).expect("reads");
                let verified = verify(&text, &keys, SystemTime::now()).expect("good");
                assert!(verified.text.starts_with('{') && verified.text.ends_with('}'));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 17);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("lists").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// A key ring of its own for `gpg`, or nothing where there is no `gpg`.
struct Gpg {
    home: tempfile::TempDir,
}

impl Gpg {
    fn new() -> Option<Self> {
        if Command::new("gpg").arg("--version").output().is_err() {
            let _ = writeln!(io::stderr(), "SKIPPED: no gpg on PATH");
            return None;
        }
        // Below /tmp and short: gpg's agent has a socket in it, and their names must be short.
        let home = tempfile::Builder::new()
            .prefix("gpg")
            .tempdir_in("/tmp")
            .expect("directory");
        Some(Self { home })
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("gpg")
            .args([
                "--batch",
                "--yes",
                "--quiet",
                "--no-greeting",
                "--pinentry-mode",
                "loopback",
            ])
            .args(["--passphrase", "", "--homedir"])
            .arg(self.home.path())
            .args(arguments)
            .output()
            .expect("gpg runs")
    }

    fn must(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "gpg {arguments:?}: {said}");
        output.stdout
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, bytes).expect("writes");
        path.to_string_lossy().into_owned()
    }

    fn sign(&self, who: &str, more: &[&str], text: &str) -> String {
        let path = self.file("text", text);
        let arguments = [more, &["-u", who, "--output", "-", "--clearsign", &path]].concat();
        String::from_utf8(self.must(&arguments)).expect("UTF-8")
    }

    fn accepts(&self, text: &str) -> bool {
        let path = self.file("signed", text);
        self.run(&["--verify", &path]).status.success()
    }

    fn export(&self, who: &str) -> PublicKeys {
        keys(&self.must(&["--armor", "--export", who]))
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .output();
    }
}

#[test]
fn gpg_accepts_what_our_tests_sign_and_we_what_gpg_signs() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.must(&["--import", &gpg.file("key", ALPHA_SECRET)]);
    let odd = "-----BEGIN PGP SIGNATURE-----\n\n- \n--\ntrailing \t \n\tgrüße\n";
    assert!(gpg.accepts(&sign_as_alpha(odd)));
    for text in [odd, "", "\n", "one line", "{\n}\n"] {
        let signed = gpg.sign(ALPHA, &[], text);
        assert!(gpg.accepts(&signed));
        let verified = verify(&signed, &keys(ALPHA_PUB), SystemTime::now()).expect("good");
        let expected: Vec<_> = text
            .lines()
            .map(|line| line.trim_end_matches([' ', '\t']))
            .collect();
        assert_eq!(
            verified.text.trim_end_matches('\n'),
            expected.join("\n").trim_end_matches('\n')
        );
    }
}

#[test]
fn every_algorithm_that_gpg_offers_is_understood() {
    let Some(gpg) = Gpg::new() else { return };
    for algorithm in ["rsa2048", "ed25519", "nistp256", "dsa2048"] {
        let who = format!("{algorithm}@example.org");
        gpg.must(&["--quick-gen-key", &who, algorithm, "sign", "never"]);
        for hash in ["SHA256", "SHA512"] {
            let signed = gpg.sign(&who, &["--digest-algo", hash], "text\n");
            let verified = verify(&signed, &gpg.export(&who), SystemTime::now());
            assert_eq!(verified.expect(algorithm).reservations, []);
        }
        if algorithm == "rsa2048" {
            let signed = gpg.sign(&who, &["--digest-algo", "SHA1"], "text\n");
            let verified = verify(&signed, &gpg.export(&who), SystemTime::now());
            assert!(
                matches!(verified, Err(SignatureError::WeakHash { .. })),
                "{verified:?}"
            );
        }
    }
}

#[test]
fn an_expired_signature_is_refused_as_gpg_does() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.must(&["--import", &gpg.file("key", ALPHA_SECRET)]);
    let past = [
        "--faked-system-time",
        "20260201T000000",
        "--default-sig-expire",
        "5d",
    ];
    let signed = gpg.sign(ALPHA, &past, "text\n");
    assert!(!gpg.accepts(&signed));
    let expired = verify(&signed, &keys(ALPHA_PUB), spring());
    assert!(
        matches!(expired, Err(SignatureError::Expired { .. })),
        "{expired:?}"
    );
    // 2026-02-03.
    verify(&signed, &keys(ALPHA_PUB), at(1_770_076_800)).expect("still good then");
}

#[test]
fn a_revoked_key_signs_nothing_unless_it_was_only_replaced() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.must(&["--import", &gpg.file("key", ALPHA_SECRET)]);
    let signed = gpg.sign(ALPHA, &["--faked-system-time", "20260201T000000"], "text\n");
    let revoked = |reason: &str| {
        let gpg = Gpg::new().expect("was there before");
        gpg.must(&["--import", &gpg.file("key", ALPHA_SECRET)]);
        let commands = gpg.file("commands", format!("y\n{reason}\n\ny\n"));
        let output = Command::new("gpg")
            .args([
                "--yes",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .arg("--homedir")
            .arg(gpg.home.path())
            .args([
                "--faked-system-time",
                "20260601T000000",
                "--command-fd",
                "0",
            ])
            .args(["--gen-revoke", ALPHA])
            .stdin(fs::File::open(commands).expect("opens"))
            .output()
            .expect("gpg runs");
        gpg.must(&["--import", &gpg.file("revocation", output.stdout)]);
        gpg.export(ALPHA)
    };
    let (compromised, superseded) = (revoked("1"), revoked("2"));
    let error = verify(&signed, &compromised, SystemTime::now()).expect_err("compromised");
    assert!(
        matches!(error, SignatureError::KeyRevoked { .. }),
        "{error}"
    );
    let verified = verify(&signed, &superseded, SystemTime::now()).expect("made before");
    assert_eq!(verified.reservations, [Reservation::KeyRetired]);
    let late = gpg.sign(ALPHA, &["--faked-system-time", "20260701T000000"], "text\n");
    let error = verify(&late, &superseded, SystemTime::now()).expect_err("made after");
    assert!(
        matches!(error, SignatureError::KeyRevoked { .. }),
        "{error}"
    );
}

#[test]
fn a_text_signed_twice_needs_one_known_key() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.must(&["--import", &gpg.file("key", ALPHA_SECRET)]);
    gpg.must(&[
        "--quick-gen-key",
        "other@example.org",
        "ed25519",
        "sign",
        "never",
    ]);
    let signed = gpg.sign(ALPHA, &["-u", "other@example.org"], "text\n");
    for keys in [keys(ALPHA_PUB), gpg.export("other@example.org")] {
        verify(&signed, &keys, SystemTime::now()).expect("one of the two");
    }
    verify(&signed, &keys(BETA_PUB), SystemTime::now()).expect_err("neither");
}

#[test]
fn a_key_for_encryption_cannot_sign() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.must(&[
        "--quick-gen-key",
        "e@example.org",
        "rsa2048",
        "encr",
        "never",
    ]);
    // The primary key certifies, which is not signing either.
    let exported = gpg.must(&["--armor", "--export", "e@example.org"]);
    let error = PublicKeys::parse(&exported).expect_err("nothing to sign with");
    assert!(matches!(error, KeyError::CannotSign { .. }), "{error}");
}
