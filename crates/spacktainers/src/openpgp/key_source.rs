//! Where a secret key is: `gpg:FINGERPRINT`, a file, or its text.

use std::fmt;
use std::path::{Path, PathBuf};

use super::sign::{SecretKey, SignError};

/// What a key of GnuPG begins with.
const GPG: &str = "gpg:";

/// What an armoured key begins with.
const ARMOUR: &str = "-----BEGIN PGP";

/// Where a secret key is.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// GnuPG has it: a fingerprint, or the last 16 digits of one.
    Gpg(String),
    /// An armoured key in a file.
    File(PathBuf),
    /// An armoured key.
    Text(String),
}

impl KeySource {
    /// What settings, arguments and variables say: `gpg:FINGERPRINT`, the armoured key itself, or the path of its file, which
    /// is taken from `folder` if it is relative.
    #[must_use]
    pub fn new(text: &str, folder: &Path) -> Self {
        if let Some(id) = text.strip_prefix(GPG) {
            return Self::Gpg(id.to_owned());
        }
        if text.trim_start().starts_with(ARMOUR) {
            return Self::Text(text.to_owned());
        }
        Self::File(folder.join(text))
    }

    /// The key, unlocked by `passphrase` if it is protected. Keys of GnuPG need none where its agent knows it or asks for it.
    ///
    /// # Errors
    /// When there is no such key, or the passphrase is missing or wrong.
    pub fn load(&self, passphrase: Option<&str>) -> Result<SecretKey, SignError> {
        let text = match self {
            Self::Gpg(id) => return SecretKey::of_gpg(id, passphrase),
            Self::Text(text) => text.clone(),
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|source| SignError::Read {
                    path: path.clone(),
                    source,
                })?
            }
        };
        SecretKey::parse(&text)?.unlocked(passphrase)
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpg(id) => f.debug_tuple("Gpg").field(id).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // Never shown.
            Self::Text(_) => f.debug_tuple("Text").finish_non_exhaustive(),
        }
    }
}
