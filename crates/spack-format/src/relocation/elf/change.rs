//! Changes to a file, apart from the file.

/// What becomes of a file: some bytes are written over, and at one place bytes may be taken out and others put in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Offset in the old file and the bytes there, in order, without overlaps.
    edits: Vec<(u64, Vec<u8>)>,
    splice: Option<Splice>,
}

/// Bytes that are taken out, and others that take their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// Where in the old file.
    pub at: u64,
    /// Bytes that are left out from there.
    pub remove: u64,
    /// Zeros that come instead,
    pub zeros: u64,
    /// and the bytes behind them.
    pub bytes: Vec<u8>,
}

impl Changes {
    /// Puts `bytes` at `offset`. Where changes overlap, the later one counts.
    pub(super) fn put(&mut self, offset: u64, bytes: Vec<u8>) {
        self.edits.push((offset, bytes));
    }

    pub(super) fn set_splice(&mut self, splice: Splice) {
        self.splice = Some(splice);
    }

    /// Whether the file stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.splice.is_none()
    }

    /// What is taken out and put in, if anything is.
    #[must_use]
    pub fn splice(&self) -> Option<&Splice> {
        self.splice.as_ref()
    }

    /// Bytes of the new file, of an old one of `size` bytes.
    #[must_use]
    pub fn new_size(&self, size: u64) -> u64 {
        match &self.splice {
            Some(it) => size
                .saturating_sub(it.remove)
                .saturating_add(it.zeros)
                .saturating_add(it.bytes.len() as u64),
            None => size,
        }
    }

    /// Writes what changes over `piece`, which begins at `offset` of the old file.
    pub fn overlay(&self, offset: u64, piece: &mut [u8]) {
        let end = offset.saturating_add(piece.len() as u64);
        for (at, bytes) in &self.edits {
            let stop = at.saturating_add(bytes.len() as u64);
            let (from, to) = ((*at).max(offset), stop.min(end));
            if from >= to {
                continue;
            }
            // Both ranges lie within slices that are in memory.
            let (Ok(here), Ok(there), Ok(length)) = (
                usize::try_from(from - offset),
                usize::try_from(from - at),
                usize::try_from(to - from),
            ) else {
                continue;
            };
            piece[here..here + length].copy_from_slice(&bytes[there..there + length]);
        }
    }

    /// The new file, of one that is in memory.
    #[must_use]
    pub fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        self.overlay(0, &mut bytes);
        if let Some(splice) = &self.splice {
            let length = bytes.len();
            let clamp = |at: u64| usize::try_from(at).map_or(length, |at| at.min(length));
            let (from, to) = (
                clamp(splice.at),
                clamp(splice.at.saturating_add(splice.remove)),
            );
            let zeros = usize::try_from(splice.zeros).unwrap_or(0);
            let new = std::iter::repeat_n(0, zeros).chain(splice.bytes.iter().copied());
            bytes.splice(from..to, new);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_laid_over_pieces_and_spliced() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        changes.put(2, b"XY".to_vec());
        changes.put(6, b"Z".to_vec());
        let mut piece = *b"defg";
        changes.overlay(3, &mut piece);
        assert_eq!(&piece, b"YefZ");
        changes.set_splice(Splice {
            at: 4,
            remove: 1,
            zeros: 1,
            bytes: b"new".to_vec(),
        });
        assert_eq!(changes.new_size(8), 11);
        assert_eq!(changes.apply(b"abcdefgh".to_vec()), b"abXY\0newfZh");
    }
}
