//! A `.deb` file: an `ar` archive of two tars.
//!
//! ```text
//! !<arch>\n
//! debian-binary    "2.0\n"
//! control.tar.xz   control, md5sums, conffiles, triggers, postinst, …
//! data.tar.xz      the files
//! ```
//!
//! Source: deb(5). Compressions: none, gzip, xz, zstd (Ubuntu).

use std::io::{self, Read};

use oci_format::layer::EntryKind;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::{Limits, Policy, TarError, TarReader};

use super::super::control::{ControlError, Paragraph, first_paragraph};
use crate::content::Content;

/// The largest control archive: the largest known, of a kernel, has below 10 MiB.
const CONTROL_MAX: u64 = 64 << 20;
/// The largest data archive, uncompressed.
const DATA_MAX: u64 = 64 << 30;
/// Members of the outer archive, at most; there are three.
const MEMBERS_MAX: usize = 16;

/// Why a `.deb` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// Its bytes cannot be read.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// Not an `ar` archive, or a damaged one.
    #[error("not a Debian package: {0}")]
    Format(&'static str),
    /// A version of the format that came after us.
    #[error("its format is version `{0}`; only 2.x is known")]
    Version(String),
    /// One of its tars is damaged, or hostile.
    #[error("its archive cannot be read")]
    Tar(#[from] TarError),
    /// Its `control` file is none.
    #[error("its control file cannot be read")]
    Control(#[from] ControlError),
}

/// The two parts of a package file, not yet opened.
#[derive(Debug, Clone)]
pub(super) struct Deb {
    control: Content,
    data: Content,
}

/// What a package says about itself.
#[derive(Debug, Default)]
pub(super) struct ControlFiles {
    /// The `control` file.
    pub(super) control: Paragraph,
    /// The other files, with their modes: `md5sums`, `conffiles`, `postinst`, …
    pub(super) files: Vec<(String, u32, Vec<u8>)>,
}

impl ControlFiles {
    /// The text of one of the files.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let (_, _, bytes) = self.files.iter().find(|(known, ..)| known == name)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

impl Deb {
    /// Finds the parts of a package file.
    pub(super) fn open(content: &Content) -> Result<Self, DebError> {
        let mut magic = [0; 8];
        content.open(0)?.read_exact(&mut magic)?;
        if &magic != b"!<arch>\n" {
            return Err(DebError::Format("it does not begin as an `ar` archive"));
        }
        let (mut control, mut data) = (None, None);
        let mut at = 8;
        for index in 0..MEMBERS_MAX {
            if at >= content.len() {
                break;
            }
            let mut header = [0; 60];
            content.open(at)?.read_exact(&mut header)?;
            let (name, size) = member(&header)?;
            at += 60;
            if size > content.len() - at {
                return Err(DebError::Format("it is cut off"));
            }
            let part = part(content, at, size);
            match (index, name.as_str()) {
                (0, "debian-binary") => check_version(&part)?,
                (0, _) => return Err(DebError::Format("its first member is not `debian-binary`")),
                (_, name) if name.starts_with("control.tar") => control = Some(part),
                (_, name) if name.starts_with("data.tar") => data = Some(part),
                // Members that begin with `_` may be added by anybody and are ignored.
                _ => {}
            }
            at += size + size % 2;
        }
        match (control, data) {
            (Some(control), Some(data)) => Ok(Self { control, data }),
            _ => Err(DebError::Format("it lacks control.tar or data.tar")),
        }
    }

    /// Reads the control part.
    pub(super) fn control_files(&self) -> Result<ControlFiles, DebError> {
        let decoder = Decoder::new(self.control.open(0)?, CONTROL_MAX)?;
        let mut tar = TarReader::with_policy(decoder, Policy::Lenient, Limits::default());
        let mut found = ControlFiles::default();
        while let Some(mut member) = tar.next_member()? {
            let name = String::from_utf8_lossy(&member.entry.path).into_owned();
            if member.entry.kind != EntryKind::File || name.contains('/') {
                continue;
            }
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes)?;
            if name == "control" {
                found.control = first_paragraph(&bytes)?;
            } else {
                found.files.push((name, member.entry.mode, bytes));
            }
        }
        found.files.sort();
        if found.control.get("Package").is_none() {
            return Err(DebError::Format("it has no control file"));
        }
        Ok(found)
    }

    /// The uncompressed bytes of the data part.
    pub(super) fn data(&self) -> io::Result<Decoder<Box<dyn Read + Send>>> {
        Decoder::new(self.data.open(0)?, DATA_MAX)
    }
}

/// Name and size from an `ar` header; ar(5).
fn member(header: &[u8; 60]) -> Result<(String, u64), DebError> {
    if &header[58..] != b"`\n" {
        return Err(DebError::Format("a member's header is damaged"));
    }
    let name = String::from_utf8_lossy(&header[..16]);
    let name = name.trim_end().trim_end_matches('/').to_owned();
    let size = std::str::from_utf8(&header[48..58])
        .ok()
        .and_then(|text| text.trim().parse().ok());
    Ok((
        name,
        size.ok_or(DebError::Format("a member's size is no number"))?,
    ))
}

fn check_version(part: &Content) -> Result<(), DebError> {
    let mut text = String::new();
    part.open(0)?.take(64).read_to_string(&mut text)?;
    if text.starts_with("2.") {
        Ok(())
    } else {
        Err(DebError::Version(
            text.lines().next().unwrap_or_default().to_owned(),
        ))
    }
}

fn part(content: &Content, at: u64, size: u64) -> Content {
    match content {
        Content::File { path, offset, .. } => Content::File {
            path: path.clone(),
            offset: offset + at,
            len: size,
        },
        Content::Memory(bytes) => {
            // In bounds: the caller has compared with the length.
            let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let end = start
                .saturating_add(usize::try_from(size).unwrap_or(0))
                .min(bytes.len());
            Content::Memory(bytes[start..end].into())
        }
    }
}
