//! The names, one request each: those that stay first, those that everybody follows last.

use super::super::made_sif::Form;
use super::super::multi_arch::Naming;
use super::super::{
    PublishError, Receipt, Target, archive, attach, is_shared, layout, object, sif,
};
use super::look::{Held, look};
use super::stage::{Ready, Staged};
use super::{ReleaseError, Work};

/// Gives every place its new content; then looks whether all have it.
pub(super) async fn switch(
    work: &Work<'_>,
    held: &[Held],
    staged: &mut Staged,
) -> Result<(), ReleaseError> {
    let places = work.release.places;
    let mut order: Vec<usize> = (0..places.len()).collect();
    // Files of this machine first: they are the most work, and nobody else reads them.
    order.sort_by_key(|index| {
        let is_file = staged
            .parts
            .get(*index)
            .is_some_and(|it| matches!(it.ready, Ready::File));
        let moves = places.get(*index).is_some_and(|it| !it.is_fixed);
        (!is_file, moves)
    });
    let all = order
        .iter()
        .filter(|index| held.get(**index).is_some_and(|it| *it != Held::Same))
        .count();
    let mut done = 0;
    for index in order {
        let Some(part) = staged.parts.get_mut(index) else {
            continue;
        };
        if matches!(part.ready, Ready::Current) {
            continue;
        }
        let changed = rename(work, &mut part.receipt, &mut part.ready).await;
        changed.map_err(|source| match done {
            0 => ReleaseError::Failed(vec![source]),
            _ => ReleaseError::Unfinished {
                done,
                all,
                target: Box::new(part.receipt.target.clone()),
                source: Box::new(source),
            },
        })?;
        done += 1;
    }
    verify(work, staged).await
}

async fn rename(
    work: &Work<'_>,
    receipt: &mut Receipt,
    ready: &mut Ready,
) -> Result<(), PublishError> {
    let target = receipt.target.clone();
    match ready {
        Ready::Current => Ok(()),
        Ready::Tag {
            repository,
            key,
            media_type,
            manifest,
        } => {
            let refused = PublishError::registry(&target);
            if let (Target::Registry(_), Some(blobs)) = (&target, work.blobs) {
                let naming = Naming::of(blobs.image, work.context);
                let named = naming.in_registry(repository, key, manifest);
                return named.await.map(drop).map_err(refused);
            }
            let put = repository.put_manifest(key.clone(), media_type, manifest.clone());
            put.await.map_err(refused)
        }
        Ready::Object { bucket, staged } => match (&target, staged.take()) {
            (Target::Object(name), Some(staged)) => {
                object::commit(staged, &target, name, bucket, receipt, work.context).await
            }
            _ => Ok(()),
        },
        Ready::File => {
            *receipt = file(work, &target, receipt.clone()).await?;
            Ok(())
        }
    }
}

/// A file or folder of this machine.
async fn file(work: &Work<'_>, target: &Target, receipt: Receipt) -> Result<Receipt, PublishError> {
    let (once, context) = (work.once, work.context);
    let only_sif = || PublishError::OnlySif(Box::new(target.clone()));
    let targets: Vec<Target> = work
        .release
        .places
        .iter()
        .map(|it| it.target.clone())
        .collect();
    let is_shared = is_shared(&targets);
    match target {
        Target::Sif(path) => {
            sif::write(once, target, path, Form::Sif, is_shared, receipt, context).await
        }
        Target::Squashfs(path) => {
            let form = Form::Squashfs;
            sif::write(once, target, path, form, is_shared, receipt, context).await
        }
        Target::OciLayout {
            directory,
            reference,
        } => {
            let blobs = work.blobs.ok_or_else(only_sif)?;
            let name = reference.as_deref();
            let receipt = layout::write(blobs, target, directory, name, context).await?;
            for attachment in work.release.attachments {
                let subject = &blobs.image.manifest_descriptor;
                attach(target, subject, attachment, context).await?;
            }
            Ok(receipt)
        }
        Target::OciArchive { file, reference } => {
            let blobs = work.blobs.ok_or_else(only_sif)?;
            let form = archive::Form::Oci(reference.as_deref());
            archive::write(blobs, target, file, form, context).await
        }
        Target::DockerArchive { file, reference } => {
            let blobs = work.blobs.ok_or_else(only_sif)?;
            let form = archive::Form::Docker(reference.as_ref());
            archive::write(blobs, target, file, form, context).await
        }
        // These have been staged.
        Target::Registry(_) | Target::Object(_) | Target::Oras(_) => Ok(receipt),
    }
}

/// Every name means the release now; a registry may need a moment for it to show.
async fn verify(work: &Work<'_>, staged: &Staged) -> Result<(), ReleaseError> {
    let Some(blobs) = work.blobs else {
        return Ok(());
    };
    let ours = blobs.image.manifest_descriptor.digest;
    for (place, part) in work.release.places.iter().zip(&staged.parts) {
        if !matches!(
            (&place.target, &part.ready),
            (Target::Registry(_), Ready::Tag { .. })
        ) {
            // Objects are looked at when they are made, files by whoever writes them.
            continue;
        }
        let held = look(work, place).await;
        let held = held.map_err(|error| ReleaseError::Failed(vec![error]))?;
        if held != Held::Same {
            return Err(ReleaseError::Moved {
                target: Box::new(place.target.clone()),
                found: held.before(),
                ours,
            });
        }
    }
    Ok(())
}
