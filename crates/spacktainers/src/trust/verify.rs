//! What of the things that are attached to an image holds, by a public key alone: no network, no clock.

use std::collections::BTreeSet;
use std::fmt;

use oci_format::{Descriptor, Digest};
use serde_json::Value;

use super::bundle::{self, BUNDLE_TYPE};
use super::cosign::{self, PAYLOAD_TYPE};
use super::key::VerifyingKey;
use super::{cyclonedx, provenance, spdx};

/// One blob that is attached to an image.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Its descriptor, with annotations.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Something that is said of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// That the holder of the key stands by this image.
    Signature,
    /// What is in it, in SPDX.
    Spdx,
    /// What is in it, in CycloneDX.
    CycloneDx,
    /// How it came to be.
    Provenance,
}

impl Claim {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Signature,
        Self::Spdx,
        Self::CycloneDx,
        Self::Provenance,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Spdx => "spdx",
            Self::CycloneDx => "cyclonedx",
            Self::Provenance => "provenance",
        }
    }

    fn of_predicate(predicate_type: &str) -> Option<Self> {
        match predicate_type {
            spdx::PREDICATE_TYPE => Some(Self::Spdx),
            cyclonedx::PREDICATE_TYPE => Some(Self::CycloneDx),
            provenance::PREDICATE_TYPE => Some(Self::Provenance),
            _ => None,
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// What the key's holder says of the image.
    pub held: BTreeSet<Claim>,
    /// What the image may be called, by signatures of the key.
    pub repositories: BTreeSet<String>,
    /// The statement of provenance.
    pub provenance: Option<Value>,
    /// Signatures and statements that are not this key's, or about another image: they say nothing.
    pub of_others: usize,
    /// Bills of materials that lie there without a signed statement that says the same.
    pub unvouched: Vec<Digest>,
}

/// Why an image is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Nothing, or nothing of this key's.
    #[error("the image {image} has no {} by the key {key}", list(missing))]
    Missing {
        /// The image.
        image: Digest,
        /// The key's fingerprint.
        key: Digest,
        /// What is missing.
        missing: Vec<Claim>,
    },
    /// Somebody put another bill of materials there.
    #[error(
        "the bill of materials {0} lies beside the image, and differs from the one that was signed"
    )]
    Unvouched(Digest),
}

fn list(claims: &[Claim]) -> String {
    let names: Vec<&str> = claims.iter().map(|it| it.name()).collect();
    names.join(", ")
}

/// Looks through everything that is attached to `image`.
#[must_use]
pub fn verify(image: &Digest, evidence: &[Evidence], key: &VerifyingKey) -> Findings {
    let mut findings = Findings::default();
    let mut bills: Vec<(Claim, Value)> = Vec::new();
    for it in evidence {
        match it.descriptor.media_type.as_str() {
            PAYLOAD_TYPE => match cosign::verified(&it.bytes, &it.descriptor, image, key) {
                Some(repository) => {
                    findings.held.insert(Claim::Signature);
                    findings.repositories.insert(repository);
                }
                None => findings.of_others += 1,
            },
            BUNDLE_TYPE => match statement(&it.bytes, image, key) {
                Some((claim, predicate)) => {
                    findings.held.insert(claim);
                    if claim == Claim::Provenance {
                        findings.provenance = Some(predicate.clone());
                    }
                    bills.push((claim, predicate));
                }
                None => findings.of_others += 1,
            },
            _ => {}
        }
    }
    for it in evidence {
        let claim = match it.descriptor.media_type.as_str() {
            spdx::MEDIA_TYPE => Claim::Spdx,
            cyclonedx::MEDIA_TYPE => Claim::CycloneDx,
            _ => continue,
        };
        let document: Option<Value> = serde_json::from_slice(&it.bytes).ok();
        let is_signed = document.is_some_and(|document| bills.contains(&(claim, document)));
        if !is_signed {
            findings.unvouched.push(it.descriptor.digest);
        }
    }
    findings
}

impl Findings {
    /// Whether all of `needed` is there and nothing contradicts it.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn require(
        &self,
        needed: &[Claim],
        image: &Digest,
        key: &VerifyingKey,
    ) -> Result<(), VerifyError> {
        let missing: Vec<Claim> = needed
            .iter()
            .copied()
            .filter(|it| !self.held.contains(it))
            .collect();
        if !missing.is_empty() {
            return Err(VerifyError::Missing {
                image: *image,
                key: key.fingerprint(),
                missing,
            });
        }
        let is_about_bills = needed
            .iter()
            .any(|it| matches!(it, Claim::Spdx | Claim::CycloneDx));
        match self.unvouched.first().filter(|_| is_about_bills) {
            Some(bill) => Err(VerifyError::Unvouched(*bill)),
            None => Ok(()),
        }
    }
}

/// What a bundle says of the image, if the key signed it.
fn statement(bundle: &[u8], image: &Digest, key: &VerifyingKey) -> Option<(Claim, Value)> {
    let mut statement = bundle::opened(bundle, key)?;
    let hex = image.hex();
    let subjects = statement.get("subject")?.as_array()?;
    let is_meant = subjects.iter().any(|it| {
        let digest = it.pointer("/digest/sha256").and_then(Value::as_str);
        digest == Some(hex.as_str())
    });
    let claim = Claim::of_predicate(statement.get("predicateType")?.as_str()?)?;
    let predicate = statement.get_mut("predicate")?.take();
    is_meant.then_some((claim, predicate))
}
