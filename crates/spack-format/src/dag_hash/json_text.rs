//! JSON text laid out as Python's `json.dumps` does it, without touching numbers.
//!
//! Spack hashes text, so the text has to be the same to the byte. Going through a parsed value
//! would re-format numbers (`extra_attributes` may hold any YAML scalar); here the tokens of the
//! given text are kept and only blanks and string escapes are normalised.

use std::fmt::Write as _;

/// How Spack lays out the text that it hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// No blanks: Spack 0.21 and later.
    Compact,
    /// Two blanks per level: Spack 0.18 to 0.20.
    Indented,
}

/// Writes an object member by member in one layout.
pub(super) struct ObjectWriter {
    out: String,
    layout: Layout,
    empty: bool,
}

impl ObjectWriter {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            out: "{".to_owned(),
            layout,
            empty: true,
        }
    }

    /// Appends `key` and `value`, which must be valid JSON.
    pub(super) fn member(&mut self, key: &str, value: &str) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        line_break(&mut self.out, self.layout, 1);
        write_string(&mut self.out, key);
        self.out.push_str(colon(self.layout));
        write_value(&mut self.out, value, self.layout, 1);
    }

    pub(super) fn finish(mut self) -> String {
        if !self.empty {
            line_break(&mut self.out, self.layout, 0);
        }
        self.out.push('}');
        self.out
    }
}

const fn colon(layout: Layout) -> &'static str {
    match layout {
        Layout::Compact => ":",
        Layout::Indented => ": ",
    }
}

fn line_break(out: &mut String, layout: Layout, depth: usize) {
    if layout == Layout::Indented {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// Re-lays `value`, valid JSON, which starts `depth` levels deep.
fn write_value(out: &mut String, value: &str, layout: Layout, mut depth: usize) {
    let bytes = value.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            b'"' => {
                let end = string_end(bytes, at);
                rewrite_string(out, value.get(at..end).unwrap_or_default());
                at = end;
            }
            b'{' | b'[' => {
                out.push(char::from(byte));
                at += 1;
                while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
                    at += 1;
                }
                // Python writes empty containers without a line break in any layout.
                if let Some(&close @ (b'}' | b']')) = bytes.get(at) {
                    out.push(char::from(close));
                    at += 1;
                } else {
                    depth += 1;
                    line_break(out, layout, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line_break(out, layout, depth);
                out.push(char::from(byte));
                at += 1;
            }
            b',' => {
                out.push(',');
                line_break(out, layout, depth);
                at += 1;
            }
            b':' => {
                out.push_str(colon(layout));
                at += 1;
            }
            // Numbers and words.
            other => {
                out.push(char::from(other));
                at += 1;
            }
        }
    }
}

/// The index after the string that starts at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn rewrite_string(out: &mut String, token: &str) {
    let plain = token
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\');
    match (plain, serde_json::from_str::<String>(token)) {
        (false, Ok(text)) => write_string(out, &text),
        // Plain already, or a lone surrogate, which only its escape can express.
        _ => out.push_str(token),
    }
}

/// Writes `text` as Python does with `ensure_ascii`.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a String does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// A list of texts as JSON.
pub(crate) fn write_list<'a>(out: &mut String, items: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(layout: Layout, value: &str) -> String {
        let mut writer = ObjectWriter::new(layout);
        writer.member("k", value);
        writer.finish()
    }

    #[test]
    fn compact_text_has_no_blanks_outside_of_strings() {
        let value = " { \"a b\" : [ 1.50 , -2e+5 ,\n true ] , \"c\" : { } } ";
        assert_eq!(
            laid_out(Layout::Compact, value),
            r#"{"k":{"a b":[1.50,-2e+5,true],"c":{}}}"#
        );
    }

    #[test]
    fn indented_text_is_as_python_indents_it() {
        let value = r#"{"a":[1,{"b":[]}],"c":{}}"#;
        let expected = "{\n  \"k\": {\n    \"a\": [\n      1,\n      {\n        \"b\": []\n      }\n    ],\n    \"c\": {}\n  }\n}";
        assert_eq!(laid_out(Layout::Indented, value), expected);
        assert_eq!(ObjectWriter::new(Layout::Indented).finish(), "{}");
    }

    #[test]
    fn strings_are_escaped_as_python_escapes_them() {
        assert_eq!(
            laid_out(Layout::Compact, "\"\u{e9}\\/\u{1f40d}\u{7f}\\t\\\"\\\\\""),
            "{\"k\":\"\\u00e9/\\ud83d\\udc0d\\u007f\\t\\\"\\\\\"}"
        );
        assert_eq!(
            laid_out(Layout::Compact, r#""\ud800""#),
            r#"{"k":"\ud800"}"#
        );
    }
}
