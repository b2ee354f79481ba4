//! Lines, blanks and comments, as Apptainer's parser sees them.

use std::ops::Range;

/// A line of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its first byte in the text.
    pub(super) start: usize,
    /// Without its end: `\n` or `\r\n`. [Go: `bufio.ScanLines`]
    pub(super) text: &'a str,
    /// First byte of the next line.
    pub(super) next: usize,
}

impl<'a> Line<'a> {
    /// The bytes of a part of this line's text.
    pub(super) fn range_of(&self, part: &str) -> Range<usize> {
        let start = self.start + offset_in(self.text, part);
        start..start + part.len()
    }

    /// The bytes of what is not blank at either end.
    pub(super) fn trimmed_range(&self) -> Range<usize> {
        self.range_of(self.text.trim())
    }

    /// The text between the blanks; nothing if that is empty or a comment.
    pub(super) fn content(&self) -> Option<&'a str> {
        let text = self.text.trim();
        (!text.is_empty() && !text.starts_with('#')).then_some(text)
    }

    /// Whether its first word begins with `%`.
    pub(super) fn begins_section(&self) -> bool {
        self.text.trim_start().starts_with('%')
    }
}

/// The lines of `text[range]`; positions count from the beginning of `text`.
pub(super) fn lines(text: &str, range: Range<usize>) -> impl Iterator<Item = Line<'_>> {
    let end = range.end.min(text.len());
    let mut at = range.start;
    std::iter::from_fn(move || {
        let rest = text.get(at..end).filter(|rest| !rest.is_empty())?;
        let (line, next) = match rest.find('\n') {
            Some(length) => (&rest[..length], at + length + 1),
            None => (rest, end),
        };
        let line = Line {
            start: at,
            text: line.strip_suffix('\r').unwrap_or(line),
            next,
        };
        at = next;
        Some(line)
    })
}

/// How far into `whole` its part `part` begins; 0 if it is no part of it.
pub(super) fn offset_in(whole: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if offset <= whole.len() { offset } else { 0 }
}
