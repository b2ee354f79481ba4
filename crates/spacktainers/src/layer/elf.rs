//! What the dynamic linker would read of an ELF file.
//!
//! Sources: System V ABI, "Dynamic Section"; Linux Standard Base, "Symbol Versioning".

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind};
use serde::{Deserialize, Serialize};

/// Facts of one ELF file that has something to do with dynamic linking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ElfFacts {
    /// `e_machine`: 62 is x86-64, 183 is AArch64.
    pub machine: u16,
    /// Whether it is a 64-bit file.
    pub is_64: bool,
    /// Whether it is a shared object or position-independent program (`ET_DYN`).
    pub is_shared: bool,
    /// `PT_INTERP`: who loads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// `DT_SONAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soname: Option<String>,
    /// `DT_NEEDED`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
    /// `DT_RPATH`, split at `:`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`, split at `:`. Where there is one, `DT_RPATH` does not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runpath: Vec<String>,
    /// Versions that it needs of others' symbols: `GLIBC_2.34`, `GLIBCXX_3.4.30`. Sorted, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions_needed: Vec<String>,
}

/// The first bytes of every ELF file.
pub(crate) const MAGIC: &[u8] = b"\x7fELF";

/// The facts of the ELF file `data`, or nothing if it is none, is broken, or is an object file or a core: none of
/// these is ever loaded by the dynamic linker.
pub(crate) fn facts(data: &[u8]) -> Option<ElfFacts> {
    match FileKind::parse(data).ok()? {
        FileKind::Elf64 => read::<FileHeader64<Endianness>>(data, true),
        FileKind::Elf32 => read::<FileHeader32<Endianness>>(data, false),
        _ => None,
    }
}

fn read<H: FileHeader<Endian = Endianness>>(data: &[u8], is_64: bool) -> Option<ElfFacts> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let kind = header.e_type(endian);
    if kind != elf::ET_EXEC && kind != elf::ET_DYN {
        return None;
    }
    let mut facts = ElfFacts {
        machine: header.e_machine(endian).0,
        is_64,
        is_shared: kind == elf::ET_DYN,
        ..ElfFacts::default()
    };
    let segments = header.program_headers(endian, data).ok()?;
    for segment in segments {
        if let Ok(Some(path)) = segment.interpreter(endian, data) {
            facts.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
        if let Ok(Some(entries)) = segment.dynamic(endian, data) {
            read_dynamic::<H>(&mut facts, header, endian, data, entries);
        }
    }
    facts.versions_needed = versions_needed(header, endian, data).unwrap_or_default();
    Some(facts)
}

fn read_dynamic<H: FileHeader<Endian = Endianness>>(
    facts: &mut ElfFacts,
    header: &H,
    endian: Endianness,
    data: &[u8],
    entries: &[H::Dyn],
) {
    let value = |tag| {
        entries
            .iter()
            .find(|entry| entry.tag(endian) == tag)
            .map(|entry| entry.val(endian))
    };
    let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return;
    };
    let Some(strings) = bytes_at(header, endian, data, address, size) else {
        return;
    };
    let text = |offset: u64| {
        let from = strings.get(usize::try_from(offset).ok()?..)?;
        let end = memchr::memchr(0, from)?;
        Some(String::from_utf8_lossy(&from[..end]).into_owned())
    };
    let path = |text: String| {
        text.split(':')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    for entry in entries {
        let offset = entry.val(endian);
        match entry.tag(endian) {
            elf::DT_NULL => break,
            elf::DT_NEEDED => facts.needed.extend(text(offset)),
            elf::DT_SONAME => facts.soname = text(offset),
            elf::DT_RPATH => facts.rpath = text(offset).map(path).unwrap_or_default(),
            elf::DT_RUNPATH => facts.runpath = text(offset).map(path).unwrap_or_default(),
            _ => {}
        }
    }
}

/// The bytes that will be at a virtual address.
fn bytes_at<'data, H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    data: &'data [u8],
    address: u64,
    size: u64,
) -> Option<&'data [u8]> {
    header
        .program_headers(endian, data)
        .ok()?
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| {
            segment
                .data_range(endian, data, address, size)
                .ok()
                .flatten()
        })
}

fn versions_needed<H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    data: &[u8],
) -> Option<Vec<String>> {
    let sections = header.sections(endian, data).ok()?;
    let (mut libraries, link) = sections.gnu_verneed(endian, data).ok()??;
    let strings = sections.strings(endian, data, link).ok()?;
    let mut names = std::collections::BTreeSet::new();
    while let Ok(Some((_, mut versions))) = libraries.next() {
        while let Ok(Some(version)) = versions.next() {
            if let Ok(name) = version.name(endian, strings) {
                names.insert(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Some(names.into_iter().collect())
}

/// The newest `GLIBC_` version that the C library `data` defines: `2.36`.
pub(crate) fn glibc_defined(data: &[u8]) -> Option<String> {
    match FileKind::parse(data).ok()? {
        FileKind::Elf64 => newest_defined::<FileHeader64<Endianness>>(data),
        FileKind::Elf32 => newest_defined::<FileHeader32<Endianness>>(data),
        _ => None,
    }
}

fn newest_defined<H: FileHeader<Endian = Endianness>>(data: &[u8]) -> Option<String> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let (mut definitions, link) = sections.gnu_verdef(endian, data).ok()??;
    let strings = sections.strings(endian, data, link).ok()?;
    let mut newest: Option<(Vec<u64>, String)> = None;
    while let Ok(Some((_, mut names))) = definitions.next() {
        // The first name is the version's own; others are those that it builds on.
        let Ok(Some(name)) = names.next() else {
            continue;
        };
        let Ok(name) = name.name(endian, strings) else {
            continue;
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let Some(text) = name.strip_prefix("GLIBC_") else {
            continue;
        };
        let Some(numbers) = text
            .split('.')
            .map(|part| part.parse().ok())
            .collect::<Option<Vec<u64>>>()
        else {
            continue;
        };
        if newest.as_ref().is_none_or(|(known, _)| *known < numbers) {
            newest = Some((numbers, text.to_owned()));
        }
    }
    newest.map(|(_, text)| text)
}
