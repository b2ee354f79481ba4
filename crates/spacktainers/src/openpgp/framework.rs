//! Taking a clear-signed text apart.
//!
//! Done here and not by the OpenPGP library, because the library searches the whole text again at
//! every line, and concrete specs of large environments have a hundred thousand lines.
//!
//! Source: RFC 9580, section 7.

use super::{LONGEST_TEXT, SignatureError};

const BEGIN_TEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// A clear-signed text in two parts.
pub(super) struct Parts<'a> {
    /// What was signed, lines ending in `\n`; the last line has no end.
    pub(super) text: String,
    /// The armoured signatures.
    pub(super) signatures: &'a str,
}

pub(super) fn is_framed(text: &str) -> bool {
    text.lines()
        .next()
        .is_some_and(|line| line.trim_end() == BEGIN_TEXT)
}

/// Takes a clear-signed text apart. What stands before or after it was not signed, and is refused.
pub(super) fn split(text: &str) -> Result<Parts<'_>, SignatureError> {
    if text.len() > LONGEST_TEXT {
        return Err(SignatureError::TooLong {
            limit: LONGEST_TEXT,
        });
    }
    if !is_framed(text) {
        return Err(SignatureError::NotSigned);
    }
    let mut lines = Lines { text, position: 0 };
    lines.next();
    for line in lines.by_ref() {
        if line.trim().is_empty() {
            break;
        }
        // Any other header could be taken for signed text by a reader who looks for a blank line.
        if !line.starts_with("Hash:") {
            return Err(SignatureError::Framework("a header other than `Hash`"));
        }
    }
    let mut body = String::with_capacity(text.len());
    let mut is_first = true;
    loop {
        let start = lines.position;
        let Some(line) = lines.next() else {
            return Err(SignatureError::Framework(
                "there is no signature below the text",
            ));
        };
        if line.trim_end() == BEGIN_SIGNATURE {
            return Ok(Parts {
                text: body,
                signatures: signatures(&text[start..])?,
            });
        }
        let line = match line.strip_prefix('-') {
            None => line,
            Some(escaped) => escaped.strip_prefix(' ').ok_or(SignatureError::Framework(
                "a line begins with an unescaped dash",
            ))?,
        };
        let line = line.trim_end_matches([' ', '\t', '\r']);
        if line.contains('\r') {
            return Err(SignatureError::Framework("a carriage return within a line"));
        }
        if !is_first {
            body.push('\n');
        }
        is_first = false;
        body.push_str(line);
    }
}

fn signatures(rest: &str) -> Result<&str, SignatureError> {
    let end = rest
        .find(END_SIGNATURE)
        .ok_or(SignatureError::Framework("the signature has no end"))?
        + END_SIGNATURE.len();
    if !rest[end..].trim().is_empty() {
        return Err(SignatureError::Framework(
            "there is more after the signature",
        ));
    }
    Ok(&rest[..end])
}

/// Lines without their `\n`, and the position of the next one.
struct Lines<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self
            .text
            .get(self.position..)
            .filter(|rest| !rest.is_empty())?;
        let end = rest.find('\n');
        self.position += end.map_or(rest.len(), |end| end + 1);
        Some(&rest[..end.unwrap_or(rest.len())])
    }
}
