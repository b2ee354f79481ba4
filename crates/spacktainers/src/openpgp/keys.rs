//! Public keys that may sign.
//!
//! A transferable public key is a primary key, self-signatures that say what it is for and how long,
//! and subkeys bound to it in the same way. What is not bound by a valid signature is ignored.

use std::sync::Arc;

use pgp::composed::{PublicOrSecret, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{
    PublicKey, PublicSubkey, RevocationCode, Signature, SignatureType, SubpacketData,
};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, Tag};

use super::{KeyError, Reservation, SignatureError};

/// The longest file of keys that is read. Debian's whole archive key ring has 60 kB.
const LONGEST_KEYS: usize = 4 * 1024 * 1024;

const ARMOUR: &str = "-----BEGIN PGP ";

/// Keys whose signatures count; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PublicKeys {
    keys: Arc<Vec<SigningKey>>,
}

impl PublicKeys {
    /// Reads keys as `gpg --export` writes them, armoured or not, any number in a row.
    ///
    /// # Errors
    /// When there is no key that can sign, or a secret one. Other keys that cannot sign are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > LONGEST_KEYS {
            return Err(KeyError::TooLong {
                limit: LONGEST_KEYS,
            });
        }
        let mut keys = Self::default();
        let mut useless = None;
        // The first bit of every binary packet is set; ASCII has it clear.
        if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            let found = PublicOrSecret::from_bytes_many(bytes).map_err(malformed)?;
            useless = useless.or(keys.add_all(found)?);
        } else {
            let text = String::from_utf8_lossy(bytes);
            for (start, _) in text.match_indices(ARMOUR) {
                let block = &text[start..];
                let end = block[1..].find(ARMOUR).map_or(block.len(), |end| end + 1);
                let (found, _) =
                    PublicOrSecret::from_armor_many(&block.as_bytes()[..end]).map_err(malformed)?;
                useless = useless.or(keys.add_all(found)?);
            }
        }
        match useless {
            _ if !keys.keys.is_empty() => Ok(keys),
            Some(fingerprint) => Err(KeyError::CannotSign { fingerprint }),
            None => Err(KeyError::NoKey),
        }
    }

    /// Reads public keys as [`PublicKeys::parse`] does and gives them without armour, one after the other: what the file
    /// `pubring.gpg` of a GnuPG home holds.
    ///
    /// # Errors
    /// As [`PublicKeys::parse`].
    pub fn ring(bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        // Refuses secret keys, among others.
        Self::parse(bytes)?;
        if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Ok(bytes.to_vec());
        }
        let mut ring = Vec::new();
        let text = String::from_utf8_lossy(bytes);
        for (start, _) in text.match_indices(ARMOUR) {
            let block = text.get(start..).unwrap_or_default();
            let next = block.get(1..).and_then(|rest| rest.find(ARMOUR));
            let block = next.and_then(|end| block.get(..=end)).unwrap_or(block);
            let (found, _) =
                PublicOrSecret::from_armor_many(block.as_bytes()).map_err(malformed)?;
            for key in found {
                if let PublicOrSecret::Public(key) = key.map_err(malformed)? {
                    ring.extend(key.to_bytes().map_err(malformed)?);
                }
            }
        }
        Ok(ring)
    }

    /// Adds the keys of `other`.
    pub fn extend(&mut self, other: Self) {
        Arc::make_mut(&mut self.keys).extend(other.keys.iter().cloned());
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Fingerprints of the primary keys, upper-case hexadecimal digits, in the order read.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self
            .keys
            .iter()
            .map(|key| key.primary_fingerprint.as_str())
            .collect();
        all.dedup();
        all
    }

    /// The keys that the signature names; all of them when it names none.
    pub(super) fn that_may_have_made<'a>(
        &'a self,
        signature: &'a Signature,
    ) -> impl Iterator<Item = &'a SigningKey> {
        let issuers = issuers(signature);
        self.keys.iter().filter(move |key| {
            // A key id is the end of a version 4 fingerprint.
            issuers.is_empty()
                || issuers
                    .iter()
                    .any(|issuer| key.fingerprint.ends_with(issuer))
        })
    }

    /// Adds what can sign; gives the fingerprint of the first key that cannot.
    fn add_all(
        &mut self,
        found: impl Iterator<Item = pgp::errors::Result<PublicOrSecret>>,
    ) -> Result<Option<String>, KeyError> {
        let mut useless = None;
        for key in found {
            match key.map_err(malformed)? {
                PublicOrSecret::Public(key) => {
                    let before = self.keys.len();
                    self.add(&key);
                    if self.keys.len() == before && useless.is_none() {
                        useless = Some(fingerprint(&key.primary_key));
                    }
                }
                PublicOrSecret::Secret(_) => return Err(KeyError::Secret),
            }
        }
        Ok(useless)
    }

    fn add(&mut self, certificate: &SignedPublicKey) {
        let Some(primary) = primary_validity(certificate) else {
            return;
        };
        let keys = Arc::make_mut(&mut self.keys);
        let primary_fingerprint = fingerprint(&certificate.primary_key);
        if primary.may_sign {
            keys.push(SigningKey {
                key: Key::Primary(certificate.primary_key.clone()),
                fingerprint: primary_fingerprint.clone(),
                primary_fingerprint: primary_fingerprint.clone(),
                validities: vec![primary],
            });
        }
        for subkey in &certificate.public_subkeys {
            let Some(validity) = subkey_validity(certificate, subkey) else {
                continue;
            };
            if validity.may_sign {
                keys.push(SigningKey {
                    key: Key::Subkey(subkey.key.clone()),
                    fingerprint: fingerprint(&subkey.key),
                    primary_fingerprint: primary_fingerprint.clone(),
                    // A subkey is worth no more than its primary key.
                    validities: vec![primary, validity],
                });
            }
        }
    }
}

