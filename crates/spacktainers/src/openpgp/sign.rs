//! Clear-signing with a secret key, as `gpg --clearsign` does, or by it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedSecretKey, SignedSecretSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Password, SigningKey, Timestamp};

use super::gpg::GpgKey;

/// A key that signs. It is never shown, logged or written.
pub struct SecretKey {
    kind: Kind,
}

enum Kind {
    /// It is in our memory.
    Held {
        key: Box<SignedSecretKey>,
        passphrase: Password,
    },
    /// GnuPG has it.
    Gpg(GpgKey),
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not an OpenPGP secret key.
    #[error(
        "this is not an OpenPGP secret key in ASCII armour: export it with `gpg --export-secret-keys --armor KEY`"
    )]
    Malformed,
    /// Its file cannot be read.
    #[error("cannot read the key `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is protected, and nobody says the passphrase.
    #[error("the key is protected by a passphrase, which was not given")]
    Locked,
    /// The passphrase does not unlock it, or has a line break.
    #[error("the passphrase is not that of the key")]
    Passphrase,
    /// What should say which key GnuPG is to sign with does not.
    #[error("`gpg:{0}` names no key: 40 hexadecimal digits are expected, or the last 16 of them")]
    KeyId(String),
    /// GnuPG has no such key.
    #[error("gpg has no secret key {0}")]
    NoSuchKey(String),
    /// It cannot be run.
    #[error("gpg cannot be run, and it has the key")]
    NoGpg(#[source] io::Error),
    /// It says something else.
    #[error("gpg does not sign: {0}")]
    Gpg(String),
    /// The time cannot be written into a signature.
    #[error("this machine's clock is far from any time that a signature can have")]
    Clock,
    /// The key does not sign.
    #[error("the key does not sign: is its secret part on a card? ({0})")]
    Key(String),
}

/// A signed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearSigned {
    /// The whole message in its frame.
    pub message: String,
    /// Fingerprint of the key that signed, which may be a subkey.
    pub fingerprint: Vec<u8>,
}

impl SignError {
    /// What can be done about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Locked => Some(
                "give it with --passphrase-file or in SPACK_DEPLOYMENT_KEY_PASSPHRASE, or import the key into GnuPG and say gpg:FINGERPRINT",
            ),
            Self::NoSuchKey(_) => {
                Some("`gpg --list-secret-keys` shows what it has; GNUPGHOME says where it looks")
            }
            Self::NoGpg(_) => Some("install GnuPG, or give the key as a file"),
            Self::Gpg(_) => Some(
                "is the passphrase in its agent, or given with --passphrase-file or in SPACK_DEPLOYMENT_KEY_PASSPHRASE?",
            ),
            _ => None,
        }
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

impl SecretKey {
    /// Reads a key as `gpg --export-secret-keys --armor` writes it. If it is protected it signs once it is
    /// [`unlocked`](Self::unlocked).
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, SignError> {
        let (key, _) = SignedSecretKey::from_string(text).map_err(|_| SignError::Malformed)?;
        let kind = Kind::Held {
            key: Box::new(key),
            passphrase: Password::empty(),
        };
        Ok(Self { kind })
    }

    /// The key of GnuPG that a fingerprint, or the last 16 digits of one, means. It signs by running `gpg`, which blocks.
    ///
    /// # Errors
    /// When GnuPG is not there, or has no such key.
    pub fn of_gpg(id: &str, passphrase: Option<&str>) -> Result<Self, SignError> {
        let kind = Kind::Gpg(GpgKey::find(id, passphrase, None)?);
        Ok(Self { kind })
    }

    /// The same of a GnuPG whose home is not that of the environment.
    ///
    /// # Errors
    /// As [`of_gpg`](Self::of_gpg).
    pub fn of_gpg_in(home: &Path, id: &str, passphrase: Option<&str>) -> Result<Self, SignError> {
        let kind = Kind::Gpg(GpgKey::find(id, passphrase, Some(home))?);
        Ok(Self { kind })
    }

