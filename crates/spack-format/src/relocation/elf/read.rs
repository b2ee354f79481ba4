//! What of a file has to do with paths, read as Spack reads it: where Spack gives up, so does this.

use std::io;

use super::class::{Class, ReadAt, bytes};

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
pub(super) const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const SHT_STRTAB: u32 = 3;

/// Bytes read at a time where the length is the file's own word.
const CHUNK: u64 = 4096;

/// The header of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) class: Class,
    pub(super) kind: u16,
    pub(super) phoff: u64,
    pub(super) shoff: u64,
    pub(super) phnum: u16,
    pub(super) shnum: u16,
}

impl Header {
    pub(super) fn read(file: &(impl ReadAt + ?Sized)) -> io::Result<Option<Self>> {
        let Some(ident) = bytes(file, 0, 16)? else {
            return Ok(None);
        };
        let Some(class) = Class::of(&ident) else {
            return Ok(None);
        };
        let size = if class.is_64 { 64 } else { 52 };
        let Some(header) = bytes(file, 0, size)? else {
            return Ok(None);
        };
        Ok(Self::parse(class, &header))
    }

    fn parse(class: Class, header: &[u8]) -> Option<Self> {
        let word = if class.is_64 { 8 } else { 4 };
        let counts = 24 + 3 * word + 4;
        Some(Self {
            class,
            kind: class.u16(header, 16)?,
            phoff: class.word(header, 24 + word)?,
            shoff: class.word(header, 24 + 2 * word)?,
            phnum: class.u16(header, counts + 4)?,
            shnum: class.u16(header, counts + 8)?,
        })
    }

    /// Whether it is a program or a shared library.
    pub(super) const fn is_loadable(&self) -> bool {
        matches!(self.kind, ET_EXEC | ET_DYN)
    }

    /// Where `e_shoff` is written.
    pub(super) const fn shoff_at(&self) -> u64 {
        24 + 2 * self.class.word_size()
    }

    pub(super) const fn segment_size(&self) -> u64 {
        if self.class.is_64 { 56 } else { 32 }
    }

    pub(super) const fn section_size(&self) -> u64 {
        if self.class.is_64 { 64 } else { 40 }
    }

    /// All segments, or nothing where the file is too short for them.
    pub(super) fn segments(
        &self,
        file: &(impl ReadAt + ?Sized),
    ) -> io::Result<Option<Vec<Segment>>> {
        let size = self.segment_size();
        let Some(table) = bytes(file, self.phoff, size * u64::from(self.phnum))? else {
            return Ok(None);
        };
        let class = self.class;
        let segment = |(index, entry): (usize, &[u8])| {
            let word = |number: usize| {
                let first = if class.is_64 { 8 } else { 4 };
                class.word(entry, first + number * first)
            };
            Some(Segment {
                at: self.phoff + size * index as u64,
                kind: class.u32(entry, 0)?,
                offset: word(0)?,
                vaddr: word(1)?,
                paddr: word(2)?,
                filesz: word(3)?,
                memsz: word(4)?,
                align: if class.is_64 { word(5)? } else { word(6)? },
            })
        };
        let entries = table.chunks_exact(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(entries.enumerate().map(segment).collect())
    }

    /// All sections, or nothing where the file is too short for them.
    pub(super) fn sections(
        &self,
        file: &(impl ReadAt + ?Sized),
    ) -> io::Result<Option<Vec<Section>>> {
        let size = self.section_size();
        let Some(table) = bytes(file, self.shoff, size * u64::from(self.shnum))? else {
            return Ok(None);
        };
        let entries = table.chunks_exact(usize::try_from(size).unwrap_or(usize::MAX));
        let section =
            |(index, entry)| Section::parse(self.class, entry, self.shoff + size * index as u64);
        Ok(entries.enumerate().map(section).collect())
    }
}

/// A program header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Where it is written.
    pub(super) at: u64,
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) vaddr: u64,
    pub(super) paddr: u64,
    pub(super) filesz: u64,
    pub(super) memsz: u64,
    pub(super) align: u64,
}

impl Segment {
    /// Where its fields `p_offset`, `p_vaddr`, `p_paddr`, `p_filesz`, `p_memsz` are written, in this order.
    pub(super) const fn fields_at(&self, class: Class) -> u64 {
        self.at + if class.is_64 { 8 } else { 4 }
    }
}

