//! The text that is signed: compact JSON with the digests of the header and of objects.
//!
//! ```text
//! {"version":1,"header":{"digest":"sha256:…"},"objects":[{"relativeId":0,"descriptorDigest":"…","objectDigest":"…"},…]}
//! ```
//!
//! Ids count from the smallest id of the group, so that a group may be moved as a whole.
//!
//! Source: `apptainer/sif`, `pkg/integrity/metadata.go` and `sign.go`.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

use super::super::{SifError, SifReader};
use super::{DigestAlgorithm, SignedDigest};

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// All objects of a group.
    Group(u32),
    /// These objects, all of which are in the group.
    Objects {
        /// Their group.
        group: u32,
        /// Their ids, in any order.
        ids: &'a [u32],
    },
}

/// The digests of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDigests {
    /// The object's id less the smallest id of its group.
    pub relative_id: u32,
    /// Digest of [`SifDescriptor::signed_bytes`](super::super::SifDescriptor::signed_bytes).
    pub descriptor_digest: SignedDigest,
    /// Digest of the content.
    pub object_digest: SignedDigest,
}

/// The digest of the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HeaderDigest {
    digest: SignedDigest,
}

/// A text that is signed, or that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedText {
    version: u32,
    header: HeaderDigest,
    /// The objects, by id. Go writes none at all as `null`.
    #[serde(deserialize_with = "null_is_empty")]
    objects: Vec<ObjectDigests>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<ObjectDigests>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Why a text is not one that SIF signatures are made over.
#[derive(Debug, thiserror::Error)]
pub enum SignedTextError {
    /// The signatures of Singularity before 3.6: one hash, which leaves out the descriptors.
    #[error(
        "the signature is of the kind made before Singularity 3.6, which leaves descriptors unprotected: sign the file again"
    )]
    Legacy,
    /// Not the JSON that it should be.
    #[error("the signed text is not what SIF signatures hold: {0}")]
    Json(#[from] serde_json::Error),
    /// A version that nobody has defined when this was written.
    #[error("version {0} of the signed text is not supported, only 1 is")]
    Version(u32),
    /// An object stands in the text twice.
    #[error("the signed text names the object with the relative id {0} twice")]
    Twice(u32),
}

impl SignedText {
    /// Parses a text whose signature was checked.
    ///
    /// # Errors
    /// When it is not the text of a SIF signature.
    pub fn parse(text: &[u8]) -> Result<Self, SignedTextError> {
        if text.starts_with(b"SIFHASH:") {
            return Err(SignedTextError::Legacy);
        }
        let parsed: Self = serde_json::from_slice(text)?;
        if parsed.version != 1 {
            return Err(SignedTextError::Version(parsed.version));
        }
        let mut seen = BTreeSet::new();
        match parsed
            .objects
            .iter()
            .find(|object| !seen.insert(object.relative_id))
        {
            Some(object) => Err(SignedTextError::Twice(object.relative_id)),
            None => Ok(parsed),
        }
    }

    /// The digest of [`Header::signed_bytes`](super::super::Header::signed_bytes).
    #[must_use]
    pub fn header(&self) -> &SignedDigest {
        &self.header.digest
    }

    /// The digests of the objects, by id.
    #[must_use]
    pub fn objects(&self) -> &[ObjectDigests] {
        &self.objects
    }

    /// The text to sign: compact JSON, without a line break at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // No map with other keys than text and no number that JSON lacks: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The smallest id of a group, from which relative ids count.
pub(super) fn first_of_group<R: Read + Seek>(
    reader: &SifReader<R>,
    group: u32,
) -> Result<u32, SifError> {
    let ids = reader
        .descriptors()
        .filter(|object| object.group() == Some(group))
        .map(|object| object.id);
    ids.min().ok_or(SifError::NoSuchGroup(group))
}

/// Makes the text to sign: reads all selected objects once and hashes them with SHA-256.
///
/// # Errors
/// When the selection is empty or names objects of another group, or when the file cannot be read.
pub fn text_to_sign<R: Read + Seek>(
    reader: &mut SifReader<R>,
    selection: Selection<'_>,
) -> Result<SignedText, SifError> {
    let algorithm = DigestAlgorithm::Sha256;
    let (group, ids): (u32, BTreeSet<u32>) = match selection {
        Selection::Group(group) => {
            let members = reader
                .descriptors()
                .filter(|object| object.group() == Some(group));
            (group, members.map(|object| object.id).collect())
        }
        Selection::Objects { group, ids } => (group, ids.iter().copied().collect()),
    };
    let first = first_of_group(reader, group)?;
    if ids.is_empty() {
        return Err(SifError::NoSuchGroup(group));
    }
    let header = SignedDigest::of(algorithm, reader.header().signed_bytes().as_slice())?;
    let mut objects = Vec::new();
    for id in ids {
        let descriptor = reader.descriptor(id)?;
        // An object of another group may have an id below the base, which has no relative id.
        let relative_id = match id.checked_sub(first) {
            Some(relative_id) if descriptor.group() == Some(group) => relative_id,
            _ => return Err(SifError::NotInGroup { id, group }),
        };
        let descriptor_digest =
            SignedDigest::of(algorithm, descriptor.signed_bytes(relative_id).as_slice())?;
        let object_digest = SignedDigest::of(algorithm, reader.object(id)?)?;
        objects.push(ObjectDigests {
            relative_id,
            descriptor_digest,
            object_digest,
        });
    }
    Ok(SignedText {
        version: 1,
        header: HeaderDigest { digest: header },
        objects,
    })
}
