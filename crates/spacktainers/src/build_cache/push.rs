//! From an installed package to an entry of a build cache.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};
use oci_format::Digest;
use spack_format::build_cache::v3::{
    self, BlobRecord, Compression, Manifest, SPEC_MEDIA_TYPE, TARBALL_MEDIA_TYPE,
};
use spack_format::build_cache::{MAX_MANIFEST_BYTES, MutableSource, spec_blob_text};
use spack_format::concrete::{ConcreteSpec, DepTypes};
use spack_format::dag_hash::DagHash;

use super::archive::{Archive, archive};
use super::destination::{Destination, Existing};
use super::error::{CacheError, CacheFault};
use super::object::{UNHEARD, checksum, put_blob};
use super::pending;
use crate::content::Content;
use crate::event::{Event, Outcome, TaskId, TaskKind};
use crate::fetch::Context;
use crate::install_tree::{InstallTree, InstallTreeError};
use crate::mirror::{OnBytes, Put, When};
use crate::openpgp;

/// What became of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is there now.
    Written {
        /// Digest of its archive.
        tarball: Digest,
        /// Bytes of its archive.
        size: u64,
    },
    /// An entry of its hash was there already: of the same content, as far as it was looked at.
    Present,
    /// An entry of its hash with another content is there, be it from before or from somebody who was faster. It stays.
    Refused {
        /// Digest of our archive.
        ours: Digest,
        /// Digest of theirs, where their manifest could be read.
        theirs: Option<Digest>,
    },
    /// It was not pushed: what it was built from may change under its hash, or under that of a package that it needs.
    Mutable {
        /// The package whose sources may change: itself, or one that it needs when linked or run.
        package: String,
        /// Why they may.
        source: MutableSource,
    },
    /// It was not pushed: its recipe forbids to give its binary to others.
    Restricted,
}

/// Pushes a package that lies in `tree` (just built, say) to a build cache, signed as the destination says.
///
/// ```text
/// let tree = InstallTree::open(root)?;                       after the package was built: its database is read
/// let target = connect_writer(&location, &access).await?;    WriteTarget::Objects(writer)
/// let destination = Destination::new(writer, Signing::Key(key), PushOptions::default());
/// push_installed(&tree, &hash, &destination, &context).await?
/// …
/// update_index(destination.writer(), IndexScope::Pending, &context)  once, at the end
/// ```
///
/// An entry that is there costs one small request; [`Existing`] says whether the package is archived to compare it. The
/// archive is made in the local cache; unless the destination is a folder of this machine it stays there, so that an image
/// with the package can be built without fetching it.
///
/// Any number of processes may push to one cache at the same time, also the same package, and any of them may be killed.
///
/// # Errors
/// When the package is not installed or cannot be archived or signed, or the mirror or the local cache fails. The build
/// cache is then as it was, but for blobs that nothing names.
pub async fn push_installed(
    tree: &InstallTree,
    hash: &DagHash,
    destination: &Destination,
    context: &Context<'_>,
) -> Result<Pushed, CacheError> {
    let spec = tree.specs().get(hash);
    let label = spec.map_or_else(|| format!("/{hash}"), ToString::to_string);
    let failed =
        |fault| CacheError::about(format!("cannot push {label} to {}", destination.url()))(fault);
    let Some(spec) = spec else {
        let root = tree.root().to_owned();
        return Err(failed(
            InstallTreeError::NotInstalled { hash: *hash, root }.into(),
        ));
    };
    if !destination.options.allow_mutable
        && let Some((package, source)) = mutable_below(tree, spec)
    {
        return Ok(Pushed::Mutable { package, source });
    }
    if !destination.options.private && tree.is_restricted(spec) {
        return Ok(Pushed::Restricted);
    }
    let key = v3::spec_manifest_path(spec);
    let task = TaskId::next();
    let started = Event::Started {
        task,
        kind: TaskKind::Upload,
        label: label.clone(),
        total: None,
    };
    context.reporter.event(started);
    let pushed = push(tree, spec, &key, destination, context, task).await;
    let outcome = match &pushed {
        Ok(Pushed::Present) => Outcome::Reused,
        Ok(_) => Outcome::Done,
        Err(fault) => Outcome::Failed(fault.to_string()),
    };
    context.reporter.event(Event::Finished { task, outcome });
    pushed.map_err(failed)
}

/// Pushes packages, as many at once as the context says; the results are in the order of `hashes`.
pub async fn push_all(
    tree: &InstallTree,
    hashes: impl IntoIterator<Item = DagHash>,
    destination: &Destination,
    context: &Context<'_>,
) -> Vec<Result<Pushed, CacheError>> {
    stream::iter(hashes)
        .map(|hash| async move { push_installed(tree, &hash, destination, context).await })
        .buffered(context.jobs.get())
        .collect()
        .await
}

/// The first package, of this one and of what it needs when linked or run, whose sources may change under its hash.
pub(super) fn mutable_below(
    tree: &InstallTree,
    spec: &ConcreteSpec,
) -> Option<(String, MutableSource)> {
    tree.specs()
        .closure([spec.hash], DepTypes::RUNTIME)
        .into_iter()
        .find_map(|spec| Some((spec.to_string(), tree.mutable_source(spec)?)))
}

