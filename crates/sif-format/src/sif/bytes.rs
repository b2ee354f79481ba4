//! Fixed-size little-endian records: fields are taken and put one after the other.
//!
//! Reading past the end gives zeros, so that parsing a record of the right size has no error case of its own.

/// Takes fields off the front of a record.
pub(crate) struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Self {
        Self(record)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        let length = N.min(self.0.len());
        let (head, tail) = self.0.split_at(length);
        field
            .iter_mut()
            .zip(head)
            .for_each(|(to, from)| *to = *from);
        self.0 = tail;
        field
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.array())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }
}

/// `bytes` without the NULs that pad it at the end.
pub(crate) fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// `text` padded with NULs; none when it does not fit.
pub(crate) fn padded<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut field = [0; N];
    field.get_mut(..text.len())?.copy_from_slice(text);
    Some(field)
}

/// A count or an offset as SIF stores it: signed. Saturates, which no file that fits a disk can reach.
pub(crate) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
