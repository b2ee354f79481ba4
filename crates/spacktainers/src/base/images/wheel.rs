//! Python packages from wheels: the files of a zip archive, each checked.
//!
//! Wheels of programs' libraries hold nothing but files that belong below `site-packages`; what would have to be put
//! elsewhere (`*.data/`) is refused.
//!
//! Sources: PKWARE's APPNOTE.TXT, 4.3 and 4.4 (end of central directory, central directory headers, local headers); the
//! Python Packaging User Guide, "Binary distribution format".

use std::io::Read;

use flate2::{Crc, read::DeflateDecoder};

/// Bytes that a wheel may have.
pub(super) const LONGEST_WHEEL: u64 = 256 << 20;
/// Bytes that all of its files may have.
const LONGEST_FILES: u64 = 1 << 30;

const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// Bytes of the end of the central directory without its comment.
const END_LENGTH: usize = 22;
const CENTRAL_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;
/// The comment's length has two bytes.
const LONGEST_COMMENT: usize = 0xffff;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const ENCRYPTED: u16 = 1;
/// Of `external attributes`: the upper half is the mode where the lower byte of `version made by`'s upper half is this.
const UNIX: u16 = 3;

/// Why a file is no wheel that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WheelError {
    /// More bytes than any has.
    #[error("it is too large")]
    TooLong,
    /// No zip archive, or a broken one.
    #[error("it is no whole zip archive: {0}")]
    Broken(&'static str),
    /// A member that does not belong below `site-packages`.
    #[error("`{0}` does not belong below `site-packages`")]
    Elsewhere(String),
    /// A member in a way that wheels do not use.
    #[error("`{0}` is compressed or encrypted in a way that wheels are not")]
    Method(String),
    /// A member that is not what its checksum says.
    #[error("`{0}` is damaged")]
    Damaged(String),
    /// The file's name says no Python that it is for.
    #[error("its name does not end in `.whl`")]
    Name,
}

/// A file of a wheel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WheelFile {
    /// Below `site-packages`.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_executable: bool,
}

/// The files of the wheel in `bytes`.
pub(super) fn files(bytes: &[u8]) -> Result<Vec<WheelFile>, WheelError> {
    if bytes.len() as u64 > LONGEST_WHEEL {
        return Err(WheelError::TooLong);
    }
    let end = end(bytes)?;
    let (count, mut at) = (u16_at(end, 10)?, u32_at(end, 16)? as usize);
    if count == 0xffff || at == 0xffff_ffff {
        return Err(WheelError::Broken("it is of the kind for huge archives"));
    }
    let mut files = Vec::new();
    let mut left = LONGEST_FILES;
    for _ in 0..count {
        let header = part(bytes, at, CENTRAL_LENGTH)?;
        if !header.starts_with(CENTRAL) {
            return Err(WheelError::Broken("its list of members is cut"));
        }
        let lengths = [28, 30, 32].map(|offset| u16_at(header, offset).unwrap_or(0) as usize);
        let name = part(bytes, at + CENTRAL_LENGTH, lengths[0])?;
        let name =
            std::str::from_utf8(name).map_err(|_| WheelError::Broken("a name is no text"))?;
        at += CENTRAL_LENGTH + lengths.iter().sum::<usize>();
        if name.ends_with('/') {
            continue;
        }
        check_name(name)?;
        let size = u32_at(header, 24)?;
        left = left
            .checked_sub(u64::from(size))
            .ok_or(WheelError::TooLong)?;
        let mode = u32_at(header, 38)? >> 16;
        files.push(WheelFile {
            path: name.to_owned(),
            bytes: content(bytes, header, name, size)?,
            is_executable: u16_at(header, 4)? >> 8 == UNIX && mode & 0o111 != 0,
        });
    }
    Ok(files)
}

/// The bytes of a member, unpacked and checked.
fn content(bytes: &[u8], header: &[u8], name: &str, size: u32) -> Result<Vec<u8>, WheelError> {
    let method = u16_at(header, 10)?;
    if u16_at(header, 8)? & ENCRYPTED != 0 || (method != STORED && method != DEFLATED) {
        return Err(WheelError::Method(name.to_owned()));
    }
    let (crc, packed) = (u32_at(header, 16)?, u32_at(header, 20)? as usize);
    let local_at = u32_at(header, 42)? as usize;
    let local = part(bytes, local_at, LOCAL_LENGTH)?;
    if !local.starts_with(LOCAL) {
        return Err(WheelError::Broken("a member is not where it should be"));
    }
    let skipped = LOCAL_LENGTH + u16_at(local, 26)? as usize + u16_at(local, 28)? as usize;
    let packed = part(bytes, local_at.saturating_add(skipped), packed)?;
    let damaged = || WheelError::Damaged(name.to_owned());
    let content = if method == STORED {
        packed.to_vec()
    } else {
        let mut content = Vec::new();
        DeflateDecoder::new(packed)
            .take(u64::from(size) + 1)
            .read_to_end(&mut content)
            .map_err(|_| damaged())?;
        content
    };
    let mut sum = Crc::new();
    sum.update(&content);
    if content.len() as u64 != u64::from(size) || sum.sum() != crc {
        return Err(damaged());
    }
    Ok(content)
}

