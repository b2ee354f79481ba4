//! One name for several platforms: an image index that many may write.
//!
//! ```text
//! what the name holds ──► [`Naming::over`] ─┬─► the image itself    one platform, and nothing else under the name
//!                                           └─► an index            all that is there, with ours in its place
//! ```
//!
//! The name holds an index if it held one, if it held the image of another platform, or if the project has the container for
//! several. What others put there stays: a layout is changed under its lock; in a registry, which has no conditions, the tag
//! is read, written, and looked at again after a pause that is longer than writing takes, until ours is in it.

use std::path::Path;
use std::time::{Duration, Instant};

use oci_format::json::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use oci_format::{
    Descriptor, Digest, ImageConfig, ImageIndex, ImageManifest, JsonError, Manifest, Platform,
    layout, media_type,
};

use super::layout::read_bounded;
use super::{PublishContext, PublishError};
use crate::image::Image;
use crate::registry::{FetchedManifest, ManifestKey, RegistryError, Repository};

/// How often a tag is read and written before somebody else is always faster.
const ROUNDS: u32 = 12;

/// The least pause before a tag that was written is looked at again.
const PAUSE: Duration = Duration::from_millis(300);

/// What wants a name.
pub(super) struct Naming {
    /// The image's manifest, with its platform.
    image: Descriptor,
    /// Whether the project has it for other platforms as well.
    is_one_of_several: bool,
}

/// What a name holds.
enum Held {
    Nothing,
    /// One image, and what it runs on, if its config says.
    Image(Descriptor, Option<Platform>),
    Index(ImageIndex),
}

/// What a name should hold.
#[derive(Debug, PartialEq)]
enum Wanted {
    Image,
    Index(Vec<u8>),
}

/// What a name means to those who run what an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing: there is no such name, or only images for other platforms under it.
    Nothing,
    /// This image.
    Image(Digest),
    /// Something that is no image.
    Other(Digest),
}

impl Naming {
    /// What an image that a repository has wants; nothing if it is no image.
    pub(super) async fn of_stored(
        stored: &FetchedManifest,
        repository: &Repository,
        context: &PublishContext,
    ) -> Result<Option<Self>, RegistryError> {
        let found = FetchedManifest {
            descriptor: stored.descriptor.clone(),
            bytes: stored.bytes.clone(),
        };
        Ok(match held(Some(found), repository).await? {
            Held::Image(mut image, platform) => {
                image.platform = platform;
                Some(Self {
                    image,
                    is_one_of_several: context.is_one_of_several,
                })
            }
            Held::Nothing | Held::Index(_) => None,
        })
    }

    /// What `tag` means to those who run what the image is for.
    pub(super) async fn meaning(
        &self,
        repository: &Repository,
        tag: &ManifestKey,
    ) -> Result<Meaning, RegistryError> {
        let Some(found) = repository.manifest(tag.clone()).await? else {
            return Ok(Meaning::Nothing);
        };
        let digest = found.descriptor.digest;
        let ours = self.image.platform.as_ref();
        Ok(match (held(Some(found), repository).await?, ours) {
            (Held::Nothing, _) => Meaning::Other(digest),
            (Held::Image(..), None) => Meaning::Image(digest),
            (Held::Image(_, Some(its)), Some(ours)) if !is_for(&its, ours) => Meaning::Nothing,
            (Held::Image(..), Some(_)) => Meaning::Image(digest),
            (Held::Index(_), None) => Meaning::Other(digest),
            (Held::Index(index), Some(ours)) => match index.entry(ours) {
                Some(entry) => Meaning::Image(entry.digest),
                None => Meaning::Nothing,
            },
        })
    }

    /// What `image` wants, whose config says what it runs on.
    pub(super) fn of(image: &Image, context: &PublishContext) -> Self {
        let mut descriptor = image.manifest_descriptor.clone();
        descriptor.platform = ImageConfig::parse(&image.config)
            .ok()
            .map(|config| platform(&config));
        Self {
            image: descriptor,
            is_one_of_several: context.is_one_of_several,
        }
    }

