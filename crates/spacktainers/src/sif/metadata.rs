//! What Apptainer puts over an image, and beside it.

use std::io::{self, Read};

use oci_format::layer::compression::Decoder;
use oci_format::layer::merge::{Kind, MergedTree};
use oci_format::layer::tar::{Limits, Policy, TarReader};
use sif_format::singularity::{
    self, DefinitionParts, EntryKind, ExistingRoot, MetadataObject, Notice, RootEntry, Source,
};

use super::read_ahead::LAYER_LIMIT;
use super::{SifInput, SifWriteError, facts};
use crate::source::LoadedLayer;

/// Metadata in an image is small; what is larger is something else.
const LONGEST_TEXT: u64 = 4 << 20;

/// What goes over the tree and beside the partition.
pub(super) struct Over {
    pub(super) entries: Vec<RootEntry>,
    pub(super) objects: Vec<MetadataObject>,
    pub(super) notices: Vec<String>,
}

pub(super) fn assemble(input: &SifInput<'_>, merged: &MergedTree) -> Result<Over, SifWriteError> {
    let existing = Existing {
        layers: input.layers,
        tree: merged,
    };
    let assembled =
        singularity::assemble(&input.source, &input.definition, &facts(input), &existing)?;
    Ok(Over {
        entries: assembled.entries,
        objects: assembled.objects,
        notices: assembled.notices.iter().map(notice).collect(),
    })
}

/// What lies over the layers' tree when scripts are run: see [`singularity::before_scripts`].
pub(crate) fn before_scripts(
    layers: &[LoadedLayer],
    source: &Source,
    definition: &DefinitionParts,
) -> Result<Vec<RootEntry>, SifWriteError> {
    let tree = &super::merged_tree(layers)?;
    let existing = Existing { layers, tree };
    Ok(singularity::before_scripts(source, definition, &existing)?)
}

/// What lies over the layers' tree when all is done.
pub(crate) fn finished(input: &SifInput<'_>) -> Result<Vec<RootEntry>, SifWriteError> {
    let tree = super::merged_tree(input.layers)?;
    Ok(assemble(input, &tree)?.entries)
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::LabelKept(name) => {
            format!(
                "the label `{name}` of the definition file was left out: the image has it already"
            )
        }
        Notice::HelpKept => "%help was left out: the image has one already".to_owned(),
    }
}

/// The merged tree as the metadata's maker asks about it.
struct Existing<'a> {
    layers: &'a [LoadedLayer],
    tree: &'a MergedTree,
}

impl ExistingRoot for Existing<'_> {
    fn kind(&self, path: &str) -> Option<EntryKind> {
        Some(match self.tree.get(path.as_bytes())?.kind() {
            Kind::Directory => EntryKind::Directory,
            Kind::File { .. } => EntryKind::File,
            Kind::Symlink(_) => EntryKind::Symlink,
            Kind::CharacterDevice(..) | Kind::BlockDevice(..) | Kind::Fifo => EntryKind::Other,
        })
    }

    /// Goes through the layer once more. Images that bring their own `/.singularity.d` are rare.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(node) = self.tree.get(path.as_bytes()) else {
            return Ok(None);
        };
        let Kind::File { size, source } = node.kind() else {
            return Ok(None);
        };
        if size > LONGEST_TEXT {
            return Err(io::Error::other(format!(
                "it has {size} bytes, and at most {LONGEST_TEXT} are read"
            )));
        }
        let layer = usize::try_from(source.layer)
            .ok()
            .and_then(|index| self.layers.get(index));
        let layer = layer.ok_or(io::ErrorKind::NotFound)?;
        let decoder = Decoder::new(layer.content.open(0)?, LAYER_LIMIT)?;
        let mut tar = TarReader::with_policy(decoder, Policy::Lenient, Limits::default());
        let mut ordinal = 0;
        while let Some(mut member) = tar.next_member().map_err(io::Error::other)? {
            if ordinal == source.ordinal {
                let mut bytes = Vec::new();
                member.read_to_end(&mut bytes)?;
                return Ok(Some(bytes));
            }
            ordinal += 1;
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let node = self.tree.get(path.as_bytes());
        let names = node.into_iter().flat_map(|node| node.children());
        Ok(names
            .map(|child| String::from_utf8_lossy(child.name()).into_owned())
            .collect())
    }
}