async fn push(
    tree: &InstallTree,
    spec: &ConcreteSpec,
    key: &str,
    destination: &Destination,
    context: &Context<'_>,
    task: TaskId,
) -> Result<Pushed, CacheFault> {
    let (writer, existing) = (&destination.writer, destination.options.existing);
    let there = match existing {
        Existing::Replace => None,
        Existing::Keep if writer.size(key).await?.is_some() => return Ok(Pushed::Present),
        Existing::Keep => None,
        Existing::Compare => entry_there(destination, key).await?,
    };
    if there.is_some() && tree.is_from_build_cache(spec) {
        return Ok(Pushed::Present);
    }
    let package = tree.package(&spec.hash)?;
    let (installed, cache) = (package.clone(), context.cache.clone());
    let archived = tokio::task::spawn_blocking(move || archive(&installed, &cache)).await;
    let archived: Archive = archived.map_err(|_| CacheFault::Abandoned)??;
    let tarball = archived.digest;
    if let Some(theirs) = there {
        let compared = Pushed::beside(theirs, tarball);
        if compared != Pushed::Present || destination.is_here(&tarball) {
            context.cache.remove(&tarball)?;
        }
        return Ok(compared);
    }
    let on_bytes = |bytes| context.reporter.event(Event::Advanced { task, bytes });
    let written = Tarball {
        content: &archived.content,
        digest: tarball,
    };
    let text = &package.spec_text;
    let put = write_entry(destination, key, &written, text, context, &on_bytes).await?;
    if destination.is_here(&tarball) {
        context.cache.remove(&tarball)?;
    }
    match put {
        Put::Written => Ok(Pushed::Written {
            tarball,
            size: archived.content.len(),
        }),
        Put::Refused => {
            let theirs = entry_there(destination, key).await?.flatten();
            Ok(Pushed::beside(theirs, tarball))
        }
    }
}

/// An archive that an entry shall have.
pub(super) struct Tarball<'a> {
    pub(super) content: &'a Content,
    pub(super) digest: Digest,
}

/// Writes an entry: blobs, then the mark, then the manifest, unless there is one. `spec_text` is any text that has the spec.
pub(super) async fn write_entry(
    destination: &Destination,
    key: &str,
    tarball: &Tarball<'_>,
    spec_text: &str,
    context: &Context<'_>,
    on_bytes: OnBytes<'_>,
) -> Result<Put, CacheFault> {
    let writer = &destination.writer;
    let replace = destination.options.existing == Existing::Replace;
    destination.prepare().await?;
    put_blob(writer, tarball.content, &tarball.digest, replace, on_bytes).await?;
    let spec_blob = spec_blob(spec_text)?;
    let spec_digest = Digest::of(&spec_blob);
    let spec_blob = Content::Memory(Arc::from(spec_blob));
    put_blob(writer, &spec_blob, &spec_digest, replace, UNHEARD).await?;
    let manifest = manifest(tarball, &spec_digest, spec_blob.len());
    let text = destination
        .signing
        .signed(manifest.to_text(), context.now)?;
    if let Some(mark) = pending::mark_of(key) {
        writer.put(&mark, Bytes::new(), &When::Always).await?;
    }
    let when = if replace { When::Always } else { When::Absent };
    Ok(writer.put(key, Bytes::from(text), &when).await?)
}

impl Pushed {
    /// What becomes of a package whose hash has an entry that names `theirs`, if that can be read.
    pub(super) fn beside(theirs: Option<Digest>, ours: Digest) -> Self {
        if theirs == Some(ours) {
            Self::Present
        } else {
            Self::Refused { ours, theirs }
        }
    }
}

/// The entry that is there: the archive that it names, if it can be read. Nobody's signature is checked: nothing is done with
/// what it names.
async fn entry_there(
    destination: &Destination,
    key: &str,
) -> Result<Option<Option<Digest>>, CacheFault> {
    let Some(bytes) = destination.writer.get(key, MAX_MANIFEST_BYTES).await? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = if openpgp::is_clear_signed(&text) {
        openpgp::unverified_text(&text).unwrap_or_default()
    } else {
        text
    };
    let manifest = Manifest::parse(&text).ok();
    let tarball = manifest.and_then(|it| it.tarball().ok().map(|it| it.checksum));
    Ok(Some(tarball.as_ref().map(super::object::digest)))
}

/// The package's spec file as build caches have it, compressed.
fn spec_blob(text: &str) -> Result<Vec<u8>, CacheFault> {
    let text = spec_blob_text(text)?;
    let mut gzip = GzEncoder::new(Vec::new(), Level::default());
    // Writing to a Vec does not fail.
    let written = gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish());
    written.map_err(|_| CacheFault::Abandoned)
}

fn manifest(tarball: &Tarball<'_>, spec: &Digest, spec_size: u64) -> Manifest {
    let record = |media_type: &str, digest: &Digest, content_length| BlobRecord {
        content_length,
        media_type: media_type.to_owned(),
        compression: Compression::Gzip,
        checksum: checksum(digest),
    };
    Manifest {
        records: vec![
            record(TARBALL_MEDIA_TYPE, &tarball.digest, tarball.content.len()),
            record(SPEC_MEDIA_TYPE, spec, spec_size),
        ],
    }
}
