//! Which files of a prefix have to be touched when it moves.
//!
//! ```text
//! bytes of a file ──feed──► FileInspector ──finish──► Relocatable::{Binary, Text, None}
//! ```
//!
//! The rules are those of Spack 1.0 and later, so that the lists in `.spack/binary_distribution` are the ones that Spack
//! itself would have written. A file is looked at while it is copied: nothing is read twice.
//!
//! Source: `file_type`, `tarfile_of_spec_prefix` in `lib/spack/spack/binary_distribution.py`; `is_elf_magic`,
//! `is_macho_magic` and `utf8_paths_to_single_binary_regex` in `relocate.py` and `relocate_text.py` of Spack 1.1.

use std::sync::Arc;

use memchr::memmem::Finder;

/// Fewer bytes than this are no file that anybody relocates.
const SHORTEST: usize = 8;

/// How far back the word before a prefix is looked at. Longer words count as ended, so at worst a file is listed that
/// needs nothing.
const LOOK_BEHIND: usize = 4096;

/// How a file has to be relocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relocatable {
    /// As an ELF or Mach-O file: all of them are listed, with or without a prefix within.
    Binary,
    /// As a text that holds one of the prefixes.
    Text,
    /// Not at all.
    None,
}

/// The prefixes that are looked for: those of the package and of its dependencies, the path of `sbang`, and the root of
/// the store.
#[derive(Debug, Clone)]
pub struct PrefixFinder {
    finders: Arc<[Finder<'static>]>,
    longest: usize,
}

impl PrefixFinder {
    /// For these prefixes; empty ones are left out.
    #[must_use]
    pub fn new<'a>(prefixes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut prefixes: Vec<&str> = prefixes.into_iter().filter(|it| !it.is_empty()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        // What holds a longer path holds the shorter one it begins with, at the same place.
        let mut kept: Vec<&str> = Vec::new();
        for prefix in prefixes {
            if !kept.iter().any(|it| prefix.starts_with(it)) {
                kept.push(prefix);
            }
        }
        Self {
            longest: kept.iter().map(|it| it.len()).max().unwrap_or(0),
            finders: kept
                .into_iter()
                .map(|it| Finder::new(it.as_bytes()).into_owned())
                .collect(),
        }
    }

    /// Whether the target of a symbolic link has to be rewritten: it begins with one of the prefixes.
    #[must_use]
    pub fn begins(&self, target: &[u8]) -> bool {
        self.finders
            .iter()
            .any(|finder| target.starts_with(finder.needle()))
    }

    /// Whether a prefix stands in `bytes` where Spack's pattern finds it: what precedes it is a run of word characters
    /// or `-` that is itself not preceded by `/`.
    fn occurs(&self, bytes: &[u8]) -> bool {
        self.finders.iter().any(|finder| {
            finder
                .find_iter(bytes)
                .any(|at| bytes.get(..at).is_some_and(may_precede))
        })
    }
}

fn may_precede(before: &[u8]) -> bool {
    let word = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let run = before.iter().rev().take_while(word).count();
    let end = before.len().saturating_sub(run);
    end.checked_sub(1).and_then(|it| before.get(it)) != Some(&b'/')
}

/// Looks at the bytes of one file as they go by.
#[derive(Debug)]
pub struct FileInspector<'f> {
    finder: &'f PrefixFinder,
    kind: Kind,
    /// The end of what was seen, for what lies across a border: a prefix with the word before it, or a character.
    tail: Vec<u8>,
    found: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Fewer than [`SHORTEST`] bytes so far.
    Beginning,
    Binary,
    /// May be a text; by which encodings.
    Text {
        utf8: bool,
        latin1: bool,
        /// Bytes of an unfinished UTF-8 character at the end.
        unfinished: usize,
    },
    Unknown,
}

impl<'f> FileInspector<'f> {
    /// For a file of which nothing has been seen.
    #[must_use]
    pub const fn new(finder: &'f PrefixFinder) -> Self {
        Self {
            finder,
            kind: Kind::Beginning,
            tail: Vec::new(),
            found: false,
        }
    }

