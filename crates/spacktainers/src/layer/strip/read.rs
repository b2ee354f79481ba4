//! The tables of an ELF file, checked: whatever is read behind them lies in the file.
//!
//! Source: System V ABI, "ELF Header", "Sections", "Program Header"; the 64-bit forms are those of the x86-64 supplement.

use super::KeptBecause;

pub(super) const HEADER: usize = 64;
pub(super) const SEGMENT: usize = 56;
pub(super) const SECTION: usize = 64;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
/// A number of segments that is told elsewhere: no program has so many.
const PN_XNUM: u16 = 0xffff;

/// Bytes of a section's name that are looked at.
const LONGEST_NAME: usize = 64;

pub(super) const SHT_NULL: u32 = 0;
pub(super) const SHT_PROGBITS: u32 = 1;
pub(super) const SHT_SYMTAB: u32 = 2;
pub(super) const SHT_STRTAB: u32 = 3;
pub(super) const SHT_RELA: u32 = 4;
pub(super) const SHT_NOTE: u32 = 7;
pub(super) const SHT_NOBITS: u32 = 8;
pub(super) const SHT_REL: u32 = 9;
pub(super) const SHT_SYMTAB_SHNDX: u32 = 18;

pub(super) const SHF_ALLOC: u64 = 2;
pub(super) const SHF_EXECINSTR: u64 = 4;
pub(super) const SHF_INFO_LINK: u64 = 0x40;

/// A program or shared library with a table of sections.
pub(super) struct Elf<'d> {
    pub(super) data: &'d [u8],
    pub(super) segments: Vec<Segment>,
    pub(super) sections: Vec<Section>,
    /// Offset of the table of segments.
    pub(super) segments_at: usize,
    /// Offset of the table of sections.
    pub(super) sections_at: usize,
    /// Index of the section that holds the names of sections.
    pub(super) names: usize,
}

/// One program header, as much of it as matters.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub(super) offset: usize,
    pub(super) size: usize,
}

/// One section header. `offset` and `size` are those of the file, which has room for both unless the kind is
/// [`SHT_NOBITS`].
#[derive(Clone, Copy, Default)]
pub(super) struct Section {
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) flags: u64,
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) link: u32,
    pub(super) info: u32,
    pub(super) align: u64,
    pub(super) entry_size: u64,
}

impl Section {
    pub(super) const fn is_loaded(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }

    /// Whether it has bytes in the file.
    pub(super) const fn has_bytes(&self) -> bool {
        self.kind != SHT_NOBITS && self.kind != SHT_NULL && self.size > 0
    }

    /// Its place in the file; nothing of it is elsewhere after [`Elf::read`].
    pub(super) fn range(&self) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let size = usize::try_from(self.size).unwrap_or(0);
        start..start.saturating_add(size)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            name: u32_at(bytes, 0)?,
            kind: u32_at(bytes, 4)?,
            flags: u64_at(bytes, 8)?,
            address: u64_at(bytes, 16)?,
            offset: u64_at(bytes, 24)?,
            size: u64_at(bytes, 32)?,
            link: u32_at(bytes, 40)?,
            info: u32_at(bytes, 44)?,
            align: u64_at(bytes, 48)?,
            entry_size: u64_at(bytes, 56)?,
        })
    }

    /// As it is written in the table.
    pub(super) fn to_bytes(self) -> [u8; SECTION] {
        let mut bytes = [0; SECTION];
        bytes[0..4].copy_from_slice(&self.name.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.address.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.link.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.info.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.align.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.entry_size.to_le_bytes());
        bytes
    }
}

impl<'d> Elf<'d> {
    /// Reads the tables; nothing for what is no linked program, or has no table of sections and so no symbols.
    pub(super) fn read(data: &'d [u8]) -> Result<Option<Self>, KeptBecause> {
        if !super::may_have_symbols(data) {
            return Ok(None);
        }
        let is_ours = matches!(data.get(4..6), Some([2, 1]))
            && matches!(u16_at(data, 16), Some(ET_EXEC | ET_DYN))
            && matches!(u16_at(data, 18), Some(EM_X86_64 | EM_AARCH64));
        if !is_ours {
            return Err(KeptBecause::Foreign);
        }
        Self::tables(data).ok_or(KeptBecause::Damaged)
    }

