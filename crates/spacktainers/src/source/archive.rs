//! A tar whose files are read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_format::layer::EntryKind;
use oci_format::layer::tar::{Limits, Policy, TarError, TarReader};
use oci_format::{Digest, JsonError};

use crate::content::Content;

/// Why an image in an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveSourceError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// It is no tar, or a compressed one.
    #[error("it is not a plain tar")]
    Tar(#[from] TarError),
    /// A file that has to be in it is not.
    #[error("it holds no `{0}`")]
    Missing(String),
    /// A file in it is larger than such files are.
    #[error("its `{name}` has {size} bytes, and at most {limit} are read")]
    TooLarge {
        /// The file.
        name: String,
        /// Bytes that it has.
        size: u64,
        /// Bytes that are read.
        limit: u64,
    },
    /// A file in it that is no JSON, or of another form.
    #[error("its `{name}` cannot be read")]
    Json {
        /// The file.
        name: String,
        /// Why.
        source: JsonError,
    },
    /// A blob that is not what its name says.
    #[error("its `{name}` does not have the digest that it is named by")]
    Digest {
        /// The file.
        name: String,
    },
    /// It holds other images than the one asked for.
    #[error("it holds no image `{wanted}`; it holds {found}")]
    NoSuchImage {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// It holds several images and none was asked for.
    #[error("it holds several images: name one of {0} after the file and a colon")]
    Ambiguous(String),
    /// Layers and diffIDs do not match.
    #[error("it has {layers} layers and its config {diff_ids} diffIDs")]
    Layers {
        /// Layers.
        layers: usize,
        /// diffIDs.
        diff_ids: usize,
    },
    /// For another architecture.
    #[error("the image is for {found}, not for {wanted}")]
    Platform {
        /// The architecture asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
}

/// Where the files of a tar lie in it.
pub(super) struct Archive {
    path: PathBuf,
    members: HashMap<String, Member>,
}

enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// Layers that images share are links in what old versions of docker save.
    Link(String),
}

impl Archive {
    /// Finds all files. Contents are not looked at.
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveSourceError> {
        let file = File::open(path)?;
        let mut members = HashMap::new();
        let mut tar = TarReader::with_policy(file, Policy::Lenient, Limits::default());
        while let Some(member) = tar.next_member()? {
            let name = String::from_utf8_lossy(&member.entry.path).into_owned();
            let found = match (&member.entry.kind, member.content_offset()) {
                (EntryKind::File, Some(offset)) => Member::File {
                    offset,
                    size: member.entry.size,
                },
                (EntryKind::Symlink(target), _) => {
                    Member::Link(inside(&name, &String::from_utf8_lossy(target)))
                }
                (EntryKind::HardLink(target), _) => {
                    Member::Link(String::from_utf8_lossy(target).into_owned())
                }
                _ => continue,
            };
            members.insert(name, found);
        }
        Ok(Self {
            path: path.to_owned(),
            members,
        })
    }

    /// A file of the archive, wherever links lead.
    pub(super) fn content(&self, name: &str) -> Result<Content, ArchiveSourceError> {
        let mut at = name;
        // A link to a link is as far as any writer goes.
        for _ in 0..4 {
            match self.members.get(at) {
                Some(Member::File { offset, size }) => {
                    return Ok(Content::File {
                        path: self.path.clone(),
                        offset: *offset,
                        len: *size,
                    });
                }
                Some(Member::Link(target)) => at = target,
                None => break,
            }
        }
        Err(ArchiveSourceError::Missing(name.to_owned()))
    }

    /// A small file of the archive, whole.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveSourceError> {
        let content = self.content(name)?;
        if content.len() > limit {
            return Err(ArchiveSourceError::TooLarge {
                name: name.to_owned(),
                size: content.len(),
                limit,
            });
        }
        let mut bytes = Vec::new();
        content.open(0)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A blob that has to have the digest that it is named by.
    pub(super) fn blob(
        &self,
        name: &str,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, ArchiveSourceError> {
        let bytes = self.read(name, limit)?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(ArchiveSourceError::Digest {
                name: name.to_owned(),
            }),
        }
    }
}

/// Where a link leads that lies at `name`: never out of the archive.
fn inside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
