//! Clear-signed texts, checked against public keys.
//!
//! ```text
//! -----BEGIN PGP SIGNED MESSAGE-----
//! Hash: SHA512
//!
//! text, lines that begin with a dash get "- " before them
//! -----BEGIN PGP SIGNATURE-----
//!
//! iQIzBAEB…
//! -----END PGP SIGNATURE-----
//! ```
//!
//! Build caches sign their manifests this way, and Debian's archives their release files. Start at
//! [`verify`] (for signing, at [`KeySource`] and [`SecretKey`]): it gives back the text that was signed, and only that. Who needs the text of an entry
//! that may be unsigned uses [`unverified_text`].
//!
//! The verdict is that of `gpg --verify` with a key ring of just the given keys, and stricter in two
//! points: hashes that are broken (MD5, SHA-1, RIPEMD-160) do not sign anything, and a key that was
//! revoked for being compromised, or for no stated reason, signs nothing at all, while `gpg` only
//! warns. As with `gpg`, a key that has expired since it signed is good, with a [`Reservation`].
//!
//! Sources: RFC 9580, sections 7 (cleartext signature framework), 5.2 (signatures) and 10.1
//! (transferable public keys); GnuPG 2.2's behaviour for expired keys and signatures.

mod error;
mod framework;
mod gpg;
mod key_source;
#[cfg(test)]
mod key_source_tests;
mod keys;
mod sign;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use pgp::composed::{Deserializable, DetachedSignature};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};

pub use error::{KeyError, SignatureError};
pub use key_source::KeySource;
pub use keys::PublicKeys;
pub use sign::{ClearSigned, SecretKey, SignError};

use keys::SigningKey;

/// The longest text that is looked at: far more than the concrete spec of any environment.
pub const LONGEST_TEXT: usize = 64 * 1024 * 1024;

/// More signatures than this on one text are an attack on our time.
const MOST_SIGNATURES: usize = 16;

/// A text that one of the keys has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed: dashes unescaped, white space at line ends removed, lines ending in `\n`
    /// (as far as signatures go, line ends and trailing blanks do not exist).
    pub text: String,
    /// Fingerprint of the key that made the signature, which may be a subkey: upper-case
    /// hexadecimal digits.
    pub fingerprint: String,
    /// Fingerprint of the primary key of that key.
    pub primary_fingerprint: String,
    /// What a careful person would like to know although the signature is good.
    pub reservations: Vec<Reservation>,
}

/// Why a good signature is not as good as it might be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// The key has expired since it made the signature.
    KeyExpired,
    /// The key was replaced or retired after it made the signature.
    KeyRetired,
    /// The signature claims to be from the future.
    FromTheFuture,
}

/// Whether `text` claims to be clear-signed.
#[must_use]
pub fn is_clear_signed(text: &str) -> bool {
    framework::is_framed(text)
}

/// The text inside a clear-signed one, whoever signed it or did not: for mirrors whose entries need
/// no signature.
///
/// # Errors
/// When it is not a clear-signed text.
pub fn unverified_text(text: &str) -> Result<String, SignatureError> {
    framework::split(text).map(|parts| parts.text)
}

/// Checks that one of `keys` has signed `text`, as of `now`, and gives back what was signed.
///
/// One good signature is enough, whatever others there are.
///
/// # Errors
/// When there is none: the reason is that of the signature that came closest.
pub fn verify(text: &str, keys: &PublicKeys, now: SystemTime) -> Result<Verified, SignatureError> {
    let parts = framework::split(text)?;
    let (signatures, _) =
        DetachedSignature::from_string_many(parts.signatures).map_err(SignatureError::Armour)?;
    let mut issuers = Vec::new();
    let mut reason = None;
    for signature in signatures.take(MOST_SIGNATURES) {
        let signature = signature.map_err(SignatureError::Armour)?.signature;
        let mut known = false;
        for key in keys.that_may_have_made(&signature) {
            known = true;
            match check(&signature, key, &parts.text, now) {
                Ok(reservations) => {
                    return Ok(Verified {
                        text: parts.text,
                        fingerprint: key.fingerprint.clone(),
                        primary_fingerprint: key.primary_fingerprint.clone(),
                        reservations,
                    });
                }
                Err(error) => reason = Some(error),
            }
        }
        if !known {
            issuers.extend(keys::issuers(&signature));
        }
    }
    Err(reason.unwrap_or_else(|| SignatureError::unknown(issuers)))
}

fn check(
    signature: &Signature,
    key: &SigningKey,
    text: &str,
    now: SystemTime,
) -> Result<Vec<Reservation>, SignatureError> {
    let fingerprint = || key.fingerprint.clone();
    if signature.typ() != Some(SignatureType::Text) {
        return Err(SignatureError::Kind);
    }
    if let Some(
        hash @ (HashAlgorithm::Md5
        | HashAlgorithm::Sha1
        | HashAlgorithm::Ripemd160
        | HashAlgorithm::None),
    ) = signature.hash_alg()
    {
        return Err(SignatureError::WeakHash {
            hash: hash.to_string(),
        });
    }
    if has_unknown_critical_part(signature) {
        return Err(SignatureError::Critical {
            fingerprint: fingerprint(),
        });
    }
    key.verify(signature, text)
        .map_err(|source| SignatureError::Bad {
            fingerprint: fingerprint(),
            source: Box::new(source),
        })?;
    let created = signature
        .created()
        .map_or(0, |time| u64::from(time.as_secs()));
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if let Some(lifetime) = signature.signature_expiration_time() {
        let lifetime = u64::from(lifetime.as_secs());
        if lifetime != 0 && created + lifetime <= now {
            return Err(SignatureError::Expired {
                fingerprint: fingerprint(),
            });
        }
    }
    let mut reservations = key.reservations(created, now)?;
    if created > now {
        reservations.push(Reservation::FromTheFuture);
    }
    Ok(reservations)
}

/// RFC 9580, 5.2.3.7: a critical subpacket that is not understood makes the signature invalid.
fn has_unknown_critical_part(signature: &Signature) -> bool {
    signature.config().is_none_or(|config| {
        config.hashed_subpackets().any(|part| {
            part.is_critical
                && matches!(
                    part.data,
                    SubpacketData::Other(..)
                        | SubpacketData::Experimental(..)
                        | SubpacketData::Notation(..)
                )
        })
    })
}
