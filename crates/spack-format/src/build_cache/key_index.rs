//! The list of public keys that a build cache offers: `{"keys": {FINGERPRINT: {}}}`.

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::concrete::JsonFault;

/// The fingerprint of an OpenPGP key: 40 (or, for version 6 keys, 64) upper-case hexadecimal
/// digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

/// A text that is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the fingerprint of a key")]
pub struct FingerprintError(String);

/// Why a text is not a list of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyIndexError {
    /// Not JSON, or of another shape.
    #[error("{0}")]
    Json(JsonFault),
    /// A key that is not named by a fingerprint.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = text
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F'));
        if digits && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FingerprintError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fingerprints in a list of keys.
///
/// # Errors
/// When the text is no such list.
pub fn parse_key_index(text: &str) -> Result<Vec<Fingerprint>, KeyIndexError> {
    #[derive(Deserialize)]
    struct File {
        keys: IndexMap<String, IgnoredAny>,
    }
    let file: File = serde_json::from_str(text)
        .map_err(|error| KeyIndexError::Json(JsonFault::within(text, text, &error)))?;
    Ok(file
        .keys
        .keys()
        .map(|key| key.parse())
        .collect::<Result<_, _>>()?)
}

/// The text of a list of these keys, each once, in order.
#[must_use]
pub fn key_index_text<'a>(keys: impl IntoIterator<Item = &'a Fingerprint>) -> String {
    let keys: std::collections::BTreeSet<&Fingerprint> = keys.into_iter().collect();
    let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{{}}")).collect();
    format!("{{\"keys\":{{{}}}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_and_read_again() {
        let keys: Vec<Fingerprint> = ["B".repeat(40), "A".repeat(40), "B".repeat(40)]
            .iter()
            .map(|it| it.parse().expect("a fingerprint"))
            .collect();
        let text = key_index_text(&keys);
        let read = parse_key_index(&text).expect("keys");
        assert_eq!(read, [keys[1].clone(), keys[0].clone()]);
        assert_eq!(parse_key_index(&key_index_text([])), Ok(Vec::new()));
    }

    #[test]
    fn only_fingerprints_name_keys() {
        let text = r#"{"keys":{"41848E51AB96CBB4302928012EC256CCDED529B4":{}}}"#;
        let keys = parse_key_index(text).expect("keys");
        assert_eq!(
            keys[0].to_string(),
            "41848E51AB96CBB4302928012EC256CCDED529B4"
        );
        assert!(matches!(
            parse_key_index(r#"{"keys":{"../../x":{}}}"#),
            Err(KeyIndexError::Fingerprint(_))
        ));
        assert!(matches!(parse_key_index("[]"), Err(KeyIndexError::Json(_))));
    }
}
