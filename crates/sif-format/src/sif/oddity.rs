//! What is odd about a file that can be read nevertheless.
//!
//! Apptainer checks none of this. A reader may go on; an editor must not where data would be lost.

use std::collections::BTreeMap;
use std::fmt;

use super::{
    Arch, DESCRIPTOR_SIZE, DataType, HEADER_SIZE, Header, Link, PartitionKind, SifDescriptor,
};

/// Something that a well-made file does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// Two objects share bytes.
    Overlap {
        /// The object that begins first.
        first: u32,
        /// The object that begins inside it.
        second: u32,
    },
    /// An object shares bytes with the header or the descriptor table.
    OverlapsTable(u32),
    /// An object lies outside of the section that the header sets aside for data.
    OutsideData(u32),
    /// The descriptor table shares bytes with the header.
    TableOverlapsHeader,
    /// An object's id is not the number of its slot.
    IdIsNotSlot {
        /// The object.
        id: u32,
        /// The number of its slot, from 1.
        slot: u64,
    },
    /// An object's group number lacks the group mark.
    GroupWithoutMark(u32),
    /// An object is linked to something that is not there.
    DanglingLink {
        /// The object.
        id: u32,
        /// What it is linked to.
        link: Link,
    },
    /// The header counts other free descriptors than there are.
    FreeCount {
        /// What the header says.
        announced: u64,
        /// How many there are.
        found: u64,
    },
    /// More than one primary partition: programs may differ in which one they run.
    SecondPrimary(u32),
    /// The header names another architecture than the primary partition.
    ArchDiffers {
        /// What the header says.
        header: Arch,
        /// What the partition says.
        partition: Arch,
    },
    /// A primary partition that does not begin at a multiple of 512 bytes cannot be mounted by the kernel.
    Unaligned(u32),
}

impl Oddity {
    /// Whether bytes mean two things at once, so that writing one part may destroy another.
    #[must_use]
    pub fn forbids_changes(&self) -> bool {
        matches!(
            self,
            Self::Overlap { .. }
                | Self::OverlapsTable(_)
                | Self::TableOverlapsHeader
                | Self::IdIsNotSlot { .. }
        )
    }

    /// All oddities of a file. `slots` are the objects with their slots, counted from 1.
    pub(crate) fn find(header: &Header, slots: &[(u64, SifDescriptor)]) -> Vec<Self> {
        let mut found = Vec::new();
        if header.descriptors_offset < HEADER_SIZE as u64 {
            found.push(Self::TableOverlapsHeader);
        }
        let free = header.descriptors_total.saturating_sub(slots.len() as u64);
        if header.descriptors_free != free {
            found.push(Self::FreeCount {
                announced: header.descriptors_free,
                found: free,
            });
        }
        for (slot, object) in slots {
            let id = object.id;
            if u64::from(id) != *slot {
                found.push(Self::IdIsNotSlot { id, slot: *slot });
            }
            if object.group_code & super::GROUP_MASK != super::GROUP_MASK {
                found.push(Self::GroupWithoutMark(id));
            }
            found.extend(place(header, object));
        }
        found.extend(dangling(slots));
        found.extend(overlaps(slots));
        found.extend(primaries(header, slots));
        found
    }
}

/// Oddities in where one object lies.
fn place(header: &Header, object: &SifDescriptor) -> Option<Oddity> {
    let table = header
        .descriptors_total
        .saturating_mul(DESCRIPTOR_SIZE as u64);
    let table_end = header.descriptors_offset.saturating_add(table);
    let in_header = object.offset < HEADER_SIZE as u64;
    let in_table = object.offset < table_end && object.end() > header.descriptors_offset;
    if object.size > 0 && (in_header || in_table) {
        return Some(Oddity::OverlapsTable(object.id));
    }
    let data_end = header.data_offset.saturating_add(header.data_size);
    (object.offset < header.data_offset || object.end() > data_end)
        .then_some(Oddity::OutsideData(object.id))
}

fn dangling(slots: &[(u64, SifDescriptor)]) -> Vec<Oddity> {
    let ids: std::collections::BTreeSet<_> = slots.iter().map(|(_, object)| object.id).collect();
    let groups: std::collections::BTreeSet<_> = slots
        .iter()
        .filter_map(|(_, object)| object.group())
        .collect();
    slots
        .iter()
        .filter(|(_, object)| match object.link() {
            Link::None => false,
            Link::Object(id) => !ids.contains(&id),
            Link::Group(group) => !groups.contains(&group),
        })
        .map(|(_, object)| Oddity::DanglingLink {
            id: object.id,
            link: object.link(),
        })
        .collect()
}

fn overlaps(slots: &[(u64, SifDescriptor)]) -> Vec<Oddity> {
    let mut objects: Vec<_> = slots
        .iter()
        .map(|(_, object)| object)
        .filter(|object| object.size > 0)
        .collect();
    objects.sort_by_key(|object| (object.offset, object.id));
    let mut found = Vec::new();
    let mut furthest: Option<&SifDescriptor> = None;
    for object in objects {
        if let Some(before) = furthest.filter(|before| before.end() > object.offset) {
            found.push(Oddity::Overlap {
                first: before.id,
                second: object.id,
            });
        }
        if furthest.is_none_or(|before| before.end() < object.end()) {
            furthest = Some(object);
        }
    }
    found
}

fn primaries(header: &Header, slots: &[(u64, SifDescriptor)]) -> Vec<Oddity> {
    let primaries: BTreeMap<u64, _> = slots
        .iter()
        .filter_map(|(slot, object)| Some((*slot, (object, object.partition()?))))
        .filter(|(_, (_, partition))| partition.kind == PartitionKind::PrimarySystem)
        .collect();
    let mut found = Vec::new();
    for (index, (object, partition)) in primaries.into_values().enumerate() {
        if index > 0 {
            found.push(Oddity::SecondPrimary(object.id));
        } else if partition.arch != header.arch {
            found.push(Oddity::ArchDiffers {
                header: header.arch,
                partition: partition.arch,
            });
        }
        if !object.offset.is_multiple_of(512) && object.data_type == DataType::Partition {
            found.push(Oddity::Unaligned(object.id));
        }
    }
    found
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { first, second } => write!(f, "objects {first} and {second} overlap"),
            Self::OverlapsTable(id) => {
                write!(f, "object {id} overlaps the header or the descriptors")
            }
            Self::OutsideData(id) => write!(f, "object {id} is outside of the data section"),
            Self::TableOverlapsHeader => f.write_str("the descriptors overlap the header"),
            Self::IdIsNotSlot { id, slot } => write!(f, "object {id} stands in slot {slot}"),
            Self::GroupWithoutMark(id) => write!(f, "the group of object {id} lacks its mark"),
            Self::DanglingLink {
                id,
                link: Link::Group(group),
            } => {
                write!(f, "object {id} is linked to group {group}, which is empty")
            }
            Self::DanglingLink { id, link } => {
                write!(
                    f,
                    "object {id} is linked to object {}, which does not exist",
                    link.code()
                )
            }
            Self::FreeCount { announced, found } => {
                write!(
                    f,
                    "the header counts {announced} free descriptors, but {found} are free"
                )
            }
            Self::SecondPrimary(id) => write!(f, "object {id} is one more primary partition"),
            Self::ArchDiffers { header, partition } => {
                write!(
                    f,
                    "the header says {header}, the primary partition says {partition}"
                )
            }
            Self::Unaligned(id) => write!(
                f,
                "partition {id} does not begin at a multiple of 512 bytes"
            ),
        }
    }
}
