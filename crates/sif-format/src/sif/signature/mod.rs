//! Signatures: a text that holds digests of the header and of objects, and an object that holds the text signed.
//!
//! ```text
//! text_to_sign ──► SignedText ──► (caller signs the text) ──► NewObject::signature + SifEditor::append
//!
//! signatures ──► SignatureObject ──► Signature::parse ─┬─ ClearSigned (OpenPGP: the caller checks it)
//!                                                      └─ Envelope (key file: the caller checks Envelope::pae)
//!                     verified payload ──► SignedText::parse ──► verify ──► Verdict, object by object
//! ```
//!
//! The keys are the caller's affair: this module neither signs nor checks a signature. A [`Verdict`] is worth as much as
//! the check of the text it was made from.
//!
//! Source: `apptainer/sif`, `pkg/integrity`; digests recomputed from files that Apptainer 1.4.5 signed.

mod digest;
mod envelope;
mod signed_text;
mod verdict;

use super::{
    DataType, HashType, Link, NewObject, SifDescriptor, SifError, SifReader, SignatureInfo,
};
use std::io::{Read, Seek};

pub use digest::{DigestAlgorithm, SignedDigest};
pub use envelope::{Envelope, EnvelopeError, EnvelopeSignature, PAYLOAD_TYPE};
pub use signed_text::{ObjectDigests, Selection, SignedText, SignedTextError, text_to_sign};
pub use verdict::{ObjectVerdict, Verdict, verify};

/// Longest signature that is taken into memory. One of a full table of 48 objects has about 12 KiB.
pub const MAX_SIGNATURE_BYTES: u64 = 16 << 20;

/// A signature object of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureObject {
    /// The object that holds the signature.
    pub id: u32,
    /// The group that is signed; none for the signatures of Singularity before 3.6, which sign one object.
    pub group: Option<u32>,
    /// What its descriptor says. The fingerprint there is a claim: compare it with the key that verified.
    pub info: SignatureInfo,
}

/// How a signature object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// An OpenPGP clear-signed message, whole. Its text is a [`SignedText`].
    ClearSigned(String),
    /// A DSSE envelope. Its payload is a [`SignedText`].
    Envelope(Envelope),
}

/// The signatures of a file.
pub fn signatures<R: Read + Seek>(reader: &SifReader<R>) -> Vec<SignatureObject> {
    let facts = |object: &SifDescriptor| {
        let group = match object.link() {
            Link::Group(group) => Some(group),
            Link::Object(_) | Link::None => None,
        };
        Some(SignatureObject {
            id: object.id,
            group,
            info: object.signature()?,
        })
    };
    reader.descriptors().filter_map(facts).collect()
}

/// Reads the signature object `id`.
///
/// # Errors
/// When there is no such object, or when it is none of the two kinds of signature.
pub fn read_signature<R: Read + Seek>(
    reader: &mut SifReader<R>,
    id: u32,
) -> Result<Signature, SignatureError> {
    let data_type = reader.descriptor(id)?.data_type;
    if data_type != DataType::Signature {
        return Err(SignatureError::NotASignature { id, data_type });
    }
    let content = reader.read_object(id, MAX_SIGNATURE_BYTES)?;
    Signature::parse(&content).map_err(|why| SignatureError::Unreadable { id, why })
}

/// The object that holds an OpenPGP clear-signed [`SignedText`] over `group`.
#[must_use]
pub fn clear_signed_object(group: u32, fingerprint: [u8; 20]) -> NewObject {
    NewObject::signature(
        group,
        SignatureInfo {
            hash: HashType::Sha256,
            fingerprint: Some(fingerprint),
        },
    )
}

/// The object that holds an [`Envelope`] over `group`.
#[must_use]
pub fn envelope_object(group: u32) -> NewObject {
    NewObject::signature(
        group,
        SignatureInfo {
            hash: HashType::Sha256,
            fingerprint: None,
        },
    )
}

impl Signature {
    /// Tells the two kinds apart by their content.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(content: &[u8]) -> Result<Self, EnvelopeError> {
        const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
        match std::str::from_utf8(content) {
            Ok(text) if text.trim_start().starts_with(BEGIN) => {
                Ok(Self::ClearSigned(text.to_owned()))
            }
            _ => Envelope::parse(content).map(Self::Envelope),
        }
    }
}

/// Why a signature object cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The file cannot be read, or has no such object.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// Some other object.
    #[error("object {id} is no signature but of type {data_type}")]
    NotASignature {
        /// The object.
        id: u32,
        /// What it is.
        data_type: DataType,
    },
    /// Neither an OpenPGP clear-signed message nor a DSSE envelope.
    #[error("signature {id} is neither an OpenPGP clear-signed message nor a DSSE envelope: {why}")]
    Unreadable {
        /// The object.
        id: u32,
        /// What is wrong with it as an envelope.
        why: EnvelopeError,
    },
}
