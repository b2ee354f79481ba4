//! What Spack takes a file for when it makes a cache entry.
//!
//! Source: `file_type` in `lib/spack/spack/binary_distribution.py` and `is_macho_magic` in `relocate.py` of Spack 1.0 and
//! later; before, `file(1)` decided.

/// The kinds of files that relocation tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// ELF or Mach-O: RPATH, interpreter and strings.
    Binary,
    /// Text, whatever its length.
    Text,
    /// Anything else, which Spack never touches: static archives, compiled Python, compressed files.
    Unknown,
}

impl FileKind {
    /// What a file that begins with `first` is, if it can be told from that: a binary, or [`Self::Unknown`] for a file of
    /// less than 8 bytes in all.
    #[must_use]
    pub fn of_magic(first: &[u8]) -> Option<Self> {
        if first.len() < 8 {
            return Some(Self::Unknown);
        }
        (first.starts_with(b"\x7fELF") || is_mach_o(first)).then_some(Self::Binary)
    }

    /// What a file is of which this is all.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        if let Some(kind) = Self::of_magic(bytes) {
            return kind;
        }
        // Valid UTF-8 is text, even with NULs in it; otherwise some 8-bit encoding without control characters.
        let is_text = std::str::from_utf8(bytes).is_ok()
            || !bytes.iter().any(|byte| matches!(byte, 0 | 0x7f..=0x9f));
        if is_text { Self::Text } else { Self::Unknown }
    }
}

fn is_mach_o(first: &[u8]) -> bool {
    let next = |from_bytes: fn([u8; 4]) -> u32| {
        first
            .get(4..8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(u32::MAX, from_bytes)
    };
    match first.get(..4) {
        Some(
            b"\xcf\xfa\xed\xfe" | b"\xfe\xed\xfa\xcf" | b"\xce\xfa\xed\xfe" | b"\xfe\xed\xfa\xce",
        ) => true,
        // Java's class files begin like this too, and then say their version, which is larger.
        Some(b"\xca\xfe\xba\xbe") => next(u32::from_be_bytes) < 10,
        Some(b"\xbe\xba\xfe\xca") => next(u32::from_le_bytes) < 10,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_as_spack_does() {
        let cases: [(&[u8], FileKind); 8] = [
            (b"short", FileKind::Unknown),
            (b"\x7fELF\x02\x01\x01\0", FileKind::Binary),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", FileKind::Binary),
            (b"\xca\xfe\xba\xbe\0\0\0\x34\xff\xff", FileKind::Unknown),
            (b"#!/bin/sh\n", FileKind::Text),
            (b"caf\xe9 in Latin-1", FileKind::Text),
            (b"!<arch>\n\xff\0", FileKind::Unknown),
            ("na\u{ef}ve \u{1f980}".as_bytes(), FileKind::Text),
        ];
        for (bytes, kind) in cases {
            assert_eq!(FileKind::of(bytes), kind, "{bytes:?}");
        }
    }
}
