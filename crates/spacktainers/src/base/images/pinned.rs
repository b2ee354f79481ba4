//! What was decided about the Debian packages of an image to build on: `builder.amd64.lock`, `runtime.amd64.lock`, beside
//! `spacktainers.toml`.
//!
//! Archives move from day to day; what is built in has to stay where it is until somebody wants it newer.

use std::fs;
use std::io;
use std::path::Path;

use oci_format::Digest;
use serde::{Deserialize, Serialize};

use super::OwnImageError;
use crate::base::LockedDebian;
use crate::spack::write_whole;

/// Raised when the meaning of the file changes.
const VERSION: u32 = 1;

const HEAD: &str =
    "# Written by `spacktainers base build`: commit it. `--update` takes the newest packages.\n";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    version: u32,
    /// Digest of what the settings say of the packages.
    settings: Digest,
    debian: LockedDebian,
}

/// What was decided before from the same settings.
pub(super) fn read(path: &Path, settings: &Digest) -> Result<Option<LockedDebian>, OwnImageError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OwnImageError::read(path)(error)),
    };
    let lock = |what: String| OwnImageError::Lock {
        path: path.to_owned(),
        what,
    };
    let pinned: Pinned = toml::from_str(&text).map_err(|error| lock(error.message().to_owned()))?;
    if pinned.version != VERSION {
        return Err(lock(format!("it is of version {}", pinned.version)));
    }
    Ok((pinned.settings == *settings).then_some(pinned.debian))
}

/// Keeps what was decided.
pub(super) fn write(
    path: &Path,
    settings: Digest,
    debian: &LockedDebian,
) -> Result<(), OwnImageError> {
    let pinned = Pinned {
        version: VERSION,
        settings,
        debian: debian.clone(),
    };
    let text = toml::to_string(&pinned).map_err(|error| OwnImageError::Lock {
        path: path.to_owned(),
        what: error.to_string(),
    })?;
    let text = format!("{HEAD}{text}");
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    Ok(write_whole(path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_decided_holds_as_long_as_the_settings_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("builder.amd64.lock");
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        assert!(read(&path, &one).expect("no file is no fault").is_none());
        let debian = LockedDebian {
            origin: "debian".to_owned(),
            suite: "bookworm".to_owned(),
            architecture: "amd64".to_owned(),
            apt_sources: Vec::new(),
            layer: None,
            packages: Vec::new(),
        };
        write(&path, one, &debian).expect("written");
        assert_eq!(read(&path, &one).expect("read"), Some(debian));
        assert_eq!(read(&path, &two).expect("read"), None);
        fs::write(&path, "version = 1\n").expect("written");
        assert!(matches!(read(&path, &one), Err(OwnImageError::Lock { .. })));
    }
}
