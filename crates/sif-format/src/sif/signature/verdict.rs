//! Comparing a file with a signed text.
//!
//! Source: `apptainer/sif`, `pkg/integrity/verify.go`, `verifySignature` and `metadata.go`, `matches`.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::super::{SifError, SifReader};
use super::signed_text::first_of_group;
use super::{ObjectDigests, SignedDigest, SignedText};

/// What became of one object since it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectVerdict {
    /// It is as it was signed.
    Intact,
    /// Its descriptor differs: another type, name, size, time, link or kind of partition.
    DescriptorDiffers,
    /// Its content differs.
    ContentDiffers,
    /// It was signed and is not there any more, or not in this group.
    Missing,
    /// It is in the group and the signature does not cover it.
    NotSigned,
}

/// What became of a group since it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether launch script, version and id are as they were signed.
    pub header_intact: bool,
    /// All objects that are signed or in the group, by id.
    pub objects: BTreeMap<u32, ObjectVerdict>,
}

impl Verdict {
    /// Whether the signature covers the whole group and all of it is as it was signed.
    ///
    /// This is what `apptainer verify` asks of a group.
    #[must_use]
    pub fn group_is_intact(&self) -> bool {
        self.header_intact
            && self
                .objects
                .values()
                .all(|verdict| *verdict == ObjectVerdict::Intact)
    }

    /// Whether the signature covers the object and it is as it was signed.
    ///
    /// This is what `apptainer verify --sif-id` asks of an object.
    #[must_use]
    pub fn object_is_intact(&self, id: u32) -> bool {
        self.header_intact && self.objects.get(&id) == Some(&ObjectVerdict::Intact)
    }
}

/// Compares `group` with a text whose signature the caller has checked. Reads every signed object once.
///
/// # Errors
/// When the group is empty, or when the file cannot be read.
pub fn verify<R: Read + Seek>(
    reader: &mut SifReader<R>,
    group: u32,
    text: &SignedText,
) -> Result<Verdict, SifError> {
    let first = first_of_group(reader, group)?;
    let header_bytes = reader.header().signed_bytes();
    let header = SignedDigest::of(text.header().algorithm(), header_bytes.as_slice())?;
    let members = reader
        .descriptors()
        .filter(|object| object.group() == Some(group));
    let mut objects: BTreeMap<u32, ObjectVerdict> = members
        .map(|object| (object.id, ObjectVerdict::NotSigned))
        .collect();
    for signed in text.objects() {
        // An id past the last one that exists is an object that is missing, whatever its number.
        let id = first.saturating_add(signed.relative_id);
        let verdict =
            if first.checked_add(signed.relative_id).is_some() && objects.contains_key(&id) {
                examine(reader, id, signed)?
            } else {
                ObjectVerdict::Missing
            };
        objects.insert(id, verdict);
    }
    Ok(Verdict {
        header_intact: header == *text.header(),
        objects,
    })
}

/// Compares one object that is there.
fn examine<R: Read + Seek>(
    reader: &mut SifReader<R>,
    id: u32,
    signed: &ObjectDigests,
) -> Result<ObjectVerdict, SifError> {
    let bytes = reader.descriptor(id)?.signed_bytes(signed.relative_id);
    let digest = SignedDigest::of(signed.descriptor_digest.algorithm(), bytes.as_slice())?;
    if digest != signed.descriptor_digest {
        return Ok(ObjectVerdict::DescriptorDiffers);
    }
    let content = SignedDigest::of(signed.object_digest.algorithm(), reader.object(id)?)?;
    Ok(if content == signed.object_digest {
        ObjectVerdict::Intact
    } else {
        ObjectVerdict::ContentDiffers
    })
}
