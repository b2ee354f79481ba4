//! Descriptors: what a data object is, where it lies and what it belongs to. 585 bytes each.
//!
//! Source: `apptainer/sif`, `pkg/sif/descriptor.go`, `rawDescriptor`.

use std::borrow::Cow;

use super::bytes::{Take, padded, stored, unpadded};
use super::extra::{self, EXTRA_SIZE};
use super::{CryptoMessage, DataType, OciDigest, Partition, SbomFormat, SifError, SignatureInfo};

/// Length of a descriptor in bytes.
pub const DESCRIPTOR_SIZE: usize = 585;
/// Length of the field that holds an object's name, in bytes.
pub const NAME_SIZE: usize = 128;
/// Set in a group number, to tell it from the number of an object.
pub const GROUP_MASK: u32 = 0xf000_0000;

/// What an object is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Nothing.
    None,
    /// The object with this id.
    Object(u32),
    /// All objects of this group: what signatures are linked to.
    Group(u32),
}

impl Link {
    pub(crate) fn from_code(code: u32) -> Self {
        match (code & GROUP_MASK == GROUP_MASK, code & !GROUP_MASK) {
            (_, 0) => Self::None,
            (true, group) => Self::Group(group),
            (false, _) => Self::Object(code),
        }
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Object(id) => id,
            Self::Group(group) => GROUP_MASK | group,
        }
    }
}

/// A descriptor that is in use.
///
/// Offsets and sizes were checked against the length of the file when it came from a
/// [`SifReader`](super::SifReader).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SifDescriptor {
    /// What the object is.
    pub data_type: DataType,
    /// The number by which others refer to it: by rule its slot in the table, counted from 1.
    pub id: u32,
    /// Where the object begins in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its length together with the padding in front of it.
    pub size_with_padding: u64,
    /// When it was made, Unix seconds.
    pub created: i64,
    /// When it was changed, Unix seconds.
    pub modified: i64,
    /// Of no use any more; 0.
    pub uid: i64,
    /// Of no use any more; 0.
    pub gid: i64,
    pub(crate) group_code: u32,
    pub(crate) link_code: u32,
    pub(crate) name: [u8; NAME_SIZE],
    pub(crate) extra: [u8; EXTRA_SIZE],
}

impl SifDescriptor {
    /// The group that the object belongs to, from 1; none when it is in no group.
    #[must_use]
    pub fn group(&self) -> Option<u32> {
        Some(self.group_code & !GROUP_MASK).filter(|group| *group != 0)
    }

    /// What the object is linked to.
    #[must_use]
    pub fn link(&self) -> Link {
        Link::from_code(self.link_code)
    }

    /// The object's name: JSON objects are looked up by it.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(unpadded(&self.name))
    }

    /// The first byte behind the object.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    /// What the descriptor says about a partition; none for other types.
    #[must_use]
    pub fn partition(&self) -> Option<Partition> {
        (self.data_type == DataType::Partition).then(|| Partition::from_extra(&self.extra))
    }

    /// What the descriptor says about a signature; none for other types.
    #[must_use]
    pub fn signature(&self) -> Option<SignatureInfo> {
        (self.data_type == DataType::Signature).then(|| SignatureInfo::from_extra(&self.extra))
    }

    /// What the descriptor says about a cryptographic message; none for other types.
    #[must_use]
    pub fn crypto_message(&self) -> Option<CryptoMessage> {
        (self.data_type == DataType::CryptoMessage).then(|| CryptoMessage::from_extra(&self.extra))
    }

    /// The format of a bill of materials; none for other types.
    #[must_use]
    pub fn sbom(&self) -> Option<SbomFormat> {
        (self.data_type == DataType::Sbom).then(|| SbomFormat::from_extra(&self.extra))
    }

    /// The digest that an OCI object is said to have; none for other types, or when it is malformed.
    #[must_use]
    pub fn oci_digest(&self) -> Option<OciDigest> {
        extra::holds_digest(self.data_type)
            .then(|| OciDigest::from_extra(&self.extra))
            .flatten()
    }

    /// Parses a slot of the table of a file that has `length` bytes; none when the slot is free.
    pub(crate) fn parse(
        bytes: &[u8; DESCRIPTOR_SIZE],
        length: u64,
    ) -> Result<Option<Self>, SifError> {
        let mut take = Take::new(bytes);
        let data_type = DataType::from_code(take.i32());
        let used = take.u8() != 0;
        if !used {
            return Ok(None);
        }
        let (id, group_code, link_code) = (take.u32(), take.u32(), take.u32());
        let (offset, size, size_with_padding) = (take.i64(), take.i64(), take.i64());
        let out_of_bounds = SifError::OutOfBounds {
            id,
            offset,
            size,
            length,
        };
        let (Ok(offset), Ok(size), Ok(size_with_padding)) = (
            u64::try_from(offset),
            u64::try_from(size),
            u64::try_from(size_with_padding),
        ) else {
            return Err(out_of_bounds);
        };
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(out_of_bounds);
        }
        Ok(Some(Self {
            data_type,
            id,
            offset,
            size,
            size_with_padding,
            created: take.i64(),
            modified: take.i64(),
            uid: take.i64(),
            gid: take.i64(),
            group_code,
            link_code,
            name: take.array(),
            extra: take.array(),
        }))
    }

    /// The 585 bytes of the descriptor.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; DESCRIPTOR_SIZE] {
        let mut bytes = Vec::with_capacity(DESCRIPTOR_SIZE);
        bytes.extend(self.data_type.code().to_le_bytes());
        bytes.push(1);
        for number in [self.id, self.group_code, self.link_code] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [
            stored(self.offset),
            stored(self.size),
            stored(self.size_with_padding),
            self.created,
            self.modified,
            self.uid,
            self.gid,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.name);
        bytes.extend(self.extra);
        padded(&bytes).unwrap_or([0; DESCRIPTOR_SIZE])
    }

    /// What a signature covers of a descriptor: 557 bytes, with the id counted from `relative_id`'s base.
    ///
    /// Group, offset, padded size and modification time are left out, so objects may move.
    ///
    /// Source: `apptainer/sif`, `pkg/sif/descriptor.go`, `GetIntegrityReader`.
    #[must_use]
    pub fn signed_bytes(&self, relative_id: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(557);
        bytes.extend(self.data_type.code().to_le_bytes());
        bytes.push(1);
        bytes.extend(relative_id.to_le_bytes());
        bytes.extend(self.link_code.to_le_bytes());
        for number in [stored(self.size), self.created, self.uid, self.gid] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.name);
        bytes.extend(self.extra);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_objects_and_groups() {
        for (code, link) in [
            (0, Link::None),
            (3, Link::Object(3)),
            (0xf000_0001, Link::Group(1)),
            (0xf000_0000, Link::None),
        ] {
            assert_eq!(Link::from_code(code), link);
        }
        assert_eq!(Link::Group(1).code(), 0xf000_0001);
    }

    #[test]
    fn a_free_slot_is_no_object_and_a_slot_of_ones_is_refused() {
        assert!(
            SifDescriptor::parse(&[0; DESCRIPTOR_SIZE], 0)
                .unwrap()
                .is_none()
        );
        assert!(SifDescriptor::parse(&[0xff; DESCRIPTOR_SIZE], u64::MAX).is_err());
    }
}
