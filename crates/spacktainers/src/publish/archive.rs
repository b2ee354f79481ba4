//! To an archive: one tar.
//!
//! ```text
//! oci-archive       oci-layout, index.json, blobs/sha256/…
//! docker-archive    the same with manifest.json before it
//! ```
//!
//! Docker has written this combination since version 25, and every `docker load` and `podman load`
//! reads it, because `manifest.json` names its files by path. Layers stay as they are, compressed:
//! Docker, podman and skopeo recognise gzip by its first bytes. Layers in zstd are refused there: Docker's
//! schema 2 knows none, and loading them depends on the version of who loads.
//!
//! Entries are in a fixed order with fixed metadata, so the same image is the same file. The file is
//! replaced when it is complete; what it held before is not looked at.
//!
//! Sources: containers-transports(5); Docker's image specification 1.2, "Combined Image JSON + Filesystem
//! Changeset Format".

use std::io::{BufWriter, Write as _};
use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use oci_format::layer::Entry;
use oci_format::layer::tar::{TarWriteError, TarWriter};
use oci_format::{Descriptor, Digest, DigestReader, Reference, layout, media_type};
use serde_json::json;

use super::blobs::Blobs;
use super::file::{sync_directory, write_atomically};
use super::layout::blocking;
use super::progress::Task;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::content::Content;
use crate::event::TaskKind;

/// The name that containerd gives an image when it loads an archive.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Seconds since 1970 of all entries: an archive's date says nothing about an image.
const MTIME: u64 = 0;

/// A file of the archive.
struct Part {
    digest: Digest,
    title: String,
    content: Content,
}

