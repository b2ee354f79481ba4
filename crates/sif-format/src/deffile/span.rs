//! Places in a definition file, also when its text has been changed by templates.

use std::ops::Range;

/// A range of bytes of the definition file as it was read. Always within the text, and on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A span; an `end` before `start` is taken as `start`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The byte range.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether it covers no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// From the beginning of `self` to the end of `last`.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self::new(self.start, last.end)
    }
}

/// Where the bytes of a text come from: which stretches of the file they repeat, and which stand for a template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// In the order of the text, without gaps.
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    /// First byte in the text.
    at: usize,
    /// The bytes of the file that it repeats or stands for.
    from: Span,
    /// Whether it repeats them.
    verbatim: bool,
}

impl Origin {
    /// A text that is the file from byte `start` on.
    pub(super) fn verbatim(start: usize, length: usize) -> Self {
        let mut origin = Self::default();
        origin.push(0, Span::new(start, start + length), true);
        origin
    }

    /// Says that the text from byte `at` on comes from `from`. To be called in the order of the text.
    pub(super) fn push(&mut self, at: usize, from: Span, verbatim: bool) {
        self.pieces.push(Piece { at, from, verbatim });
    }

    /// The bytes of the file that a range of the text comes from; a template counts as a whole.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let start = match self.piece(range.start) {
            Some(piece) if piece.verbatim => {
                (piece.from.start + (range.start - piece.at)).min(piece.from.end)
            }
            Some(piece) => piece.from.start,
            None => 0,
        };
        if range.is_empty() {
            return Span::new(start, start);
        }
        // The last byte, rather than the end, decides which piece the range ends in.
        let end = match self.piece(range.end - 1) {
            Some(piece) if piece.verbatim => {
                (piece.from.start + (range.end - piece.at)).min(piece.from.end)
            }
            Some(piece) => piece.from.end,
            None => 0,
        };
        Span::new(start, end)
    }

    fn piece(&self, offset: usize) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.at <= offset);
        self.pieces.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_template_is_found_at_the_template() {
        // "ab{{ X }}cd" has become "ab123456789cd", and begins at byte 100 of the file.
        let mut origin = Origin::default();
        origin.push(0, Span::new(100, 102), true);
        origin.push(2, Span::new(102, 109), false);
        origin.push(11, Span::new(109, 111), true);
        assert_eq!(origin.span(0..2), Span::new(100, 102));
        assert_eq!(origin.span(1..3), Span::new(101, 109));
        assert_eq!(origin.span(4..5), Span::new(102, 109));
        assert_eq!(origin.span(5..12), Span::new(102, 110));
        assert_eq!(origin.span(13..13), Span::new(111, 111));
    }
}
