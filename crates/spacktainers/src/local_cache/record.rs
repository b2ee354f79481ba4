//! Small facts worth remembering, such as the digest of a blob's uncompressed content.
//!
//! ```text
//! spacktainers record 1 <sha256 of the rest, hex> <bytes of key>\n<key><value>
//! ```
//!
//! What a value means is its writer's business; a writer who changes that uses another kind
//! (`diff-id-2`), so that old and new programs may share a cache.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use oci_format::Digest;

use super::writer::temporary_name;
use super::{LocalCache, LocalCacheError};

const MAGIC: &str = "spacktainers record 1 ";

/// The longest record that is read: the list of members of a package of a million files stays below.
const LONGEST: u64 = 256 * 1024 * 1024;

/// File names may have 255 bytes, and some encrypting file systems take fewer.
const LONGEST_PLAIN_KEY: usize = 120;

impl LocalCache {
    /// What was remembered as `key` among the facts of this kind. A record that is damaged does not
    /// exist.
    #[must_use]
    pub fn record(&self, kind: &str, key: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.record_path(kind, key)).ok()?;
        file.take(LONGEST).read_to_end(&mut bytes).ok()?;
        decode(bytes, key)
    }

    /// Remembers `value` as `key` among the facts of this kind, instead of what was there.
    ///
    /// # Errors
    /// When it cannot be written. Nothing that matters is lost then: facts can be found out again.
    pub fn put_record(&self, kind: &str, key: &str, value: &[u8]) -> Result<(), LocalCacheError> {
        let path = self.record_path(kind, key);
        let parent = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(LocalCacheError::io("create the directory", parent))?;
        // Not synced: a record torn by a power cut fails its checksum and is written again.
        let temporary = self.partials().join(temporary_name());
        let result = write(&temporary, key, value).and_then(|()| {
            fs::rename(&temporary, &path).map_err(LocalCacheError::io("rename a record to", &path))
        });
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// Forgets what was remembered as `key` among the facts of this kind.
    ///
    /// # Errors
    /// When there is such a record and it cannot be removed.
    pub fn forget_record(&self, kind: &str, key: &str) -> Result<(), LocalCacheError> {
        let path = self.record_path(kind, key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LocalCacheError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Keys that make good file names are used as they are, so that people can look around; others
    /// are hashed. The record itself says which key it is for.
    pub(super) fn record_path(&self, kind: &str, key: &str) -> PathBuf {
        self.root
            .join("records")
            .join(file_name(kind))
            .join(file_name(key))
    }
}

fn file_name(text: &str) -> String {
    let is_plain =
        |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b'+');
    if !text.is_empty()
        && text.len() <= LONGEST_PLAIN_KEY
        && !text.starts_with('.')
        && text.bytes().all(is_plain)
    {
        text.to_owned()
    } else {
        format!("hashed-{}", Digest::of(text.as_bytes()).hex())
    }
}

fn write(path: &Path, key: &str, value: &[u8]) -> Result<(), LocalCacheError> {
    let mut body = Vec::with_capacity(key.len() + value.len());
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(value);
    let header = format!("{MAGIC}{} {}\n", Digest::of(&body).hex(), key.len());
    File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(header.as_bytes())?;
            file.write_all(&body)
        })
        .map_err(LocalCacheError::io("write", path))
}

fn decode(mut bytes: Vec<u8>, key: &str) -> Option<Vec<u8>> {
    let end = bytes
        .iter()
        .take(MAGIC.len() + 96)
        .position(|&byte| byte == b'\n')?;
    let header = std::str::from_utf8(&bytes[..end])
        .ok()?
        .strip_prefix(MAGIC)?;
    let (checksum, key_length) = header.split_once(' ')?;
    let key_length: usize = key_length.parse().ok()?;
    let body = &bytes[end + 1..];
    if Digest::of(body).hex() != checksum || body.get(..key_length)? != key.as_bytes() {
        return None;
    }
    bytes.drain(..end + 1 + key_length);
    Some(bytes)
}
