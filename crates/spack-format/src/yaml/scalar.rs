//! What a plain word means: null, boolean, number or text.
//!
//! The rules are those of the YAML 1.2 resolver of ruamel, which Spack reads with: `yes`, `no`, `on` and
//! `off` are text; underscores are allowed in numbers; a date is not text.

/// A scalar as written and as understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The content, with quotes and escapes taken off.
    pub text: String,
    /// What it means.
    pub kind: ScalarKind,
    /// How it was written.
    pub style: Style,
}

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScalarKind {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number; those beyond 64 bits are cut to the nearest end.
    Integer(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// A date, which Spack's schemas accept nowhere as text.
    Timestamp,
    /// Text.
    String,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// As a block after `|` or `>`.
    Block,
}

impl Scalar {
    /// A scalar without quotes: its kind follows from its text.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        let kind = resolve(&text);
        Self {
            text,
            kind,
            style: Style::Plain,
        }
    }

    /// Text in quotes or in a block.
    #[must_use]
    pub fn string(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            kind: ScalarKind::String,
            style,
        }
    }
}

/// What a plain scalar means.
pub(super) fn resolve(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return ScalarKind::Null,
        "true" | "True" | "TRUE" => return ScalarKind::Boolean(true),
        "false" | "False" | "FALSE" => return ScalarKind::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => return ScalarKind::Float(f64::NAN),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if let Some(number) = integer(negative, digits) {
        return ScalarKind::Integer(number);
    }
    if let Some(number) = float(negative, digits) {
        return ScalarKind::Float(number);
    }
    if is_timestamp(text) {
        ScalarKind::Timestamp
    } else {
        ScalarKind::String
    }
}

fn integer(negative: bool, digits: &str) -> Option<i64> {
    let (radix, digits) = if let Some(rest) = digits.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = digits.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = digits.strip_prefix("0x") {
        (16, rest)
    } else {
        (10, digits)
    };
    let mut number: i64 = 0;
    let mut any = false;
    for byte in digits.bytes() {
        if byte == b'_' {
            continue;
        }
        let digit = (byte as char).to_digit(radix)?;
        any = true;
        number = number.saturating_mul(i64::from(radix));
        number = if negative {
            number.saturating_sub(i64::from(digit))
        } else {
            number.saturating_add(i64::from(digit))
        };
    }
    any.then_some(number)
}

fn float(negative: bool, digits: &str) -> Option<f64> {
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    let first = digits.bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let allowed =
        |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'e' | b'E' | b'+' | b'-');
    if !digits.bytes().all(allowed) || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut clean = digits.replace('_', "");
    // Rust reads `1.` and `.5`; what else it reads (`inf`, `nan`) has letters that are not allowed here.
    if clean.ends_with('.') {
        clean.push('0');
    }
    clean
        .parse::<f64>()
        .ok()
        .map(|number| if negative { -number } else { number })
}

/// `2024-01-31`, or with a time after it.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let date = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    date && match bytes.get(10) {
        None => true,
        Some(b'T' | b't' | b' ') => {
            let time = &bytes[11..];
            time.len() >= 7
                && time[0].is_ascii_digit()
                && time
                    .iter()
                    .all(|b| b.is_ascii_digit() || b":.Zz+- \t".contains(b))
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_mean_what_the_yaml_of_spack_takes_them_for() {
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(resolve(text), ScalarKind::Null, "{text}");
        }
        for text in [
            "yes", "no", "on", "off", "y", "N", "+mpi", "~mpi", "1.2.3", "-", "+", ".", "_", "@1:",
        ] {
            assert_eq!(resolve(text), ScalarKind::String, "{text}");
        }
        assert_eq!(resolve("True"), ScalarKind::Boolean(true));
        assert_eq!(resolve("0x1F"), ScalarKind::Integer(31));
        assert_eq!(resolve("-1_000"), ScalarKind::Integer(-1000));
        assert_eq!(
            resolve("99999999999999999999"),
            ScalarKind::Integer(i64::MAX)
        );
        assert_eq!(resolve("1.10"), ScalarKind::Float(1.1));
        assert_eq!(resolve("1."), ScalarKind::Float(1.0));
        assert_eq!(resolve("1e3"), ScalarKind::Float(1000.0));
        assert_eq!(resolve("-.inf"), ScalarKind::Float(f64::NEG_INFINITY));
        assert_eq!(resolve("2024-01-31"), ScalarKind::Timestamp);
        assert_eq!(resolve("2024-01-31 10:00:00"), ScalarKind::Timestamp);
        assert_eq!(resolve("2024-1"), ScalarKind::String);
    }
}