    /// What a name should hold that holds `held`.
    fn over(&self, held: Held) -> Wanted {
        let Some(platform) = &self.image.platform else {
            return Wanted::Image;
        };
        let mut index = match held {
            Held::Index(index) => index,
            Held::Image(other, Some(its)) if !is_for(&its, platform) => {
                let mut other = other;
                other.platform = Some(its);
                ImageIndex::new(vec![other])
            }
            Held::Nothing | Held::Image(..) => match self.is_one_of_several {
                true => ImageIndex::new(Vec::new()),
                false => return Wanted::Image,
            },
        };
        // An index of Docker's kind stays one; ours has the words of OCI.
        if index.media_type.is_none() {
            index.media_type = Some(media_type::IMAGE_INDEX.to_owned());
        }
        index.put(self.image.clone());
        Wanted::Index(index.to_json())
    }

    /// Lets `tag` name the image, whose manifest `bytes` is there already; says whether that changed anything.
    pub(super) async fn in_registry(
        &self,
        repository: &Repository,
        tag: &ManifestKey,
        bytes: &[u8],
    ) -> Result<bool, RegistryError> {
        let mut is_written = false;
        for round in 0..ROUNDS {
            let start = Instant::now();
            let found = repository.manifest(tag.clone()).await?;
            let there = found.as_ref().map(|it| it.bytes.clone());
            match self.over(held(found, repository).await?) {
                Wanted::Image => {
                    let is_there = there.as_deref() == Some(bytes);
                    if !is_there {
                        let kind = &self.image.media_type;
                        repository
                            .put_manifest(tag.clone(), kind, bytes.to_vec())
                            .await?;
                    }
                    return Ok(!is_there || is_written);
                }
                Wanted::Index(index) if there.as_ref() == Some(&index) => return Ok(is_written),
                Wanted::Index(index) => {
                    let kind = index_media_type(&index);
                    let by_digest = Descriptor::of(&*kind, &index).digest;
                    repository
                        .put_manifest(by_digest, &kind, index.clone())
                        .await?;
                    repository.put_manifest(tag.clone(), &kind, index).await?;
                    is_written = true;
                }
            }
            // Whoever read before we wrote has written by then. Two that keep meeting part here: their images differ.
            let own = u32::from(self.image.digest.as_bytes()[0]);
            let longer = PAUSE.max(start.elapsed() * 2) + Duration::from_millis(2) * own;
            tokio::time::sleep(longer * (round + 1).min(4)).await;
        }
        // It was written as often as this, and somebody else wrote over it each time: the next run goes on from there.
        Ok(is_written)
    }

    /// Lets `name` name the image in the layout at `root`, whose lock is held: the new `index.json` over `before`.
    pub(super) fn in_layout(
        &self,
        root: &Path,
        name: Option<&str>,
        before: Option<&[u8]>,
        write: impl FnOnce(&Path, &[u8]) -> Result<(), PublishError>,
    ) -> Result<Vec<u8>, PublishError> {
        let path = root.join(layout::INDEX_FILE);
        let malformed = |source: JsonError| PublishError::Layout {
            path: path.clone(),
            source,
        };
        let named = match before {
            Some(before) => layout::find_reference(before, name).map_err(malformed)?,
            None => None,
        };
        let named = named.map(|named| held_in_layout(root, named)).transpose()?;
        let mut target = self.image.clone();
        match self.over(named.unwrap_or(Held::Nothing)) {
            Wanted::Image => target.platform = None,
            Wanted::Index(index) => {
                target = Descriptor::of(index_media_type(&index), &index);
                write(&root.join(layout::blob_path(&target.digest)), &index)?;
            }
        }
        layout::set_reference(before, name, &target).map_err(malformed)
    }
}

/// What an image runs on.
fn platform(config: &ImageConfig) -> Platform {
    Platform {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        variant: config.variant.clone(),
    }
}

/// Whether an image for one of them is what the other is for: an index would have one entry for both.
fn is_for(a: &Platform, b: &Platform) -> bool {
    let mut entry = Descriptor::of(media_type::IMAGE_MANIFEST, b"");
    entry.platform = Some(a.clone());
    ImageIndex::new(vec![entry]).entry(b).is_some()
}

fn index_media_type(index: &[u8]) -> String {
    let parsed = ImageIndex::parse(index).ok();
    let named = parsed.and_then(|index| index.media_type);
    named.unwrap_or_else(|| media_type::IMAGE_INDEX.to_owned())
}

