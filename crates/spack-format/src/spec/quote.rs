//! Quotes around values.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The value, in quotes where Spack puts them: single ones, or double ones around a single one.
pub(super) fn quote_if_needed(value: &str) -> Cow<'_, str> {
    let plain = |it: u8| {
        it.is_ascii_alphanumeric() || matches!(it, b',' | b'/' | b'_' | b'.' | b'-' | b'[' | b']')
    };
    // A last line break does not count, because `$` in Python's expressions stands before one.
    let body = value.strip_suffix('\n').unwrap_or(value);
    if !body.is_empty() && body.bytes().all(plain) {
        return Cow::Borrowed(value);
    }
    if !value.contains('\'') {
        return Cow::Owned(format!("'{value}'"));
    }
    let mut out = String::from('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    Cow::Owned(out)
}

/// The value without quotes around it.
pub(super) fn unquote(text: &str) -> Cow<'_, str> {
    for quote in ['\'', '"'] {
        let inner = text
            .strip_prefix(quote)
            .and_then(|it| it.strip_suffix(quote));
        // The dot in Spack's expression does not match a line break.
        if let Some(inner) = inner.filter(|it| !it.contains('\n')) {
            return Cow::Owned(inner.replace(&format!("\\{quote}"), &quote.to_string()));
        }
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_spack_quotes_them() {
        for (value, quoted) in [
            ("a,b/c_d.e-f[1]", "a,b/c_d.e-f[1]"),
            ("", "''"),
            ("-O2 -g", "'-O2 -g'"),
            ("*", "'*'"),
            ("it's", "\"it's\""),
            ("'\u{e9}\"\u{1f600}\n", "\"'\\u00e9\\\"\\ud83d\\ude00\\n\""),
        ] {
            assert_eq!(quote_if_needed(value), quoted, "{value}");
        }
        assert_eq!(unquote(r"'it\'s'"), "it's");
        assert_eq!(unquote(r#""a b""#), "a b");
        assert_eq!(unquote("a'"), "a'");
    }
}
