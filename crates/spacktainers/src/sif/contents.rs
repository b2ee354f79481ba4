//! The second pass: the bytes of the files that survive.

use std::io::{self, BufRead, Write};

use oci_format::Digest;
use oci_format::DigestWriter;
use oci_format::layer::compression::Decoder;
use oci_format::layer::merge::{FileId, MergedTree};
use oci_format::layer::tar::{Limits, Policy, TarReader};
use sif_format::squashfs::{FileId as StoredId, Writer};

use super::SifWriteError;
use super::scan::LAYER_LIMIT;
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

/// Streams the content of every file of the tree into `squashfs`.
pub(super) fn write<W: Write>(
    layers: &[LoadedLayer],
    tree: &MergedTree,
    squashfs: &mut Writer<W>,
    watch: &Watch<'_>,
) -> Result<Contents, SifWriteError> {
    each(layers, tree, watch, |source| {
        let mut file = DigestWriter::new(squashfs.begin_file()?);
        copy(source, &mut file)?;
        let (file, digest) = finished(file);
        Ok(Stored {
            id: Some(file.finish()?),
            digest,
        })
    })
}

/// The digests of all contents; nothing is stored.
pub(super) fn hash(
    layers: &[LoadedLayer],
    tree: &MergedTree,
    watch: &Watch<'_>,
) -> Result<Contents, SifWriteError> {
    each(layers, tree, watch, |source| {
        let mut sink = DigestWriter::new(io::sink());
        copy(source, &mut sink)?;
        Ok(Stored {
            id: None,
            digest: finished(sink).1,
        })
    })
}

fn finished<W: Write>(writer: DigestWriter<W>) -> (W, Digest) {
    let (inner, digest, _) = writer.finish();
    (inner, digest)
}

/// Moves all bytes without a buffer of its own: the reader has one.
fn copy(source: &mut dyn BufRead, sink: &mut dyn Write) -> Result<u64, CopyError> {
    let mut total = 0;
    loop {
        let bytes = match source.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        if bytes.is_empty() {
            return Ok(total);
        }
        let count = bytes.len();
        sink.write_all(bytes).map_err(CopyError::Write)?;
        source.consume(count);
        total += count as u64;
    }
}

/// Whose fault it is when bytes cannot be moved.
enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

impl From<CopyError> for SifWriteError {
    fn from(error: CopyError) -> Self {
        match error {
            // Which layer it is, is put in by `each`.
            CopyError::Read(source) => Self::Open { number: 0, source },
            CopyError::Write(source) => {
                Self::Squashfs(sif_format::squashfs::WriteError::Output(source))
            }
        }
    }
}

fn each(
    layers: &[LoadedLayer],
    tree: &MergedTree,
    watch: &Watch<'_>,
    mut take: impl FnMut(&mut dyn BufRead) -> Result<Stored, SifWriteError>,
) -> Result<Contents, SifWriteError> {
    let mut files = vec![None; tree.file_count()];
    for (index, layer) in layers.iter().enumerate() {
        let wanted = tree.wanted(index);
        if wanted.is_empty() {
            continue;
        }
        let number = index + 1;
        let open = |source| SifWriteError::Open { number, source };
        let decoder =
            Decoder::new(layer.content.open(0).map_err(open)?, LAYER_LIMIT).map_err(open)?;
        let mut tar = TarReader::with_policy(decoder, Policy::Lenient, Limits::default());
        let mut wanted = wanted.iter().peekable();
        let mut ordinal: u32 = 0;
        // What comes after the last wanted member need not be decompressed once more.
        while let Some(next) = wanted.peek() {
            let member = tar
                .next_member()
                .map_err(|source| SifWriteError::Layer { number, source })?;
            let Some(mut member) = member else {
                return Err(SifWriteError::Changed { number });
            };
            if next.ordinal == ordinal {
                let size = member.entry.size;
                let stored = take(&mut member).map_err(|error| match error {
                    SifWriteError::Open { source, .. } => SifWriteError::Open { number, source },
                    error => error,
                })?;
                if let Some(place) = files.get_mut(next.file.index()) {
                    *place = Some(stored);
                }
                watch(size);
                wanted.next();
            }
            ordinal = ordinal.saturating_add(1);
        }
    }
    Ok(Contents { files })
}
