//! What the tests of several modules need.

pub(crate) mod counting;
pub(crate) mod docker_registry;
pub(crate) mod http_server;
pub(crate) mod moto;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Password, Timestamp};

/// The directory of real build caches, or nothing where there is none.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let directory = std::env::var_os("SPACKTAINERS_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    if directory.is_dir() {
        return Some(directory);
    }
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: no fixtures at {}; set SPACKTAINERS_FIXTURES",
        directory.display()
    );
    None
}

/// Says that a test did not run, and why.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}

/// Clear-signs `text` with the test key `alpha`, as `gpg --clearsign` does.
pub(crate) fn sign_as_alpha(text: &str) -> String {
    let secret = include_str!("../tests/data/openpgp/alpha.secret");
    let (key, _) = SignedSecretKey::from_string(secret).expect("the test key");
    let key = &key.primary_key;
    let now = Timestamp::try_from(SystemTime::now()).expect("before 2106");
    let mut config =
        SignatureConfig::v4(SignatureType::Text, key.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = [
        SubpacketData::SignatureCreationTime(now),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
    ]
    .into_iter()
    .map(|data| Subpacket::regular(data).expect("short"))
    .collect();
    // The framework hashes lines without trailing blanks and without the last line end.
    let text: Vec<&str> = text
        .lines()
        .map(|line| line.trim_end_matches([' ', '\t']))
        .collect();
    CleartextSignedMessage::new(&text.join("\n"), config, key, &Password::empty())
        .and_then(|message| message.to_armored_string(Default::default()))
        .expect("signs")
}