/// A section header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    /// Where it is written.
    pub(super) at: u64,
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Section {
    fn parse(class: Class, entry: &[u8], at: u64) -> Option<Self> {
        let size = if class.is_64 { 8 } else { 4 };
        let word = |number: usize| class.word(entry, 8 + number * size);
        Some(Self {
            at,
            kind: class.u32(entry, 4)?,
            offset: word(2)?,
            size: word(3)?,
        })
    }

    /// Where its fields `sh_addr`, `sh_offset`, `sh_size` are written, in this order.
    pub(super) const fn addr_at(&self, class: Class) -> u64 {
        self.at + 8 + class.word_size()
    }
}

/// A path in a file.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// Where it begins.
    pub(super) offset: u64,
    /// Without the NUL.
    pub(super) value: Vec<u8>,
}

/// The search path of the dynamic linker and what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct SearchPath {
    pub(super) text: Text,
    /// Where the value of `DT_RPATH` or `DT_RUNPATH` is written,
    pub(super) entry_at: u64,
    /// that of `DT_STRTAB`,
    pub(super) table_entry_at: u64,
    /// and that of `DT_STRSZ`, where there is one.
    pub(super) size_entry_at: Option<u64>,
    /// `.dynstr`.
    pub(super) table: Section,
}

/// A file that Spack would change.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) header: Header,
    pub(super) segments: Vec<Segment>,
    /// `PT_INTERP` and its path.
    pub(super) interpreter: Option<(Segment, Text)>,
    pub(super) search_path: Option<SearchPath>,
}

impl Paths {
    /// Reads a program or shared library; nothing if it is neither, or broken in a way that makes Spack pass it over.
    pub(super) fn read(file: &(impl ReadAt + ?Sized)) -> io::Result<Option<Self>> {
        let Some(header) = Header::read(file)?.filter(Header::is_loadable) else {
            return Ok(None);
        };
        let Some(segments) = header.segments(file)? else {
            return Ok(None);
        };
        let last = |kind| {
            segments
                .iter()
                .rfind(|segment| segment.kind == kind && segment.filesz > 0)
                .copied()
        };
        let interpreter = match last(PT_INTERP) {
            None => None,
            Some(segment) => {
                let text = terminated(file, segment.offset, segment.filesz)?;
                let Some(text) = text else {
                    return Ok(None);
                };
                Some((segment, text))
            }
        };
        let mut loads: Vec<Segment> = segments
            .iter()
            .filter(|it| it.kind == PT_LOAD && it.filesz > 0)
            .copied()
            .collect();
        loads.sort_by_key(|it| it.vaddr);
        let search_path = match last(PT_DYNAMIC) {
            Some(segment) if !loads.is_empty() => {
                match search_path(file, &header, &segment, &loads)? {
                    Ok(found) => found,
                    Err(Unsound) => return Ok(None),
                }
            }
            _ => None,
        };
        Ok(Some(Self {
            header,
            segments,
            interpreter,
            search_path,
        }))
    }
}

/// Spack passes the file over.
struct Unsound;

/// The dynamic section, entry by entry.
#[derive(Default)]
struct Dynamic {
    /// Where the value is written, and the value.
    path: Option<(u64, u64)>,
    table: Option<(u64, u64)>,
    size_at: Option<u64>,
    paths: usize,
    tables: usize,
    /// The largest offset of a name in the string table.
    furthest_name: Option<u64>,
}

fn search_path(
    file: &(impl ReadAt + ?Sized),
    header: &Header,
    segment: &Segment,
    loads: &[Segment],
) -> io::Result<Result<Option<SearchPath>, Unsound>> {
    let Some(dynamic) = dynamic(file, header.class, segment)? else {
        return Ok(Err(Unsound));
    };
    if dynamic.paths > 1 || dynamic.tables != 1 {
        return Ok(Err(Unsound));
    }
    let Some((table_entry_at, address)) = dynamic.table else {
        return Ok(Err(Unsound));
    };
    if dynamic.path.is_none() && dynamic.furthest_name.is_none() {
        return Ok(Ok(None));
    }
    let Some(table) = string_table(file, header, loads, address)? else {
        return Ok(Err(Unsound));
    };
    // Every name has to end within the table.
    let furthest = dynamic.furthest_name.max(dynamic.path.map(|path| path.1));
    let end = last_nul(file, &table)?;
    if furthest.is_some_and(|name| end.is_none_or(|end| name > end)) {
        return Ok(Err(Unsound));
    }
    let Some((entry_at, name)) = dynamic.path else {
        return Ok(Ok(None));
    };
    let text = terminated(
        file,
        table.offset.saturating_add(name),
        table.size.saturating_sub(name),
    )?;
    Ok(match text {
        Some(text) => Ok(Some(SearchPath {
            text,
            entry_at,
            table_entry_at,
            size_entry_at: dynamic.size_at,
            table,
        })),
        None => Err(Unsound),
    })
}