/// A primary key or subkey that may make signatures.
#[derive(Debug, Clone)]
pub(super) struct SigningKey {
    key: Key,
    pub(super) fingerprint: String,
    pub(super) primary_fingerprint: String,
    validities: Vec<Validity>,
}

#[derive(Debug, Clone)]
enum Key {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

impl SigningKey {
    pub(super) fn verify(&self, signature: &Signature, text: &str) -> pgp::errors::Result<()> {
        match &self.key {
            Key::Primary(key) => signature.verify(key, text.as_bytes()),
            Key::Subkey(key) => signature.verify(key, text.as_bytes()),
        }
    }

    /// What to say of a signature made at `created`, seen at `now`; seconds since 1970.
    pub(super) fn reservations(
        &self,
        created: u64,
        now: u64,
    ) -> Result<Vec<Reservation>, SignatureError> {
        let fingerprint = || self.fingerprint.clone();
        let mut reservations = Vec::new();
        for validity in &self.validities {
            if created < validity.from {
                return Err(SignatureError::KeyNotValid {
                    fingerprint: fingerprint(),
                });
            }
            match validity.revoked {
                Some(Revocation::Always) => {
                    return Err(SignatureError::KeyRevoked {
                        fingerprint: fingerprint(),
                    });
                }
                Some(Revocation::From(time)) if created >= time => {
                    return Err(SignatureError::KeyRevoked {
                        fingerprint: fingerprint(),
                    });
                }
                Some(Revocation::From(_)) => reservations.push(Reservation::KeyRetired),
                None => {}
            }
            match validity.until {
                Some(until) if until <= created => {
                    return Err(SignatureError::KeyNotValid {
                        fingerprint: fingerprint(),
                    });
                }
                Some(until) if until <= now => reservations.push(Reservation::KeyExpired),
                _ => {}
            }
        }
        reservations.dedup();
        Ok(reservations)
    }
}

/// When a key counts, and for what; seconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Validity {
    from: u64,
    until: Option<u64>,
    revoked: Option<Revocation>,
    may_sign: bool,
}

#[derive(Debug, Clone, Copy)]
enum Revocation {
    /// Compromised, or for no stated reason: whoever has the key may have set any date.
    Always,
    /// Replaced or retired: what it signed before stays good. RFC 9580, 5.2.3.31.
    From(u64),
}

