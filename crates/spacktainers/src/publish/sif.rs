//! `sif:FILE` and `squashfs:FILE`: the image as one file.
//!
//! Layers are not copied: they are read where they are and merged into the file, which gets its name when it is whole.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::file::{CopyError, copy_hashed, remove_stale, write_atomically};
use super::layout::blocking;
use super::made_sif::{Form, OnceMade, Origin, warn};
use super::progress::Task;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::content::Content;
use crate::event::TaskKind;
use crate::sif;

/// Writes the file. `is_shared` says that others want the same SIF file, which is then written once.
pub(super) async fn write(
    once: &OnceMade<'_>,
    target: &Target,
    path: &Path,
    form: Form,
    is_shared: bool,
    mut receipt: Receipt,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    if form == Form::Sif && !context.is_forced && is_of(path, &once.origin) {
        receipt.reused(fs::metadata(path).map_or(0, |it| it.len()));
        receipt.unchanged = true;
        return Ok(receipt);
    }
    let (owned, options) = (path.to_owned(), context.squashfs);
    let summary = if is_shared && form == Form::Sif {
        let made = once.get(target, context).await?;
        let summary = made.summary.clone();
        blocking(target, move || {
            write_atomically(&owned, |file| {
                let content = Content::File {
                    path: made.file.path().to_owned(),
                    offset: 0,
                    len: made.size,
                };
                copy_hashed(&content, &made.digest, file, &|_| {}).map_err(
                    |error| match error {
                        CopyError::Read(source) => {
                            PublishError::io("read", made.file.path())(source)
                        }
                        CopyError::Write(source) => PublishError::io("write", &owned)(source),
                        CopyError::Changed(actual) => PublishError::Changed {
                            title: "SIF file".to_owned(),
                            expected: made.digest,
                            actual,
                        },
                    },
                )?;
                make_executable(file, form).map_err(PublishError::io("write", &owned))
            })
        })
        .await?;
        summary
    } else {
        let job = once.origin.job(target, context).await?;
        let task = Task::start(
            &context.reporter,
            TaskKind::Write,
            format!("{target}"),
            once.origin.size(),
        );
        let advance = task.advance();
        let summary = blocking(target, move || {
            if let Some(folder) = owned.parent() {
                remove_stale(folder, SystemTime::now());
            }
            write_atomically(&owned, |file| {
                let written = job.write(form, &options, &advance, file);
                let summary = written.map_err(|source| PublishError::sif(&owned, source))?;
                make_executable(file, form).map_err(PublishError::io("write", &owned))?;
                Ok(summary)
            })
        })
        .await?;
        task.finish();
        summary
    };
    warn(target, &summary, context);
    receipt.sent(summary.size);
    receipt.tree = Some(summary.tree);
    Ok(receipt)
}

/// Whether the file holds the image already.
fn is_of(path: &Path, origin: &Origin<'_>) -> bool {
    let Ok(mut file) = sif::inspect::open(path) else {
        return false;
    };
    sif::inspect::record(&mut file).is_some_and(|record| origin.is_in(&record))
}

/// A SIF file can be started like a program by whoever may read it.
fn make_executable(file: &fs::File, form: Form) -> std::io::Result<()> {
    if form == Form::Squashfs {
        return Ok(());
    }
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))
}
