//! Images to targets: registries, image layouts, archives.
//!
//! ```text
//! Image ─► publish ─┬─ registry.rs   HEAD, mount, upload; manifest by digest; tag last
//!                   ├─ layout.rs     blobs, then index.json, each by rename
//!                   ├─ archive.rs    one tar, by rename
//!                   └─ sif.rs        one SIF file or squashfs, by rename
//! ```
//!
//! Start at [`publish`] and [`Target`]; [`existing`] reads back what a target holds, and [`send_ahead`] brings layers to
//! registries while the image is still being finished.
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
mod blobs;
mod existing;
mod file;
mod layout;
mod progress;
mod receipt;
mod registry;
mod sif;
mod target;

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future;

use crate::event::Reporter;
use crate::image::Image;
use crate::local_cache::LocalCache;
use crate::registry::RegistryClient;
use crate::sif::SquashfsOptions;
use blobs::Blobs;

pub use ahead::{Ahead, send_ahead};
pub use existing::{Existing, existing};
pub use receipt::{PublishError, Receipt};
pub use target::{Target, TargetError, TargetFault};

/// What publishing needs of the world.
#[derive(Clone)]
pub struct PublishContext {
    /// Registries, for targets and for layers that are only in a registry so far.
    pub registry: RegistryClient,
    /// Where such layers are kept when a target lacks them.
    pub cache: LocalCache,
    /// Blobs that move at a time, for each target.
    pub jobs: NonZeroUsize,
    /// Who watches.
    pub reporter: Arc<dyn Reporter>,
    /// What was brought to registries before the image was finished; a new one for each image.
    pub ahead: Ahead,
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
    let results = future::join_all(targets.iter().map(async |target| match target {
        Target::Registry(reference) => registry::push(blobs, target, reference, context).await,
        Target::OciLayout {
            directory,
            reference,
        } => layout::write(blobs, target, directory, reference.as_deref(), context).await,
        Target::OciArchive { .. } | Target::DockerArchive { .. } => {
            archive::write(blobs, target, context).await
        }
        Target::Sif(file) => sif::write(blobs, target, file, sif::Form::Sif, context).await,
        Target::Squashfs(file) => {
            sif::write(blobs, target, file, sif::Form::Squashfs, context).await
        }
    }))
    .await;
    for damaged in results.iter().filter_map(|it| it.as_ref().err()?.damaged()) {
        // Should it lie in the cache it would be believed again; a failure here changes nothing.
        let _ = context.cache.remove(damaged);
    }
    results
}