    /// The key with the passphrase that unlocks it, if it is protected.
    ///
    /// # Errors
    /// When that is not given, or does not unlock it.
    pub fn unlocked(self, passphrase: Option<&str>) -> Result<Self, SignError> {
        let Kind::Held { key, .. } = self.kind else {
            return Ok(self);
        };
        let signs = signing_subkey(&key);
        let params = match signs {
            Some(subkey) => subkey.key.secret_params(),
            None => key.primary_key.secret_params(),
        };
        let is_protected = params.is_encrypted();
        let passphrase = match (is_protected, passphrase) {
            (false, _) => Password::empty(),
            (true, None) => return Err(SignError::Locked),
            (true, Some(text)) => Password::from(text),
        };
        let unlocked = Self {
            kind: Kind::Held { key, passphrase },
        };
        if is_protected {
            let tried = unlocked.clear_sign("a text\n", SystemTime::UNIX_EPOCH);
            tried.map_err(|_| SignError::Passphrase)?;
        }
        Ok(unlocked)
    }

    /// The public key that goes with it, as `gpg --export --armor` writes it.
    ///
    /// # Errors
    /// When the key cannot be written.
    pub fn public_key(&self) -> Result<String, SignError> {
        match &self.kind {
            Kind::Held { key, .. } => key
                .to_public_key()
                .to_armored_string(Default::default())
                .map_err(|error| SignError::Key(error.to_string())),
            Kind::Gpg(key) => key.public_key(),
        }
    }

    /// The fingerprint of the primary key: upper-case hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match &self.kind {
            Kind::Held { key, .. } => hex::encode_upper(key.primary_key.fingerprint().as_bytes()),
            Kind::Gpg(key) => key.fingerprint.clone(),
        }
    }

    /// Signs `text` at the time `now`; GnuPG signs at the time that it has itself. Blanks at line ends do not count, as
    /// always with clear-signed texts.
    ///
    /// The newest subkey that may sign does it, as with GnuPG; without one, the primary key.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn clear_sign(&self, text: &str, now: SystemTime) -> Result<ClearSigned, SignError> {
        let (key, passphrase) = match &self.kind {
            Kind::Held { key, passphrase } => (key, passphrase),
            Kind::Gpg(key) => return key.clear_sign(text),
        };
        match signing_subkey(key) {
            Some(subkey) => sign_with(&subkey.key, passphrase, text, now),
            None => sign_with(&key.primary_key, passphrase, text, now),
        }
    }
}

/// The newest subkey that may sign.
fn signing_subkey(key: &SignedSecretKey) -> Option<&SignedSecretSubKey> {
    let may_sign = |it: &&SignedSecretSubKey| {
        it.signatures
            .iter()
            .any(|signature| signature.key_flags().sign())
    };
    let subkeys = key.secret_subkeys.iter().filter(may_sign);
    subkeys.max_by_key(|it| it.key.created_at().as_secs())
}

fn sign_with(
    key: &impl SigningKey,
    passphrase: &Password,
    text: &str,
    now: SystemTime,
) -> Result<ClearSigned, SignError> {
    let now = Timestamp::try_from(now).map_err(|_| SignError::Clock)?;
    let mut config =
        SignatureConfig::v4(SignatureType::Text, key.algorithm(), HashAlgorithm::Sha256);
    let failed = |error: pgp::errors::Error| SignError::Key(error.to_string());
    config.hashed_subpackets = [
        SubpacketData::SignatureCreationTime(now),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
    ]
    .into_iter()
    .map(Subpacket::regular)
    .collect::<Result<_, _>>()
    .map_err(failed)?;
    config.unhashed_subpackets =
        vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id())).map_err(failed)?];
    // The framework hashes lines without trailing blanks and without the last line end.
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim_end_matches([' ', '\t']))
        .collect();
    let message = CleartextSignedMessage::new(&lines.join("\n"), config, key, passphrase)
        .and_then(|message| message.to_armored_string(Default::default()))
        .map_err(failed)?;
    Ok(ClearSigned {
        message,
        fingerprint: key.fingerprint().as_bytes().to_vec(),
    })
}
