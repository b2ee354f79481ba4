//! Images to targets: registries, image layouts, archives, SIF files wherever they go.
//!
//! ```text
//! Image ─► publish ─┬─ registry.rs   HEAD, mount, upload; manifest by digest; tag last, by multi_arch.rs
//!                   ├─ layout.rs     blobs, then index.json, each by rename
//!                   ├─ archive.rs    one tar, by rename
//!                   └─ made_sif.rs ─┬─ sif.rs      one SIF file or squashfs, by rename
//! definition file ─► publish_sif ───┤─ object.rs   a SIF file in a bucket, in parts
//!                                   └─ oras.rs     a SIF file in a registry
//! ```
//!
//! Start at [`publish`] and [`Target`]; [`existing`] reads back what a target holds, and [`send_ahead`] brings layers to
//! registries while the image is still being finished. What is about an image is attached to it by [`attach`].
//!
//! To many places at once, all or none: [`release`].
//!
//! Guaranteed:
//! - one receipt or one reason for every target, in the order given; one that fails does not stop
//!   the others;
//! - every byte is hashed again on its way, and a target never holds an image of which a blob is
//!   missing or wrong: until the last step it holds what it held before, also after `kill -9`;
//! - what a target has is not sent again;
//! - the same image gives the same bytes in layouts and archives.

mod ahead;
mod archive;
mod attachment;
mod blobs;
mod existing;
mod file;
mod has_sif;
mod layout;
mod made_sif;
mod multi_arch;
mod object;
mod oras;
mod progress;
mod receipt;
mod registry;
pub mod release;
mod sif;
mod target;
mod template;

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future;
use oci_format::Platform;

use crate::bucket::BucketAccess;
use crate::deffile::Prepared;
use crate::event::Reporter;
use crate::image::Image;
use crate::local_cache::LocalCache;
use crate::registry::RegistryClient;
use crate::sif::SquashfsOptions;
use blobs::Blobs;
use made_sif::{Form, OnceMade, Origin};

pub use ahead::{Ahead, send_ahead};
pub use attachment::{Attached, AttachedBlob, Attachment, attach, attachments, read_attachment};
pub use existing::{Existing, existing};
pub use file::remove_stale;
pub use has_sif::has_sif;
pub(crate) use made_sif::digest as digest_of_file;
pub use oras::{SIF_LAYER, SifArtifact, find_sif};
pub(crate) use progress::Task;
pub use receipt::{PublishError, Receipt};
pub use target::{Target, TargetError, TargetFault};
pub use template::{Placeholders, check_template};

/// What publishing needs of the world.
#[derive(Clone)]
pub struct PublishContext {
    /// Registries, for targets and for layers that are only in a registry so far.
    pub registry: RegistryClient,
    /// Buckets, for SIF files.
    pub buckets: BucketAccess,
    /// Where such layers are kept when a target lacks them.
    pub cache: LocalCache,
    /// Blobs that move at a time, for each target.
    pub jobs: NonZeroUsize,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
    /// What was brought to registries before the image was finished; a new one for each image.
    pub ahead: Ahead,
    /// What the image runs on: of a name that holds images for several platforms, this one's is meant. Without it the name
    /// has to hold one image.
    pub platform: Option<Platform>,
    /// Whether the project has the image for other platforms as well: then its name holds an index from the first on.
    pub is_one_of_several: bool,
    /// Whether SIF files are written and sent again where the same is there already.
    pub is_forced: bool,
    /// How file systems are written, for SIF files and bare ones.
    pub squashfs: SquashfsOptions,
}

/// Sends `image` to all `targets` at once.
pub async fn publish(
    image: &Image,
    targets: &[Target],
    context: &PublishContext,
) -> Vec<Result<Receipt, PublishError>> {
    let blobs = Blobs::of(image);
    let blobs = &blobs;
    let once = OnceMade::new(Origin::Image(blobs));
    let once = &once;
    let is_shared = is_shared(targets);
    let results = future::join_all(targets.iter().map(async |target| match target {
        Target::Registry(reference) => registry::push(blobs, target, reference, context).await,
        Target::OciLayout {
            directory,
            reference,
        } => layout::write(blobs, target, directory, reference.as_deref(), context).await,
        Target::OciArchive { file, reference } => {
            let form = archive::Form::Oci(reference.as_deref());
            archive::write(blobs, target, file, form, context).await
        }
        Target::DockerArchive { file, reference } => {
            let form = archive::Form::Docker(reference.as_ref());
            archive::write(blobs, target, file, form, context).await
        }
        _ => {
            let receipt = Receipt::new(target, image);
            send_sif(once, target, is_shared, receipt, context).await
        }
    }))
    .await;
    for damaged in results.iter().filter_map(|it| it.as_ref().err()?.damaged()) {
        // Should it lie in the cache it would be believed again; a failure here changes nothing.
        let _ = context.cache.remove(damaged);
    }
    results
}

/// Writes what a definition file describes to all `targets` at once. They are files, buckets and registries that take SIF
/// files; others are refused.
pub async fn publish_sif(
    prepared: &Arc<Prepared>,
    targets: &[Target],
    context: &PublishContext,
) -> Vec<Result<Receipt, PublishError>> {
    let once = OnceMade::new(Origin::Deffile(prepared));
    let once = &once;
    let is_shared = is_shared(targets);
    future::join_all(targets.iter().map(async |target| {
        let receipt = Receipt::nothing(target);
        send_sif(once, target, is_shared, receipt, context).await
    }))
    .await
}

/// Whether the SIF file is written once for several targets: what is sent somewhere has to lie here anyway.
fn is_shared(targets: &[Target]) -> bool {
    let is_sent = |target: &Target| matches!(target, Target::Object(_) | Target::Oras(_));
    targets.iter().any(is_sent)
}

async fn send_sif(
    once: &OnceMade<'_>,
    target: &Target,
    is_shared: bool,
    receipt: Receipt,
    context: &PublishContext,
) -> Result<Receipt, PublishError> {
    match target {
        Target::Sif(file) => {
            sif::write(once, target, file, Form::Sif, is_shared, receipt, context).await
        }
        Target::Squashfs(file) => {
            let form = Form::Squashfs;
            sif::write(once, target, file, form, is_shared, receipt, context).await
        }
        Target::Object(object) => object::send(once, target, object, receipt, context).await,
        Target::Oras(reference) => oras::push(once, target, reference, receipt, context).await,
        Target::Registry(_)
        | Target::OciLayout { .. }
        | Target::OciArchive { .. }
        | Target::DockerArchive { .. } => Err(PublishError::OnlySif(Box::new(target.clone()))),
    }
}
