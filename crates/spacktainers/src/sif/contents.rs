//! Reading layers: headers into one tree, and the bytes of files that survive into the file system, in one pass.
//!
//! ```text
//! layers, the top one first ─► headers, kept ──────────────────► merge, the lowest layer first ─► MergedTree
//!                           └► contents that no upper layer hides ─► stored                    └► which of them count
//! ```
//!
//! What hides what is guessed by name ([`super::shadow`]) and decided by merging. Content that was taken for hidden and
//! is not (a hard link may keep it alive) is fetched by reading that layer again: that is rare.

use std::io::{self, BufRead, Write};
use std::thread;

use oci_format::layer::compression::Decoder;
use oci_format::layer::merge::{FileId, LayerMerge, MergedTree};
use oci_format::layer::tar::{Limits, Policy, TarReader};
use oci_format::layer::{Entry, EntryKind};
use oci_format::{Digest, DigestWriter};
use sif_format::squashfs::{FileId as StoredId, WriteError, Writer};

use super::SifWriteError;
use super::read_ahead::{LAYER_LIMIT, ReadAhead};
use super::shadow::Shadow;
use crate::source::LoadedLayer;

/// Told how many bytes of files went by.
pub type Watch<'a> = dyn Fn(u64) + Sync + 'a;

/// What became of each file's content.
pub(super) struct Contents {
    files: Vec<Option<Stored>>,
}

#[derive(Clone, Copy)]
struct Stored {
    id: Option<StoredId>,
    digest: Digest,
}

impl Contents {
    /// Where it is in the file system.
    pub(super) fn stored(&self, file: FileId) -> Option<StoredId> {
        self.files.get(file.index()).copied().flatten()?.id
    }

    /// Its digest.
    pub(super) fn digest(&self, file: FileId) -> Option<Digest> {
        Some(self.files.get(file.index()).copied().flatten()?.digest)
    }
}

/// Merges the layers and streams the content of every file of the tree into `squashfs`.
pub(super) fn write<W: Write>(
    layers: &[LoadedLayer],
    squashfs: &mut Writer<W>,
    watch: &Watch<'_>,
) -> Result<(MergedTree, Contents), SifWriteError> {
    read(layers, watch, &mut |source| {
        let mut file = DigestWriter::new(squashfs.begin_file()?);
        copy(source, &mut file)?;
        let (file, digest, _) = file.finish();
        Ok(Stored {
            id: Some(file.finish()?),
            digest,
        })
    })
}

/// Merges the layers and hashes all contents; nothing is stored.
pub(super) fn hash(
    layers: &[LoadedLayer],
    watch: &Watch<'_>,
) -> Result<(MergedTree, Contents), SifWriteError> {
    read(layers, watch, &mut |source| {
        let mut sink = DigestWriter::new(io::sink());
        copy(source, &mut sink)?;
        Ok(Stored {
            id: None,
            digest: sink.finish().1,
        })
    })
}

/// Merges the layers; contents are passed over.
pub(super) fn names(layers: &[LoadedLayer]) -> Result<MergedTree, SifWriteError> {
    let nothing = Stored {
        id: None,
        digest: Digest::of(b""),
    };
    Ok(read(layers, &|_| {}, &mut |_| Ok(nothing))?.0)
}

type Take<'a> = dyn FnMut(&mut dyn BufRead) -> Result<Stored, SifWriteError> + 'a;

/// A layer that was read: its members, and what was stored of them, by ordinal.
#[derive(Default)]
struct ReadLayer {
    entries: Vec<Entry>,
    stored: Vec<(u32, Stored)>,
}

