//! Variables that are nobody's business: not that of a build, a log or a capsule.

use std::collections::BTreeMap;

/// Words in the names of variables that hold secrets. Too many are better than too few.
const WORDS: &[&str] = &[
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "DEPLOYMENT_KEY",
    "AUTH",
    "COOKIE",
];

/// Shorter values would be found in any text.
const SHORTEST: usize = 6;

/// Whether a variable of this name, or with this value, may hold a secret.
#[must_use]
pub fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word)) || has_user(value)
}

/// Whether a text holds a URL with a user: `https://user:word@host/`.
fn has_user(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        authority.contains('@')
    })
}

/// `text` without the values of secret variables of `environment`.
#[must_use]
pub fn redacted(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut values: Vec<&str> = environment
        .iter()
        .filter(|(name, value)| value.len() >= SHORTEST && is_secret(name, value))
        .map(|(_, value)| value.as_str())
        .collect();
    // A value that is part of another one would leave the rest of it.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.into_iter().fold(text.to_owned(), |text, value| {
        text.replace(value, "[secret]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_or_by_form() {
        for (name, value) in [
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("ghcr_token", "x"),
            ("SPACK_DEPLOYMENT_KEY_PRIVATE", "/key"),
            ("HTTPS_PROXY", "http://me:word@proxy:3128"),
        ] {
            assert!(is_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("PATH", "/usr/bin"),
            ("LANG", "C"),
            ("HTTP_PROXY", "http://proxy:3128/a@b"),
        ] {
            assert!(!is_secret(name, value), "{name}");
        }
    }

    #[test]
    fn no_part_of_a_secret_stays_in_a_text() {
        let environment = BTreeMap::from([
            ("A_TOKEN".to_owned(), "canary".to_owned()),
            ("B_TOKEN".to_owned(), "canary-and-more".to_owned()),
            ("C_TOKEN".to_owned(), "a".to_owned()),
            ("HOME".to_owned(), "/root/home".to_owned()),
        ]);
        assert_eq!(
            redacted("got canary-and-more and canary in /root/home", &environment),
            "got [secret] and [secret] in /root/home"
        );
    }
}
