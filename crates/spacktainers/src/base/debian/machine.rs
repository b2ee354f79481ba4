//! What this machine knows about archives: apt's sources and proxies, and the distributions' keys.

use std::path::{Path, PathBuf};

use super::apt_sources::{AptProxies, AptSource, SignedBy, parse_one_line, parse_paragraphs};
use crate::openpgp::{KeyError, PublicKeys};

/// Larger configuration files are none.
const CONFIGURATION_MAX: u64 = 4 << 20;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read.
    #[error("cannot read the keyring `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no usable key.
    #[error("the keyring `{}` cannot be used", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// Neither settings nor the machine have keys.
    #[error(
        "no keys to check the archive with: set `keyring` in [base.debian], or install the package that has `{}`",
        looked_for.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("` or `")
    )]
    None {
        /// The distributions' keyrings that are not there.
        looked_for: Vec<PathBuf>,
    },
}

/// All sources of the machine's apt.
pub(super) fn apt_sources(directory: &Path) -> Vec<AptSource> {
    let mut sources = Vec::new();
    if let Some(text) = read_text(&directory.join("sources.list")) {
        sources.extend(parse_one_line(&text));
    }
    for path in sorted_files(&directory.join("sources.list.d")) {
        let Some(text) = read_text(&path) else {
            continue;
        };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("list") => sources.extend(parse_one_line(&text)),
            Some("sources") => sources.extend(parse_paragraphs(&text)),
            _ => {}
        }
    }
    sources
}

/// The proxies of the machine's apt.
pub(super) fn apt_proxies(directory: &Path) -> AptProxies {
    let mut proxies = AptProxies::default();
    for path in sorted_files(&directory.join("apt.conf.d")) {
        if let Some(text) = read_text(&path) {
            proxies.read(&text);
        }
    }
    if let Some(text) = read_text(&directory.join("apt.conf")) {
        proxies.read(&text);
    }
    proxies
}

/// Keys from a keyring file.
pub(super) fn keyring(path: &Path) -> Result<PublicKeys, KeyringError> {
    let bytes = std::fs::read(path).map_err(|source| KeyringError::Read {
        path: path.to_owned(),
        source,
    })?;
    PublicKeys::parse(&bytes).map_err(|source| KeyringError::Keys {
        path: path.to_owned(),
        source,
    })
}

/// The keys that the distributions themselves ship on this machine.
pub(super) fn distribution_keys(directory: &Path) -> Result<PublicKeys, KeyringError> {
    let names = ["debian-archive-keyring", "ubuntu-archive-keyring"];
    // Debian 13 has armoured text under a name of its own; the old one may be a link to it.
    let endings = ["gpg", "pgp", "asc"];
    let mut keys = PublicKeys::default();
    for name in names {
        let mut candidates = endings
            .iter()
            .map(|ending| directory.join(format!("{name}.{ending}")));
        if let Some(path) = candidates.find(|path| path.is_file()) {
            keys.extend(keyring(&path)?);
        }
    }
    if keys.is_empty() {
        let looked_for = names
            .iter()
            .map(|name| directory.join(format!("{name}.gpg")))
            .collect();
        return Err(KeyringError::None { looked_for });
    }
    Ok(keys)
}

/// Keys that apt's own configuration wants for a source; none that can be read: no keys.
pub(super) fn source_keys(signed_by: &SignedBy) -> PublicKeys {
    let mut keys = PublicKeys::default();
    match signed_by {
        SignedBy::Inline(text) => {
            keys.extend(PublicKeys::parse(text.as_bytes()).unwrap_or_default())
        }
        SignedBy::Files(files) => {
            for file in files {
                keys.extend(keyring(file).unwrap_or_default());
            }
        }
    }
    keys
}

fn read_text(path: &Path) -> Option<String> {
    let is_small =
        std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= CONFIGURATION_MAX);
    is_small
        .then(|| std::fs::read(path).ok())
        .flatten()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn sorted_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files
}
