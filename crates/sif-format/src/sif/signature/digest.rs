//! Digests in signed texts: `sha256:` and hexadecimal digits, or one of five others.
//!
//! Source: `apptainer/sif`, `pkg/integrity/digest.go`.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::DynDigest;

/// A hash function that may stand in a signed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-224.
    Sha224,
    /// SHA-256: what everybody writes.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512/224.
    Sha512_224,
    /// SHA-512/256.
    Sha512_256,
}

const NAMES: [(&str, DigestAlgorithm); 6] = [
    ("sha224", DigestAlgorithm::Sha224),
    ("sha256", DigestAlgorithm::Sha256),
    ("sha384", DigestAlgorithm::Sha384),
    ("sha512", DigestAlgorithm::Sha512),
    ("sha512_224", DigestAlgorithm::Sha512_224),
    ("sha512_256", DigestAlgorithm::Sha512_256),
];

impl DigestAlgorithm {
    fn hasher(self) -> Box<dyn DynDigest> {
        match self {
            Self::Sha224 => Box::new(sha2::Sha224::default()),
            Self::Sha256 => Box::new(sha2::Sha256::default()),
            Self::Sha384 => Box::new(sha2::Sha384::default()),
            Self::Sha512 => Box::new(sha2::Sha512::default()),
            Self::Sha512_224 => Box::new(sha2::Sha512_224::default()),
            Self::Sha512_256 => Box::new(sha2::Sha512_256::default()),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Sha224 | Self::Sha512_224 => 28,
            Self::Sha256 | Self::Sha512_256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, known)| *known == self)
            .map_or("", |(name, _)| name)
    }
}

/// A digest that names its algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignedDigest {
    algorithm: DigestAlgorithm,
    value: Vec<u8>,
}

impl SignedDigest {
    /// The digest of all that `content` gives.
    ///
    /// # Errors
    /// When `content` cannot be read.
    pub fn of(algorithm: DigestAlgorithm, mut content: impl Read) -> io::Result<Self> {
        let mut hasher = algorithm.hasher();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        Ok(Self {
            algorithm,
            value: hasher.finalize().into_vec(),
        })
    }

    /// Its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }
}

/// A text that is no digest of a known algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no digest: expected `sha256:` and hexadecimal digits")]
pub struct MalformedDigest(String);

impl FromStr for SignedDigest {
    type Err = MalformedDigest;

    fn from_str(text: &str) -> Result<Self, MalformedDigest> {
        let malformed = || MalformedDigest(text.chars().take(200).collect());
        let (name, digits) = text.split_once(':').ok_or_else(malformed)?;
        let (_, algorithm) = NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(malformed)?;
        let value = hex::decode(digits).map_err(|_| malformed())?;
        if value.len() != algorithm.size() {
            return Err(malformed());
        }
        Ok(Self {
            algorithm: *algorithm,
            value,
        })
    }
}

impl fmt::Display for SignedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), hex::encode(&self.value))
    }
}

impl Serialize for SignedDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignedDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_reads_what_it_writes() {
        for (name, algorithm) in NAMES {
            let digest = SignedDigest::of(algorithm, &b"abc"[..]).unwrap();
            let text = digest.to_string();
            assert!(text.starts_with(&format!("{name}:")), "{text}");
            assert_eq!(text.parse::<SignedDigest>().unwrap(), digest);
        }
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            SignedDigest::of(DigestAlgorithm::Sha256, &b"abc"[..])
                .unwrap()
                .to_string(),
            known
        );
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:00",
            "md5:00",
            "sha256:zz",
            "sha384:ba7816bf",
        ] {
            assert!(text.parse::<SignedDigest>().is_err(), "{text}");
        }
    }
}
