//! The file system's tree: that of the layers with the metadata put over it.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use oci_format::layer::merge::{Kind, MergedTree, Node};
use oci_format::layer::tar::printable;
use sif_format::singularity::{EntryContent, RootEntry};
use sif_format::squashfs::{self, Attributes, Device, NodeId, Tree, Writer, Xattr};

use super::contents::Contents;
use super::{SifWriteError, clamp};

/// A tree to be written.
pub(super) struct Built {
    pub(super) tree: Tree,
    pub(super) entries: u64,
    pub(super) warnings: Vec<String>,
}

/// What was left out.
#[derive(Default)]
struct Left {
    devices: u64,
    xattrs: u64,
}

/// Puts names to contents. Texts of `over` are added to `squashfs`.
pub(super) fn build<W: Write>(
    merged: &MergedTree,
    contents: &Contents,
    over: &[RootEntry],
    squashfs: &mut Writer<W>,
    devices: bool,
    time: u64,
) -> Result<Built, SifWriteError> {
    let over: BTreeMap<&[u8], &RootEntry> = over
        .iter()
        .map(|entry| (entry.path.as_bytes(), entry))
        .collect();
    let root = merged.root();
    let error = |path: &[u8]| {
        let path = printable(path);
        move |source| SifWriteError::Tree { path, source }
    };
    let mut tree = Tree::new(attributes(&root)).map_err(error(b"/"))?;
    let mut left = Left::default();
    set_xattrs(&mut tree, Tree::ROOT, &root, &mut left).map_err(error(b"/"))?;
    // Nodes of the merged tree that are there, and the first name of each file.
    let mut placed: Vec<Option<NodeId>> = vec![None; merged.nodes().len()];
    let mut first: HashMap<usize, NodeId> = HashMap::new();
    let mut entries: u64 = 1;
    for node in merged.nodes() {
        let Some(parent) = node.parent() else {
            if let Some(place) = placed.get_mut(node.id().index()) {
                *place = Some(Tree::ROOT);
            }
            continue;
        };
        // What lies below something that was replaced or left out is gone as well.
        let Some(Some(parent)) = placed.get(parent.id().index()).copied() else {
            continue;
        };
        let path = node.path();
        if is_replaced(&node, over.get(path.as_slice()).copied()) {
            continue;
        }
        let Some(kind) = stored_kind(&node, contents, devices, &mut left) else {
            continue;
        };
        let id = match (kind, first.get(&node.file().index())) {
            (Stored::Directory, _) => tree.add_directory(parent, node.name(), attributes(&node)),
            (Stored::Other(_), Some(known)) => {
                tree.link(parent, node.name(), *known).map(|()| *known)
            }
            (Stored::Other(kind), None) => tree.add(parent, node.name(), attributes(&node), kind),
        };
        let id = id.map_err(error(&path))?;
        if first.insert(node.file().index(), id).is_none() {
            set_xattrs(&mut tree, id, &node, &mut left).map_err(error(&path))?;
        }
        if let Some(place) = placed.get_mut(node.id().index()) {
            *place = Some(id);
        }
        entries += 1;
    }
    entries += put_over(&mut tree, &over, squashfs, time)?;
    Ok(Built {
        tree,
        entries,
        warnings: left.warnings(),
    })
}

/// Whether an entry takes the node's place. A directory that should be there and is stays as it is.
fn is_replaced(node: &Node<'_>, entry: Option<&RootEntry>) -> bool {
    entry.is_some_and(|entry| {
        !(entry.content == EntryContent::Directory && matches!(node.kind(), Kind::Directory))
    })
}

enum Stored {
    Directory,
    Other(squashfs::Kind),
}

fn stored_kind(
    node: &Node<'_>,
    contents: &Contents,
    devices: bool,
    left: &mut Left,
) -> Option<Stored> {
    let device = |major, minor| Device { major, minor };
    Some(Stored::Other(match node.kind() {
        Kind::Directory => return Some(Stored::Directory),
        Kind::File { .. } => squashfs::Kind::File(contents.stored(node.file())?),
        Kind::Symlink(target) => squashfs::Kind::Symlink(target.to_vec()),
        Kind::CharacterDevice(..) | Kind::BlockDevice(..) if !devices => {
            left.devices += 1;
            return None;
        }
        Kind::CharacterDevice(major, minor) => squashfs::Kind::CharDevice(device(major, minor)),
        Kind::BlockDevice(major, minor) => squashfs::Kind::BlockDevice(device(major, minor)),
        Kind::Fifo => squashfs::Kind::Fifo,
    }))
}

fn attributes(node: &Node<'_>) -> Attributes {
    Attributes {
        mode: u16::try_from(node.mode() & 0o7777).unwrap_or_default(),
        uid: node.uid(),
        gid: node.gid(),
        mtime: clamp(node.mtime()),
    }
}

fn set_xattrs(
    tree: &mut Tree,
    id: NodeId,
    node: &Node<'_>,
    left: &mut Left,
) -> Result<(), squashfs::TreeError> {
    let mut xattrs = Vec::new();
    for (name, value) in node.xattrs() {
        match Xattr::from_full_name(name, value.clone()) {
            Some(xattr) => xattrs.push(xattr),
            None => left.xattrs += 1,
        }
    }
    if xattrs.is_empty() {
        Ok(())
    } else {
        tree.set_xattrs(id, xattrs)
    }
}

/// Puts the metadata in, parents before children; says how many entries there are more.
fn put_over<W: Write>(
    tree: &mut Tree,
    over: &BTreeMap<&[u8], &RootEntry>,
    squashfs: &mut Writer<W>,
    time: u64,
) -> Result<u64, SifWriteError> {
    let mut added = 0;
    for (path, entry) in over {
        let error = |source| SifWriteError::Tree {
            path: printable(path),
            source,
        };
        let mut parent = Tree::ROOT;
        let mut parts = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = parts.next() {
            if parts.peek().is_some() {
                // The entries have all directories that are missing before what is in them.
                parent = tree.child(parent, name).ok_or_else(|| {
                    error(squashfs::TreeError::Parent {
                        name: name.to_vec(),
                    })
                })?;
                continue;
            }
            let is_there = tree.child(parent, name).is_some();
            if is_there && entry.content == EntryContent::Directory {
                break;
            }
            let attributes = Attributes {
                mode: u16::try_from(entry.mode & 0o7777).unwrap_or(0o755),
                uid: 0,
                gid: 0,
                mtime: clamp(time),
            };
            let put = match &entry.content {
                EntryContent::Directory => tree.add_directory(parent, name, attributes),
                EntryContent::File(text) => {
                    let id = squashfs.add_file(text.as_slice())?;
                    tree.add(parent, name, attributes, squashfs::Kind::File(id))
                }
                EntryContent::Symlink(target) => tree.add(
                    parent,
                    name,
                    attributes,
                    squashfs::Kind::Symlink(target.clone().into_bytes()),
                ),
            };
            put.map_err(error)?;
            added += 1;
        }
    }
    Ok(added)
}

impl Left {
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.devices > 0 {
            warnings.push(format!(
                "{} device nodes were left out: they are of use to root alone, and runtimes bring their own /dev",
                self.devices
            ));
        }
        if self.xattrs > 0 {
            warnings.push(format!(
                "{} extended attributes were left out: squashfs keeps those of user., trusted. and security.",
                self.xattrs
            ));
        }
        warnings
    }
}
