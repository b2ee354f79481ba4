//! Values that are secret on this machine, now.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

/// A value that is shorter could be any word, and would blot out half of a log.
const SHORTEST: usize = 8;

/// Ends of names of variables whose values are secret.
const SECRET_ENDINGS: [&str; 9] = [
    "_TOKEN",
    "_PASSWORD",
    "_PASSWD",
    "_SECRET",
    "_SECRET_KEY",
    "_SECRET_ACCESS_KEY",
    "_PRIVATE_KEY",
    "_CREDENTIALS",
    "_API_KEY",
];

/// Names of others: those of CI systems, registries, buckets and signing keys that end otherwise.
const SECRET_NAMES: [&str; 8] = [
    "AWS_SESSION_TOKEN",
    "CI_REGISTRY_PASSWORD",
    "COSIGN_PRIVATE_KEY",
    "COSIGN_PASSWORD",
    "DOCKER_AUTH_CONFIG",
    "GHCR_TOKEN",
    "SPACK_DEPLOYMENT_KEY_PRIVATE",
    "PASSWORD",
];

/// Secret values and the names that they go by.
#[derive(Clone, Default)]
pub struct Values(Vec<Value>);

#[derive(Clone)]
struct Value {
    name: String,
    /// The value, and the form that it takes in `auth.json` and headers.
    forms: Vec<String>,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|it| &it.name))
            .finish()
    }
}

impl Values {
    /// The secrets among variables: those whose names say so.
    pub fn of_environment<N: AsRef<str>, V: AsRef<str>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut values = Self::default();
        for (name, value) in variables {
            if is_secret_name(name.as_ref()) {
                values.add(name.as_ref(), value.as_ref());
            }
        }
        values
    }

    /// Adds a value. What is too short to be told from an ordinary word, and what is but a path or an address without
    /// credentials, is none.
    pub fn add(&mut self, name: &str, value: &str) {
        let value = value.trim();
        let is_path = value.starts_with('/') && !value.contains(['\n', ' ']) && value.contains('/');
        if value.len() < SHORTEST || is_path {
            return;
        }
        let mut forms = vec![value.to_owned(), STANDARD_NO_PAD.encode(value)];
        // Of a text of several lines, as a key is, each line with something in it gives it away.
        let lines = value.lines().map(str::trim);
        let telling = lines.filter(|it| it.len() >= 32 && !it.starts_with("-----"));
        forms.extend(telling.map(str::to_owned));
        forms.sort();
        forms.dedup();
        self.0.push(Value {
            name: name.to_owned(),
            forms,
        });
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with `[NAME]` for every value.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for value in &self.0 {
            for form in value.forms.iter().rev() {
                if out.contains(form.as_str()) {
                    out = out.replace(form.as_str(), &format!("[{}]", value.name));
                }
            }
        }
        out
    }

    /// All forms with the names of their variables.
    pub(super) fn forms(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|value| value.forms.iter().map(|form| (&*value.name, &**form)))
    }

    /// A name for this set of values that gives none of them away: to remember in which layers they are not.
    pub(super) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut forms: Vec<&str> = self.forms().map(|it| it.1).collect();
        forms.sort_unstable();
        for form in forms {
            hash.update((form.len() as u64).to_le_bytes());
            hash.update(form.as_bytes());
        }
        hex::encode(hash.finalize())
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let ends = |end: &str| name.ends_with(end);
    SECRET_NAMES.contains(&name.as_str()) || SECRET_ENDINGS.iter().any(|it| ends(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names_and_blotted_out() {
        let values = Values::of_environment([
            ("GHCR_TOKEN", "abcdefgh1234"),
            ("GHCR_USER", "somebody-else"),
            ("MY_PASSWORD", "short"),
            ("SSL_PRIVATE_KEY", "/etc/ssl/key"),
        ]);
        assert_eq!(format!("{values:?}"), r#"["GHCR_TOKEN"]"#);
        let text = "https://somebody-else:abcdefgh1234@host and YWJjZGVmZ2gxMjM0 short";
        assert_eq!(
            values.redacted(text),
            "https://somebody-else:[GHCR_TOKEN]@host and [GHCR_TOKEN] short"
        );
    }

    #[test]
    fn every_line_of_a_key_gives_it_away() {
        let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
        let mut values = Values::default();
        values.add(
            "KEY",
            &format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n"),
        );
        assert_eq!(values.redacted(&format!("x{line}y")), "x[KEY]y");
    }
}