    /// Looks at the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.kind {
            Kind::Binary | Kind::Unknown => {}
            Kind::Beginning => {
                self.tail.extend_from_slice(bytes);
                let Some(magic) = self.tail.first_chunk::<SHORTEST>() else {
                    return;
                };
                if is_binary(magic) {
                    self.kind = Kind::Binary;
                    return;
                }
                self.kind = Kind::Text {
                    utf8: true,
                    latin1: true,
                    unfinished: 0,
                };
                let all = std::mem::take(&mut self.tail);
                self.look(&all);
            }
            Kind::Text { .. } => self.look(bytes),
        }
    }

    /// What the file is, now that all of it was seen.
    #[must_use]
    pub fn finish(self) -> Relocatable {
        match self.kind {
            Kind::Binary => Relocatable::Binary,
            Kind::Text {
                utf8,
                latin1,
                unfinished,
            } if self.found && ((utf8 && unfinished == 0) || latin1) => Relocatable::Text,
            _ => Relocatable::None,
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        let carried = self.tail.len();
        let mut window = std::mem::take(&mut self.tail);
        window.extend_from_slice(bytes);
        if let Kind::Text {
            mut utf8,
            mut latin1,
            mut unfinished,
        } = self.kind
        {
            if utf8 {
                let start = carried.saturating_sub(unfinished);
                match std::str::from_utf8(window.get(start..).unwrap_or_default()) {
                    Ok(_) => unfinished = 0,
                    Err(error) if error.error_len().is_none() => {
                        unfinished = window.len() - start - error.valid_up_to();
                    }
                    Err(_) => utf8 = false,
                }
            }
            latin1 = latin1 && !bytes.iter().any(|it| matches!(it, 0 | 0x7f..=0x9f));
            self.kind = if utf8 || latin1 {
                Kind::Text {
                    utf8,
                    latin1,
                    unfinished,
                }
            } else {
                Kind::Unknown
            };
        }
        if self.kind == Kind::Unknown {
            return;
        }
        self.found = self.found || self.finder.occurs(&window);
        let keep = self.finder.longest + LOOK_BEHIND;
        let cut = window.len().saturating_sub(keep);
        window.drain(..cut);
        self.tail = window;
    }
}

/// Whether a file that begins so is ELF or Mach-O. A header of `0xcafebabe` counts only if few architectures follow:
/// Java classes begin with it too, and with their version.
fn is_binary(magic: &[u8; SHORTEST]) -> bool {
    let [a, b, c, d, rest @ ..] = *magic;
    match [a, b, c, d] {
        [0x7f, b'E', b'L', b'F']
        | [0xfe, 0xed, 0xfa, 0xce | 0xcf]
        | [0xce | 0xcf, 0xfa, 0xed, 0xfe] => true,
        [0xca, 0xfe, 0xba, 0xbe] => u32::from_be_bytes(rest) < 10,
        [0xbe, 0xba, 0xfe, 0xca] => u32::from_le_bytes(rest) < 10,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> Relocatable {
        let finder = PrefixFinder::new(["/opt/sw/a", "/opt/sw", "/opt/bin/sbang"]);
        let whole = {
            let mut inspector = FileInspector::new(&finder);
            inspector.feed(bytes);
            inspector.finish()
        };
        for step in [1, 3, 7] {
            let mut inspector = FileInspector::new(&finder);
            for part in bytes.chunks(step) {
                inspector.feed(part);
            }
            assert_eq!(inspector.finish(), whole, "in steps of {step}");
        }
        whole
    }

    #[test]
    fn magic_numbers_tell_binaries_and_java_is_none() {
        assert_eq!(kind(b"\x7fELF\x02\x01\x01\0..."), Relocatable::Binary);
        assert_eq!(kind(b"\x7fELF\x02"), Relocatable::None, "too short");
        assert_eq!(kind(b"\xca\xfe\xba\xbe\0\0\0\x02"), Relocatable::Binary);
        assert_eq!(kind(b"\xca\xfe\xba\xbe\0\0\0\x34"), Relocatable::None);
    }

    #[test]
    fn texts_are_listed_if_a_prefix_stands_where_it_would_be_replaced() {
        for text in [
            "prefix=/opt/sw/a/lib",
            "-I/opt/sw/include",
            "x/opt/sw and more",
            "#!/bin/sh /opt/bin/sbang\n",
            "/opt/swing is replaced by Spack as well",
        ] {
            assert_eq!(kind(text.as_bytes()), Relocatable::Text, "{text}");
        }
        for text in ["/foo/opt/sw/a", "/x-y/opt/sw", "nothing of note"] {
            assert_eq!(kind(text.as_bytes()), Relocatable::None, "{text}");
        }
    }

    #[test]
    fn the_encoding_decides_whether_it_is_a_text() {
        assert_eq!(kind("ü = /opt/sw/a".as_bytes()), Relocatable::Text);
        assert_eq!(kind(b"\xfc = /opt/sw/a"), Relocatable::Text, "Latin-1");
        assert_eq!(kind(b"\xfc\0 = /opt/sw/a"), Relocatable::None);
        assert_eq!(kind(b"NUL is UTF-8: \0 /opt/sw/a"), Relocatable::Text);
        assert_eq!(
            kind(b"cut off: /opt/sw/a \xc3"),
            Relocatable::Text,
            "Latin-1"
        );
        assert_eq!(kind(b"cut off: /opt/sw/a \0 \xc3"), Relocatable::None);
    }

    #[test]
    fn links_count_by_their_beginning() {
        let finder = PrefixFinder::new(["/opt/sw"]);
        assert!(finder.begins(b"/opt/sw/a/lib/x"));
        assert!(!finder.begins(b"/usr/opt/sw"));
    }
}