    /// Nothing if the tables contradict themselves; nothing inside if there is no table of sections.
    fn tables(data: &'d [u8]) -> Option<Option<Self>> {
        let (segments_at, sections_at) = (offset_at(data, 32)?, offset_at(data, 40)?);
        let (segment_size, segment_count) = (u16_at(data, 54)?, u16_at(data, 56)?);
        let (section_size, section_count) = (u16_at(data, 58)?, u16_at(data, 60)?);
        let names = usize::from(u16_at(data, 62)?);
        if section_count == 0 {
            // More sections than the field has room for are in no linked program; without any there are no symbols.
            return Some(None);
        }
        if segment_count == PN_XNUM
            || (segment_count > 0 && usize::from(segment_size) != SEGMENT)
            || usize::from(section_size) != SECTION
        {
            return None;
        }
        let mut segments = Vec::with_capacity(usize::from(segment_count));
        for bytes in table(data, segments_at, SEGMENT, segment_count)? {
            let segment = Segment {
                offset: offset_at(bytes, 8)?,
                size: offset_at(bytes, 32)?,
            };
            if segment.size > 0 {
                data.get(segment.offset..segment.offset.checked_add(segment.size)?)?;
            }
            segments.push(segment);
        }
        let mut sections = Vec::with_capacity(usize::from(section_count));
        for bytes in table(data, sections_at, SECTION, section_count)? {
            let section = Section::read(bytes)?;
            if section.has_bytes() {
                let start = usize::try_from(section.offset).ok()?;
                let size = usize::try_from(section.size).ok()?;
                data.get(start..start.checked_add(size)?)?;
            }
            sections.push(section);
        }
        // What is copied is in the file once: sections that share their bytes would make a small file a large one.
        let copied = sections
            .iter()
            .filter(|it| it.has_bytes() && (!it.is_loaded() || it.kind == SHT_NOTE))
            .try_fold(0_u64, |sum, it| sum.checked_add(it.size))?;
        if copied > data.len() as u64 {
            return None;
        }
        let has_names = sections
            .get(names)
            .is_some_and(|it| it.kind == SHT_STRTAB && it.has_bytes() && !it.is_loaded());
        has_names.then_some(Some(Self {
            data,
            segments,
            sections,
            segments_at,
            sections_at,
            names,
        }))
    }

    /// A section's name, or the beginning of one that is longer than those that mean something here.
    pub(super) fn name(&self, section: &Section) -> &'d [u8] {
        let names = self
            .sections
            .get(self.names)
            .map_or(&[][..], |it| self.bytes(it));
        let from = usize::try_from(section.name).unwrap_or(usize::MAX);
        let name = names.get(from..).unwrap_or_default();
        let name = name.get(..LONGEST_NAME).unwrap_or(name);
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// A section's bytes; none if it has none in the file.
    pub(super) fn bytes(&self, section: &Section) -> &'d [u8] {
        match section.has_bytes() {
            true => self.data.get(section.range()).unwrap_or_default(),
            false => &[],
        }
    }

    /// Where the table of segments ends.
    pub(super) fn segments_end(&self) -> usize {
        self.segments_at + self.segments.len() * SEGMENT
    }
}

fn table(
    data: &[u8],
    at: usize,
    size: usize,
    count: u16,
) -> Option<std::slice::ChunksExact<'_, u8>> {
    if count == 0 {
        return Some([].chunks_exact(size));
    }
    let length = size.checked_mul(usize::from(count))?;
    Some(data.get(at..at.checked_add(length)?)?.chunks_exact(size))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn offset_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64_at(bytes, at)?).ok()
}
