//! SIF files, straight from layers: nothing is unpacked, nothing is run, and no privileges are needed.
//!
//! ```text
//! layers ─► contents ─┬─► the bytes of files that survive ────────────────────────────┐
//!                     └─► MergedTree ─┬─► metadata ─► what Apptainer puts over it ─┐   ├─► squashfs in a SIF
//!                                     └────────────────────────────────────────────┴─► tree
//! ```
//!
//! Each layer is decompressed once, the top one first; it is checked against its digest on the way, so that nothing gets
//! its name that is not what the image's manifest promised. Memory holds names and metadata, never contents.
//!
//! The same layers and config give the same file, byte for byte, whatever the number of threads.
//!
//! Start at [`write_sif`] and [`write_squashfs`].

mod contents;
mod error;
mod facts;
pub mod inspect;
pub mod members;
pub(crate) mod metadata;
mod read_ahead;
pub mod same;
mod shadow;
pub mod signing;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{Seek, Write};
use std::num::NonZeroUsize;

use oci_format::layer::merge::{MergedTree, tree_digest};
use oci_format::{Digest, ImageConfig};
use serde::{Deserialize, Serialize};
use sif_format::sif::{
    Arch, FileSystem, ImageId, NewObject, Partition, PartitionKind, SifOptions as Container,
    SifWriter,
};
use sif_format::singularity::{self, BuildFacts, DefinitionParts, OciConfig, Source};
use sif_format::squashfs::{Compression, Options, Writer};

use crate::source::LoadedLayer;

pub use contents::Watch;
pub use error::SifWriteError;
pub use facts::SifFacts;

/// Name of the JSON object in which we say what a file was made from.
pub const RECORD_NAME: &str = "spacktainers.json";

/// How a file system is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SquashfsOptions {
    /// How blocks are compressed.
    ///
    /// gzip is what every runtime mounts: kernels of all clusters, squashfuse, Apptainer, SingularityCE, Sarus.
    /// zstd takes a Linux of 4.14 or later (or a squashfuse built with it) and a quarter of the time.
    pub compression: Compression,
    /// Bytes of a block: a power of two from 4 KiB to 1 MiB.
    pub block_size: u32,
    /// Threads that compress; the file does not depend on it.
    pub threads: NonZeroUsize,
    /// Whether device nodes are kept. They are of use to root alone.
    pub devices: bool,
}

impl SquashfsOptions {
    /// gzip with the usual block size, without device nodes.
    #[must_use]
    pub fn new(threads: NonZeroUsize) -> Self {
        Self {
            compression: Compression::GZIP,
            block_size: Options::BLOCK_SIZE,
            threads,
            devices: false,
        }
    }

    fn options(&self, time: u64) -> Options {
        Options {
            compression: self.compression,
            block_size: self.block_size,
            mkfs_time: clamp(time),
            threads: self.threads,
        }
    }
}

/// What a SIF file is made from.
#[derive(Debug, Clone)]
pub struct SifInput<'a> {
    /// Layers, lowest first.
    pub layers: &'a [LoadedLayer],
    /// What the root file system is, for Apptainer's metadata.
    pub source: Source,
    /// What a definition file says, or stands for the pull.
    pub definition: DefinitionParts,
    /// Digest of the image's manifest, where it has one.
    pub image: Option<Digest>,
    /// `GOARCH` of the programs.
    pub architecture: String,
    /// `v8` and such.
    pub variant: Option<String>,
    /// The time that everything is stamped with, Unix seconds.
    pub time: u64,
}

