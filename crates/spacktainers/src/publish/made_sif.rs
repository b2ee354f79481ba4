//! One SIF file for several targets: written once, then copied or sent to each.
//!
//! ```text
//! Origin ─► Job ─┬─► straight under the target's name         one target, a file
//!                └─► MadeSif, in the local cache's folder ─┬─► a file      shared with it where the file system can
//!                                                          ├─► a bucket
//!                                                          └─► a registry
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use oci_format::{Digest, DigestWriter, ImageConfig, annotation};
use tokio::sync::OnceCell;

use super::blobs::{Blob, Blobs};
use super::layout::blocking;
use super::progress::Task;
use super::{PublishContext, PublishError, Target};
use crate::deffile::Prepared;
use crate::event::{Event, TaskKind};
use crate::local_cache::Scratch;
use crate::sif::{self, SifFacts, SifInput, SifRecord, SifSummary, SifWriteError, SquashfsOptions};
use crate::source::LoadedLayer;

/// Bytes moved at a time.
const BUFFER: usize = 256 << 10;

/// What a SIF file is made from.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// An image.
    Image(&'a Blobs<'a>),
    /// A definition file.
    Deffile(&'a Arc<Prepared>),
}

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Sif,
    Squashfs,
}

/// All that has to be at hand for writing the file.
pub(super) enum Job {
    Image {
        layers: Vec<LoadedLayer>,
        config: Box<ImageConfig>,
        digest: Digest,
    },
    Deffile(Arc<Prepared>),
}

impl Origin<'_> {
    /// What is known of the file before it is written.
    pub(super) fn facts(&self) -> SifFacts {
        match self {
            Self::Image(blobs) => {
                let labels = ImageConfig::parse(&blobs.image.config)
                    .map(|it| it.config.labels)
                    .unwrap_or_default();
                SifFacts::of_image(blobs.image.manifest_descriptor.digest, &labels)
            }
            Self::Deffile(prepared) => prepared.facts(),
        }
    }

    /// Whether the record of a SIF file says that it was made from this.
    pub(super) fn is_in(&self, record: &SifRecord) -> bool {
        match self {
            Self::Image(blobs) => record.image == Some(blobs.image.manifest_descriptor.digest),
            Self::Deffile(prepared) => {
                prepared.facts().definition == Some(record.definition)
                    && prepared.diff_ids().eq(&record.layers)
            }
        }
    }

    /// The bytes that will be read.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Image(blobs) => blobs.size(),
            Self::Deffile(prepared) => prepared.size(),
        }
    }

    /// Brings to this machine what the file is made from.
    pub(super) async fn job(
        &self,
        target: &Target,
        context: &PublishContext,
    ) -> Result<Job, PublishError> {
        let blobs = match self {
            Self::Image(blobs) => blobs,
            Self::Deffile(prepared) => return Ok(Job::Deffile(Arc::clone(prepared))),
        };
        let mut layers = Vec::new();
        for layer in &blobs.image.layers {
            layers.push(LoadedLayer {
                diff_id: layer.diff_id,
                digest: Some(layer.descriptor.digest),
                content: Blob::of(layer).content(target, context).await?,
            });
        }
        let config = ImageConfig::parse(&blobs.image.config).map_err(|source| {
            let path = target.to_string().into();
            PublishError::Layout { path, source }
        })?;
        Ok(Job::Image {
            layers,
            config: Box::new(config),
            digest: blobs.image.manifest_descriptor.digest,
        })
    }
}

impl Job {
    /// Writes the file. What is in `file` when it fails is of no use.
    pub(super) fn write(
        &self,
        form: Form,
        options: &SquashfsOptions,
        advance: &(dyn Fn(u64) + Sync),
        file: &mut File,
    ) -> Result<SifSummary, SifWriteError> {
        let input = match self {
            Self::Deffile(prepared) => prepared.input(),
            Self::Image {
                layers,
                config,
                digest,
            } => {
                let label = |key: &str| config.config.labels.get(key).cloned();
                let from = match (label(annotation::TITLE), label(annotation::VERSION)) {
                    (Some(title), Some(version)) => format!("{title}:{version}"),
                    _ => digest.to_string(),
                };
                SifInput::of_image(layers, config, Some(*digest), "spacktainers", &from)?
            }
        };
        Ok(match form {
            Form::Sif => sif::write_sif(&input, options, advance, file)?.1,
            Form::Squashfs => {
                sif::write_squashfs(input.layers, input.time, options, advance, file)?.1
            }
        })
    }
}

/// A SIF file that several targets want, or that is sent somewhere; it goes away with this value.
pub(super) struct MadeSif {
    pub(super) file: Scratch,
    pub(super) size: u64,
    /// What it is made from, with the digests of tree and file.
    pub(super) facts: SifFacts,
    pub(super) summary: SifSummary,
    pub(super) digest: Digest,
}

/// The file, written when the first target asks for it.
pub(super) struct OnceMade<'a> {
    pub(super) origin: Origin<'a>,
    made: OnceCell<Arc<MadeSif>>,
}

impl<'a> OnceMade<'a> {
    pub(super) fn new(origin: Origin<'a>) -> Self {
        Self {
            origin,
            made: OnceCell::new(),
        }
    }

    /// The file.
    pub(super) async fn get(
        &self,
        target: &Target,
        context: &PublishContext,
    ) -> Result<Arc<MadeSif>, PublishError> {
        let made = self.made.get_or_try_init(|| self.make(target, context));
        made.await.cloned()
    }

    /// Where it lies, if it has been written.
    pub(super) fn path(&self) -> Option<std::path::PathBuf> {
        self.made.get().map(|made| made.file.path().to_owned())
    }

    async fn make(
        &self,
        target: &Target,
        context: &PublishContext,
    ) -> Result<Arc<MadeSif>, PublishError> {
        let job = self.origin.job(target, context).await?;
        let task = Task::start(
            &context.reporter,
            TaskKind::Write,
            "SIF file".to_owned(),
            self.origin.size(),
        );
        let (advance, options) = (task.advance(), context.squashfs);
        let (cache, mut facts) = (context.cache.clone(), self.origin.facts());
        let made = blocking(target, move || {
            let mut scratch = cache.scratch()?;
            let path = scratch.path().to_owned();
            let file = scratch.file_mut();
            let written = job.write(Form::Sif, &options, &advance, file);
            let summary = written.map_err(|source| PublishError::sif(&path, source))?;
            let digest = digest(&path).map_err(PublishError::io("read", &path))?;
            facts.tree = Some(summary.tree);
            facts.file = Some(digest);
            Ok(MadeSif {
                file: scratch,
                size: summary.size,
                facts,
                summary,
                digest,
            })
        })
        .await?;
        task.finish();
        Ok(Arc::new(made))
    }
}

/// Tells what the person who publishes should know.
pub(super) fn warn(target: &Target, summary: &SifSummary, context: &PublishContext) {
    for warning in &summary.warnings {
        let text = format!("{target}: {warning}");
        context.reporter.event(Event::Warning(text));
    }
}

/// The digest of a file.
pub(crate) fn digest(path: &std::path::Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut sink = DigestWriter::new(io::sink());
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(sink.finish().1),
            Ok(count) => io::Write::write_all(&mut sink, &buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
