//! A small ELF file of each class and byte order, with everything that moving paths has to do with.

use super::class::Class;
use super::read::Paths;

/// Virtual address of the first byte; the second segment follows one page behind.
const BASE: u64 = 0x1_0000;
const PAGE: u64 = 0x1000;

/// A file and how its numbers are written.
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    class: Class,
}

impl Sample {
    /// One of each class and byte order.
    pub(crate) fn all(interpreter: &str, search_path: &str) -> Vec<Self> {
        [(true, true), (true, false), (false, true), (false, false)]
            .into_iter()
            .map(|(is_64, is_little)| Self::new(is_64, is_little, interpreter, search_path))
            .collect()
    }

    /// Two segments (headers, interpreter and names; dynamic section with 64 bytes of `.bss` behind it), three sections
    /// (none, `.dynstr`, `.shstrtab`), `DT_NEEDED` and `DT_SONAME`.
    pub(crate) fn new(is_64: bool, is_little: bool, interpreter: &str, search_path: &str) -> Self {
        let class = Class { is_64, is_little };
        let word = class.word_size();
        let header_size = if is_64 { 64 } else { 52 };
        let segment_size = if is_64 { 56 } else { 32 };
        let interpreter_at = header_size + 4 * segment_size;
        let interpreter: Vec<u8> = [interpreter.as_bytes(), b"\0"].concat();
        let names_at = interpreter_at + interpreter.len() as u64;
        let mut names = b"\0libneeded.so.1\0libsample.so\0".to_vec();
        let path_at = names.len() as u64;
        names.extend_from_slice(search_path.as_bytes());
        names.push(0);
        let first_end = names_at + names.len() as u64;
        let dynamic_at = first_end.next_multiple_of(16);
        let dynamic: Vec<u8> = [
            (1, 1),
            (14, 16),
            (29, path_at),
            (5, BASE + names_at),
            (10, names.len() as u64),
            (0, 0),
        ]
        .into_iter()
        .flat_map(|(tag, value)| [class.put_word(tag), class.put_word(value)].concat())
        .collect();
        let dynamic_size = dynamic.len() as u64;
        let section_names_at = dynamic_at + dynamic_size;
        let section_names = b"\0.dynstr\0.shstrtab\0";
        let sections_at = (section_names_at + section_names.len() as u64).next_multiple_of(8);

        let mut bytes = b"\x7fELF".to_vec();
        bytes.extend_from_slice(&[if is_64 { 2 } else { 1 }, if is_little { 1 } else { 2 }, 1]);
        bytes.resize(16, 0);
        bytes.extend_from_slice(&put_u16(class, 3));
        bytes.extend_from_slice(&put_u16(class, 62));
        bytes.extend_from_slice(&put_u32(class, 1));
        for value in [0, header_size, sections_at] {
            bytes.extend_from_slice(&class.put_word(value));
        }
        bytes.extend_from_slice(&put_u32(class, 0));
        for value in [
            header_size,
            segment_size,
            4,
            if is_64 { 64 } else { 40 },
            3,
            2,
        ] {
            bytes.extend_from_slice(&put_u16(class, u16::try_from(value).expect("small")));
        }
        let mut segment =
            |kind: u32, offset: u64, vaddr: u64, file: u64, memory: u64, align: u64| {
                bytes.extend_from_slice(&put_u32(class, kind));
                if is_64 {
                    bytes.extend_from_slice(&put_u32(class, 6));
                }
                for value in [offset, vaddr, vaddr, file, memory] {
                    bytes.extend_from_slice(&class.put_word(value));
                }
                if !is_64 {
                    bytes.extend_from_slice(&put_u32(class, 6));
                }
                bytes.extend_from_slice(&class.put_word(align));
            };
        let dynamic_vaddr = BASE + PAGE + dynamic_at;
        segment(
            3,
            interpreter_at,
            BASE + interpreter_at,
            interpreter.len() as u64,
            interpreter.len() as u64,
            1,
        );
        segment(1, 0, BASE, first_end, first_end, PAGE);
        segment(
            1,
            dynamic_at,
            dynamic_vaddr,
            dynamic_size,
            dynamic_size + 64,
            PAGE,
        );
        segment(
            2,
            dynamic_at,
            dynamic_vaddr,
            dynamic_size,
            dynamic_size,
            word,
        );
        bytes.extend_from_slice(&interpreter);
        bytes.extend_from_slice(&names);
        bytes.resize(usize::try_from(dynamic_at).expect("small"), 0);
        bytes.extend_from_slice(&dynamic);
        bytes.extend_from_slice(section_names);
        bytes.resize(usize::try_from(sections_at).expect("small"), 0);
        let mut section = |name: u32, kind: u32, addr: u64, offset: u64, size: u64| {
            bytes.extend_from_slice(&put_u32(class, name));
            bytes.extend_from_slice(&put_u32(class, kind));
            for value in [0, addr, offset, size] {
                bytes.extend_from_slice(&class.put_word(value));
            }
            bytes.extend_from_slice(&[0; 8]);
            for value in [1, 0] {
                bytes.extend_from_slice(&class.put_word(value));
            }
        };
        section(0, 0, 0, 0, 0);
        section(1, 3, BASE + names_at, names_at, names.len() as u64);
        section(9, 3, 0, section_names_at, section_names.len() as u64);
        Self { bytes, class }
    }

    pub(crate) fn class(&self) -> (bool, bool) {
        (self.class.is_64, self.class.is_little)
    }

    /// `DT_NEEDED` and `DT_SONAME` as a reader finds them in `bytes`, through the address of the table.
    pub(crate) fn names(&self, bytes: &[u8]) -> Vec<String> {
        let paths = Paths::read(bytes).expect("memory").expect("sound");
        let table = paths.search_path.expect("has one").table;
        [1, 16]
            .into_iter()
            .map(|name| text_at(bytes, table.offset + name))
            .collect()
    }
}

/// Interpreter and search path of a file.
pub(crate) fn paths_of(bytes: &[u8]) -> Option<(String, String)> {
    let paths = Paths::read(bytes).expect("memory")?;
    let text = |value: Vec<u8>| String::from_utf8(value).expect("text");
    Some((
        text(paths.interpreter?.1.value),
        text(paths.search_path?.text.value),
    ))
}

fn text_at(bytes: &[u8], offset: u64) -> String {
    let rest = &bytes[usize::try_from(offset).expect("small")..];
    let end = rest.iter().position(|byte| *byte == 0).expect("ends");
    String::from_utf8(rest[..end].to_vec()).expect("text")
}

fn put_u16(class: Class, value: u16) -> [u8; 2] {
    if class.is_little {
        value.to_le_bytes()
    } else {
        value.to_be_bytes()
    }
}

fn put_u32(class: Class, value: u32) -> [u8; 4] {
    if class.is_little {
        value.to_le_bytes()
    } else {
        value.to_be_bytes()
    }
}