impl Validity {
    /// As the newest binding signature says.
    fn new(key: &impl KeyDetails, binding: &Signature, revoked: Option<Revocation>) -> Self {
        let from = u64::from(key.created_at().as_secs());
        let lifetime = binding
            .key_expiration_time()
            .map_or(0, |time| u64::from(time.as_secs()));
        Self {
            from,
            until: (lifetime != 0).then_some(from + lifetime),
            revoked,
            // Keys of before flags were invented do what their algorithm can.
            may_sign: key_flags(binding).unwrap_or(true),
        }
    }
}

fn primary_validity(certificate: &SignedPublicKey) -> Option<Validity> {
    let key = &certificate.primary_key;
    let certifications = certificate.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(move |signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && names(signature, key)
                && signature
                    .verify_certification(key, Tag::UserId, &user.id)
                    .is_ok()
        })
    });
    let direct = certificate
        .details
        .direct_signatures
        .iter()
        .filter(|signature| {
            signature.typ() == Some(SignatureType::Key) && signature.verify_key(key).is_ok()
        });
    let binding = newest(certifications.chain(direct))?;
    let revoked = certificate
        .details
        .revocation_signatures
        .iter()
        .filter(|signature| {
            signature.typ() == Some(SignatureType::KeyRevocation)
                && signature.verify_key(key).is_ok()
        })
        .map(revocation)
        .reduce(worse);
    Some(Validity::new(key, binding, revoked))
}

fn subkey_validity(certificate: &SignedPublicKey, subkey: &SignedPublicSubKey) -> Option<Validity> {
    let (primary, key) = (&certificate.primary_key, &subkey.key);
    let is_bound = |signature: &&Signature| signature.verify_subkey_binding(primary, key).is_ok();
    let of_type = |wanted| {
        subkey
            .signatures
            .iter()
            .filter(move |signature| signature.typ() == Some(wanted))
    };
    let binding = newest(of_type(SignatureType::SubkeyBinding).filter(is_bound))?;
    let revoked = of_type(SignatureType::SubkeyRevocation)
        .filter(is_bound)
        .map(revocation)
        .reduce(worse);
    let mut validity = Validity::new(key, binding, revoked);
    // Without its own consent a stranger's key could be bound as subkey, to claim his signatures.
    validity.may_sign &= binding
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(key, primary).is_ok());
    Some(validity)
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created().map_or(0, |time| time.as_secs()))
}

fn revocation(signature: &Signature) -> Revocation {
    let is_soft = matches!(
        signature.revocation_reason_code(),
        Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
    );
    match signature.created() {
        Some(time) if is_soft => Revocation::From(u64::from(time.as_secs())),
        _ => Revocation::Always,
    }
}

fn worse(one: Revocation, other: Revocation) -> Revocation {
    match (one, other) {
        (Revocation::From(one), Revocation::From(other)) => Revocation::From(one.min(other)),
        _ => Revocation::Always,
    }
}

/// Whether the flags of a binding allow signing; nothing when it has no flags.
fn key_flags(binding: &Signature) -> Option<bool> {
    binding
        .config()?
        .hashed_subpackets()
        .find_map(|part| match &part.data {
            SubpacketData::KeyFlags(flags) => Some(flags.sign()),
            _ => None,
        })
}

/// Whether the signature is said to be by `key`: others' certifications come along with keys.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprint = fingerprint(key);
    issuers(signature)
        .iter()
        .all(|issuer| fingerprint.ends_with(issuer))
}

/// Fingerprints or key ids of who is said to have made a signature: upper-case hexadecimal digits.
pub(super) fn issuers(signature: &Signature) -> Vec<String> {
    let fingerprints: Vec<String> = signature
        .issuer_fingerprint()
        .into_iter()
        .map(|fingerprint| format!("{fingerprint:X}"))
        .collect();
    if !fingerprints.is_empty() {
        return fingerprints;
    }
    signature
        .issuer_key_id()
        .into_iter()
        .map(|id| id.to_string().to_uppercase())
        .collect()
}

fn fingerprint(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

fn malformed(error: pgp::errors::Error) -> KeyError {
    KeyError::Malformed(Box::new(error))
}
