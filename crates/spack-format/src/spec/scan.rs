//! Runs of characters: the words that tokens are made of.
//!
//! Every function takes a text and a byte position and gives the position after what it found there. Together they do
//! what the regular expressions in Spack's `spec_parser.py` do, backtracking included where it shows.

const fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn continues_identifier(byte: u8) -> bool {
    starts_word(byte) || byte == b'-'
}

const fn continues_name(byte: u8) -> bool {
    continues_identifier(byte) || byte == b'.'
}

/// The end of the run of bytes that fit.
fn run(text: &str, at: usize, fits: impl Fn(u8) -> bool) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().position(|it| !fits(*it)).unwrap_or(rest.len())
}

/// Whether `expected` stands at the position, and where it ends.
pub(super) fn literal(text: &str, at: usize, expected: &str) -> Option<usize> {
    text.get(at..)?
        .starts_with(expected)
        .then_some(at + expected.len())
}

fn word(text: &str, at: usize, continues: impl Fn(u8) -> bool) -> Option<usize> {
    let first = text.as_bytes().get(at)?;
    starts_word(*first).then(|| run(text, at + 1, continues))
}

/// A name without dots.
pub(super) fn identifier(text: &str, at: usize) -> Option<usize> {
    word(text, at, continues_identifier)
}

/// A name, dots included.
pub(super) fn name(text: &str, at: usize) -> Option<usize> {
    word(text, at, continues_name)
}

/// Two names or more, joined by dots.
pub(super) fn dotted(text: &str, at: usize) -> Option<usize> {
    let first = identifier(text, at)?;
    let mut end = first;
    while let Some(next) = literal(text, end, ".").and_then(|at| identifier(text, at)) {
        end = next;
    }
    (end > first).then_some(end)
}

/// The characters of a hash.
pub(super) fn hash(text: &str, at: usize) -> Option<usize> {
    let end = run(text, at, starts_word);
    (end > at).then_some(end)
}

/// The end of the blanks, of which there may be none.
pub(super) fn blanks(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    // Python counts the four information separators as blanks, too.
    let is_blank = |it: char| it.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&it);
    at + rest.find(|it| !is_blank(it)).unwrap_or(rest.len())
}

/// The value of a key: bare, or in quotes.
pub(super) fn value(text: &str, at: usize) -> Option<usize> {
    let bare = run(text, at, |it| {
        starts_word(it)
            || matches!(
                it,
                b'-' | b'+' | b'*' | b'.' | b',' | b':' | b'=' | b'%' | b'^' | b'~' | b'/' | b'\\'
            )
    });
    if bare > at {
        return Some(bare);
    }
    let bytes = text.as_bytes();
    let quote = *bytes.get(at).filter(|it| matches!(it, b'\'' | b'"'))?;
    // A quote after a backslash is part of the value, unless no other one ends it.
    let mut escaped = None;
    for (offset, byte) in bytes.get(at + 1..)?.iter().enumerate() {
        let here = at + 1 + offset;
        if *byte == quote {
            if bytes.get(here - 1) != Some(&b'\\') {
                return Some(here + 1);
            }
            escaped = Some(here + 1);
        }
    }
    escaped
}

/// A path that ends in `.json` or `.yaml` and does not look like a name.
pub(super) fn file_name(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let body = match bytes.get(at)? {
        b'.' | b'/' => at + 1,
        _ => literal(text, run(text, at, continues_identifier), "/")?,
    };
    let end = run(text, body, |it| continues_name(it) || it == b'/');
    let path = text.get(body..end)?;
    let last = [".json", ".yaml"]
        .iter()
        .filter_map(|suffix| path.rfind(suffix).map(|found| found + suffix.len()))
        .max()?;
    Some(body + last)
}

/// Ends at which a version that starts here may end, the longest first: between a character of a word and one of none.
fn version_ends(text: &str, at: usize) -> impl Iterator<Item = usize> + '_ {
    let start = literal(text, at, "=").unwrap_or(at);
    let longest = word(text, start, continues_name);
    let is_word = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || it == '_');
    longest
        .into_iter()
        .flat_map(move |longest| (start + 1..=longest).rev())
        .filter(move |end| {
            let before = text.get(..*end).and_then(|it| it.chars().next_back());
            let after = text.get(*end..).and_then(|it| it.chars().next());
            is_word(before) != is_word(after)
        })
}

/// A version, with or without an equals sign before it.
pub(super) fn version(text: &str, at: usize) -> Option<usize> {
    version_ends(text, at).next()
}

/// `a:b`, `a:`, `:b` or `:`. A word before `=` is a key and not the end of the range.
fn version_range(text: &str, at: usize) -> Option<usize> {
    let colon = version(text, at)
        .and_then(|end| literal(text, end, ":"))
        .or_else(|| literal(text, at, ":"))?;
    let is_key = |end: usize| literal(text, blanks(text, end), "=").is_some();
    Some(
        version_ends(text, colon)
            .find(|end| !is_key(*end))
            .unwrap_or(colon),
    )
}

/// Versions and ranges, joined by commas.
pub(super) fn version_list(text: &str, at: usize) -> Option<usize> {
    let item = |at| version_range(text, at).or_else(|| version(text, at));
    let mut end = item(at)?;
    while let Some(next) =
        literal(text, blanks(text, end), ",").and_then(|comma| item(blanks(text, comma)))
    {
        end = next;
    }
    Some(end)
}

/// `git.REFERENCE` or the 40 digits of a commit.
pub(super) fn git_reference(text: &str, at: usize) -> Option<usize> {
    if let Some(reference) = literal(text, at, "git.")
        && let Some(end) = word(text, reference, |it| continues_name(it) || it == b'/')
    {
        return Some(end);
    }
    let digits = text.as_bytes().get(at..at + 40)?;
    digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 40)
}
