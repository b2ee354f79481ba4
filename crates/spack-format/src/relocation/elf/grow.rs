//! Room for longer paths.
//!
//! ```text
//! before   … | last PT_LOAD: file part | (memory part: .bss)            | .comment .symtab … section headers
//! after    … | last PT_LOAD: file part | zeros for .bss │ .dynstr, path | .comment .symtab … section headers
//! ```
//!
//! The segment that ends last in memory is made longer: what was filled with zeros by the kernel becomes zeros in the file,
//! and behind it comes a copy of `.dynstr` with the new search path, and the new interpreter. No address of anything else
//! changes and no program header is added, so the table of program headers, which has to stay where it is on older kernels,
//! stays. `patchelf` moves other things to make room; for the dynamic linker the results are equal.
//!
//! The old texts lose their old prefixes but not their ends: linkers let names share the ends of other texts.

use std::io;

use super::change::{Changes, Splice};
use super::class::{Class, ReadAt, bytes};
use super::read::{PT_LOAD, Paths, SearchPath, Segment};
use crate::relocation::PrefixMap;
use crate::relocation::c_string::{self, CStringError, Strictness};

/// Zeros that a file may get for its `.bss`: 64 MiB. More than any library is known to have in a segment that is not made
/// for big arrays.
const MOST_ZEROS: u64 = 64 << 20;

/// `.dynstr` of the largest C++ libraries has a tenth of this.
const MOST_NAMES: u64 = 64 << 20;

/// What is put in is a multiple of this long, so that nothing behind it loses its alignment.
const ALIGN: u64 = 16;

/// The largest pages that processors have for programs.
const LARGEST_PAGE: u64 = 2 << 20;

/// Why there is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrowError {
    /// No segment to make longer.
    #[error("it has no segment in memory that could be made longer")]
    NoSegment,
    /// The last segment is not what linkers write.
    #[error("its segments overlap, or contradict its size")]
    Segments,
    /// A very large `.bss`.
    #[error(
        "the segment that would be made longer has {zeros} bytes of zeros in memory, too many to write into the file"
    )]
    Zeros {
        /// That many.
        zeros: u64,
    },
    /// `.dynstr` is very large.
    #[error("its table of names has {0} bytes")]
    Names(u64),
    /// A table that has to be changed is not there.
    #[error("its table of sections is not whole")]
    Sections,
    /// Addresses would not fit a 32-bit file.
    #[error("its addresses would become larger than the file's class allows")]
    Addresses,
    /// A name that cannot be moved.
    #[error("a name cannot be changed")]
    Name(#[from] CStringError),
}

/// Paths that do not fit.
#[derive(Default)]
pub(super) struct Longer<'p> {
    pub(super) interpreter: Option<(Segment, Vec<u8>)>,
    pub(super) search_path: Option<(&'p SearchPath, Vec<u8>)>,
}

impl Longer<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.interpreter.is_none() && self.search_path.is_none()
    }
}

/// Where there will be room.
struct Room {
    segment: Segment,
    /// Offset in the file at which bytes are put in.
    at: u64,
    /// Zeros before the first of ours.
    zeros: u64,
    /// Address of the first of ours.
    vaddr: u64,
}

impl Room {
    /// Offset in the new file of the first byte of ours.
    const fn offset(&self) -> u64 {
        self.at + self.zeros
    }
}

