//! Places in texts.

use std::ops::Range;

/// Which of several texts a place is in. Whoever parses gives the numbers out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SourceId(pub u32);

/// A range of bytes in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span; an `end` before `start` is taken as `start`.
    #[must_use]
    pub fn new(source: SourceId, start: u32, end: u32) -> Self {
        Self {
            source,
            start,
            end: end.max(start),
        }
    }

    /// From byte offsets, which are cut at 4 GiB: no text that is parsed here comes near it.
    #[must_use]
    pub fn from_range(source: SourceId, range: Range<usize>) -> Self {
        let clip = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self::new(source, clip(range.start), clip(range.end))
    }

    /// The byte range.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether it covers no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// From the beginning of `self` to the end of `last`.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self::new(self.source, self.start, last.end)
    }
}
