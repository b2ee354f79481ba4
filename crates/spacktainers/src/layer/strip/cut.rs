//! The program without sections that go.

use super::read::{Elf, HEADER, SECTION, SHF_INFO_LINK, SHT_PROGBITS, SHT_REL, SHT_RELA, Section};

/// No section that is not loaded asks for more.
const MOST_ALIGN: u64 = 4096;

/// The section that names a file with symbols.
///
/// Source: GDB's manual, "Debugging Information in Separate Files".
pub(super) const LINK: &[u8] = b".gnu_debuglink";

/// The file without the sections for which `goes` is true, and with a section [`LINK`] of this content if there is one. All up
/// to the last loaded byte stays as it is.
pub(super) fn cut(elf: &Elf<'_>, goes: &[bool], link: Option<&[u8]>) -> Vec<u8> {
    let loaded = loaded_end(elf);
    // Symbols of the dynamic linker name sections by number, and are loaded: what is before a loaded section keeps its place
    // in the table, as an entry that says nothing.
    let last_loaded = elf
        .sections
        .iter()
        .rposition(Section::is_loaded)
        .unwrap_or(0);
    let mut new_index = vec![0_u32; elf.sections.len()];
    let mut kept = Vec::with_capacity(elf.sections.len());
    for (index, section) in elf.sections.iter().enumerate() {
        let goes = goes.get(index).copied().unwrap_or(false);
        if goes && index > last_loaded {
            continue;
        }
        if !goes {
            new_index[index] = u32::try_from(kept.len()).unwrap_or(0);
        }
        kept.push(if goes { Section::default() } else { *section });
    }
    let new = |index: u32| {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        new_index.get(index).copied().unwrap_or(0)
    };
    let names = new_index.get(elf.names).copied().unwrap_or(0);
    let mut new_section = None;
    let mut out = elf.data.get(..loaded).unwrap_or_default().to_vec();
    for (index, section) in kept.iter_mut().enumerate() {
        let has_names = index == usize::try_from(names).unwrap_or(0);
        let bytes = elf.bytes(section);
        if let Some(link) = link.filter(|_| has_names) {
            // The names once more, with one behind them.
            new_section = Some(Section {
                name: u32::try_from(bytes.len()).unwrap_or(0),
                kind: SHT_PROGBITS,
                offset: append(&mut out, link, 4),
                size: link.len() as u64,
                align: 4,
                ..Section::default()
            });
            let all = [bytes, LINK, b"\0"].concat();
            section.size = all.len() as u64;
            section.offset = append(&mut out, &all, 1);
        } else if !section.is_loaded() && !bytes.is_empty() && section.range().end > loaded {
            section.offset = append(&mut out, bytes, section.align);
        }
        section.link = new(section.link);
        let names_a_section =
            matches!(section.kind, SHT_REL | SHT_RELA) || section.flags & SHF_INFO_LINK != 0;
        if names_a_section {
            section.info = new(section.info);
        }
    }
    kept.extend(new_section);
    finish(out, &kept, names)
}

/// Puts bytes behind the others; where they begin is the answer.
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8], align: u64) -> u64 {
    let align = match align {
        0..=MOST_ALIGN if align.is_power_of_two() => align,
        _ => 1,
    };
    let offset = (out.len() as u64).next_multiple_of(align);
    out.resize(usize::try_from(offset).unwrap_or(out.len()), 0);
    out.extend_from_slice(bytes);
    offset
}

/// Puts the table of sections behind all, and tells the header.
pub(super) fn finish(mut out: Vec<u8>, sections: &[Section], names: u32) -> Vec<u8> {
    let table: Vec<u8> = sections.iter().flat_map(|it| it.to_bytes()).collect();
    let offset = append(&mut out, &table, 8);
    // Neither is more than there were.
    let count = u16::try_from(sections.len()).unwrap_or(0);
    let names = u16::try_from(names).unwrap_or(0);
    let size = u16::try_from(SECTION).unwrap_or(0);
    for (at, bytes) in [
        (40, &offset.to_le_bytes()[..]),
        (58, &size.to_le_bytes()),
        (60, &count.to_le_bytes()),
        (62, &names.to_le_bytes()),
    ] {
        if let Some(field) = out.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }
    out
}

/// Where the last byte ends that is loaded or that a program header speaks of.
fn loaded_end(elf: &Elf<'_>) -> usize {
    let sections = elf
        .sections
        .iter()
        .filter(|it| it.is_loaded() && it.has_bytes());
    let segments = elf.segments.iter().filter(|it| it.size > 0);
    sections
        .map(|it| it.range().end)
        .chain(segments.map(|it| it.offset + it.size))
        .chain([HEADER, elf.segments_end()])
        .max()
        .unwrap_or(HEADER)
}
