//! Bytes of a file, and numbers in them by class and byte order.

use std::io;

/// A file that is read here and there. It does not change meanwhile.
pub trait ReadAt {
    /// Bytes in all.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// When the file cannot be read; [`io::ErrorKind::UnexpectedEof`] where it is too short.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// `length` bytes from `offset`, or nothing where the file has fewer: a length is believed only as far as there are bytes.
pub(super) fn bytes(
    file: &(impl ReadAt + ?Sized),
    offset: u64,
    length: u64,
) -> io::Result<Option<Vec<u8>>> {
    let fits = offset
        .checked_add(length)
        .is_some_and(|end| end <= file.size());
    let Some(length) = usize::try_from(length).ok().filter(|_| fits) else {
        return Ok(None);
    };
    let mut buffer = vec![0; length];
    file.read_at(offset, &mut buffer)?;
    Ok(Some(buffer))
}

/// How numbers are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) is_64: bool,
    pub(super) is_little: bool,
}

impl Class {
    /// From `e_ident`.
    pub(super) fn of(ident: &[u8]) -> Option<Self> {
        if !ident.starts_with(b"\x7fELF") {
            return None;
        }
        let is_64 = match ident.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let is_little = match ident.get(5)? {
            1 => true,
            2 => false,
            _ => return None,
        };
        Some(Self { is_64, is_little })
    }

    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let field = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_little {
            u16::from_le_bytes(field)
        } else {
            u16::from_be_bytes(field)
        })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.is_little {
            u32::from_le_bytes(field)
        } else {
            u32::from_be_bytes(field)
        })
    }

    fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let field = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(if self.is_little {
            u64::from_le_bytes(field)
        } else {
            u64::from_be_bytes(field)
        })
    }

    /// An address, offset or size: 4 or 8 bytes by class.
    pub(super) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.is_64 {
            self.u64(bytes, at)
        } else {
            self.u32(bytes, at).map(u64::from)
        }
    }

    /// Bytes of an address, offset or size.
    pub(super) const fn word_size(self) -> u64 {
        if self.is_64 { 8 } else { 4 }
    }

    /// The largest address, offset or size.
    pub(super) const fn word_limit(self) -> u64 {
        if self.is_64 {
            u64::MAX
        } else {
            u32::MAX as u64
        }
    }

    /// How an address, offset or size is written. What does not fit is cut: callers have checked [`Self::word_limit`].
    pub(super) fn put_word(self, value: u64) -> Vec<u8> {
        match (self.is_64, self.is_little) {
            (true, true) => value.to_le_bytes().to_vec(),
            (true, false) => value.to_be_bytes().to_vec(),
            (false, true) => value.to_le_bytes()[..4].to_vec(),
            (false, false) => value.to_be_bytes()[4..].to_vec(),
        }
    }
}
