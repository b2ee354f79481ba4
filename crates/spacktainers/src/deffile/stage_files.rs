//! `%files from STAGE`: a layer of what is copied out of an earlier stage.
//!
//! The stage is never unpacked: its layers are read again, and the members that are wanted are passed on.

use std::collections::BTreeMap;

use oci_format::layer::compression::Decoder;
use oci_format::layer::merge::{Kind, MergedTree, Node};
use oci_format::layer::tar::{Limits, Policy, TarReader};
use oci_format::layer::{Entry, EntryKind};
use sif_format::deffile::FileTransfer;

use super::DeffileError;
use super::files::{LayerWriter, Place};
use crate::local_cache::LocalCache;
use crate::sif::{self, SifWriteError};
use crate::source::LoadedLayer;

/// Bytes that one layer may decompress to.
const LAYER_LIMIT: u64 = 1 << 40;

/// Where contents go, by layer and member: one content may be wanted under several names.
type Wanted = BTreeMap<(u32, u32), Vec<Entry>>;

pub(super) fn layer(
    transfers: &[FileTransfer],
    source: &[LoadedLayer],
    layers: &[LoadedLayer],
    cache: &LocalCache,
) -> Result<LoadedLayer, DeffileError> {
    let from = sif::merged_tree(source)?;
    let into = sif::merged_tree(layers)?;
    let mut out = LayerWriter::new(cache)?;
    let mut wanted = Wanted::new();
    for transfer in transfers {
        let found = matching(&from, transfer)?;
        let place = Place::of(transfer, "", &into, found.len())?;
        for node in found {
            let name = String::from_utf8_lossy(node.name()).into_owned();
            take(
                node,
                place.of_source(&name).into_bytes(),
                &mut out,
                &mut wanted,
            )?;
        }
    }
    contents(source, &wanted, &mut out)?;
    out.finish()
}

/// The nodes that a path with wildcards names.
fn matching<'t>(
    tree: &'t MergedTree,
    transfer: &FileTransfer,
) -> Result<Vec<Node<'t>>, DeffileError> {
    let missing = || DeffileError::NoFile {
        path: transfer.source.clone(),
        span: transfer.span,
    };
    let mut found = vec![tree.root()];
    for part in transfer
        .source
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
    {
        let pattern = glob::Pattern::new(part).map_err(|_| missing())?;
        found = found
            .into_iter()
            .flat_map(Node::children)
            .filter(|child| pattern.matches(&String::from_utf8_lossy(child.name())))
            .collect();
    }
    if found.is_empty() {
        Err(missing())
    } else {
        Ok(found)
    }
}

/// Directories and links at once; contents are noted.
fn take(
    node: Node<'_>,
    target: Vec<u8>,
    out: &mut LayerWriter,
    wanted: &mut Wanted,
) -> Result<(), DeffileError> {
    let entry = |kind, size| Entry {
        path: target.clone(),
        kind,
        mode: node.mode(),
        uid: node.uid().into(),
        gid: node.gid().into(),
        mtime: node.mtime(),
        size,
        xattrs: node.xattrs().to_vec(),
    };
    match node.kind() {
        Kind::Directory => {
            out.append(&entry(EntryKind::Directory, 0), std::io::empty())?;
            for child in node.children() {
                let below = [target.as_slice(), child.name()].join(&b'/');
                take(child, below, out, wanted)?;
            }
        }
        Kind::Symlink(to) => {
            out.append(&entry(EntryKind::Symlink(to.to_vec()), 0), std::io::empty())?
        }
        Kind::File { size, source } => {
            let names = wanted.entry((source.layer, source.ordinal)).or_default();
            names.push(entry(EntryKind::File, size));
        }
        // A copy of a device or pipe is of no use in another image.
        Kind::CharacterDevice(..) | Kind::BlockDevice(..) | Kind::Fifo => {}
    }
    Ok(())
}

fn contents(
    layers: &[LoadedLayer],
    wanted: &Wanted,
    out: &mut LayerWriter,
) -> Result<(), DeffileError> {
    for (index, layer) in (0_u32..).zip(layers) {
        let mut pending = wanted.range((index, 0)..=(index, u32::MAX)).peekable();
        if pending.peek().is_none() {
            continue;
        }
        let number = index as usize + 1;
        let open = |source| SifWriteError::Open { number, source };
        let decoder =
            Decoder::new(layer.content.open(0).map_err(open)?, LAYER_LIMIT).map_err(open)?;
        let mut tar = TarReader::with_policy(decoder, Policy::Lenient, Limits::default());
        let mut ordinal = 0;
        while let Some(((_, next), names)) = pending.peek().copied() {
            let member = tar
                .next_member()
                .map_err(|source| SifWriteError::Layer { number, source })?;
            let Some(member) = member else {
                return Err(SifWriteError::Changed { number }.into());
            };
            if *next == ordinal {
                // Other names of the same content are links to the first.
                if let [first, rest @ ..] = names.as_slice() {
                    out.append(first, member)?;
                    for name in rest {
                        let kind = EntryKind::HardLink(first.path.clone());
                        out.append(
                            &Entry {
                                kind,
                                size: 0,
                                ..name.clone()
                            },
                            std::io::empty(),
                        )?;
                    }
                }
                pending.next();
            }
            ordinal += 1;
        }
    }
    Ok(())
}
