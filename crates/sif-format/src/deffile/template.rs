//! Templates: `{{ NAME }}`, replaced before anything else is read.
//!
//! ```text
//! template = "{{" blanks NAME blanks "}}"      NAME: letters, digits, `_`; blanks may hold line feeds
//! value    = build argument, or else the default in the stage's %arguments; templates in it are replaced once
//! ```
//!
//! A template stays where a `#` that is not followed by `!` stands before it on its line, as in a comment. That is all
//! that Apptainer looks at: the `#` of `${x#y}` counts as well, and one directly before the template does not.
//!
//! Source: Apptainer's `internal/pkg/build/args/reader.go`.

use std::collections::HashMap;
use std::ops::Range;

use super::arguments::BuildArguments;
use super::fault::Faults;
use super::span::Origin;
use super::suggest::nearest;
use super::{DeffileError, Span};

/// Bytes that the text of all stages may have when its templates are replaced.
pub(super) const MOST_EXPANDED: usize = 4 << 20;
/// Bytes that may be searched for templates within values: a few values that name each other can ask for more work
/// than there is time.
const MOST_WORK: usize = 64 << 20;

/// A template in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The name.
    pub name: String,
    /// From `{{` to `}}`.
    pub span: Span,
    /// Whether it is left alone because of a `#` before it.
    pub in_comment: bool,
}

/// The templates of a stage, whose first byte in the file is `start`. Faults are what looks like a template and is none.
pub(super) fn find(
    text: &str,
    header_end: usize,
    start: usize,
    faults: &mut Faults,
) -> Vec<Template> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut comment = Comment::default();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("{{")) {
        let at = from + at;
        comment.read(bytes, at);
        match read(text, at) {
            Some((name, end)) => {
                let span = Span::new(start + at, start + end);
                found.push(Template {
                    name: name.to_owned(),
                    span,
                    in_comment: comment.is_open,
                });
                if comment.is_open {
                    if comment.is_doubtful {
                        faults.push(span, DeffileError::TemplateAfterHash);
                    }
                } else {
                    comment = Comment::at(end);
                }
                from = end;
            }
            None => {
                if !comment.is_open
                    && let Some(length) = open_template(&text[at..])
                {
                    faults.push(
                        Span::new(start + at, start + at + length),
                        DeffileError::OpenTemplate {
                            in_header: at < header_end,
                        },
                    );
                }
                from = at + 1;
            }
        }
    }
    found
}

/// The `#` before the place that has been read up to, on the same line and after the last template replaced.
#[derive(Debug, Default)]
struct Comment {
    at: usize,
    is_open: bool,
    /// Whether the shell would not begin a comment there.
    is_doubtful: bool,
}

impl Comment {
    fn at(at: usize) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }

    /// Reads on to byte `to`.
    fn read(&mut self, bytes: &[u8], to: usize) {
        for at in self.at..to {
            match bytes.get(at) {
                Some(b'\n') => (self.is_open, self.is_doubtful) = (false, false),
                Some(b'#') if at + 1 < to && bytes.get(at + 1) != Some(&b'!') && !self.is_open => {
                    self.is_open = true;
                    self.is_doubtful = at
                        .checked_sub(1)
                        .and_then(|before| bytes.get(before))
                        .is_some_and(|before| !before.is_ascii_whitespace() && *before != b'#');
                }
                _ => {}
            }
        }
        self.at = self.at.max(to);
    }
}

/// The name and the end of the template at byte `at`, if one is there.
fn read(text: &str, at: usize) -> Option<(&str, usize)> {
    let rest = text.get(at..)?.strip_prefix("{{")?;
    let inner = rest.trim_start_matches(is_blank);
    let name = word(inner);
    let after = inner[name.len()..]
        .trim_start_matches(is_blank)
        .strip_prefix("}}")?;
    (!name.is_empty()).then_some((name, text.len() - after.len()))
}

/// The length of what looks like a template that lacks a brace or two, on one line.
fn open_template(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("{{")?.trim_start_matches([' ', '\t']);
    let name = word(rest);
    let after = rest[name.len()..].trim_start_matches([' ', '\t']);
    let is_open = after.is_empty() || after.starts_with(['\n', '\r', '}']);
    (!name.is_empty() && is_open).then_some(text.len() - rest.len() + name.len())
}