/// What is put in, and where.
pub(super) fn grow(
    map: &PrefixMap,
    file: &(impl ReadAt + ?Sized),
    paths: &Paths,
    longer: &Longer<'_>,
    changes: &mut Changes,
) -> Result<(), super::ElfError> {
    let class = paths.header.class;
    let room = room(file, paths)?;
    let mut new = Vec::new();
    let mut moved = Vec::new();
    if let Some((path, text)) = &longer.search_path {
        let names = names(map, file, path)?;
        changes.put(path.text.offset, without_prefixes(map, &path.text.value));
        let at = names.len() as u64;
        new.extend_from_slice(&names);
        new.extend_from_slice(text);
        new.push(0);
        let size = new.len() as u64;
        changes.put(path.entry_at, class.put_word(at));
        changes.put(path.table_entry_at, class.put_word(room.vaddr));
        if let Some(at) = path.size_entry_at {
            changes.put(at, class.put_word(size));
        }
        moved.push((path.table.offset, room.vaddr, room.offset(), size));
    }
    if let Some((segment, text)) = &longer.interpreter {
        let (vaddr, offset) = (
            room.vaddr + new.len() as u64,
            room.offset() + new.len() as u64,
        );
        let size = text.len() as u64 + 1;
        new.extend_from_slice(text);
        new.push(0);
        let old = usize::try_from(segment.filesz).map_err(|_| GrowError::Segments)?;
        changes.put(segment.offset, vec![0; old]);
        let paddr = segment
            .paddr
            .wrapping_sub(segment.vaddr)
            .wrapping_add(vaddr);
        put_words(
            changes,
            class,
            segment.fields_at(class),
            &[offset, vaddr, paddr, size, size],
        );
        moved.push((segment.offset, vaddr, offset, size));
    }
    let shift = shift(paths, &room, new.len() as u64)?;
    let end = room.zeros + new.len() as u64;
    let in_file = room.segment.filesz + end;
    let limit = class.word_limit();
    if room.segment.vaddr > limit - in_file || file.size() > limit - shift {
        return Err(GrowError::Addresses.into());
    }
    put_words(
        changes,
        class,
        room.segment.fields_at(class) + 3 * class.word_size(),
        &[in_file, in_file],
    );
    new.resize(new.len() + usize::try_from(shift - end).unwrap_or(0), 0);
    changes.set_splice(Splice {
        at: room.at,
        remove: 0,
        zeros: room.zeros,
        bytes: new,
    });
    move_rest(file, paths, &room, shift, &moved, changes)
}

/// The end in memory of the segment that ends last there.
fn room(file: &(impl ReadAt + ?Sized), paths: &Paths) -> Result<Room, GrowError> {
    let loads = || paths.segments.iter().filter(|it| it.kind == PT_LOAD);
    let segment = *loads()
        .max_by_key(|it| it.vaddr.saturating_add(it.memsz))
        .ok_or(GrowError::NoSegment)?;
    let zeros = segment
        .memsz
        .checked_sub(segment.filesz)
        .ok_or(GrowError::Segments)?;
    if zeros > MOST_ZEROS {
        return Err(GrowError::Zeros { zeros });
    }
    let at = segment
        .offset
        .checked_add(segment.filesz)
        .filter(|at| *at <= file.size())
        .ok_or(GrowError::Segments)?;
    let end = segment
        .vaddr
        .checked_add(segment.memsz)
        .and_then(|end| end.checked_next_multiple_of(ALIGN))
        .filter(|end| *end <= paths.header.class.word_limit() / 2)
        .ok_or(GrowError::Addresses)?;
    // What lies on both sides of where bytes are put in would be torn apart.
    let is_torn = paths
        .segments
        .iter()
        .any(|it| it.offset < at && it.offset.checked_add(it.filesz).is_none_or(|end| end > at));
    let header_end =
        paths.header.phoff + paths.header.segment_size() * u64::from(paths.header.phnum);
    if is_torn || header_end > at {
        return Err(GrowError::Segments);
    }
    Ok(Room {
        segment,
        at,
        zeros: end - segment.vaddr - segment.filesz,
        vaddr: end,
    })
}

/// How far what lies behind moves: a whole number of pages where a segment is behind.
fn shift(paths: &Paths, room: &Room, length: u64) -> Result<u64, GrowError> {
    let behind = paths.segments.iter().filter(|it| it.offset >= room.at);
    let align = behind.map(|it| it.align).max().unwrap_or(0).max(ALIGN);
    if align > LARGEST_PAGE || !align.is_power_of_two() {
        return Err(GrowError::Segments);
    }
    Ok((room.zeros + length).next_multiple_of(align))
}