fn dynamic(
    file: &(impl ReadAt + ?Sized),
    class: Class,
    segment: &Segment,
) -> io::Result<Option<Dynamic>> {
    let word = class.word_size();
    let count = segment.filesz / (2 * word);
    let mut found = Dynamic::default();
    let mut done = 0;
    while done < count {
        let some = (count - done).min(CHUNK / (2 * word));
        let at = segment.offset.saturating_add(done * 2 * word);
        let left = file.size().saturating_sub(at) / (2 * word);
        // Entries before the end of a file that is cut off still count, if the last of them is among these.
        let some = some.min(left);
        let Some(entries) = bytes(file, at, some * 2 * word)?.filter(|_| some > 0) else {
            return Ok(None);
        };
        for (index, entry) in entries
            .chunks_exact(if class.is_64 { 16 } else { 8 })
            .enumerate()
        {
            let value_at = at + index as u64 * 2 * word + word;
            let (Some(tag), Some(value)) = (
                class.word(entry, 0),
                class.word(entry, if class.is_64 { 8 } else { 4 }),
            ) else {
                return Ok(None);
            };
            match tag {
                DT_NULL => return Ok(Some(found)),
                DT_RPATH | DT_RUNPATH => {
                    found.paths += 1;
                    found.path = Some((value_at, value));
                }
                DT_STRTAB => {
                    found.tables += 1;
                    found.table = Some((value_at, value));
                }
                DT_STRSZ => found.size_at = Some(value_at),
                DT_NEEDED | DT_SONAME => {
                    found.furthest_name = found.furthest_name.max(Some(value));
                }
                _ => {}
            }
        }
        done += some;
    }
    Ok(Some(found))
}

/// The string table at a virtual address: its section says how long it is.
fn string_table(
    file: &(impl ReadAt + ?Sized),
    header: &Header,
    loads: &[Segment],
    address: u64,
) -> io::Result<Option<Section>> {
    // As Python's `bisect_right() - 1`: before the first segment, the last one counts.
    let index = loads.partition_point(|load| load.vaddr <= address);
    let Some(load) = index
        .checked_sub(1)
        .map_or(loads.last(), |index| loads.get(index))
    else {
        return Ok(None);
    };
    let offset = i128::from(load.offset) - i128::from(load.vaddr) + i128::from(address);
    let Ok(offset) = u64::try_from(offset) else {
        return Ok(None);
    };
    let size = header.section_size();
    for index in 0..u64::from(header.shnum) {
        let at = header.shoff.saturating_add(index * size);
        let Some(entry) = bytes(file, at, size)? else {
            return Ok(None);
        };
        let Some(section) = Section::parse(header.class, &entry, at) else {
            return Ok(None);
        };
        if section.kind == SHT_STRTAB && section.offset == offset {
            let is_whole = offset
                .checked_add(section.size)
                .is_some_and(|end| end <= file.size());
            return Ok(is_whole.then_some(section));
        }
    }
    Ok(None)
}

/// Where in a table its last NUL is. The table lies within the file.
fn last_nul(file: &(impl ReadAt + ?Sized), table: &Section) -> io::Result<Option<u64>> {
    let mut end = table.size;
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        let Some(piece) = bytes(file, table.offset + start, end - start)? else {
            return Ok(None);
        };
        if let Some(at) = memchr::memrchr(0, &piece) {
            return Ok(Some(start + at as u64));
        }
        end = start;
    }
    Ok(None)
}

/// The bytes up to a NUL, which has to come within `length` bytes that are all in the file.
fn terminated(file: &(impl ReadAt + ?Sized), offset: u64, length: u64) -> io::Result<Option<Text>> {
    let fits = offset
        .checked_add(length)
        .is_some_and(|end| end <= file.size());
    if !fits {
        return Ok(None);
    }
    let mut value = Vec::new();
    let mut done = 0;
    while done < length {
        let some = (length - done).min(CHUNK);
        let Some(piece) = bytes(file, offset + done, some)? else {
            return Ok(None);
        };
        match memchr::memchr(0, &piece) {
            Some(at) => {
                value.extend_from_slice(&piece[..at]);
                return Ok(Some(Text { offset, value }));
            }
            None => value.extend_from_slice(&piece),
        }
        done += some;
    }
    Ok(None)
}
