//! Debian control data: paragraphs of `Name: value` fields, blank lines between them.
//!
//! Used by `Release`, `Packages`, `.sources` and the `control` file of a package alike.
//! Source: Debian policy 5.1, deb822(5).

use std::io::{self, BufRead, Read as _};
use std::ops::Range;

/// The longest paragraph we read, in bytes: the `Release` file of a large archive, one paragraph of
/// checksums, has about 200 KiB.
const PARAGRAPH_MAX: usize = 16 << 20;

/// Why control data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The bytes behind it failed.
    #[error("cannot read control data")]
    Read(#[from] io::Error),
    /// A paragraph beyond all reason.
    #[error("a paragraph of control data is longer than {PARAGRAPH_MAX} bytes")]
    TooLong,
    /// A line that is neither a field nor a continuation of one.
    #[error("line {line} of control data is not a field: `{text}`")]
    NotAField {
        /// Counted from one.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// Not UTF-8.
    #[error("line {line} of control data is not UTF-8")]
    NotText {
        /// Counted from one.
        line: usize,
    },
}

/// One paragraph: its fields in order, values as written.
#[derive(Debug, Clone, Default)]
pub(super) struct Paragraph {
    text: String,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Paragraph {
    /// The value of a field; names are compared without case. Continuation lines keep their
    /// newline and leading blank.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The fields in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// Whether there is no field.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    /// Takes one line that is not blank, without its newline.
    fn push(&mut self, line: &str, number: usize) -> Result<(), ControlError> {
        let not_a_field = || ControlError::NotAField {
            line: number,
            text: line.chars().take(60).collect(),
        };
        if line.starts_with([' ', '\t']) {
            let Some((_, value)) = self.fields.last_mut() else {
                return Err(not_a_field());
            };
            self.text.push('\n');
            self.text.push_str(line.trim_end());
            value.end = self.text.len();
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(not_a_field)?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(not_a_field());
        }
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value.trim());
        self.fields.push((start..middle, middle..self.text.len()));
        Ok(())
    }
}

/// Reads paragraphs one by one, in memory of one paragraph.
pub(super) struct Paragraphs<R> {
    input: R,
    line: Vec<u8>,
    number: usize,
    comments: bool,
}

impl<R: BufRead> Paragraphs<R> {
    /// From what archives and packages hold.
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
            comments: false,
        }
    }

    /// From what people write: lines that begin with `#` are comments.
    pub(super) fn with_comments(input: R) -> Self {
        Self {
            comments: true,
            ..Self::new(input)
        }
    }

    /// Reads the next paragraph into `paragraph`; false at the end.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub(super) fn next_into(&mut self, paragraph: &mut Paragraph) -> Result<bool, ControlError> {
        paragraph.clear();
        loop {
            self.line.clear();
            self.number += 1;
            let limit = (PARAGRAPH_MAX - paragraph.text.len().min(PARAGRAPH_MAX)) as u64 + 1;
            let count = self
                .input
                .by_ref()
                .take(limit)
                .read_until(b'\n', &mut self.line)?;
            if count as u64 == limit {
                return Err(ControlError::TooLong);
            }
            if count == 0 {
                return Ok(!paragraph.is_empty());
            }
            let line = std::str::from_utf8(&self.line)
                .map_err(|_| ControlError::NotText { line: self.number })?;
            let line = line.trim_end_matches(['\n', '\r']);
            if self.comments && line.starts_with('#') {
                continue;
            }
            if line.trim().is_empty() {
                if paragraph.is_empty() {
                    continue;
                }
                return Ok(true);
            }
            paragraph.push(line, self.number)?;
        }
    }
}

/// Reads the first paragraph of a text.
///
/// # Errors
/// See [`ControlError`].
pub(super) fn first_paragraph(text: &[u8]) -> Result<Paragraph, ControlError> {
    let mut paragraph = Paragraph::default();
    Paragraphs::new(text).next_into(&mut paragraph)?;
    Ok(paragraph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paragraphs_come_with_fields_in_order_and_continuations_kept() {
        let text =
            "\n\nPackage: a\nDescription: short\n long\n .\n more\n\n\nPackage: b\nSHA256: 1";
        let mut reader = Paragraphs::new(text.as_bytes());
        let mut paragraph = Paragraph::default();
        assert!(reader.next_into(&mut paragraph).expect("valid"));
        assert_eq!(
            paragraph.get("description"),
            Some("short\n long\n .\n more")
        );
        assert!(reader.next_into(&mut paragraph).expect("valid"));
        assert_eq!(
            paragraph.iter().collect::<Vec<_>>(),
            [("Package", "b"), ("SHA256", "1")]
        );
        assert!(!reader.next_into(&mut paragraph).expect("end"));
    }

    #[test]
    fn what_is_no_field_is_an_error_with_its_line() {
        let error = first_paragraph(b"A: 1\nnonsense\n").expect_err("no colon");
        assert!(
            matches!(error, ControlError::NotAField { line: 2, .. }),
            "{error}"
        );
        assert!(first_paragraph(b" continuation of nothing\n").is_err());
        assert!(matches!(
            first_paragraph(b"A: \xff\n"),
            Err(ControlError::NotText { line: 1 })
        ));
    }

    #[test]
    fn comments_are_for_people() {
        let mut paragraph = Paragraph::default();
        Paragraphs::with_comments(&b"# x\nA: 1\n# y\n b\n"[..])
            .next_into(&mut paragraph)
            .expect("valid");
        assert_eq!(paragraph.get("A"), Some("1\n b"));
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Paragraphs::new(&bytes[..]);
            let mut paragraph = Paragraph::default();
            while let Ok(true) = reader.next_into(&mut paragraph) {}
        }
    }
}
