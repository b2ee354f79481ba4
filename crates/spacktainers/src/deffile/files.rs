//! `%files` from this machine: a layer of what is copied.
//!
//! As `cp -fLr SOURCE DESTINATION` would, which is what Apptainer runs: links are followed, and what is copied goes *into*
//! the destination where that is a directory.
//! Source: `apptainer/apptainer`, `internal/pkg/build/files/copy.go`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci_format::layer::Entry;
use oci_format::layer::merge::{Kind, MergedTree};
use oci_format::layer::tar::TarWriter;
use sif_format::deffile::FileTransfer;

use super::DeffileError;
use crate::local_cache::{BlobWriter, LocalCache};
use crate::sif;
use crate::source::LoadedLayer;

/// Links may lead in circles.
const DEEPEST: usize = 64;

/// The layer, in the local cache. `below` is the folder that destinations are in.
pub(super) fn layer(
    transfers: &[FileTransfer],
    folder: &Path,
    below: &str,
    layers: &[LoadedLayer],
    cache: &LocalCache,
) -> Result<LoadedLayer, DeffileError> {
    let tree = sif::merged_tree(layers)?;
    let mut out = LayerWriter::new(cache)?;
    for transfer in transfers {
        let sources = sources(transfer, folder)?;
        let place = Place::of(transfer, below, &tree, sources.len())?;
        for source in sources {
            let name = source
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            copy(&source, &place.of_source(&name), &mut out, 0)?;
        }
    }
    out.finish()
}

/// Where what is copied goes.
pub(super) struct Place {
    path: String,
    into: bool,
}

impl Place {
    pub(super) fn of(
        transfer: &FileTransfer,
        below: &str,
        tree: &MergedTree,
        sources: usize,
    ) -> Result<Self, DeffileError> {
        let written = transfer.destination.as_deref().unwrap_or(&transfer.source);
        let joined = format!("{below}/{written}");
        let parts: Vec<&str> = joined
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.contains(&"..") {
            return Err(DeffileError::Destination {
                path: written.to_owned(),
                span: transfer.span,
            });
        }
        let path = parts.join("/");
        let is_directory = tree
            .get(path.as_bytes())
            .is_some_and(|node| matches!(node.kind(), Kind::Directory));
        Ok(Self {
            into: written.ends_with('/') || is_directory || sources > 1 || path.is_empty(),
            path,
        })
    }

    pub(super) fn of_source(&self, name: &str) -> String {
        match (self.into, self.path.is_empty()) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{}/{name}", self.path),
            (false, _) => self.path.clone(),
        }
    }
}

/// The files that a pattern names, sorted.
fn sources(transfer: &FileTransfer, folder: &Path) -> Result<Vec<PathBuf>, DeffileError> {
    let missing = || DeffileError::NoFile {
        path: transfer.source.clone(),
        span: transfer.span,
    };
    let plain = folder.join(&transfer.source);
    if plain.exists() {
        return Ok(vec![plain]);
    }
    let folder = glob::Pattern::escape(&folder.display().to_string());
    let pattern = match transfer.source.as_str() {
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative if folder.is_empty() => relative.to_owned(),
        relative => format!("{folder}/{relative}"),
    };
    let found: Vec<PathBuf> = glob::glob(&pattern)
        .map_err(|_| missing())?
        .flatten()
        .collect();
    if found.is_empty() {
        Err(missing())
    } else {
        Ok(found)
    }
}

fn copy(
    source: &Path,
    target: &str,
    out: &mut LayerWriter,
    depth: usize,
) -> Result<(), DeffileError> {
    let read = |source_error| DeffileError::Read {
        path: source.to_owned(),
        source: source_error,
    };
    let metadata = fs::metadata(source).map_err(read)?;
    // As files of a build under the usual umask.
    let mode = metadata.permissions().mode() & 0o7755;
    if metadata.is_file() {
        let file = File::open(source).map_err(read)?;
        return out.append(&Entry::file(target, mode, 0, metadata.len()), file);
    }
    if !metadata.is_dir() || depth > DEEPEST {
        return Err(read(std::io::Error::other(
            "it is neither a file nor a folder, or links lead in circles",
        )));
    }
    out.append(&Entry::directory(target, mode, 0), std::io::empty())?;
    let mut names: Vec<_> = fs::read_dir(source)
        .map_err(read)?
        .flatten()
        .map(|it| it.file_name())
        .collect();
    names.sort();
    for name in names {
        copy(
            &source.join(&name),
            &format!("{target}/{}", name.to_string_lossy()),
            out,
            depth + 1,
        )?;
    }
    Ok(())
}

/// A plain tar that becomes a blob of the local cache.
pub(super) struct LayerWriter {
    tar: TarWriter<BlobWriter>,
    directories: BTreeSet<Vec<u8>>,
}

impl LayerWriter {
    pub(super) fn new(cache: &LocalCache) -> Result<Self, DeffileError> {
        Ok(Self {
            tar: TarWriter::new(cache.writer()?),
            directories: BTreeSet::new(),
        })
    }

    /// Appends a member. The same directory twice is one.
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        content: impl std::io::Read,
    ) -> Result<(), DeffileError> {
        if entry.kind == oci_format::layer::EntryKind::Directory
            && !self.directories.insert(entry.path.clone())
        {
            return Ok(());
        }
        Ok(self.tar.append(entry, content)?)
    }

    pub(super) fn finish(self) -> Result<LoadedLayer, DeffileError> {
        let (digest, content) = self.tar.finish()?.finish()?;
        Ok(LoadedLayer {
            diff_id: digest,
            digest: Some(digest),
            content,
        })
    }
}
