//! Specs as texts in a manifest: what is checked of them where they stand.

use super::Toolchains;
use crate::spec::{Spec, Virtuals};
use crate::yaml::shape::{TextFault, TextShape};

/// A spec, named or anonymous, or a placeholder.
pub(super) const SPEC: TextShape = TextShape {
    noun: "a spec",
    check: check_spec,
};
/// An item of a list of specs: a spec, or a reference to a definition.
pub(super) const SPEC_OR_REFERENCE: TextShape = TextShape {
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
    Spec::parse(text).map(|_| ()).map_err(TextFault::from)
}

/// The parts of a combination as one spec; `None` when an excluded spec is satisfied by it.
///
/// A sigil goes before the first part once it is decided what is excluded. [Spack: `spec_list.py`,
/// `_expand_matrix_constraints`]
pub(super) fn combine(
    parts: &[String],
    exclude: &[String],
    sigil: Option<char>,
    toolchains: &Toolchains,
) -> Result<Option<String>, String> {
    if parts.iter().any(|part| is_placeholder(part)) {
        // What settings will fill in cannot be merged yet.
        let text = parts.join(" ");
        return Ok(Some(match sigil {
            Some(sigil) => format!("{sigil}{text}"),
            None => text,
        }));
    }
    let together = merge(parts, None, toolchains)?;
    let virtuals = Virtuals::default();
    for excluded in exclude {
        let excluded = read(excluded, excluded, toolchains)?;
        if together.satisfies(&excluded, &virtuals) {
            return Ok(None);
        }
    }
    let spec = match sigil {
        Some(_) => merge(parts, sigil, toolchains)?,
        None => together,
    };
    Ok(Some(spec.to_string()))
}

fn merge(parts: &[String], sigil: Option<char>, toolchains: &Toolchains) -> Result<Spec, String> {
    let mut merged: Option<Spec> = None;
    for part in parts {
        let text = match (&merged, sigil) {
            (None, Some(sigil)) => format!("{sigil}{part}"),
            _ => part.clone(),
        };
        let spec = read(&text, part, toolchains)?;
        match &mut merged {
            None => merged = Some(spec),
            Some(merged) => merged
                .constrain(&spec)
                .map_err(|contradiction| format!("`{part}`: {contradiction}"))?,
        }
    }
    Ok(merged.unwrap_or_default())
}

/// A spec with what toolchains stand for; `part` is how people know it.
fn read(text: &str, part: &str, toolchains: &Toolchains) -> Result<Spec, String> {
    let mut spec = Spec::parse(text).map_err(|fault| format!("`{part}`: {fault}"))?;
    toolchains
        .expand(&mut spec)
        .map_err(|contradiction| format!("`{part}`: {contradiction}"))?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(
        parts: &[&str],
        exclude: &[&str],
        sigil: Option<char>,
    ) -> Result<Option<String>, String> {
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        combine(
            &owned(parts),
            &owned(exclude),
            sigil,
            &Toolchains::default(),
        )
    }

    #[test]
    fn combinations_are_merged_and_some_left_out() {
        let plain = combined(&["hdf5+mpi", "@1.14", "%gcc@12"], &[], None);
        assert_eq!(plain, Ok(Some("hdf5@1.14+mpi %gcc@12".to_owned())));
        assert_eq!(
            combined(&["zlib", "%gcc@12"], &["zlib%gcc"], None),
            Ok(None)
        );
        assert_eq!(
            combined(&["zlib", "%gcc@12"], &["zlib%clang"], None),
            Ok(Some("zlib %gcc@12".to_owned()))
        );
        assert_eq!(
            combined(&["gcc", "@12"], &[], Some('%')),
            Ok(Some("@12 %gcc".to_owned()))
        );
        let contradiction = combined(&["zlib+pic", "~pic"], &[], None).expect_err("both");
        assert!(contradiction.contains("~pic"), "{contradiction}");
    }
}