/// Refuses what leads out of `site-packages`, or belongs elsewhere.
fn check_name(name: &str) -> Result<(), WheelError> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\\');
    let top = name.split('/').next().unwrap_or_default();
    if name.split('/').all(is_plain) && !top.ends_with(".data") && !name.contains('\0') {
        return Ok(());
    }
    Err(WheelError::Elsewhere(name.to_owned()))
}

/// The end of the central directory, which is the last thing but a comment.
fn end(bytes: &[u8]) -> Result<&[u8], WheelError> {
    let from = bytes.len().saturating_sub(END_LENGTH + LONGEST_COMMENT);
    let tail = bytes.get(from..).unwrap_or_default();
    let at = memchr::memmem::rfind(tail, END).ok_or(WheelError::Broken("it has no end"))?;
    part(tail, at, END_LENGTH)
}

fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], WheelError> {
    let end = at.checked_add(length);
    end.and_then(|end| bytes.get(at..end))
        .ok_or(WheelError::Broken("it is cut"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, WheelError> {
    let bytes: [u8; 2] = part(bytes, at, 2)?.try_into().unwrap_or_default();
    Ok(u16::from_le_bytes(bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, WheelError> {
    let bytes: [u8; 4] = part(bytes, at, 4)?.try_into().unwrap_or_default();
    Ok(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A zip archive of one member, as Python's `zipfile` writes it.
    fn zip(name: &str, text: &[u8], method: u16) -> Vec<u8> {
        let mut packed = text.to_vec();
        if method == DEFLATED {
            let mut writer =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
            writer.write_all(text).expect("packs");
            packed = writer.finish().expect("packs");
        }
        let mut sum = Crc::new();
        sum.update(text);
        let number = |value: usize| u32::try_from(value).expect("small").to_le_bytes();
        let short = |value: u16| value.to_le_bytes();
        let sizes = [
            sum.sum().to_le_bytes(),
            number(packed.len()),
            number(text.len()),
        ]
        .concat();
        let length = short(u16::try_from(name.len()).expect("small"));
        let local = [
            LOCAL,
            &short(20),
            &short(0),
            &short(method),
            &[0; 4],
            &sizes,
            &length,
            &short(0),
            name.as_bytes(),
            &packed,
        ]
        .concat();
        let central = [
            CENTRAL,
            &short(0x0314),
            &short(20),
            &short(0),
            &short(method),
            &[0; 4],
            &sizes,
            &length,
            &[0; 8],
            &(0o100_755_u32 << 16).to_le_bytes(),
            &number(0),
            name.as_bytes(),
        ]
        .concat();
        let end = [
            END,
            &[0; 4],
            &short(1),
            &short(1),
            &number(central.len()),
            &number(local.len()),
            &short(0),
        ]
        .concat();
        [local, central, end].concat()
    }

    #[test]
    fn members_are_unpacked_and_checked() {
        for method in [STORED, DEFLATED] {
            let wheel = zip("clingo/core.py", b"text text text", method);
            let expected = WheelFile {
                path: "clingo/core.py".to_owned(),
                bytes: b"text text text".to_vec(),
                is_executable: true,
            };
            assert_eq!(files(&wheel), Ok(vec![expected]), "method {method}");
            let mut broken = wheel.clone();
            broken[LOCAL_LENGTH + 14] ^= 1;
            assert!(files(&broken).is_err(), "method {method}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        for name in [
            "../x",
            "/x",
            "a/../../x",
            "x-1.data/scripts/x",
            "a\\b",
            "a//b",
        ] {
            let refused = files(&zip(name, b"x", STORED));
            assert_eq!(refused, Err(WheelError::Elsewhere(name.to_owned())));
        }
    }

    #[test]
    fn cut_archives_are_faults_and_no_panics() {
        let wheel = zip("a/b.py", b"some text", DEFLATED);
        for end in 0..wheel.len() {
            assert!(files(&wheel[..end]).is_err(), "{end} bytes");
        }
        for at in 0..wheel.len() {
            let mut changed = wheel.clone();
            changed[at] = 0xff;
            let _ = files(&changed);
        }
    }
}
