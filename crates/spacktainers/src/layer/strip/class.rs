//! Which files keep their symbols, and which sections are symbols.

use super::KeptBecause;
use super::read::{
    Elf, HEADER, SECTION, SHF_EXECINSTR, SHT_NOBITS, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB,
    SHT_SYMTAB_SHNDX, Section,
};

/// How the names of debugging sections begin.
///
/// Source: binutils, `bfd/elf.c`, `_bfd_elf_make_section_from_shdr`: what `strip` takes for `SEC_DEBUGGING`.
const DEBUGGING: &[&[u8]] = &[
    b".debug",
    b".zdebug",
    b".gdb_index",
    b".stab",
    b".gnu.debuglto_.debug_",
    b".gnu.linkonce.wi.",
    b".gnu.linkonce.wt.",
];

/// Sections that the Go linker writes and no other.
const OF_GO: &[&[u8]] = &[b".go.buildinfo", b".note.go.buildid", b".gopclntab"];

/// For each section whether it goes.
pub(super) fn sections(elf: &Elf<'_>) -> Vec<bool> {
    let mut goes: Vec<bool> = elf
        .sections
        .iter()
        .map(|section| {
            let name = elf.name(section);
            !section.is_loaded()
                && (matches!(section.kind, SHT_SYMTAB | SHT_SYMTAB_SHNDX)
                    || DEBUGGING.iter().any(|it| name.starts_with(it))
                    || name == b".line")
        })
        .collect();
    let of_symbols = |link: u32, goes: &[bool]| {
        let link = usize::try_from(link).unwrap_or(usize::MAX);
        goes.get(link).copied().unwrap_or(false)
            && elf
                .sections
                .get(link)
                .is_some_and(|it| it.kind == SHT_SYMTAB)
    };
    for (index, section) in elf.sections.iter().enumerate() {
        let is_relocation = matches!(section.kind, SHT_REL | SHT_RELA);
        if is_relocation && !section.is_loaded() && of_symbols(section.link, &goes) {
            goes[index] = true;
        }
    }
    // Names go with the last of those that have them: for each section whether one has its names there, and whether all of
    // these go.
    let mut users = vec![(false, true); elf.sections.len()];
    for (section, goes) in elf.sections.iter().zip(&goes) {
        let names = usize::try_from(section.link).unwrap_or(usize::MAX);
        if let Some((has_any, all_go)) = users.get_mut(names) {
            *has_any = true;
            *all_go &= goes;
        }
    }
    let sections = elf.sections.iter().zip(users).enumerate().skip(1);
    for (index, (section, (has_any, all_go))) in sections {
        let is_names = section.kind == SHT_STRTAB && !section.is_loaded() && index != elf.names;
        goes[index] |= is_names && has_any && all_go;
    }
    goes
}

/// Why a file that has symbols keeps them.
pub(super) fn keeps(elf: &Elf<'_>) -> Option<KeptBecause> {
    let is_go = |section: &Section| OF_GO.contains(&elf.name(section));
    if elf.sections.iter().any(is_go) {
        return Some(KeptBecause::Go);
    }
    // Code that is not in the file is in the one that this one was taken from.
    let is_code_elsewhere =
        |it: &Section| it.kind == SHT_NOBITS && it.flags & SHF_EXECINSTR != 0 && it.size > 0;
    if elf.sections.iter().any(is_code_elsewhere) {
        return Some(KeptBecause::DebugFile);
    }
    let behind = elf.data.get(end(elf)..).unwrap_or_default();
    behind
        .iter()
        .any(|byte| *byte != 0)
        .then_some(KeptBecause::Appended)
}

/// Where the last thing ends that a table knows of.
fn end(elf: &Elf<'_>) -> usize {
    let sections = elf.sections.iter().filter(|it| it.has_bytes());
    let segments = elf.segments.iter().filter(|it| it.size > 0);
    sections
        .map(|it| it.range().end)
        .chain(segments.map(|it| it.offset + it.size))
        .chain([
            HEADER,
            elf.segments_end(),
            elf.sections_at + elf.sections.len() * SECTION,
        ])
        .max()
        .unwrap_or(HEADER)
}
