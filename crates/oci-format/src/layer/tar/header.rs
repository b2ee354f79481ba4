//! The 512-byte header: where its fields are and how numbers are written in them.
//!
//! Source: POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" (base-256
//! numbers); star(5) (the `tar` trailer and its shorter prefix).

use std::ops::Range;

use super::BLOCK;

pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const CHECKSUM: Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Range<usize> = 157..257;
pub(super) const MAGIC: Range<usize> = 257..265;
pub(super) const DEVICE_MAJOR: Range<usize> = 329..337;
pub(super) const DEVICE_MINOR: Range<usize> = 337..345;
pub(super) const PREFIX: Range<usize> = 345..500;
/// Star ends its headers with `tar\0` and has access and change times behind a shorter prefix.
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_TRAILER: Range<usize> = 508..512;

/// Magic and version of POSIX ustar.
pub(super) const USTAR: &[u8; 8] = b"ustar\x0000";
/// Magic and version of GNU tar's own format, which has other things where ustar has the prefix.
pub(super) const GNU: &[u8; 8] = b"ustar  \0";

/// One block, known to be a header: its checksum was right.
#[derive(Clone)]
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    /// Takes `block` as a header when its checksum is right.
    pub(super) fn check(block: [u8; BLOCK]) -> Option<Self> {
        let recorded = number(&block[CHECKSUM])?;
        // Some old writers added bytes as signed numbers; every reader takes either sum.
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (index, byte) in block.iter().enumerate() {
            let byte = if CHECKSUM.contains(&index) {
                b' '
            } else {
                *byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        (recorded == unsigned || recorded == signed).then_some(Self(block))
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[TYPE]
    }

    pub(super) fn is_gnu(&self) -> bool {
        &self.0[MAGIC] == GNU
    }

    /// The name, joined from prefix and name where the format has a prefix.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        // Version digits vary between writers; the magic alone decides.
        let is_posix = self.0[MAGIC].starts_with(b"ustar\0");
        let range = if &self.0[STAR_TRAILER] == b"tar\0" {
            STAR_PREFIX
        } else {
            PREFIX
        };
        let prefix = if is_posix { text(&self.0[range]) } else { b"" };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> &[u8] {
        text(&self.0[LINK])
    }

    /// The number in `field`; negative ones occur as times.
    pub(super) fn number(&self, field: Range<usize>) -> Option<i64> {
        number(&self.0[field])
    }
}

/// A field's text: up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number: octal digits between spaces and NULs, or base 256 when the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field.first()? {
        first if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let field = text(field).trim_ascii();
    field.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, most significant byte first; the very first bit only marks the form.
fn base_256(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    let negative = first & 0x40 != 0;
    // The mark is bit 7; sign extension makes up for it in negative numbers.
    let start = if negative {
        i128::from(first) - 0x100
    } else {
        i128::from(first & 0x3f)
    };
    let mut value = start;
    for byte in &field[1..] {
        value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
    }
    i64::try_from(value).ok()
}

/// The largest number that octal digits can say in `width` bytes, the last of which is NUL.
pub(super) const fn octal_limit(width: usize) -> u64 {
    (1 << (3 * (width - 1))) - 1
}

/// Writes `value` in octal with leading zeros and a final NUL. The caller has checked the limit.
pub(super) fn put_octal(field: &mut [u8], mut value: u64) {
    let Some((last, digits)) = field.split_last_mut() else {
        return;
    };
    *last = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

/// Writes the checksum: six digits, NUL, space.
pub(super) fn seal(block: &mut [u8; BLOCK]) {
    block[CHECKSUM].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let start = CHECKSUM.start;
    put_octal(&mut block[start..start + 7], sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_form_are_read() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(b"8\0"), None);
        assert_eq!(number(b"-1\0"), None);
        let big = [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
        assert_eq!(number(&big), Some(8 << 30));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        let mut huge = [0xff; 12];
        huge[0] = 0xbf;
        assert_eq!(number(&huge), None, "more than 63 bits");
    }

    #[test]
    fn a_sealed_block_passes_its_own_check() {
        let mut block = [0; BLOCK];
        block[0] = b'a';
        assert!(Header::check(block).is_none());
        seal(&mut block);
        assert!(Header::check(block).is_some());
    }
}