/// What a tag holds. An image whose config cannot be read is replaced, as it always was.
async fn held(
    found: Option<FetchedManifest>,
    repository: &Repository,
) -> Result<Held, RegistryError> {
    let Some(found) = found else {
        return Ok(Held::Nothing);
    };
    let manifest = match Manifest::parse(&found.bytes) {
        Ok(Manifest::Index(index)) => return Ok(Held::Index(*index)),
        Ok(Manifest::Image(manifest)) => manifest,
        Err(_) => return Ok(Held::Nothing),
    };
    let config = match is_image(&manifest) {
        true => {
            repository
                .blob_bytes(&manifest.config, MAX_CONFIG_BYTES)
                .await
        }
        false => return Ok(Held::Nothing),
    };
    let config = match config {
        Ok(bytes) => ImageConfig::parse(&bytes).ok(),
        Err(RegistryError::Missing(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(Held::Image(found.descriptor, config.as_ref().map(platform)))
}

/// The same of an entry of a layout. One whose blob is missing or damaged holds nothing.
fn held_in_layout(root: &Path, named: Descriptor) -> Result<Held, PublishError> {
    let read = |descriptor: &Descriptor, limit| {
        let path = root.join(layout::blob_path(&descriptor.digest));
        let bytes = read_bounded(&path, limit).map_err(PublishError::io("read", &path))?;
        let is_whole = |bytes: &Vec<u8>| Digest::of(bytes) == descriptor.digest;
        Ok::<_, PublishError>(bytes.filter(is_whole))
    };
    let bytes = read(&named, MAX_MANIFEST_BYTES)?;
    let manifest = match bytes.and_then(|bytes| Manifest::parse(&bytes).ok()) {
        Some(Manifest::Index(index)) => return Ok(Held::Index(*index)),
        Some(Manifest::Image(manifest)) if is_image(&manifest) => manifest,
        _ => return Ok(Held::Nothing),
    };
    let config = read(&manifest.config, MAX_CONFIG_BYTES)?;
    let config = config.and_then(|bytes| ImageConfig::parse(&bytes).ok());
    Ok(Held::Image(named, config.as_ref().map(platform)))
}

/// Whether it is the manifest of an image, and not of some artifact.
fn is_image(manifest: &ImageManifest) -> bool {
    matches!(
        manifest.config.media_type.as_str(),
        media_type::IMAGE_CONFIG | media_type::DOCKER_CONFIG
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str, architecture: &str) -> (Descriptor, Platform) {
        let platform = Platform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
        };
        let mut descriptor = Descriptor::of(media_type::IMAGE_MANIFEST, text.as_bytes());
        descriptor.platform = Some(platform.clone());
        (descriptor, platform)
    }

    fn platforms(wanted: &Wanted) -> Vec<String> {
        let Wanted::Index(bytes) = wanted else {
            return Vec::new();
        };
        let index = ImageIndex::parse(bytes).expect("an index");
        let platforms = index.manifests.into_iter().filter_map(|it| it.platform);
        platforms.map(|it| it.architecture).collect()
    }

    #[test]
    fn a_name_holds_an_index_as_soon_as_there_are_two_platforms() {
        let (ours, platform) = described("ours", "amd64");
        let naming = |is_one_of_several| Naming {
            image: ours.clone(),
            is_one_of_several,
        };
        let (same, _) = described("before", "amd64");
        let (other, arm) = described("other", "arm64");
        assert_eq!(naming(false).over(Held::Nothing), Wanted::Image);
        let before = || Held::Image(same.clone(), Some(platform.clone()));
        assert_eq!(naming(false).over(before()), Wanted::Image);
        assert_eq!(platforms(&naming(true).over(before())), ["amd64"]);
        assert_eq!(platforms(&naming(true).over(Held::Nothing)), ["amd64"]);
        let both = naming(false).over(Held::Image(other.clone(), Some(arm)));
        assert_eq!(platforms(&both), ["amd64", "arm64"]);
        let index = Held::Index(ImageIndex::new(vec![other, same]));
        let after = naming(false).over(index);
        assert_eq!(after, both);
    }
}