fn read(
    layers: &[LoadedLayer],
    watch: &Watch<'_>,
    take: &mut Take<'_>,
) -> Result<(MergedTree, Contents), SifWriteError> {
    let mut shadow = Shadow::default();
    let mut done: Vec<ReadLayer> = Vec::with_capacity(layers.len());
    for (index, layer) in layers.iter().enumerate().rev() {
        let read = read_layer(layer, index + 1, &shadow, watch, take)?;
        shadow.add(&read.entries);
        done.push(read);
    }
    done.reverse();
    let mut merge = LayerMerge::new();
    let mut stored = Vec::with_capacity(done.len());
    for layer in done {
        let mut merged = merge.begin_layer();
        for entry in layer.entries {
            merged.apply(&entry)?;
        }
        stored.push(layer.stored);
    }
    let tree = merge.finish();
    let mut contents = Contents {
        files: vec![None; tree.file_count()],
    };
    for (index, layer) in layers.iter().enumerate() {
        let known = stored.get(index).map(Vec::as_slice).unwrap_or_default();
        let mut missing = Vec::new();
        for wanted in tree.wanted(index) {
            match known.binary_search_by_key(&wanted.ordinal, |(ordinal, _)| *ordinal) {
                Ok(at) => contents.put(wanted.file, known[at].1),
                Err(_) => missing.push((wanted.ordinal, wanted.file)),
            }
        }
        if !missing.is_empty() {
            read_again(layer, index + 1, &missing, &mut contents, take)?;
        }
    }
    Ok((tree, contents))
}

impl Contents {
    fn put(&mut self, file: FileId, stored: Stored) {
        if let Some(place) = self.files.get_mut(file.index()) {
            *place = Some(stored);
        }
    }
}

fn read_layer(
    layer: &LoadedLayer,
    number: usize,
    shadow: &Shadow,
    watch: &Watch<'_>,
    take: &mut Take<'_>,
) -> Result<ReadLayer, SifWriteError> {
    thread::scope(|scope| {
        let ahead = ReadAhead::start(scope, layer)
            .map_err(|source| SifWriteError::Open { number, source })?;
        let mut tar = TarReader::with_policy(ahead, Policy::Lenient, Limits::default());
        let mut read = ReadLayer::default();
        let mut ordinal: u32 = 0;
        while let Some(mut member) = tar
            .next_member()
            .map_err(|source| SifWriteError::Layer { number, source })?
        {
            if member.entry.kind == EntryKind::File && !shadow.hides(&member.entry.path) {
                let stored = take(&mut member).map_err(|error| error.of_layer(number))?;
                read.stored.push((ordinal, stored));
            }
            watch(member.entry.size);
            read.entries.push(member.entry);
            ordinal = ordinal.saturating_add(1);
        }
        match tar.into_inner().digest() {
            Some(digest) if digest == layer.digest.unwrap_or(layer.diff_id) => Ok(read),
            _ => Err(SifWriteError::Digest { number }),
        }
    })
}

/// Takes contents of a layer that were taken for hidden.
fn read_again(
    layer: &LoadedLayer,
    number: usize,
    missing: &[(u32, FileId)],
    contents: &mut Contents,
    take: &mut Take<'_>,
) -> Result<(), SifWriteError> {
    let open = |source| SifWriteError::Open { number, source };
    let decoder = Decoder::new(layer.content.open(0).map_err(open)?, LAYER_LIMIT).map_err(open)?;
    let mut tar = TarReader::with_policy(decoder, Policy::Lenient, Limits::default());
    let mut missing = missing.iter().peekable();
    let mut ordinal: u32 = 0;
    // What comes after the last one need not be decompressed once more.
    while let Some((next, file)) = missing.peek() {
        let member = tar
            .next_member()
            .map_err(|source| SifWriteError::Layer { number, source })?;
        let Some(mut member) = member else {
            return Err(SifWriteError::Changed { number });
        };
        if *next == ordinal {
            let stored = take(&mut member).map_err(|error| error.of_layer(number))?;
            contents.put(*file, stored);
            missing.next();
        }
        ordinal = ordinal.saturating_add(1);
    }
    Ok(())
}

/// Moves all bytes without a buffer of its own: the reader has one.
fn copy(source: &mut dyn BufRead, sink: &mut dyn Write) -> Result<(), SifWriteError> {
    loop {
        let bytes = match source.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Which layer it is, is put in by who knows it.
            Err(source) => return Err(SifWriteError::Open { number: 0, source }),
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let count = bytes.len();
        sink.write_all(bytes)
            .map_err(|error| SifWriteError::Squashfs(WriteError::Output(error)))?;
        source.consume(count);
    }
}
