//! The blobs of an image: its config and its layers, each once.

use std::collections::HashSet;

use oci_format::Descriptor;

use super::progress::Task;
use super::{PublishContext, PublishError, Target};
use crate::content::Content;
use crate::event::TaskKind;
use crate::image::{Image, LayerContent, RecordedLayer, RegistryOrigin};

/// The blobs of one image, config first.
pub(super) struct Blobs<'a> {
    pub(super) image: &'a Image,
    pub(super) all: Vec<Blob<'a>>,
}

/// One blob, and where its bytes are.
pub(super) struct Blob<'a> {
    pub(super) descriptor: &'a Descriptor,
    pub(super) title: &'a str,
    content: LayerContent,
    /// Repositories that hold it.
    pub(super) origins: Vec<&'a RegistryOrigin>,
}

impl<'a> Blobs<'a> {
    pub(super) fn of(image: &'a Image) -> Self {
        let mut all = vec![Blob {
            descriptor: &image.config_descriptor,
            title: "image config",
            content: LayerContent::Here(Content::Memory(image.config.as_slice().into())),
            origins: Vec::new(),
        }];
        let mut seen = HashSet::from([image.config_descriptor.digest]);
        for layer in &image.layers {
            if !seen.insert(layer.descriptor.digest) {
                continue;
            }
            all.push(Blob::of(layer));
        }
        Self { image, all }
    }

    /// Bytes of all blobs.
    pub(super) fn size(&self) -> u64 {
        self.all.iter().map(|blob| blob.descriptor.size).sum()
    }
}

impl<'a> Blob<'a> {
    /// Bytes of this machine.
    pub(super) fn here(descriptor: &'a Descriptor, title: &'a str, content: Content) -> Self {
        Self {
            descriptor,
            title,
            content: LayerContent::Here(content),
            origins: Vec::new(),
        }
    }

    /// A layer, and every repository that is known to hold it.
    pub(super) fn of(layer: &'a RecordedLayer) -> Self {
        let mut origins: Vec<_> = layer.origins.iter().collect();
        if let LayerContent::Remote(origin) = &layer.content {
            origins.push(origin);
        }
        let mut known = HashSet::new();
        origins.retain(|origin| known.insert(*origin));
        Self {
            descriptor: &layer.descriptor,
            title: &layer.title,
            content: layer.content.clone(),
            origins,
        }
    }

    /// The bytes on this machine; fetched into the local cache when they are not here yet. Two
    /// targets that want the same blob fetch it once: the cache lets one in at a time.
    pub(super) async fn content(
        &self,
        target: &Target,
        context: &PublishContext,
    ) -> Result<Content, PublishError> {
        let origin = match &self.content {
            LayerContent::Here(content) => return Ok(content.clone()),
            LayerContent::Remote(origin) => origin,
        };
        if let Some(content) = context.cache.blob(&self.descriptor.digest)
            && content.len() == self.descriptor.size
        {
            return Ok(content);
        }
        let size = self.descriptor.size;
        let label = self.title.to_owned();
        let task = Task::start(&context.reporter, TaskKind::Fetch, label, size);
        let fetched = async {
            let repository = context.registry.origin(origin)?;
            repository
                .blob_to_cache(self.descriptor, &context.cache, task.advance())
                .await
        };
        let content = fetched.await.map_err(|source| PublishError::Fetch {
            target: Box::new(target.clone()),
            digest: self.descriptor.digest,
            title: self.title.to_owned(),
            source: Box::new(source),
        })?;
        task.finish();
        Ok(content)
    }

    /// A task for sending it.
    pub(super) fn task(&self, context: &PublishContext) -> Task {
        let label = self.title.to_owned();
        Task::start(
            &context.reporter,
            TaskKind::Upload,
            label,
            self.descriptor.size,
        )
    }
}