pub(super) fn word(text: &str) -> &str {
    let end = text
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .unwrap_or(text.len());
    &text[..end]
}

/// `\s` of Go's regular expressions.
pub(super) fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// A stage's text with its templates replaced.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Replaces the templates of a stage, whose first byte in the file is `start`.
///
/// Those without a value are reported and stay, so that the rest can be checked; after `room` bytes nothing more is
/// replaced.
pub(super) fn expand(
    text: &str,
    start: usize,
    templates: &[Template],
    values: &mut Values<'_>,
    room: usize,
    faults: &mut Faults,
) -> Expanded {
    let mut out = String::with_capacity(text.len());
    let mut origin = Origin::default();
    let mut copied = 0;
    let copy = |out: &mut String, origin: &mut Origin, range: Range<usize>| {
        origin.push(
            out.len(),
            Span::new(start + range.start, start + range.end),
            true,
        );
        out.push_str(text.get(range).unwrap_or_default());
    };
    for template in templates.iter().filter(|template| !template.in_comment) {
        let place = template.span;
        let here = place.start.saturating_sub(start)..place.end.saturating_sub(start);
        let value = match values.get(&template.name) {
            Ok(Some(value)) => value,
            Ok(None) => {
                let known = values.names().map(str::to_owned).collect::<Vec<_>>();
                faults.push(
                    place,
                    DeffileError::UndefinedArgument {
                        name: template.name.clone(),
                        nearest: nearest(&template.name, known.iter().map(String::as_str))
                            .map(str::to_owned),
                    },
                );
                continue;
            }
            Err(error) => {
                faults.push(place, error);
                break;
            }
        };
        if out.len() + (here.start - copied) + value.len() > room {
            faults.push(
                place,
                DeffileError::ExpandsTooFar {
                    limit: MOST_EXPANDED,
                },
            );
            break;
        }
        copy(&mut out, &mut origin, copied..here.start);
        origin.push(out.len(), place, false);
        out.push_str(value);
        copied = here.end;
    }
    copy(&mut out, &mut origin, copied..text.len());
    Expanded { text: out, origin }
}

/// What templates of a stage stand for.
pub(super) struct Values<'a> {
    given: &'a BuildArguments,
    defaults: &'a HashMap<&'a str, &'a str>,
    /// Values whose own templates are replaced.
    ready: HashMap<String, String>,
    work: usize,
}

impl<'a> Values<'a> {
    pub(super) fn new(given: &'a BuildArguments, defaults: &'a HashMap<&'a str, &'a str>) -> Self {
        Self {
            given,
            defaults,
            ready: HashMap::new(),
            work: MOST_WORK,
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.given.names().chain(self.defaults.keys().copied())
    }

    fn written(&self, name: &str) -> Option<&'a str> {
        self.given
            .get(name)
            .or_else(|| self.defaults.get(name).copied())
    }

    /// The value of a name, once the templates in it are replaced in their turn, but not those in what they stand for.
    fn get(&mut self, name: &str) -> Result<Option<&str>, DeffileError> {
        let Some(written) = self.written(name) else {
            return Ok(None);
        };
        if !self.ready.contains_key(name) {
            let value = self.replace_within(written)?;
            self.ready.insert(name.to_owned(), value);
        }
        Ok(self.ready.get(name).map(String::as_str))
    }

    fn replace_within(&mut self, written: &str) -> Result<String, DeffileError> {
        let mut value = written.to_owned();
        let mut from = 0;
        while let Some(at) = written.get(from..).and_then(|rest| rest.find("{{")) {
            let at = from + at;
            let Some((name, end)) = read(written, at) else {
                from = at + 1;
                continue;
            };
            if let Some(inner) = self.written(name) {
                let template = &written[at..end];
                // Counted before it is done: a value that holds itself doubles with each round.
                let length = value.len() + value.matches(template).count() * inner.len();
                match self.work.checked_sub(length) {
                    Some(work) if length <= MOST_EXPANDED => self.work = work,
                    _ => {
                        return Err(DeffileError::ExpandsTooFar {
                            limit: MOST_EXPANDED,
                        });
                    }
                }
                value = value.replace(template, inner);
            }
            from = end;
        }
        Ok(value)
    }
}
