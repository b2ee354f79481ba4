//! What one pass over a base layer finds out for the library check; remembered by the layer's digest.

use std::collections::BTreeMap;
use std::io::{self, Read};

use oci_format::layer::EntryKind;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::{Limits, Policy, TarError, TarReader};
use oci_format::layer::whiteout::Whiteout;
use serde::{Deserialize, Serialize};

use super::Tree;
use crate::content::Content;
use crate::layer::elf;

/// Bytes that a base layer may decompress to: 64 GiB, a bound against archives that are bombs.
const TAR_LIMIT: u64 = 64 << 30;

/// Bytes of a C library that are read to find its versions; Debian's has 2 MB.
const LIBC_LIMIT: u64 = 64 << 20;

/// Bytes of a linker configuration file.
const CONF_LIMIT: u64 = 1 << 20;

/// How deep folders are listed: `usr/lib64/pkgconfig`, and what an external may have below `/usr/local`.
const FOLDER_DEPTH: usize = 4;

/// What a base layer changes that the dynamic linker could ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// Shared libraries and program interpreters.
    pub files: Vec<String>,
    /// Folders near the root: which of them there are decides what the environment names.
    #[serde(default)]
    pub folders: Vec<String>,
    /// All symbolic links, with their targets.
    pub links: Vec<(String, String)>,
    /// What the layer removes from those below.
    pub gone: Vec<String>,
    /// Folders whose content in the layers below it removes.
    pub emptied: Vec<String>,
    /// Texts of `etc/ld.so.conf` and what lies in `etc/ld.so.conf.d`.
    pub linker_configuration: BTreeMap<String, String>,
    /// The newest `GLIBC_` version that its C library defines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glibc: Option<String>,
}

/// Why a base layer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BaseScanError {
    /// It cannot be read or decompressed.
    #[error("the base layer cannot be read")]
    Read(#[source] io::Error),
    /// It is no tar.
    #[error("the base layer is not a readable tar stream")]
    Tar(#[source] TarError),
}

/// Reads a base layer once.
///
/// # Errors
/// When it is no readable layer.
pub fn scan_base(content: &Content) -> Result<BaseRecord, BaseScanError> {
    let stored = content.open(0).map_err(BaseScanError::Read)?;
    let decoder = Decoder::new(stored, TAR_LIMIT).map_err(BaseScanError::Read)?;
    let mut tar = TarReader::with_policy(decoder, Policy::Lenient, Limits::default());
    let mut record = BaseRecord::default();
    while let Some(mut member) = tar.next_member().map_err(BaseScanError::Tar)? {
        // Names that are no text are never asked for by a linker that we check.
        let Ok(path) = String::from_utf8(member.entry.path.clone()) else {
            continue;
        };
        match Whiteout::of(path.as_bytes()) {
            None => {}
            Some(Whiteout::Metadata) => continue,
            Some(Whiteout::Entry(path)) => {
                record
                    .gone
                    .push(String::from_utf8_lossy(&path).into_owned());
                continue;
            }
            Some(Whiteout::Opaque(folder)) => {
                record
                    .emptied
                    .push(String::from_utf8_lossy(&folder).into_owned());
                continue;
            }
        }
        match &member.entry.kind {
            EntryKind::Symlink(target) => {
                record
                    .links
                    .push((path, String::from_utf8_lossy(target).into_owned()));
            }
            EntryKind::File | EntryKind::HardLink(_) => {
                let size = member.entry.size;
                let name = path.rsplit('/').next().unwrap_or_default();
                let is_configuration = path == "etc/ld.so.conf"
                    || path
                        .strip_prefix("etc/ld.so.conf.d/")
                        .is_some_and(|name| name.ends_with(".conf"));
                if is_configuration && size <= CONF_LIMIT {
                    let mut text = Vec::new();
                    member.read_to_end(&mut text).map_err(BaseScanError::Read)?;
                    record
                        .linker_configuration
                        .insert(path.clone(), String::from_utf8_lossy(&text).into_owned());
                } else if is_libc(name) && size <= LIBC_LIMIT {
                    let mut data = Vec::new();
                    member.read_to_end(&mut data).map_err(BaseScanError::Read)?;
                    record.glibc = elf::glibc_defined(&data).or(record.glibc);
                }
                if name.contains(".so") || name.starts_with("ld-") {
                    record.files.push(path);
                }
            }
            EntryKind::Directory if path.matches('/').count() < FOLDER_DEPTH => {
                record.folders.push(path)
            }
            _ => {}
        }
    }
    Ok(record)
}

/// `libc.so.6`, or `libc-2.31.so` where that is a link to it.
fn is_libc(name: &str) -> bool {
    name == "libc.so.6" || name.starts_with("libc-2.") && name.ends_with(".so")
}

impl BaseRecord {
    /// Does to `tree` what the layer does to the layers below.
    pub fn apply(&self, tree: &mut Tree) {
        for path in &self.gone {
            tree.remove(path);
        }
        for folder in &self.emptied {
            tree.empty(folder);
        }
        for path in &self.folders {
            tree.folder(path);
        }
        for path in &self.files {
            tree.file(path);
        }
        for (path, target) in &self.links {
            tree.link(path, target);
        }
    }
}
