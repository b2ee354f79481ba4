//! A credential into the container tools' file, for them to find: what `podman login` does.
//!
//! Source: containers-auth.json(5).

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Credential, CredentialError};

/// The most bytes of a credential file.
const MAX_FILE: u64 = 4 << 20;

/// Writes `credential` for `registry` into the file at `path`, which is made where there is none. All else in it stays; only
/// its owner can read it afterwards.
///
/// # Errors
/// When the file is none of its kind, or cannot be read or written.
pub fn log_in(path: &Path, registry: &str, credential: &Credential) -> Result<(), CredentialError> {
    let unreadable = |source| CredentialError::Read {
        path: path.to_owned(),
        source,
    };
    let malformed = |source| CredentialError::Malformed {
        path: path.to_owned(),
        source,
    };
    let unwritable = |source| CredentialError::Write {
        path: path.to_owned(),
        source,
    };
    let before = match fs::metadata(path) {
        Ok(it) if it.len() > MAX_FILE => {
            return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(_) => fs::read(path).map_err(unreadable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(unreadable(error)),
    };
    let mut file: Map<String, Value> = match before.iter().all(u8::is_ascii_whitespace) {
        true => Map::new(),
        false => serde_json::from_slice(&before).map_err(malformed)?,
    };
    let entry = match credential {
        Credential::Password { user, password } => {
            json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
        }
        Credential::IdentityToken(token) => json!({"identitytoken": token}),
    };
    let auths = file.entry("auths").or_insert_with(|| json!({}));
    if !auths.is_object() {
        *auths = json!({});
    }
    auths[registry] = entry;
    let text = format!("{:#}\n", Value::Object(file));
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(unwritable)?;
    let written = (|| {
        let mut temporary = tempfile::Builder::new()
            .prefix(".spacktainers-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_data()?;
        temporary
            .persist(path)
            .map(drop)
            .map_err(|error| error.error)
    })();
    written.map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::auth::CredentialStore;

    #[tokio::test]
    async fn what_is_written_is_found_and_all_else_stays() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("deep/auth.json");
        let one = Credential::password("AWS", "token");
        log_in(&path, "one.example", &one).expect("writes");
        let text = fs::read_to_string(&path).expect("reads");
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        value["credHelpers"] = json!({"x": "y"});
        fs::write(&path, value.to_string()).expect("writes");
        let two = Credential::IdentityToken("t".into());
        log_in(&path, "two.example:5000", &two).expect("writes");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            fs::read_to_string(&path)
                .expect("reads")
                .contains("credHelpers")
        );
        let mut store = CredentialStore::default();
        store.add_file(&path);
        assert_eq!(
            store.find("one.example", "a").await.expect("reads"),
            Some(one)
        );
        let found = store.find("two.example:5000", "a").await;
        assert_eq!(found.expect("reads"), Some(two));
        fs::write(&path, "[]").expect("writes");
        let error = log_in(&path, "a", &Credential::password("u", "secret")).expect_err("a list");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
