//! What a caller says about an object that is about to be written.

use super::bytes::padded;
use super::extra::EXTRA_SIZE;
use super::{
    CryptoMessage, DataType, GROUP_MASK, Link, NAME_SIZE, OciDigest, Partition, PartitionKind,
    SbomFormat, SifDescriptor, SifError, SignatureInfo,
};

/// Partitions begin at a multiple of this, so that the kernel can mount them where they lie.
pub const PARTITION_ALIGNMENT: u64 = 4096;

/// The group of an object. Signatures cover groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// No group: signatures, which cannot cover themselves.
    None,
    /// A numbered group, from 1. Apptainer puts everything into group 1.
    Number(u32),
}

/// An object to be written: all of its descriptor but place, size, id and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    data_type: DataType,
    group: Group,
    link: Link,
    name: [u8; NAME_SIZE],
    extra: [u8; EXTRA_SIZE],
    partition: Option<Partition>,
}

impl NewObject {
    /// An object without name, link and further facts, in group 1.
    fn of(data_type: DataType) -> Self {
        Self {
            data_type,
            group: Group::Number(1),
            link: Link::None,
            name: [0; NAME_SIZE],
            extra: [0; EXTRA_SIZE],
            partition: None,
        }
    }

    /// A definition file.
    #[must_use]
    pub fn definition_file() -> Self {
        Self::of(DataType::DefinitionFile)
    }

    /// Labels, as old images have them.
    #[must_use]
    pub fn labels() -> Self {
        Self::of(DataType::Labels)
    }

    /// Environment variables, as old images have them.
    #[must_use]
    pub fn environment() -> Self {
        Self::of(DataType::Environment)
    }

    /// A JSON document that is found by `name`.
    ///
    /// # Errors
    /// When the name has more than 128 bytes.
    pub fn json(name: &str) -> Result<Self, SifError> {
        Self::of(DataType::GenericJson).named(name)
    }

    /// Anything.
    #[must_use]
    pub fn generic() -> Self {
        Self::of(DataType::Generic)
    }

    /// A partition; it will be aligned.
    #[must_use]
    pub fn partition(partition: Partition) -> Self {
        Self {
            extra: partition.to_extra(),
            partition: Some(partition),
            ..Self::of(DataType::Partition)
        }
    }

    /// A signature over the objects of `group`; in no group itself.
    #[must_use]
    pub fn signature(group: u32, info: SignatureInfo) -> Self {
        Self {
            group: Group::None,
            link: Link::Group(group),
            extra: info.to_extra(),
            ..Self::of(DataType::Signature)
        }
    }

    /// A message that opens the encrypted partition `partition_id`.
    #[must_use]
    pub fn crypto_message(partition_id: u32, message: CryptoMessage) -> Self {
        Self {
            link: Link::Object(partition_id),
            extra: message.to_extra(),
            ..Self::of(DataType::CryptoMessage)
        }
    }

    /// A bill of materials.
    #[must_use]
    pub fn sbom(format: SbomFormat) -> Self {
        Self {
            extra: format.to_extra(),
            ..Self::of(DataType::Sbom)
        }
    }

    /// The root index of an OCI image, whose content has this digest.
    ///
    /// # Errors
    /// When the digest does not fit its field.
    pub fn oci_root_index(digest: &OciDigest) -> Result<Self, SifError> {
        Self::oci(DataType::OciRootIndex, digest)
    }

    /// A blob of an OCI image, whose content has this digest.
    ///
    /// # Errors
    /// When the digest does not fit its field.
    pub fn oci_blob(digest: &OciDigest) -> Result<Self, SifError> {
        Self::oci(DataType::OciBlob, digest)
    }

    fn oci(data_type: DataType, digest: &OciDigest) -> Result<Self, SifError> {
        let extra = digest.to_extra().ok_or(SifError::TooLong {
            field: "digest of an OCI object",
            length: digest.0.len(),
            limit: EXTRA_SIZE,
        })?;
        Ok(Self {
            extra,
            ..Self::of(data_type)
        })
    }

    /// The same with a name.
    ///
    /// # Errors
    /// When the name has more than 128 bytes.
    pub fn named(self, name: &str) -> Result<Self, SifError> {
        let name = padded(name.as_bytes()).ok_or(SifError::TooLong {
            field: "name of an object",
            length: name.len(),
            limit: NAME_SIZE,
        })?;
        Ok(Self { name, ..self })
    }

    /// The same in another group.
    #[must_use]
    pub fn in_group(self, group: Group) -> Self {
        Self { group, ..self }
    }

    /// The same with a link.
    #[must_use]
    pub fn linked_to(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// What the object is.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// The group that the object will be in.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group
    }

    /// What the object will be linked to.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// The facts of a partition that will be the primary one.
    pub(crate) fn primary(&self) -> Option<Partition> {
        self.partition
            .filter(|partition| partition.kind == PartitionKind::PrimarySystem)
    }

    /// Refuses group numbers that would run into the mark of groups, and links that would read as something else.
    pub(crate) fn check(&self) -> Result<(), SifError> {
        let fits = |number: u32| match number {
            1..GROUP_MASK if number & GROUP_MASK == 0 => Ok(()),
            wrong => Err(SifError::Group(wrong)),
        };
        if let Group::Number(group) = self.group {
            fits(group)?;
        }
        match self.link {
            Link::Group(group) => fits(group),
            Link::Object(id) if id & GROUP_MASK == GROUP_MASK || id == 0 => {
                Err(SifError::NoSuchObject(id))
            }
            Link::Object(_) | Link::None => Ok(()),
        }
    }

    /// Where the object begins when everything before it ends at `end`.
    pub(crate) fn place(&self, end: u64) -> Result<u64, SifError> {
        let alignment = if self.data_type == DataType::Partition {
            PARTITION_ALIGNMENT
        } else {
            1
        };
        end.checked_next_multiple_of(alignment)
            .filter(|offset| i64::try_from(*offset).is_ok())
            .ok_or(SifError::TooLong64)
    }

    /// The descriptor, now that place and size are known. `padding` bytes lie in front of the object.
    pub(crate) fn describe(
        &self,
        id: u32,
        time: i64,
        offset: u64,
        padding: u64,
        size: u64,
    ) -> SifDescriptor {
        SifDescriptor {
            data_type: self.data_type,
            id,
            offset,
            size,
            size_with_padding: size.saturating_add(padding),
            created: time,
            modified: time,
            uid: 0,
            gid: 0,
            group_code: match self.group {
                Group::None => GROUP_MASK,
                Group::Number(group) => GROUP_MASK | group,
            },
            link_code: self.link.code(),
            name: self.name,
            extra: self.extra,
        }
    }
}
