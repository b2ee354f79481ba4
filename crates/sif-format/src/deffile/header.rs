//! Headers: `Key: value`, with comments and continued lines.
//!
//! ```text
//! Bootstrap: docker        # keys in any case; a `#` ends the value, wherever it stands
//! Include: vim \           # a `\` at the very end joins the next line, blanks at its beginning removed
//!          less
//! ```
//!
//! Source: Apptainer's `pkg/build/types/parser/deffile.go`, `doHeader`.

use std::ops::Range;

use super::fault::Faults;
use super::lines::lines;
use super::span::Origin;
use super::suggest::nearest;
use super::{DeffileError, Span};

/// The keys of Apptainer 1.4, as people write them. `OtherURL` goes with a number.
const KEYS: [&str; 20] = [
    "Bootstrap",
    "From",
    "IncludeCmd",
    "MirrorURL",
    "UpdateURL",
    "OSVersion",
    "Include",
    "Library",
    "Registry",
    "Namespace",
    "Stage",
    "Product",
    "User",
    "RegCode",
    "ProductPGP",
    "RegisterURL",
    "Modules",
    "Fingerprints",
    "ConfURL",
    "SetOpt",
];
const NUMBERED: &str = "OtherURL";

/// One key of a header and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEntry {
    /// The key in lower case.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value: blanks, comments and line ends removed.
    pub value: String,
    /// Where the value stands; empty where there is none.
    pub value_span: Span,
}

/// The value of the last entry of a key, which is the one that counts.
pub(super) fn entry<'a>(header: &'a [HeaderEntry], key: &str) -> Option<&'a HeaderEntry> {
    header.iter().rev().find(|entry| entry.key == key)
}

/// Reads the lines of a header.
pub(super) fn parse(
    text: &str,
    range: Range<usize>,
    origin: &Origin,
    faults: &mut Faults,
) -> Vec<HeaderEntry> {
    let mut entries: Vec<HeaderEntry> = Vec::new();
    // An entry whose line ended with a backslash, and where that backslash is.
    let mut open: Option<(HeaderEntry, Span)> = None;
    for line in lines(text, range) {
        let Some(content) = line.content() else {
            // Apptainer 1.4 crashes here.
            if let Some((_, backslash)) = open.take() {
                faults.push(backslash, DeffileError::BrokenContinuation);
            }
            continue;
        };
        let (code, comment) = match content.find('#') {
            Some(at) => (&content[..at], Some(&content[at..])),
            None => (content, None),
        };
        if let Some(comment) = comment
            && code.ends_with(|letter: char| !letter.is_whitespace())
        {
            faults.push(
                origin.span(line.range_of(comment)),
                DeffileError::CommentInValue,
            );
        }
        let mut entry = match open.take() {
            Some((mut entry, _)) => {
                let rest = code.trim();
                entry.value.push_str(rest);
                entry.value_span = entry.value_span.to(origin.span(line.range_of(rest)));
                entry
            }
            None => {
                let Some((key, value)) = code.split_once(':') else {
                    faults.push(
                        origin.span(line.trimmed_range()),
                        DeffileError::HeaderWithoutColon,
                    );
                    continue;
                };
                let (key, value) = (key.trim(), value.trim());
                let key_span = origin.span(line.range_of(key));
                if !is_known(key) {
                    faults.push(
                        key_span,
                        DeffileError::UnknownKey {
                            key: key.to_owned(),
                            nearest: nearest(key, KEYS),
                        },
                    );
                }
                HeaderEntry {
                    key: key.to_lowercase(),
                    key_span,
                    value: value.to_owned(),
                    value_span: origin.span(line.range_of(value)),
                }
            }
        };
        if let Some(value) = entry.value.strip_suffix('\\') {
            let value = match value.strip_suffix("\\n") {
                Some(value) => format!("{value}\n"),
                None => value.to_owned(),
            };
            let end = entry.value_span.end;
            let backslash = Span::new(end.saturating_sub(1).max(entry.value_span.start), end);
            if value.is_empty() {
                // Apptainer 1.4 forgets the key and takes the next line for a new one.
                faults.push(backslash, DeffileError::BrokenContinuation);
            } else {
                entry.value = value;
                open = Some((entry, backslash));
            }
            continue;
        }
        if self::entry(&entries, &entry.key).is_some() {
            faults.push(
                entry.key_span,
                DeffileError::DuplicateKey {
                    key: entry.key.clone(),
                },
            );
        }
        entries.push(entry);
    }
    if let Some((_, backslash)) = open {
        faults.push(backslash, DeffileError::BrokenContinuation);
    }
    entries
}

fn is_known(key: &str) -> bool {
    let without_number = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    KEYS.iter().any(|known| known.eq_ignore_ascii_case(key))
        || (without_number.len() < key.len() && without_number.eq_ignore_ascii_case(NUMBERED))
}
