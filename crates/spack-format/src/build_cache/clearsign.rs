//! Clear-signed texts.
//!
//! ```text
//! -----BEGIN PGP SIGNED MESSAGE-----
//! Hash: SHA512
//!
//! {"version":3, ...}                     the text, lines that start with `-` escaped by `- `
//! -----BEGIN PGP SIGNATURE-----
//! ...
//! -----END PGP SIGNATURE-----
//! ```
//!
//! [`split`] is strict, because what is read must be exactly what was signed: nothing may stand
//! before, between or after the parts, and there is one text and one signature.
//!
//! Source: RFC 9580, section 7; `Spec.extract_json_from_clearsig` in Spack.

const MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// A text that may have been signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Not signed: the text itself.
    Plain(&'a str),
    /// Signed.
    Signed(Clearsigned<'a>),
}

/// A clear-signed text, taken apart. Nothing has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearsigned<'a> {
    /// All of it, from the first header line to the end of the armor, as OpenPGP programs take it.
    pub message: &'a str,
    /// The names of the hash algorithms that the header announces.
    pub hash_names: Vec<&'a str>,
    /// The text: escapes undone, blanks at line ends taken away as they are not signed, lines
    /// ended by line feeds.
    pub payload: String,
    /// The armored signature.
    pub signature: &'a str,
}

/// Why a text that begins like a signed one is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClearsignError {
    /// Something other than `Hash:` in the header.
    #[error("line {line}: only `Hash:` lines may stand in the header of a signed text")]
    Header {
        /// The line, from 1.
        line: usize,
    },
    /// A line of the text that starts with an unescaped dash.
    #[error("line {line}: a line of a signed text may not start with `-` unescaped")]
    Unescaped {
        /// The line, from 1.
        line: usize,
    },
    /// The text or the signature is cut off.
    #[error("the signed text is cut off: there is no `{0}`")]
    Truncated(&'static str),
    /// Something after the signature.
    #[error("line {line}: nothing may follow the signature")]
    Trailing {
        /// The line, from 1.
        line: usize,
    },
}

impl Envelope<'_> {
    /// The text, signed or not.
    #[must_use]
    pub fn payload(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Signed(signed) => &signed.payload,
        }
    }

    /// Whether there is a signature (that may be worth nothing).
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        matches!(self, Self::Signed(_))
    }
}

impl Clearsigned<'_> {
    /// The bytes that a signature of type "canonical text" is made over: lines ended by carriage
    /// return and line feed, the last one not ended.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let text = self.payload.strip_suffix('\n').unwrap_or(&self.payload);
        text.replace('\n', "\r\n").into_bytes()
    }
}

/// Takes a text apart if it is clear-signed, and gives it back as it is if not.
///
/// # Errors
/// When it begins like a signed text and does not go on as one.
pub fn split(text: &str) -> Result<Envelope<'_>, ClearsignError> {
    if !text.starts_with(MESSAGE) {
        return Ok(Envelope::Plain(text));
    }
    let mut lines = Lines {
        rest: text,
        number: 0,
        offset: 0,
    };
    lines.next_line();

    let mut hash_names = Vec::new();
    loop {
        let Some(line) = lines.next_line() else {
            return Err(ClearsignError::Truncated(SIGNATURE));
        };
        let line_text = line.text.trim_end();
        if line_text.is_empty() {
            break;
        }
        let names = line_text
            .strip_prefix("Hash:")
            .ok_or(ClearsignError::Header { line: line.number })?;
        hash_names.extend(
            names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty()),
        );
    }

    let mut payload = String::with_capacity(text.len());
    let signature_start = loop {
        let Some(line) = lines.next_line() else {
            return Err(ClearsignError::Truncated(SIGNATURE));
        };
        if line.text.trim_end() == SIGNATURE {
            break line.offset;
        }
        let unescaped = match line.text.strip_prefix("- ") {
            Some(unescaped) => unescaped,
            None if line.text.starts_with('-') => {
                return Err(ClearsignError::Unescaped { line: line.number });
            }
            None => line.text,
        };
        payload.push_str(unescaped.trim_end_matches([' ', '\t', '\r']));
        payload.push('\n');
    };

    let signature_end = loop {
        let Some(line) = lines.next_line() else {
            return Err(ClearsignError::Truncated(END));
        };
        if line.text.trim_end() == END {
            break line.offset + END.len();
        }
    };
    while let Some(line) = lines.next_line() {
        if !line.text.trim().is_empty() {
            return Err(ClearsignError::Trailing { line: line.number });
        }
    }
    Ok(Envelope::Signed(Clearsigned {
        message: text.get(..signature_end).unwrap_or(text),
        hash_names,
        payload,
        signature: text.get(signature_start..signature_end).unwrap_or_default(),
    }))
}

struct Line<'a> {
    text: &'a str,
    number: usize,
    offset: usize,
}

/// Lines that end in a line feed only, unlike [`str::lines`], with their places.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
    offset: usize,
}

impl<'a> Lines<'a> {
    fn next_line(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (text, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        let line = Line {
            text,
            number: self.number + 1,
            offset: self.offset,
        };
        self.offset += self.rest.len() - rest.len();
        self.number += 1;
        self.rest = rest;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{\n\"a\":1 \t\r\n- -dash\n}\n-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn a_signed_text_is_taken_apart() {
        let Ok(Envelope::Signed(signed)) = split(SIGNED) else {
            panic!("not signed")
        };
        assert_eq!(signed.payload, "{\n\"a\":1\n-dash\n}\n");
        assert_eq!(signed.signed_bytes(), b"{\r\n\"a\":1\r\n-dash\r\n}");
        assert_eq!(signed.hash_names, ["SHA512"]);
        assert_eq!(signed.message, SIGNED.trim_end());
        assert!(signed.signature.starts_with(SIGNATURE) && signed.signature.ends_with(END));
    }

    #[test]
    fn an_unsigned_text_is_itself() {
        assert_eq!(split("{}"), Ok(Envelope::Plain("{}")));
        assert_eq!(split(""), Ok(Envelope::Plain("")));
    }

    #[test]
    fn nothing_can_be_smuggled_beside_what_was_signed() {
        let header = SIGNED.replace("Hash: SHA512", "Hash: SHA512\n{\"a\":2}");
        assert_eq!(split(&header), Err(ClearsignError::Header { line: 3 }));
        let after = format!("{SIGNED}{{\"a\":2}}");
        assert_eq!(split(&after), Err(ClearsignError::Trailing { line: 12 }));
        let twice = SIGNED.replace("- -dash", "-----BEGIN PGP SIGNED MESSAGE-----");
        assert_eq!(split(&twice), Err(ClearsignError::Unescaped { line: 6 }));
        for end in 35..SIGNED.len() - END.len() {
            assert!(split(&SIGNED[..end]).is_err(), "cut at {end}");
        }
    }
}
