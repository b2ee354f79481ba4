//! `COPY`, `ADD`, and the folder of `WORKDIR`: what is put into the image, as a layer.
//!
//! - A folder's *contents* go to the destination, which is a folder then; a file goes to the destination, or into it where
//!   it is a folder or ends with `/`.
//! - A here-document is a file of its name, or of the destination's.
//! - Folders that the destination needs are made with mode 0755; what is copied keeps its mode and belongs to root, unless
//!   the flags say otherwise; times are those of the image.
//!
//! Source: Docker's "Dockerfile reference", COPY and ADD.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::write::GzEncoder;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::{Limits, Policy, TarReader, TarWriter};
use oci_format::layer::{Entry, EntryKind};
use oci_format::{Descriptor, DigestWriter, media_type};

use super::below::Below;
use super::files::{matching, walk};
use super::{EpilogueContext, EpilogueError};
use crate::image::{LayerContent, RecordedLayer};
use crate::local_cache::BlobWriter;

/// Bytes that an archive may decompress to.
const ARCHIVE_LIMIT: u64 = 1 << 40;

/// One instruction, its variables filled in.
pub(super) struct Copying<'a> {
    pub(super) sources: Vec<String>,
    /// Names and contents of files that are written in the epilogue itself.
    pub(super) documents: Vec<(String, String)>,
    /// Absolute.
    pub(super) destination: String,
    /// Whether it was written with `/` at its end.
    pub(super) is_folder: bool,
    pub(super) owner: Option<String>,
    pub(super) mode: Option<u32>,
    pub(super) unpacks: bool,
    pub(super) place: &'a Range<usize>,
}

/// The layer of what is copied.
pub(super) fn copy(
    copying: &Copying<'_>,
    below: &Below<'_>,
    title: &str,
    context: &EpilogueContext<'_>,
) -> Result<RecordedLayer, EpilogueError> {
    let mut found = Vec::new();
    for source in &copying.sources {
        found.extend(matching(source, context.folder, copying.place)?);
    }
    let mut layer = Layer::new(context)?;
    if let Some(owner) = &copying.owner {
        (layer.uid, layer.gid) = owner_of(owner, below, copying.place)?;
    }
    layer.mode = copying.mode;
    let real = below.real(&copying.destination);
    let is_folder = copying.is_folder || real.is_empty() || below.is_directory(&real);
    let count = found.len() + copying.documents.len();
    let has_several = count > 1 || found.first().is_some_and(|it| it.is_dir());
    if !is_folder && count > 1 {
        return Err(EpilogueError::NotAFolder {
            place: copying.place.clone(),
            path: copying.destination.clone(),
        });
    }
    for path in &found {
        if copying.unpacks && path.is_file() && is_archive(path)? {
            layer.folders(&real, below)?;
            layer.unpack(path, &real, below)?;
            continue;
        }
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let is_directory = path.is_dir();
        let target = match (is_directory, is_folder) {
            // The contents of a folder go to the destination itself.
            (true, _) => real.clone(),
            (false, true) => below.real(&format!("{real}/{name}")),
            (false, false) => real.clone(),
        };
        if is_directory || has_several || is_folder {
            layer.folders(if is_directory { parent(&real) } else { &real }, below)?;
        } else {
            layer.folders(parent(&real), below)?;
        }
        layer.add(path, &target, below)?;
    }
    for (name, text) in &copying.documents {
        let target = match is_folder {
            true => below.real(&format!("{real}/{name}")),
            false => real.clone(),
        };
        layer.folders(parent(&target), below)?;
        layer.text(target, text)?;
    }
    layer.finish(title)
}

