//! Clear-signing with a secret key, as `gpg --clearsign` does.

use std::time::SystemTime;

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Password, SigningKey, Timestamp};

/// A key that signs. It is never shown, logged or written.
pub struct SecretKey {
    key: SignedSecretKey,
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not an OpenPGP secret key.
    #[error(
        "this is not an OpenPGP secret key in ASCII armour: export it with `gpg --export-secret-keys --armor KEY`"
    )]
    Malformed,
    /// The time cannot be written into a signature.
    #[error("this machine's clock is far from any time that a signature can have")]
    Clock,
    /// The key does not sign.
    #[error(
        "the key does not sign: is it protected by a passphrase, or is its secret part on a card? ({0})"
    )]
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

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

impl SecretKey {
    /// Reads a key as `gpg --export-secret-keys --armor` writes it, without a passphrase.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, SignError> {
        let (key, _) = SignedSecretKey::from_string(text).map_err(|_| SignError::Malformed)?;
        Ok(Self { key })
    }

    /// The public key that goes with it, as `gpg --export --armor` writes it.
    ///
    /// # Errors
    /// When the key cannot be written.
    pub fn public_key(&self) -> Result<String, SignError> {
        self.key
            .to_public_key()
            .to_armored_string(Default::default())
            .map_err(|error| SignError::Key(error.to_string()))
    }

    /// The fingerprint of the primary key: upper-case hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode_upper(self.key.primary_key.fingerprint().as_bytes())
    }

    /// Signs `text` at the time `now`. Blanks at line ends do not count, as always with clear-signed texts.
    ///
    /// The newest subkey that may sign does it, as with GnuPG; without one, the primary key.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn clear_sign(&self, text: &str, now: SystemTime) -> Result<ClearSigned, SignError> {
        let subkey = self
            .key
            .secret_subkeys
            .iter()
            .filter(|it| {
                it.signatures
                    .iter()
                    .any(|signature| signature.key_flags().sign())
            })
            .max_by_key(|it| it.key.created_at().as_secs());
        match subkey {
            Some(subkey) => sign_with(&subkey.key, text, now),
            None => sign_with(&self.key.primary_key, text, now),
        }
    }
}

fn sign_with(key: &impl SigningKey, text: &str, now: SystemTime) -> Result<ClearSigned, SignError> {
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
    let message = CleartextSignedMessage::new(&lines.join("\n"), config, key, &Password::empty())
        .and_then(|message| message.to_armored_string(Default::default()))
        .map_err(failed)?;
    Ok(ClearSigned {
        message,
        fingerprint: key.fingerprint().as_bytes().to_vec(),
    })
}
