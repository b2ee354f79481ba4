//! What a place holds before the release.

use oci_format::Digest;

use super::super::multi_arch::{Meaning, Naming};
use super::super::{PublishError, Target, existing, find_sif, has_sif};
use super::{Place, Work};
use crate::bucket::Bucket;
use crate::registry::ManifestKey;
use crate::sif::SifFacts;

/// What a place holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing.
    Nothing,
    /// This release.
    Same,
    /// Something else: the digest of its image, or of the file.
    Other(Option<Digest>),
}

impl Held {
    /// The digest of what is there, if it is another release.
    pub(super) fn before(self) -> Option<Digest> {
        match self {
            Self::Other(digest) => digest,
            Self::Nothing | Self::Same => None,
        }
    }
}

/// Asks the place.
pub(super) async fn look(work: &Work<'_>, place: &Place) -> Result<Held, PublishError> {
    let (context, target) = (work.context, &place.target);
    let facts = work.once.origin.facts();
    // Whoever forces wants SIF files written again, whatever is there.
    let same_sif = async || {
        let found = has_sif(target, &facts, context).await?;
        Ok::<bool, PublishError>(found.is_some() && !context.is_forced)
    };
    let of_facts = |there: &SifFacts| Held::Other(there.image.or(there.file));
    match target {
        Target::Registry(reference) => {
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            let Some(blobs) = work.blobs else {
                return Ok(Held::Nothing);
            };
            let naming = Naming::of(blobs.image, context);
            let key = ManifestKey::from(reference);
            let meaning = naming.meaning(&repository, &key);
            Ok(match meaning.await.map_err(&refused)? {
                Meaning::Nothing => Held::Nothing,
                Meaning::Image(there) if Some(there) == facts.image => Held::Same,
                Meaning::Image(there) | Meaning::Other(there) => Held::Other(Some(there)),
            })
        }
        Target::Object(object) => {
            if same_sif().await? {
                return Ok(Held::Same);
            }
            let refused = PublishError::bucket(target);
            let bucket = Bucket::open(&object.bucket, &context.buckets).await;
            let bucket = bucket.map_err(&refused)?;
            let there = bucket.head(&object.key).await.map_err(&refused)?;
            Ok(there.map_or(Held::Nothing, |it| {
                of_facts(&SifFacts::from_metadata(&it.metadata))
            }))
        }
        Target::Oras(reference) => {
            if same_sif().await? {
                return Ok(Held::Same);
            }
            let refused = PublishError::registry(target);
            let repository = context.registry.repository(reference).map_err(&refused)?;
            let key = ManifestKey::from(reference);
            if repository
                .manifest_head(key)
                .await
                .map_err(&refused)?
                .is_none()
            {
                return Ok(Held::Nothing);
            }
            // Something that is no SIF file is something else, too.
            let found = find_sif(&repository, reference).await.map_err(&refused)?;
            Ok(found.map_or(Held::Other(None), |it| of_facts(&it.facts)))
        }
        Target::Sif(_) if same_sif().await? => Ok(Held::Same),
        Target::OciLayout { .. } | Target::Sif(_) => {
            let there = existing(target, context).await?;
            let there = there.map(|it| it.descriptor.digest);
            Ok(match there {
                None => Held::Nothing,
                // A SIF file that is forced is written again.
                there if there == facts.image && matches!(target, Target::OciLayout { .. }) => {
                    Held::Same
                }
                there => Held::Other(there),
            })
        }
        // Archives and bare file systems do not say what they were made from: they are written anew, as `build` does.
        Target::OciArchive { .. } | Target::DockerArchive { .. } | Target::Squashfs(_) => {
            Ok(Held::Nothing)
        }
    }
}
