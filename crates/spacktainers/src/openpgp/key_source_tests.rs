//! Keys in files and in a real GnuPG, protected and not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::*;

/// A home of GnuPG. Its agent ends with it.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// With a new key of this passphrase.
    fn with_key(passphrase: &str) -> Option<(Self, String)> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("sets");
        fs::write(
            folder.path().join("gpg-agent.conf"),
            "allow-preset-passphrase\nallow-loopback-pinentry\n",
        )
        .expect("writes");
        let home = Self { folder };
        let made = home.gpg(&[
            "--batch",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            passphrase,
            "--quick-generate-key",
            "Tester <tester@example.invalid>",
            "ed25519",
            "sign",
            "never",
        ]);
        if made.is_none() {
            crate::test_support::skipped("gpg is not installed");
            return None;
        }
        let listed = home.gpg(&["--with-colons", "--list-secret-keys"])?;
        let fingerprint = listed.lines().find_map(|it| it.strip_prefix("fpr:"));
        let fingerprint = fingerprint.expect("a key").trim_matches(':').to_owned();
        Some((home, fingerprint))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn gpg(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("gpg")
            .arg("--homedir")
            .arg(self.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends the agent, with what it remembers.
    fn forget(&self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.path())
            .args(["--kill", "gpg-agent"])
            .output();
    }

    fn source(&self, id: &str, passphrase: Option<&str>) -> Result<SecretKey, SignError> {
        SecretKey::of_gpg_in(self.path(), id, passphrase)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Signs, and has it checked with the public key that it gives.
fn signs(key: &SecretKey) -> ClearSigned {
    let now = SystemTime::now();
    let signed = key.clear_sign("one\n- two\nthree \n", now).expect("signs");
    let public = PublicKeys::parse(key.public_key().expect("a key").as_bytes()).expect("a key");
    let verified = verify(&signed.message, &public, now).expect("a good signature");
    assert_eq!(verified.text, "one\n- two\nthree");
    assert_eq!(hex::encode_upper(&signed.fingerprint), verified.fingerprint);
    signed
}

#[test]
fn keys_of_gnupg_sign_with_its_agent_or_a_passphrase() {
    let Some((home, fingerprint)) = Home::with_key("open sesame") else {
        return;
    };
    // Nobody can be asked, and the agent does not know it yet.
    home.forget();
    let wrong = home.source(&fingerprint, Some("wrong")).expect("a key");
    let error = wrong.clear_sign("text\n", SystemTime::now());
    assert!(matches!(error, Err(SignError::Gpg(_))), "{error:?}");
    let key = home.source(&fingerprint[24..], Some("open sesame"));
    let key = key.expect("a key");
    assert_eq!(key.fingerprint(), fingerprint);
    signs(&key);
    // The agent remembers. Texts may be longer than what pipes hold.
    let key = home.source(&fingerprint, None).expect("a key");
    signs(&key);
    let long = "a line of a long text\n".repeat(20_000);
    let signed = key.clear_sign(&long, SystemTime::now()).expect("signs");
    assert!(signed.message.len() > long.len());

    // The same key in a file.
    let armoured = home.gpg(&[
        "--batch",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "open sesame",
        "--armor",
        "--export-secret-keys",
        &fingerprint,
    ]);
    let file = home.path().join("secret.asc");
    fs::write(&file, armoured.expect("a key")).expect("writes");
    let source = KeySource::new("secret.asc", home.path());
    assert!(matches!(source.load(None), Err(SignError::Locked)));
    assert!(matches!(
        source.load(Some("wrong")),
        Err(SignError::Passphrase)
    ));
    let key = source.load(Some("open sesame")).expect("unlocks");
    assert_eq!(key.fingerprint(), fingerprint);
    signs(&key);
}

#[test]
fn what_is_no_key_is_said() {
    let Some((home, _)) = Home::with_key("") else {
        return;
    };
    let unknown = "0123456789ABCDEF0123456789ABCDEF01234567";
    let error = home.source(unknown, None);
    assert!(matches!(error, Err(SignError::NoSuchKey(_))), "{error:?}");
    for id in ["", "tester@example.invalid", "--version", "0123"] {
        let error = home.source(id, None);
        assert!(matches!(error, Err(SignError::KeyId(_))), "{id}: {error:?}");
    }
    let absent = KeySource::new("absent.asc", home.path()).load(None);
    assert!(matches!(absent, Err(SignError::Read { .. })), "{absent:?}");
    let text = include_str!("../../tests/data/openpgp/alpha.secret");
    let source = KeySource::new(text, Path::new("/"));
    assert!(!format!("{source:?}").contains("BEGIN"));
    // A passphrase that is not needed.
    signs(&source.load(Some("unused")).expect("a key"));
}
