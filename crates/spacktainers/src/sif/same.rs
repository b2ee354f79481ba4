//! Whether an image and a SIF file hold the same files.
//!
//! What Apptainer's metadata puts over an image (`/.singularity.d`, its links, mount points) is not the image's, and left
//! out on both sides; everything else has to be the same: names, kinds, modes, owners, links, attributes, contents.
//! Times are not compared: archives of the same tree may have others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;

use oci_format::layer::EntryKind;
use oci_format::layer::merge::{Kind, MergedTree};
use oci_format::layer::tar::printable;
use oci_format::{Digest, DigestWriter};
use sif_format::singularity::{
    self, BuildFacts, DefinitionParts, EmptyRoot, EntryKind as RootKind, Source,
};
use sif_format::squashfs::ReadError;

use super::members::{TreeReadError, each_member, open_tree};
use super::{SifWriteError, Watch, contents};
use crate::source::LoadedLayer;

/// The folder of Apptainer's metadata.
const METADATA: &[u8] = b".singularity.d";

/// A tree, name by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    names: BTreeMap<Vec<u8>, Row>,
}

/// What is compared of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    what: What,
    mode: u32,
    uid: u64,
    gid: u64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Directory,
    File(Digest),
    Symlink(Vec<u8>),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// A name that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path, printable.
    pub path: String,
    /// What is different.
    pub kind: DifferenceKind,
}

/// What is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Only the first has it.
    OnlyFirst,
    /// Only the second has it.
    OnlySecond,
    /// They are of different kinds: a file here, a link there.
    Kind,
    /// Files of other content, links with other targets, other devices.
    Content,
    /// Mode, owner or attributes.
    Metadata,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DifferenceKind::OnlyFirst => "only the first has it",
            DifferenceKind::OnlySecond => "only the second has it",
            DifferenceKind::Kind => "it is something else in the second",
            DifferenceKind::Content => "its content differs",
            DifferenceKind::Metadata => "its mode, owner or attributes differ",
        };
        write!(f, "/{}: {what}", self.path)
    }
}

impl Listing {
    /// The tree that layers make.
    ///
    /// # Errors
    /// When a layer cannot be read or is not what its digest says.
    pub fn of_layers(layers: &[LoadedLayer], watch: &Watch<'_>) -> Result<Self, SifWriteError> {
        let (tree, contents) = contents::hash(layers, watch)?;
        Ok(Self {
            names: rows(&tree, &contents),
        })
    }

    /// The tree in a SIF file or a squashfs.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, TreeReadError> {
        let image = open_tree(path)?;
        let mut names: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
        each_member(&image, |entry, content| -> Result<(), ReadError> {
            let what = match &entry.kind {
                EntryKind::Directory => What::Directory,
                EntryKind::File => {
                    let mut out = DigestWriter::new(io::sink());
                    io::copy(content, &mut out).map_err(ReadError::Input)?;
                    What::File(out.finish().1)
                }
                EntryKind::Symlink(target) => What::Symlink(target.clone()),
                EntryKind::CharacterDevice(major, minor) => What::CharacterDevice(*major, *minor),
                EntryKind::BlockDevice(major, minor) => What::BlockDevice(*major, *minor),
                EntryKind::Fifo => What::Fifo,
                EntryKind::HardLink(target) => {
                    if let Some(first) = names.get(target).cloned() {
                        names.insert(entry.path.clone(), first);
                    }
                    return Ok(());
                }
            };
            let row = Row {
                what,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                xattrs: entry.xattrs.clone(),
            };
            names.insert(entry.path.clone(), row);
            Ok(())
        })
        .map_err(|source| TreeReadError::Squashfs {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { names })
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All differences, sorted by path.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let apptainers = self.apptainers(other);
        let paths: BTreeSet<&Vec<u8>> = self.names.keys().chain(other.names.keys()).collect();
        let mut differences = Vec::new();
        for path in paths {
            if path.starts_with(METADATA) || apptainers.contains(path) {
                continue;
            }
            let kind = match (self.names.get(path), other.names.get(path)) {
                (Some(_), None) => DifferenceKind::OnlyFirst,
                (None, Some(_)) => DifferenceKind::OnlySecond,
                (Some(one), Some(two)) => match compare(one, two) {
                    Some(kind) => kind,
                    None => continue,
                },
                (None, None) => continue,
            };
            differences.push(Difference {
                path: printable(path),
                kind,
            });
        }
        differences
    }

    /// Names that Apptainer's metadata has to bring to one of the two, since it lacks them.
    fn apptainers(&self, other: &Self) -> BTreeSet<Vec<u8>> {
        let mut names = BTreeSet::new();
        for listing in [self, other] {
            let existing = |path: &str| {
                Some(match listing.names.get(path.as_bytes())?.what {
                    What::Directory => RootKind::Directory,
                    What::File(_) => RootKind::File,
                    What::Symlink(_) => RootKind::Symlink,
                    _ => RootKind::Other,
                })
            };
            let (definition, facts) = (DefinitionParts::default(), BuildFacts::default());
            // Nothing is read of an image that has no metadata of its own.
            let made = singularity::assemble(&Source::Bare, &definition, &facts, &existing)
                .or_else(|_| singularity::assemble(&Source::Bare, &definition, &facts, &EmptyRoot));
            names.extend(
                made.into_iter()
                    .flat_map(|it| it.entries)
                    .map(|it| it.path.into_bytes()),
            );
        }
        names
    }
}

fn compare(one: &Row, two: &Row) -> Option<DifferenceKind> {
    if std::mem::discriminant(&one.what) != std::mem::discriminant(&two.what) {
        return Some(DifferenceKind::Kind);
    }
    if one.what != two.what {
        return Some(DifferenceKind::Content);
    }
    // The mode of a link means nothing.
    let is_link = matches!(one.what, What::Symlink(_));
    let same = (is_link || one.mode == two.mode)
        && (one.uid, one.gid) == (two.uid, two.gid)
        && one.xattrs == two.xattrs;
    (!same).then_some(DifferenceKind::Metadata)
}

fn rows(tree: &MergedTree, contents: &contents::Contents) -> BTreeMap<Vec<u8>, Row> {
    let row = |node: oci_format::layer::merge::Node<'_>| {
        let what = match node.kind() {
            Kind::Directory => What::Directory,
            Kind::File { .. } => What::File(contents.digest(node.file())?),
            Kind::Symlink(target) => What::Symlink(target.to_vec()),
            Kind::CharacterDevice(major, minor) => What::CharacterDevice(major, minor),
            Kind::BlockDevice(major, minor) => What::BlockDevice(major, minor),
            Kind::Fifo => What::Fifo,
        };
        let row = Row {
            what,
            mode: node.mode(),
            uid: node.uid().into(),
            gid: node.gid().into(),
            xattrs: node.xattrs().to_vec(),
        };
        Some((node.path(), row))
    };
    tree.nodes().filter_map(row).collect()
}
