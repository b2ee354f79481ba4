//! `%files`: what is copied, and from where.
//!
//! Sources: Apptainer's `pkg/build/types/parser/deffile.go` (`fileSplitter`) and `internal/pkg/build/stage.go`.

use super::fault::Faults;
use super::section::Section;
use super::template::{is_blank, word};
use super::{DeffileError, Span};

/// One line of `%files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTransfer {
    /// The source, with its wildcards.
    pub source: String,
    /// The destination; nothing stands for the path of the source.
    pub destination: Option<String>,
    /// Where the line stands.
    pub span: Span,
}

/// Where files are copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilesFrom {
    /// The machine that builds; relative paths begin in the folder where the build was started.
    Host,
    /// An earlier stage, by its place.
    Stage(usize),
}

/// The files that are copied from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// From where.
    pub from: FilesFrom,
    /// In order.
    pub transfers: Vec<FileTransfer>,
}

/// What follows `%files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named<'a> {
    Host,
    Stage(&'a str),
    Bad,
}

/// Reads what follows `%files`. Apptainer takes any two words for `from STAGE`, and copies nothing if there are one or
/// three, or only blanks.
pub(super) fn named(section: &Section) -> Named<'_> {
    let arguments = section.arguments.as_deref().unwrap_or_default();
    let arguments = arguments.split('#').next().unwrap_or_default();
    let mut words = arguments.split_whitespace();
    match (arguments, words.next(), words.next(), words.next()) {
        ("", ..) => Named::Host,
        (_, Some("from"), Some(stage), None) => Named::Stage(stage),
        _ => Named::Bad,
    }
}

/// Reads the lines of a `%files` section.
pub(super) fn transfers(section: &Section, faults: &mut Faults) -> Vec<FileTransfer> {
    let mut transfers = Vec::new();
    for (span, line) in section.entries() {
        let exact = span.end - span.start == line.len();
        let place = |at: usize| {
            if exact {
                Span::new(span.start + at, span.end)
            } else {
                span
            }
        };
        let words = split(line);
        if let Some(at) = open_quote(line) {
            faults.push(place(at), DeffileError::OpenQuote);
        }
        if let Some(at) = line.find('\'') {
            faults.push(place(at), DeffileError::SingleQuote);
        }
        match words.get(1..) {
            Some([(at, path), ..]) if path.starts_with('#') => {
                faults.push(place(*at), DeffileError::CommentAsPath);
            }
            Some([_, (at, _), ..]) => faults.push(place(*at), DeffileError::TooManyPaths),
            _ => {}
        }
        let mut paths = words
            .iter()
            .map(|(_, word)| word.trim().trim_matches('"').to_owned());
        // Apptainer passes over an empty source.
        if let Some(source) = paths.next().filter(|path| !path.is_empty()) {
            transfers.push(FileTransfer {
                source,
                destination: paths.next().filter(|path| !path.is_empty()),
                span,
            });
        }
    }
    transfers
}

/// The words of a line and where they begin: double quotes keep one together, `'` begins one that ends before the next
/// `'`, and the blanks of a template do not end one.
fn split(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(first) = line.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &line[at..];
        let length = template_word(rest).or_else(|| match first {
            '"' => rest[1..].find('"').map(|length| length + 2),
            '\'' => Some(1 + rest[1..].find('\'').unwrap_or(rest.len() - 1)),
            _ if is_blank(first) => None,
            _ => Some(plain(rest).len()),
        });
        match length {
            Some(length) => {
                words.push((at, &rest[..length]));
                at += length;
            }
            None => at += first.len_utf8(),
        }
    }
    words
}

/// Up to a blank or a quote.
fn plain(text: &str) -> &str {
    let end = text
        .find(|letter| is_blank(letter) || matches!(letter, '"' | '\''))
        .unwrap_or(text.len());
    &text[..end]
}

/// The length of a word with templates in it: each is followed by what is no brace, blank or quote.
fn template_word(text: &str) -> Option<usize> {
    let mut length = 0;
    while let Some(end) = text.get(length..).and_then(|rest| {
        plain(rest)
            .rmatch_indices("{{")
            .find_map(|(at, _)| template_end(rest, at))
    }) {
        length += end;
        let tail = &text[length..];
        length += tail
            .find(|letter| is_blank(letter) || matches!(letter, '{' | '}' | '"' | '\''))
            .unwrap_or(tail.len());
    }
    (length > 0).then_some(length)
}

/// The end of the template at byte `at`: `}` once or more.
fn template_end(text: &str, at: usize) -> Option<usize> {
    let inner = text.get(at + 2..)?.trim_start_matches(is_blank);
    let name = word(inner);
    let after = inner[name.len()..].trim_start_matches(is_blank);
    let rest = after.strip_prefix('}')?.trim_start_matches('}');
    (!name.is_empty()).then_some(text.len() - rest.len())
}

/// Where the last double quote opens, if their number is odd.
fn open_quote(line: &str) -> Option<usize> {
    let quotes = line.matches('"').count();
    if quotes % 2 == 1 {
        line.rfind('"')
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<&str> {
        split(line).into_iter().map(|(_, word)| word).collect()
    }

    #[test]
    fn words_are_what_go_finds() {
        assert_eq!(words("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(
            words(r#""file 1" "with space""#),
            [r#""file 1""#, r#""with space""#]
        );
        assert_eq!(words(r#"a"b c"d"#), ["a", r#""b c""#, "d"]);
        assert_eq!(words("'a b' c"), ["'a b", "' c"]);
        assert_eq!(words("{{ A }}/x{{B}} y"), ["{{ A }}/x{{B}}", "y"]);
        assert_eq!(words("{{{ A }}} y"), ["{{{ A }}}", "y"]);
        assert_eq!(words("pre{{ A }}\"q\""), ["pre{{ A }}", "\"q\""]);
        assert_eq!(words("\""), Vec::<&str>::new());
        assert_eq!(words("/opt/*.{so,a} /lib/"), ["/opt/*.{so,a}", "/lib/"]);
    }
}
