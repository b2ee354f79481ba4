//! Faults in what people wrote: what, where, and what to do about it.
//!
//! Pure values. A [`Diagnostic`] points into one of the texts of [`Sources`]; who shows it needs both. The library
//! collects all faults it can find instead of stopping at the first.

use std::ops::Range;
use std::path::{Path, PathBuf};

use spack_format::environment::ManifestFault;
use spack_format::yaml::shape::{Severity, ShapeFault};
use spack_format::yaml::{SourceId, Span};

/// A fault, or something worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// Where; none for faults about no place in a text.
    pub place: Option<Span>,
    /// A few words for the place itself; may be empty.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error about a place in a text.
    #[must_use]
    pub fn error(place: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: Some(place),
            label: String::new(),
            hint: None,
        }
    }

    /// An error about no place in a text.
    #[must_use]
    pub fn general(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            label: String::new(),
            hint: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same with words for the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether nothing can be done before it is mended.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl From<ManifestFault> for Diagnostic {
    fn from(fault: ManifestFault) -> Self {
        Self {
            severity: fault.error.severity(),
            message: fault.error.to_string(),
            place: Some(fault.span),
            label: fault.error.label(),
            hint: fault.error.hint(),
        }
    }
}

impl From<ShapeFault> for Diagnostic {
    fn from(fault: ShapeFault) -> Self {
        Self {
            severity: fault.error.severity(),
            message: fault.error.to_string(),
            place: Some(fault.span),
            label: fault.error.label(),
            hint: fault.error.hint(),
        }
    }
}

/// The texts that places point into.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// One text and where it came from.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its path, as people should see it.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

impl Sources {
    /// Takes a text in.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile {
            path: path.into(),
            text: text.into(),
        });
        id
    }

    /// All texts.
    pub fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    /// The text with this number.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&SourceFile> {
        self.files.get(usize::try_from(id.0).ok()?)
    }

    /// Where a place is: file, line and column, the latter two counted from 1, columns in characters.
    #[must_use]
    pub fn locate(&self, place: Span) -> Option<Location<'_>> {
        let file = self.get(place.source)?;
        let Range { start, .. } = self.range(place)?;
        let before = &file.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Location {
            path: &file.path,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }

    /// The place as a range that lies within its text and on the borders of characters.
    #[must_use]
    pub fn range(&self, place: Span) -> Option<Range<usize>> {
        let text = &self.get(place.source)?.text;
        let border = |at: usize| {
            let mut at = at.min(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let range = place.range();
        let start = border(range.start);
        Some(start..border(range.end).max(start))
    }
}

/// A place as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// The file.
    pub path: &'a Path,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let mut sources = Sources::default();
        let id = sources.add("a.yaml", "höhe: 1\nbreite: 2\n");
        let at = |start, end| {
            sources
                .locate(Span::new(id, start, end))
                .map(|it| (it.line, it.column))
        };
        assert_eq!(at(0, 1), Some((1, 1)));
        assert_eq!(at(7, 8), Some((1, 7)), "ö is one character of two bytes");
        assert_eq!(at(9, 15), Some((2, 1)));
        assert_eq!(
            at(900, 901),
            Some((3, 1)),
            "a place beyond the end is the end"
        );
        assert_eq!(
            sources.range(Span::new(id, 2, 3)),
            Some(1..3),
            "never in the middle of a character"
        );
        assert_eq!(sources.locate(Span::new(SourceId(7), 0, 0)), None);
    }
}