impl<'a> SifInput<'a> {
    /// An image as `apptainer pull` would have it: `bootstrap` and `from` say where it came from.
    ///
    /// # Errors
    /// When the config has members of other types than the specification says.
    pub fn of_image(
        layers: &'a [LoadedLayer],
        config: &ImageConfig,
        image: Option<Digest>,
        bootstrap: &str,
        from: &str,
    ) -> Result<Self, SifWriteError> {
        let json = serde_json::to_value(&config.config).unwrap_or_default();
        Ok(Self {
            layers,
            source: Source::Oci(OciConfig::from_json(json)?),
            definition: singularity::definition_of_pull(bootstrap, from),
            image,
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            time: config
                .created
                .as_deref()
                .and_then(crate::assemble::parse_rfc3339)
                .map_or(0, |it| it.0),
        })
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SifSummary {
    /// Bytes of the file.
    pub size: u64,
    /// Digest of the image's tree: see [`tree_digest`].
    pub tree: Digest,
    /// Files, directories and links in it.
    pub entries: u64,
    /// What the person who builds should know.
    pub warnings: Vec<String>,
}

/// What a file was made from: the JSON object [`RECORD_NAME`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SifRecord {
    /// Version of this form: 1.
    pub version: u32,
    /// Digest of the image's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// Digest of the tree that the image's layers make, without what Apptainer's metadata adds.
    pub tree: Digest,
    /// Digest of the definition's text, as the file has it.
    pub definition: Digest,
    /// diffIDs of the layers, lowest first.
    pub layers: Vec<Digest>,
}

/// Writes a SIF file into `out`, which stands at its beginning and is empty. Gives `out` back.
///
/// # Errors
/// When a layer cannot be read, is not what its digest says or cannot be merged, or `out` cannot be written. What was
/// written then is of no use.
pub fn write_sif<W: Write + Seek>(
    input: &SifInput<'_>,
    options: &SquashfsOptions,
    watch: &Watch<'_>,
    out: W,
) -> Result<(W, SifSummary), SifWriteError> {
    let container = Container::new(
        image_id(input),
        i64::try_from(input.time).unwrap_or(i64::MAX),
    );
    let mut file = SifWriter::create(out, container)?;
    // First, as what stands beside it is known when the layers have been read.
    let mut partition = file.begin(NewObject::partition(Partition {
        file_system: FileSystem::Squashfs,
        kind: PartitionKind::PrimarySystem,
        arch: architecture(&input.architecture),
    }))?;
    let mut squashfs = Writer::new(&mut partition, options.options(input.time))?;
    let (merged, contents) = contents::write(input.layers, &mut squashfs, watch)?;
    let over = metadata::assemble(input, &merged)?;
    let built = tree::build(
        &merged,
        &contents,
        &over.entries,
        &mut squashfs,
        options.devices,
        input.time,
    )?;
    squashfs.finish(&built.tree)?.patch()?;
    partition.finish()?;
    for object in &over.objects {
        file.append(object.new_object(), object.content())?;
    }
    let tree = tree_digest(&merged, |file| contents.digest(file))?;
    let record = SifRecord {
        version: 1,
        image: input.image,
        tree,
        definition: Digest::of(input.definition.text.as_bytes()),
        layers: input.layers.iter().map(|layer| layer.diff_id).collect(),
    };
    let record = serde_json::to_vec(&record).unwrap_or_default();
    file.append(NewObject::json(RECORD_NAME)?, record.as_slice())?;
    let (out, size) = file.finish()?;
    let mut warnings = built.warnings;
    warnings.extend(over.notices);
    Ok((
        out,
        SifSummary {
            size,
            tree,
            entries: built.entries,
            warnings,
        },
    ))
}

/// Writes the bare file system of the layers, as uenv and other squashfs users mount it.
///
/// # Errors
/// As [`write_sif`].
pub fn write_squashfs<W: Write + Seek>(
    layers: &[LoadedLayer],
    time: u64,
    options: &SquashfsOptions,
    watch: &Watch<'_>,
    out: W,
) -> Result<(W, SifSummary), SifWriteError> {
    let mut squashfs = Writer::new(out, options.options(time))?;
    let (merged, contents) = contents::write(layers, &mut squashfs, watch)?;
    let built = tree::build(
        &merged,
        &contents,
        &[],
        &mut squashfs,
        options.devices,
        time,
    )?;
    let (out, summary) = squashfs.finish(&built.tree)?.patch()?;
    let tree = tree_digest(&merged, |file| contents.digest(file))?;
    Ok((
        out,
        SifSummary {
            size: summary.size,
            tree,
            entries: built.entries,
            warnings: built.warnings,
        },
    ))
}

/// The digest of the tree that layers make.
///
/// # Errors
/// When a layer cannot be read, is not what its digest says, or cannot be merged.
pub fn layers_tree_digest(
    layers: &[LoadedLayer],
    watch: &Watch<'_>,
) -> Result<Digest, SifWriteError> {
    let (merged, contents) = contents::hash(layers, watch)?;
    Ok(tree_digest(&merged, |file| contents.digest(file))?)
}

/// The tree that layers make, without looking at contents.
///
/// # Errors
/// As [`layers_tree_digest`].
pub fn merged_tree(layers: &[LoadedLayer]) -> Result<MergedTree, SifWriteError> {
    contents::names(layers)
}

/// One id for the same content, so that the file is the same each time.
fn image_id(input: &SifInput<'_>) -> ImageId {
    let mut text = input.definition.text.clone();
    for layer in input.layers {
        text.push_str(&layer.diff_id.to_string());
    }
    if let Source::Oci(config) | Source::Built(Some(config)) = &input.source {
        text.push_str(&config.json.to_string());
    }
    ImageId::derived_from(text.as_bytes())
}

fn architecture(name: &str) -> Arch {
    name.parse().unwrap_or(Arch::UNKNOWN)
}

/// Squashfs has room for times until 2106.
fn clamp(time: u64) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
}

fn facts(input: &SifInput<'_>) -> BuildFacts {
    BuildFacts {
        time: i64::try_from(input.time).unwrap_or(i64::MAX),
        arch: input.architecture.clone(),
        variant: input.variant.clone(),
        ..BuildFacts::default()
    }
}
