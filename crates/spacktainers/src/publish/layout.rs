//! To an image layout: a directory.
//!
//! ```text
//! oci-layout      first, so that a killed run leaves a layout
//! blobs/sha256/…  each under a temporary name, then renamed; those that are there are left alone
//! index.json      last, under a lock: several images may be written into one layout at once
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use futures::{StreamExt as _, stream};
use oci_format::{Digest, layout};
use rustix::fs::{FlockOperation, flock};

use super::blobs::{Blob, Blobs};
use super::file::{CopyError, copy_hashed, remove_stale, sync_directory, write_atomically};
use super::multi_arch::Naming;
use super::{PublishContext, PublishError, Receipt, Target};
use crate::content::Content;

/// Writes the image into the layout at `directory` under the name `reference`.
pub(super) async fn write(
    blobs: &Blobs<'_>,
    target: &Target,
    directory: &Path,
    reference: Option<&str>,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    let root = directory.to_owned();
    blocking(target, move || prepare(&root)).await?;
    let receipt = Mutex::new(Receipt::new(target, blobs.image));
    let failed = AtomicBool::new(false);
    let results: Vec<Result<(), PublishError>> = stream::iter(&blobs.all)
        .map(async |blob| {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let written = write_blob(blob, target, directory, context).await;
            failed.fetch_or(written.is_err(), Ordering::Relaxed);
            let mut receipt = receipt.lock().unwrap_or_else(PoisonError::into_inner);
            match written? {
                true => receipt.sent(blob.descriptor.size),
                false => receipt.reused(blob.descriptor.size),
            }
            Ok(())
        })
        .buffer_unordered(context.jobs.get())
        // Not given up at the first error: no thread writes on after we have returned.
        .collect()
        .await;
    results.into_iter().collect::<Result<(), PublishError>>()?;
    let mut receipt = receipt.into_inner().unwrap_or_else(PoisonError::into_inner);
    let manifest = blobs.image.manifest.clone();
    let descriptor = blobs.image.manifest_descriptor.clone();
    let (root, name) = (directory.to_owned(), reference.map(str::to_owned));
    let size = descriptor.size;
    let naming = Naming::of(blobs.image, context);
    let changed = blocking(target, move || {
        let path = root.join(layout::blob_path(&descriptor.digest));
        if !is_there(&path, &descriptor.digest, descriptor.size) {
            write_bytes(&path, &manifest)?;
        }
        sync_directory(&root.join("blobs/sha256"))?;
        change_index(&root, |before| {
            naming.in_layout(&root, name.as_deref(), before, write_bytes)
        })
    })
    .await?;
    if changed {
        receipt.bytes_sent += size;
    }
    receipt.unchanged = !changed && receipt.blobs_sent == 0;
    Ok(receipt)
}

/// Makes the directories and the file that says what they are.
pub(super) fn prepare(root: &Path) -> Result<(), PublishError> {
    let marker = root.join(layout::LAYOUT_FILE);
    let blobs = root.join("blobs/sha256");
    match fs::read(&marker) {
        Ok(bytes) => layout::check_layout_file(&bytes).map_err(|source| PublishError::Layout {
            path: marker,
            source,
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if has_files(root)? {
                return Err(PublishError::NotALayout(root.to_owned()));
            }
            fs::create_dir_all(root).map_err(PublishError::io("create the directory", root))?;
            write_bytes(&marker, layout::LAYOUT_CONTENT.as_bytes())?;
        }
        Err(error) => return Err(PublishError::io("read", &marker)(error)),
    }
    fs::create_dir_all(&blobs).map_err(PublishError::io("create the directory", &blobs))?;
    remove_stale(&blobs, SystemTime::now());
    remove_stale(root, SystemTime::now());
    Ok(())
}

/// Whether there is anything in `root` that a killed run of ours cannot have left.
fn has_files(root: &Path) -> Result<bool, PublishError> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(PublishError::io("read", root)(error)),
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    Ok(names.any(|name| !name.to_string_lossy().starts_with('.')))
}

/// Writes the blob unless it is there; says whether it wrote.
pub(super) async fn write_blob(
    blob: &Blob<'_>,
    target: &Target,
    directory: &Path,
    context: &PublishContext,
) -> Result<bool, PublishError> {
    let path = directory.join(layout::blob_path(&blob.descriptor.digest));
    if is_there(&path, &blob.descriptor.digest, blob.descriptor.size) {
        return Ok(false);
    }
    let content = blob.content(target, context).await?;
    let task = blob.task(context);
    let on_bytes = task.advance();
    let (digest, title) = (blob.descriptor.digest, blob.title.to_owned());
    blocking(target, move || {
        copy(&content, digest, title, &path, &on_bytes)
    })
    .await?;
    task.finish();
    Ok(true)
}

fn copy(
    content: &Content,
    digest: Digest,
    title: String,
    path: &Path,
    on_bytes: &dyn Fn(u64),
) -> Result<(), PublishError> {
    write_atomically(path, |file| {
        copy_hashed(content, &digest, file, on_bytes).map_err(|error| match error {
            CopyError::Read(source) => PublishError::Read {
                digest,
                title,
                source,
            },
            CopyError::Changed(actual) => PublishError::Changed {
                title,
                expected: digest,
                actual,
            },
            CopyError::Write(source) => PublishError::io("write", path)(source),
        })
    })
}

/// Blobs up to this size are hashed before they are believed: configs and manifests are among them.
const HASHED: u64 = 1 << 20;

/// Blobs get their names when they are complete, so the size of a big one tells enough.
fn is_there(path: &Path, digest: &Digest, size: u64) -> bool {
    let same_size = fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() == size);
    same_size && (size > HASHED || fs::read(path).is_ok_and(|bytes| Digest::of(&bytes) == *digest))
}

/// Replaces the layout's index by what `change` makes of it, one writer at a time; says whether it is another one now.
pub(super) fn change_index(
    root: &Path,
    change: impl FnOnce(Option<&[u8]>) -> Result<Vec<u8>, PublishError>,
) -> Result<bool, PublishError> {
    // Released when it is closed, also by a kill.
    let lock = File::open(root).map_err(PublishError::io("open", root))?;
    match flock(&lock, FlockOperation::LockExclusive) {
        // Some network file systems know no locks; there one writer at a time has to do.
        Ok(())
        | Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOLCK | rustix::io::Errno::BADF) => {}
        Err(error) => return Err(PublishError::io("lock", root)(error.into())),
    }
    let path = root.join(layout::INDEX_FILE);
    let before = match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(PublishError::io("read", &path)(error)),
    };
    let after = change(before.as_deref())?;
    if before.as_deref() == Some(&after) {
        return Ok(false);
    }
    write_bytes(&path, &after)?;
    sync_directory(root)?;
    Ok(true)
}

/// A small blob under its digest, unless it is there.
pub(super) fn write_small_blob(root: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let digest = Digest::of(bytes);
    let path = root.join(layout::blob_path(&digest));
    if is_there(&path, &digest, bytes.len() as u64) {
        return Ok(());
    }
    write_bytes(&path, bytes)?;
    sync_directory(&root.join("blobs/sha256"))
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    write_atomically(path, |file| {
        file.write_all(bytes)
            .map_err(PublishError::io("write", path))
    })
}

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    target: &Target,
    work: impl FnOnce() -> Result<T, PublishError> + Send + 'static,
) -> Result<T, PublishError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(PublishError::Interrupted(Box::new(target.clone()))))
}

/// The file of a layout that `existing` reads, bounded.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
