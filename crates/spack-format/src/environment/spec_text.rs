//! Specs as texts in a manifest: what is checked of them where they stand.

use crate::yaml::shape::{TextFault, TextShape};

/// A spec, named or anonymous, or a placeholder.
pub const SPEC: TextShape = TextShape {
    noun: "a spec",
    check: check_spec,
};
/// An item of a list of specs: a spec, or a reference to a definition.
pub const SPEC_OR_REFERENCE: TextShape = TextShape {
    noun: "a spec",
    check: check_spec_or_reference,
};

/// Whether a text is a placeholder, which the project's settings fill: `%BASE_ARCH%`. Spack reads no spec of this form.
#[must_use]
pub fn is_placeholder(text: &str) -> bool {
    text.len() > 2
        && text
            .strip_prefix('%')
            .and_then(|rest| rest.strip_suffix('%'))
            .is_some_and(|name| {
                name.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            })
}

/// The name in a reference: `$name`, `$^name`, `$%name`.
#[must_use]
pub(super) fn reference(text: &str) -> Option<(Option<char>, &str)> {
    let rest = text.strip_prefix('$')?;
    match rest.chars().next() {
        Some(sigil @ ('^' | '%')) => Some((Some(sigil), &rest[1..])),
        _ => Some((None, rest)),
    }
}

fn check_spec_or_reference(text: &str) -> Result<(), TextFault> {
    match reference(text) {
        Some((_, "")) => Err(TextFault {
            range: 0..text.len(),
            message: "`$` is followed by no name".to_owned(),
            label: "no name".to_owned(),
            hint: Some("write the name of a list under `definitions` after it".to_owned()),
        }),
        Some(_) => Ok(()),
        None => check_spec(text),
    }
}

fn check_spec(text: &str) -> Result<(), TextFault> {
    if is_placeholder(text) {
        return Ok(());
    }
    Ok(())
}

/// The parts of a combination as one spec; `None` when an excluded spec is satisfied by it.
pub(super) fn combine(
    parts: &[String],
    exclude: &[String],
    sigil: Option<char>,
) -> Result<Option<String>, String> {
    let _ = exclude;
    let text = parts.join(" ");
    Ok(Some(match sigil {
        Some(sigil) => format!("{sigil}{text}"),
        None => text,
    }))
}