/// A copy of `.dynstr` for the new place.
fn names(
    map: &PrefixMap,
    file: &(impl ReadAt + ?Sized),
    path: &SearchPath,
) -> Result<Vec<u8>, super::ElfError> {
    if path.table.size > MOST_NAMES {
        return Err(GrowError::Names(path.table.size).into());
    }
    let mut names = bytes(file, path.table.offset, path.table.size)?
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let start = path
        .text
        .offset
        .checked_sub(path.table.offset)
        .and_then(|start| usize::try_from(start).ok());
    let old =
        start.and_then(|start| names.get_mut(start..start.checked_add(path.text.value.len())?));
    if let Some(old) = old {
        old.copy_from_slice(&without_prefixes(map, &path.text.value));
    }
    let new = c_string::relocate(map, &names, Strictness::Refuse).map_err(GrowError::Name)?;
    Ok(new.unwrap_or(names))
}

/// A text that nobody reads any more but whose end may be part of another name.
fn without_prefixes(map: &PrefixMap, text: &[u8]) -> Vec<u8> {
    let mut new = text.to_vec();
    for (position, old, _) in map.find(text) {
        new[position..position + old.len()].fill(b'X');
    }
    new
}

fn put_words(changes: &mut Changes, class: Class, at: u64, words: &[u64]) {
    let bytes = words
        .iter()
        .flat_map(|word| class.put_word(*word))
        .collect();
    changes.put(at, bytes);
}

/// New offsets for all that lies behind what is put in, and new places for the sections that moved: old offset, address, new
/// offset, size.
fn move_rest(
    file: &(impl ReadAt + ?Sized),
    paths: &Paths,
    room: &Room,
    shift: u64,
    moved: &[(u64, u64, u64, u64)],
    changes: &mut Changes,
) -> Result<(), super::ElfError> {
    let (header, class) = (&paths.header, paths.header.class);
    for segment in paths.segments.iter().filter(|it| it.offset >= room.at) {
        let is_interpreter = moved.iter().any(|it| it.0 == segment.offset)
            && paths
                .interpreter
                .as_ref()
                .is_some_and(|(it, _)| it.at == segment.at);
        // An empty segment at the very end of the file part, such as PT_GNU_STACK at 0, has no bytes that move.
        if !is_interpreter && segment.filesz > 0 {
            let offset = segment
                .offset
                .checked_add(shift)
                .ok_or(GrowError::Addresses)?;
            put_words(changes, class, segment.fields_at(class), &[offset]);
        }
    }
    if header.shnum == 0 {
        return Ok(());
    }
    let sections = header.sections(file)?.ok_or(GrowError::Sections)?;
    let table_end = header.shoff + header.section_size() * u64::from(header.shnum);
    if header.shoff < room.at && table_end > room.at {
        return Err(GrowError::Segments.into());
    }
    if header.shoff >= room.at {
        let shoff = header
            .shoff
            .checked_add(shift)
            .ok_or(GrowError::Addresses)?;
        put_words(changes, class, header.shoff_at(), &[shoff]);
    }
    const NOBITS: u32 = 8;
    for section in sections {
        let new = moved
            .iter()
            .find(|(old, ..)| *old == section.offset && section.size > 0 && section.kind != NOBITS);
        if let Some((_, vaddr, offset, size)) = new {
            put_words(
                changes,
                class,
                section.addr_at(class),
                &[*vaddr, *offset, *size],
            );
        } else if section.offset >= room.at && section.kind != NOBITS {
            let offset = section
                .offset
                .checked_add(shift)
                .ok_or(GrowError::Addresses)?;
            let at = section.addr_at(class) + class.word_size();
            put_words(changes, class, at, &[offset]);
        }
    }
    Ok(())
}