/// What is in the archive beside the layout, and under which name the image is in it.
pub(super) enum Form<'a> {
    /// Nothing.
    Oci(Option<&'a str>),
    /// What Docker reads.
    Docker(Option<&'a Reference>),
}

/// Writes the archive to `file`, which is what `target` names.
pub(super) async fn write(
    blobs: &Blobs<'_>,
    target: &Target,
    file: &Path,
    form: Form<'_>,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    let image = blobs.image;
    let descriptor = &image.manifest_descriptor;
    let mut small: Vec<(&'static str, Vec<u8>)> = Vec::new();
    let mut entry = descriptor.clone();
    let name = match form {
        Form::Docker(_) if has_zstd(blobs) => {
            return Err(PublishError::Zstd(Box::new(target.clone())));
        }
        Form::Docker(reference) => {
            small.push(("manifest.json", docker_manifest(blobs, reference)));
            if let Some(reference) = reference {
                entry
                    .annotations
                    .insert(CONTAINERD_NAME.to_owned(), full_name(reference));
            }
            reference.and_then(Reference::effective_tag)
        }
        Form::Oci(name) => name,
    };
    entry.platform = None;
    let index = layout::set_reference(None, name, &entry);
    let index = index.map_err(|source| PublishError::Layout {
        path: file.to_owned(),
        source,
    })?;
    small.push((
        layout::LAYOUT_FILE,
        layout::LAYOUT_CONTENT.as_bytes().to_vec(),
    ));
    small.push((layout::INDEX_FILE, index));

    let parts = parts(blobs, target, context).await?;
    let mut receipt = Receipt::new(target, image);
    for blob in &blobs.all {
        receipt.sent(blob.descriptor.size);
    }
    receipt.bytes_sent += descriptor.size;
    let label = file.display().to_string();
    let task = Task::start(
        &context.reporter,
        TaskKind::Upload,
        label,
        blobs.size() + descriptor.size,
    );
    let on_bytes = task.advance();
    let path = file.to_owned();
    blocking(target, move || write_file(&path, &small, &parts, &on_bytes)).await?;
    task.finish();
    Ok(receipt)
}

/// Whether a layer is in zstd, which Docker's schema 2 has no media type for.
fn has_zstd(blobs: &Blobs<'_>) -> bool {
    let mut layers = blobs.image.layers.iter();
    layers.any(|layer| layer.descriptor.media_type == media_type::LAYER_TAR_ZSTD)
}

/// All blobs and the manifest, by digest; layers that are only in a registry are fetched.
async fn parts(
    blobs: &Blobs<'_>,
    target: &Target,
    context: &PublishContext,
) -> Result<Vec<Part>, PublishError> {
    let mut parts: Vec<Part> = stream::iter(&blobs.all)
        .map(async |blob| {
            Ok::<_, PublishError>(Part {
                digest: blob.descriptor.digest,
                title: blob.title.to_owned(),
                content: blob.content(target, context).await?,
            })
        })
        .buffer_unordered(context.jobs.get())
        .try_collect()
        .await?;
    parts.push(Part {
        digest: blobs.image.manifest_descriptor.digest,
        title: "image manifest".to_owned(),
        content: Content::Memory(blobs.image.manifest.as_slice().into()),
    });
    parts.sort_by_key(|part| part.digest);
    parts.dedup_by_key(|part| part.digest);
    Ok(parts)
}

/// `[{"Config": …, "RepoTags": […], "Layers": […]}]`
fn docker_manifest(blobs: &Blobs<'_>, reference: Option<&Reference>) -> Vec<u8> {
    let path = |descriptor: &Descriptor| layout::blob_path(&descriptor.digest);
    let layers: Vec<String> = blobs
        .image
        .layers
        .iter()
        .map(|layer| path(&layer.descriptor))
        .collect();
    let names: Vec<String> = reference.map(full_name).into_iter().collect();
    let manifest = json!([{
        "Config": path(&blobs.image.config_descriptor),
        "RepoTags": names,
        "Layers": layers,
    }]);
    manifest.to_string().into_bytes()
}

/// The reference with its tag spoken.
fn full_name(reference: &Reference) -> String {
    match (reference.tag(), reference.effective_tag()) {
        (None, Some(tag)) => format!("{reference}:{tag}"),
        _ => reference.to_string(),
    }
}

fn write_file(
    path: &Path,
    small: &[(&'static str, Vec<u8>)],
    parts: &[Part],
    on_bytes: &dyn Fn(u64),
) -> Result<(), PublishError> {
    let failed = |source: TarWriteError| match source {
        TarWriteError::Write(source) => PublishError::io("write", path)(source),
        source => PublishError::Archive {
            path: path.to_owned(),
            source,
        },
    };
    write_atomically(path, |file| {
        let mut tar = TarWriter::new(BufWriter::with_capacity(256 << 10, file));
        for (name, bytes) in small {
            let entry = Entry::file(*name, 0o644, MTIME, bytes.len() as u64);
            tar.append_bytes(&entry, bytes).map_err(failed)?;
        }
        for directory in ["blobs", "blobs/sha256"] {
            let entry = Entry::directory(directory, 0o755, MTIME);
            tar.append_bytes(&entry, b"").map_err(failed)?;
        }
        for part in parts {
            append(&mut tar, part, on_bytes).map_err(|error| match error {
                AppendError::Ours(error) => error,
                AppendError::Tar(source) => failed(source),
            })?;
        }
        let mut out = tar.finish().map_err(failed)?;
        out.flush().map_err(PublishError::io("write", path))
    })?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

enum AppendError {
    Ours(PublishError),
    Tar(TarWriteError),
}

fn append<W: std::io::Write>(
    tar: &mut TarWriter<W>,
    part: &Part,
    on_bytes: &dyn Fn(u64),
) -> Result<(), AppendError> {
    let read = |source| {
        AppendError::Ours(PublishError::Read {
            digest: part.digest,
            title: part.title.clone(),
            source,
        })
    };
    let size = part.content.len();
    let entry = Entry::file(layout::blob_path(&part.digest), 0o644, MTIME, size);
    let mut reader = DigestReader::new(part.content.open(0).map_err(read)?);
    tar.append(&entry, &mut reader)
        .map_err(|error| match error {
            TarWriteError::Content { source, .. } => read(source),
            error => AppendError::Tar(error),
        })?;
    on_bytes(size);
    let (_, actual, _) = reader.finish();
    if actual == part.digest {
        return Ok(());
    }
    Err(AppendError::Ours(PublishError::Changed {
        title: part.title.clone(),
        expected: part.digest,
        actual,
    }))
}
