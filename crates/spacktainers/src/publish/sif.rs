//! `sif:FILE` and `squashfs:FILE`: the image as one file.
//!
//! Layers are not copied: they are read where they are and merged into the file, which gets its name when it is whole.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use oci_format::{Digest, ImageConfig, annotation};

use super::blobs::{Blob, Blobs};
use super::file::write_atomically;
use super::layout::blocking;
use super::progress::Task;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::event::{Event, TaskKind};
use crate::sif::{self, SifInput, SifSummary, SifWriteError, SquashfsOptions};
use crate::source::LoadedLayer;

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Sif,
    Squashfs,
}

pub(super) async fn write(
    blobs: &Blobs<'_>,
    target: &Target,
    path: &Path,
    form: Form,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    let image = blobs.image;
    let mut receipt = Receipt::new(target, image);
    if form == Form::Sif && is_of(path, &image.manifest_descriptor.digest) {
        receipt.reused(std::fs::metadata(path).map_or(0, |it| it.len()));
        receipt.unchanged = true;
        return Ok(receipt);
    }
    let mut layers = Vec::new();
    for layer in &image.layers {
        layers.push(LoadedLayer {
            diff_id: layer.diff_id,
            digest: Some(layer.descriptor.digest),
            content: Blob::of(layer).content(target, context).await?,
        });
    }
    let config = ImageConfig::parse(&image.config).map_err(|source| PublishError::Layout {
        path: path.to_owned(),
        source,
    })?;
    let (owned, digest, options) = (
        path.to_owned(),
        image.manifest_descriptor.digest,
        context.squashfs,
    );
    let task = Task::start(
        &context.reporter,
        TaskKind::Write,
        format!("{target}"),
        blobs.size(),
    );
    let advance = task.advance();
    let summary = blocking(target, move || {
        write_atomically(&owned, |file| {
            let written = fill(&layers, &config, digest, form, &options, &advance, file);
            let summary = written.map_err(|source| PublishError::sif(&owned, source))?;
            make_executable(file, form).map_err(PublishError::io("write", &owned))?;
            Ok(summary)
        })
    })
    .await?;
    task.finish();
    for warning in &summary.warnings {
        context
            .reporter
            .event(Event::Warning(format!("{target}: {warning}")));
    }
    receipt.sent(summary.size);
    Ok(receipt)
}

fn fill(
    layers: &[LoadedLayer],
    config: &ImageConfig,
    digest: Digest,
    form: Form,
    options: &SquashfsOptions,
    advance: &(dyn Fn(u64) + Sync),
    file: &mut std::fs::File,
) -> Result<SifSummary, SifWriteError> {
    let label = |key: &str| config.config.labels.get(key).cloned();
    let from = match (label(annotation::TITLE), label(annotation::VERSION)) {
        (Some(title), Some(version)) => format!("{title}:{version}"),
        _ => digest.to_string(),
    };
    let input = SifInput::of_image(layers, config, Some(digest), "spacktainers", &from)?;
    Ok(match form {
        Form::Sif => sif::write_sif(&input, options, advance, file)?.1,
        Form::Squashfs => sif::write_squashfs(layers, input.time, options, advance, file)?.1,
    })
}

/// Whether the file holds the image already.
fn is_of(path: &Path, image: &Digest) -> bool {
    let Ok(mut file) = sif::inspect::open(path) else {
        return false;
    };
    sif::inspect::record(&mut file).is_some_and(|record| record.image == Some(*image))
}

/// A SIF file can be started like a program by whoever may read it.
fn make_executable(file: &std::fs::File, form: Form) -> std::io::Result<()> {
    if form == Form::Squashfs {
        return Ok(());
    }
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))
}
