//! What secrets look like.
//!
//! Sources: GitHub, "Behind GitHub's new authentication token formats"; GitLab, "Token overview"; AWS, "IAM identifiers";
//! RFC 7468 and RFC 4880 (armour).

use std::ops::Range;

/// A kind of secret.
pub(super) struct Shape {
    /// For people.
    pub(super) name: &'static str,
    /// What it begins with.
    pub(super) begins: &'static str,
    /// How long a match at the beginning of the text is; nothing if it only looks alike.
    measure: fn(&[u8]) -> Option<usize>,
}

/// Bytes that a match is looked for in.
pub(super) const LONGEST: usize = 8 << 10;

pub(super) static SHAPES: [Shape; 9] = [
    Shape {
        name: "a private key",
        begins: "-----BEGIN ",
        measure: private_key,
    },
    Shape {
        name: "an AWS access key",
        begins: "AKIA",
        measure: |text| {
            token(text, 4, 16..17, |it| {
                it.is_ascii_uppercase() || it.is_ascii_digit()
            })
        },
    },
    Shape {
        name: "a GitHub token",
        begins: "ghp_",
        measure: github,
    },
    Shape {
        name: "a GitHub token",
        begins: "gho_",
        measure: github,
    },
    Shape {
        name: "a GitHub token",
        begins: "ghs_",
        measure: github,
    },
    Shape {
        name: "a GitHub token",
        begins: "github_pat_",
        measure: |text| token(text, 11, 60..120, is_word),
    },
    Shape {
        name: "a GitLab token",
        begins: "glpat-",
        measure: |text| {
            token(text, 6, 20..300, |it| {
                is_word(it) || matches!(it, b'-' | b'.')
            })
        },
    },
    Shape {
        name: "a Slack token",
        begins: "xoxb-",
        measure: |text| token(text, 5, 30..120, |it| is_word(it) || it == b'-'),
    },
    Shape {
        name: "a PyPI token",
        begins: "pypi-AgEIcHlwaS5vcmc",
        measure: |text| token(text, 20, 50..500, |it| is_word(it) || it == b'-'),
    },
];

impl Shape {
    /// How many bytes at the beginning of `text` are such a secret.
    pub(super) fn matches(&self, text: &[u8]) -> Option<usize> {
        (self.measure)(text)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn github(text: &[u8]) -> Option<usize> {
    token(text, 4, 36..256, is_word)
}

/// `skip` bytes and then as many of a kind as `lengths` allows, and no more of them.
fn token(
    text: &[u8],
    skip: usize,
    lengths: Range<usize>,
    is_of_it: fn(u8) -> bool,
) -> Option<usize> {
    let rest = text.get(skip..)?;
    let length = rest.iter().take_while(|it| is_of_it(**it)).count();
    lengths.contains(&length).then_some(skip + length)
}

/// A whole block with something in it: programs that handle keys hold the first line alone, and it is no key.
fn private_key(text: &[u8]) -> Option<usize> {
    const LEAST: usize = 64;
    let text = text.get(..text.len().min(LONGEST))?;
    let label_end = find(text, b"-----\n").or_else(|| find(text, b"-----\r\n"))?;
    let label = text.get("-----BEGIN ".len()..label_end)?;
    let is_private = find(label, b"PRIVATE KEY").is_some();
    if !is_private || label.len() > 48 {
        return None;
    }
    let end = [b"-----END ".as_slice(), label].concat();
    let body_end = find(text, &end)?;
    let body = text.get(label_end..body_end)?;
    (body.len() >= LEAST).then_some(body_end + end.len())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}
