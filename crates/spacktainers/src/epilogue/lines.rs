//! Lines of a Dockerfile: comments taken out, continued lines joined, here-documents kept.
//!
//! Every byte of a joined line knows where it was written.

use std::ops::Range;

/// What is wrong in an epilogue, and where: bytes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpilogueFault {
    /// Where.
    pub place: Range<usize>,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl EpilogueFault {
    pub(super) fn new(place: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One instruction's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Joined, without comments and continuation marks.
    pub(super) text: String,
    /// What follows `<<WORD` lines: the documents, in order.
    pub(super) documents: Vec<Document>,
    /// Where pieces of `text` were written: (offset in `text`, offset in the source).
    pieces: Vec<(usize, usize)>,
    /// The end in the source, without documents.
    end: usize,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Its name: what it ends with.
    pub(super) name: String,
    /// Its lines, without the last one.
    pub(super) body: String,
    /// The `<<NAME` that announces it: bytes of the line's text.
    pub(super) announced: Range<usize>,
    /// Whether its name was written in quotes: `$` means nothing in it then.
    pub(super) is_quoted: bool,
}

impl Line {
    /// Where a byte of the text was written.
    pub(super) fn source(&self, at: usize) -> usize {
        let index = self.pieces.partition_point(|(offset, _)| *offset <= at);
        match index
            .checked_sub(1)
            .and_then(|index| self.pieces.get(index))
        {
            Some((offset, source)) => (source + (at - offset)).min(self.end),
            None => self.end,
        }
    }

    /// Where a range of the text was written.
    pub(super) fn place(&self, range: Range<usize>) -> Range<usize> {
        let start = self.source(range.start);
        let last = range.end.saturating_sub(1).max(range.start);
        start..(self.source(last) + 1).min(self.end).max(start)
    }
}

/// Takes a text apart. Instructions whose here-document does not end are among the faults.
pub(super) fn lines(text: &str) -> (Vec<Line>, Vec<EpilogueFault>) {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let mut rest = Physical { text, at: 0 };
    while let Some((start, first)) = rest.next() {
        if is_comment(first) || first.trim().is_empty() {
            continue;
        }
        let mut line = Line {
            text: String::new(),
            documents: Vec::new(),
            pieces: Vec::new(),
            end: start,
        };
        let (mut start, mut piece) = (start, first);
        loop {
            let (part, goes_on) = continued(piece);
            line.pieces.push((line.text.len(), start));
            line.text.push_str(part);
            line.end = start + part.len();
            if !goes_on {
                break;
            }
            // Comments, and empty lines, within an instruction are left out.
            let next = loop {
                match rest.next() {
                    Some((_, next)) if is_comment(next) || next.trim().is_empty() => {}
                    next => break next,
                }
            };
            match next {
                Some(next) => (start, piece) = next,
                None => break,
            }
        }
        if takes_documents(&line.text) {
            for (mut announced, strips_tabs) in announced_documents(&line.text) {
                if document(&mut rest, &mut announced, strips_tabs) {
                    line.documents.push(announced);
                    continue;
                }
                let name = &announced.name;
                faults.push(
                    EpilogueFault::new(
                        line.place(announced.announced.clone()),
                        format!("the here-document does not end: there is no line `{name}`"),
                    )
                    .hint(format!(
                        "end it with a line that is `{name}` and nothing else"
                    )),
                );
            }
        }
        found.push(line);
    }
    (found, faults)
}

/// Lines as they are in the file, with the bytes before them.
struct Physical<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Physical<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        self.at += (line.len() + 1).min(rest.len());
        Some((start, line.strip_suffix('\r').unwrap_or(line)))
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without its continuation mark, and whether it has one.
fn continued(line: &str) -> (&str, bool) {
    let trimmed = line.trim_end();
    match trimmed.strip_suffix('\\') {
        Some(part) => (part, true),
        None => (line, false),
    }
}

/// Only these instructions have here-documents; elsewhere `<<` is text.
fn takes_documents(line: &str) -> bool {
    let keyword = line.split_whitespace().next().unwrap_or_default();
    ["RUN", "COPY", "ADD"]
        .iter()
        .any(|it| keyword.eq_ignore_ascii_case(it))
}

/// The here-documents that a line announces, still empty, and whether leading tabs go.
fn announced_documents(line: &str) -> Vec<(Document, bool)> {
    let mut documents = Vec::new();
    let mut at = 0;
    while let Some(found) = line.get(at..).and_then(|rest| rest.find("<<")) {
        let start = at + found;
        let mut name_at = start + 2;
        at = name_at;
        // `<<<` is something else, and `1 << 2` is arithmetic.
        let before = line[..start].chars().next_back();
        if line[name_at..].starts_with('<') || before == Some('<') {
            at += 1;
            continue;
        }
        let strips_tabs = line[name_at..].starts_with('-');
        name_at += usize::from(strips_tabs);
        let rest = &line[name_at..];
        let quote = rest.chars().next().filter(|it| matches!(it, '"' | '\''));
        let name: String = match quote {
            Some(quote) => rest[1..].split(quote).next().unwrap_or_default().to_owned(),
            None => rest
                .chars()
                .take_while(|it| it.is_ascii_alphanumeric() || *it == '_')
                .collect(),
        };
        let begins_well = name
            .chars()
            .next()
            .is_some_and(|it| it.is_ascii_alphabetic() || it == '_');
        if begins_well {
            let end = name_at + name.len() + 2 * usize::from(quote.is_some());
            let document = Document {
                name,
                body: String::new(),
                announced: start..end.min(line.len()),
                is_quoted: quote.is_some(),
            };
            documents.push((document, strips_tabs));
        }
    }
    documents
}

/// Reads the lines of a document; says whether it ends.
fn document(rest: &mut Physical<'_>, document: &mut Document, strips_tabs: bool) -> bool {
    for (_, line) in rest.by_ref() {
        let line = match strips_tabs {
            true => line.trim_start_matches('\t'),
            false => line,
        };
        if line == document.name {
            return true;
        }
        document.body.push_str(line);
        document.body.push('\n');
    }
    false
}