/// A layer with a folder, and those that it lies in; nothing if they are there.
pub(super) fn folder(
    path: &str,
    below: &Below<'_>,
    title: &str,
    context: &EpilogueContext<'_>,
) -> Result<Option<RecordedLayer>, EpilogueError> {
    let real = below.real(path);
    if real.is_empty() || below.is_directory(&real) {
        return Ok(None);
    }
    let mut layer = Layer::new(context)?;
    layer.folders(&real, below)?;
    layer.finish(title).map(Some)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A tar in gzip that becomes a blob of the local cache.
struct Layer {
    tar: TarWriter<DigestWriter<GzEncoder<BlobWriter>>>,
    made: BTreeSet<String>,
    time: u64,
    uid: u64,
    gid: u64,
    mode: Option<u32>,
}

impl Layer {
    fn new(context: &EpilogueContext<'_>) -> Result<Self, EpilogueError> {
        let gzip = GzEncoder::new(context.cache.writer()?, flate2::Compression::new(6));
        Ok(Self {
            tar: TarWriter::new(DigestWriter::new(gzip)),
            made: BTreeSet::new(),
            time: context.created.0,
            uid: 0,
            gid: 0,
            mode: None,
        })
    }

    /// Makes folders that are not there.
    fn folders(&mut self, path: &str, below: &Below<'_>) -> Result<(), EpilogueError> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let folder = &path[..end];
            if folder.is_empty() || below.is_directory(folder) {
                continue;
            }
            if self.made.insert(folder.to_owned()) {
                let entry = self.owned(Entry::directory(folder, 0o755, self.time));
                self.tar.append(&entry, io::empty())?;
            }
        }
        Ok(())
    }

    fn owned(&self, entry: Entry) -> Entry {
        Entry {
            uid: self.uid,
            gid: self.gid,
            ..entry
        }
    }

    /// A file that was written in the epilogue. Its mode is what BuildKit gives to such files.
    fn text(&mut self, target: String, text: &str) -> Result<(), EpilogueError> {
        let size = text.len() as u64;
        let mode = self.mode.unwrap_or(0o644);
        let entry = self.owned(Entry::file(target, mode, self.time, size));
        Ok(self.tar.append(&entry, text.as_bytes())?)
    }

    /// A file, or a folder with all that is in it.
    fn add(&mut self, path: &Path, target: &str, below: &Below<'_>) -> Result<(), EpilogueError> {
        walk(path, Path::new(""), &mut |path, inside, metadata| {
            let read = |source| EpilogueError::Read {
                path: path.to_owned(),
                source,
            };
            let is_top = inside.as_os_str().is_empty();
            let inside = inside.to_string_lossy();
            let name = match (is_top, target.is_empty()) {
                (true, _) => target.to_owned(),
                (false, true) => inside.into_owned(),
                (false, false) => format!("{target}/{inside}"),
            };
            let written = metadata.permissions().mode() & 0o7777;
            let mode = self.mode.unwrap_or(written);
            if metadata.is_dir() {
                // The destination keeps its own mode where it is there already, and else is made as buildah makes it.
                let mode = if is_top { 0o755 } else { mode };
                let is_there = is_top && (name.is_empty() || below.is_directory(&name));
                if !is_there && self.made.insert(name.clone()) {
                    let entry = self.owned(Entry::directory(name, mode, self.time));
                    self.tar.append(&entry, io::empty())?;
                }
            } else if metadata.is_symlink() {
                let link = fs::read_link(path)
                    .map_err(read)?
                    .into_os_string()
                    .into_vec();
                let entry = self.owned(Entry::symlink(name, link, self.time));
                self.tar.append(&entry, io::empty())?;
            } else if metadata.is_file() {
                let file = File::open(path).map_err(read)?;
                let entry = self.owned(Entry::file(name, mode, self.time, metadata.len()));
                self.tar.append(&entry, BufReader::new(file))?;
            } else {
                let kind = io::Error::other("it is neither a file, a folder nor a link");
                return Err(read(kind));
            }
            Ok(())
        })
    }

    /// The members of an archive, below `target`.
    fn unpack(
        &mut self,
        path: &Path,
        target: &str,
        below: &Below<'_>,
    ) -> Result<(), EpilogueError> {
        let read = |source| EpilogueError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let decoder = Decoder::new(BufReader::new(file), ARCHIVE_LIMIT).map_err(read)?;
        let mut tar = TarReader::with_policy(decoder, Policy::Strict, Limits::default());
        let prefixed = |name: &[u8]| match target.is_empty() {
            true => name.to_vec(),
            false => [target.as_bytes(), b"/", name].concat(),
        };
        loop {
            let member = tar.next_member().map_err(|source| EpilogueError::Archive {
                path: path.to_owned(),
                source,
            })?;
            let Some(member) = member else {
                return Ok(());
            };
            let mut entry = member.entry.clone();
            if entry.path.is_empty() {
                continue;
            }
            entry.path = prefixed(&entry.path);
            if let EntryKind::HardLink(other) = &mut entry.kind {
                *other = prefixed(other);
            }
            if entry.kind == EntryKind::Directory {
                let name = String::from_utf8_lossy(&entry.path).into_owned();
                if below.is_directory(&name) || !self.made.insert(name) {
                    continue;
                }
            }
            self.tar.append(&entry, member)?;
        }
    }

    fn finish(self, title: &str) -> Result<RecordedLayer, EpilogueError> {
        let (gzip, diff_id, _) = self.tar.finish()?.finish();
        let blob = gzip.finish().map_err(|source| EpilogueError::Read {
            path: "the local cache".into(),
            source,
        })?;
        let (digest, content) = blob.finish()?;
        Ok(RecordedLayer {
            descriptor: Descriptor::new(media_type::LAYER_TAR_GZIP, digest, content.len()),
            diff_id,
            content: LayerContent::Here(content),
            origins: Vec::new(),
            title: title.to_owned(),
        })
    }
}

/// Whether a file is a tar, plain or compressed: ADD unpacks those.
fn is_archive(path: &Path) -> Result<bool, EpilogueError> {
    /// Where a tar header has its magic, and what that is.
    const MAGIC: (usize, &[u8]) = (257, b"ustar");
    let read = |source| EpilogueError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read)?;
    let mut header = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(read)?;
    let Ok(decoder) = Decoder::new(BufReader::new(file), ARCHIVE_LIMIT) else {
        return Ok(false);
    };
    // What looks compressed and cannot be decompressed is a file like any other.
    if decoder.take(512).read_to_end(&mut header).is_err() {
        return Ok(false);
    }
    let magic = header.get(MAGIC.0..MAGIC.0 + MAGIC.1.len());
    Ok(magic == Some(MAGIC.1))
}

/// `user[:group]`. A user without a group has the group of the same number, as Docker has it.
fn owner_of(
    written: &str,
    below: &Below<'_>,
    place: &Range<usize>,
) -> Result<(u64, u64), EpilogueError> {
    let (user, group) = match written.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (written, None),
    };
    let lookup = |name: &str, file: &str, kind: &'static str| match name.parse::<u32>() {
        Ok(number) => Ok(u64::from(number)),
        Err(_) => {
            let text = below.read(file)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let found = text.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next() == Some(name)).then(|| fields.nth(1)?.parse::<u32>().ok())?
            });
            found
                .map(u64::from)
                .ok_or_else(|| EpilogueError::NoSuchOwner {
                    place: place.clone(),
                    kind,
                    name: name.to_owned(),
                })
        }
    };
    let uid = lookup(user, "etc/passwd", "user")?;
    let gid = match group {
        Some(group) => lookup(group, "etc/group", "group")?,
        None => uid,
    };
    Ok((uid, gid))
}
