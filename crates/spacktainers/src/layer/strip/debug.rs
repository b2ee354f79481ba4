//! The file for debuggers: what is not loaded, with the addresses of what is.
//!
//! It has the form of `objcopy --only-keep-debug`: the same numbers of sections, loaded sections without their bytes, and notes
//! whole, because the build ID is one: a debugger asks for it in both files.

use super::cut::{LINK, append, finish};
use super::read::{Elf, HEADER, SHT_NOBITS, SHT_NOTE, SHT_NULL, u32_at};
use super::{DEBUG_FOLDER, DebugFile};

/// The type of the note with the build ID, and its owner.
///
/// Source: the Linux Standard Base's "Note Section"; binutils, `include/elf/common.h`.
const NT_GNU_BUILD_ID: u32 = 3;
const OWNER: &[u8] = b"GNU\0";

/// Bytes of a build ID: 20 as a rule, 8 from some linkers; what is longer is none.
const LENGTHS: std::ops::RangeInclusive<usize> = 2..=64;

/// The debug file of a program at `path`, and what the program has to say to be found without a build ID. Nothing for a program
/// that has none and says so already.
pub(super) fn separate(elf: &Elf<'_>, path: &[u8]) -> Option<(DebugFile, Option<Vec<u8>>)> {
    let bytes = write(elf);
    if let Some(id) = build_id(elf) {
        let id = hex::encode(id);
        let (first, rest) = id.split_at_checked(2)?;
        let path = format!("{DEBUG_FOLDER}/.build-id/{first}/{rest}.debug");
        return Some((DebugFile { path, bytes }, None));
    }
    if elf.sections.iter().any(|it| elf.name(it) == LINK) {
        return None;
    }
    let path = std::str::from_utf8(path).ok()?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let path = format!("{DEBUG_FOLDER}/{path}.debug");
    // The file's name, zeros to a multiple of four, and a checksum of all of the file.
    let mut link = format!("{name}.debug\0").into_bytes();
    link.resize(link.len().next_multiple_of(4), 0);
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes);
    link.extend_from_slice(&checksum.sum().to_le_bytes());
    Some((DebugFile { path, bytes }, Some(link)))
}

/// The build ID, from the first note that is one.
fn build_id<'d>(elf: &Elf<'d>) -> Option<&'d [u8]> {
    let notes = elf.sections.iter().filter(|it| it.kind == SHT_NOTE);
    notes.map(|it| elf.bytes(it)).find_map(of_notes)
}

fn of_notes(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let owner = usize::try_from(u32_at(notes, 0)?).ok()?;
        let length = usize::try_from(u32_at(notes, 4)?).ok()?;
        let kind = u32_at(notes, 8)?;
        let description = 12_usize.checked_add(owner.checked_next_multiple_of(4)?)?;
        let bytes = notes.get(description..description.checked_add(length)?)?;
        if kind == NT_GNU_BUILD_ID
            && notes.get(12..12 + owner) == Some(OWNER)
            && LENGTHS.contains(&length)
        {
            return Some(bytes);
        }
        let next = description.checked_add(length.checked_next_multiple_of(4)?)?;
        notes = notes.get(next..)?;
    }
}

fn write(elf: &Elf<'_>) -> Vec<u8> {
    let mut out = elf.data.get(..HEADER).unwrap_or_default().to_vec();
    // No program headers: nothing of this file is ever loaded, and none of them would tell the truth. Where code lies in memory,
    // the addresses of sections say.
    for range in [32..40, 54..58] {
        if let Some(field) = out.get_mut(range) {
            field.fill(0);
        }
    }
    let mut sections = elf.sections.clone();
    for section in &mut sections {
        if section.kind == SHT_NULL {
            continue;
        }
        if section.is_loaded() && section.kind != SHT_NOTE {
            section.kind = SHT_NOBITS;
            section.offset = out.len() as u64;
            continue;
        }
        section.offset = append(&mut out, elf.bytes(section), section.align);
    }
    finish(out, &sections, u32::try_from(elf.names).unwrap_or(0))
}
