//! The merged tree: what an image's root file system holds.
//!
//! Nodes lie in the order of a walk that visits a directory, then what is in it by name; so a
//! directory's descendants are the nodes right after it.

use super::Xattrs;
use super::file::{Body, File, Source};
use super::names::{FrozenNames, NameId};
use super::table::NONE;

/// A name in the tree. The root is 0, and the numbers are in the order of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

/// A file in the tree, directories and links included: what the kernel calls an inode. Hard links are
/// nodes with one file. Numbers begin at 0 and are in the order of first names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(super) u32);

impl NodeId {
    /// Its place in [`MergedTree::nodes`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl FileId {
    /// Its number, for lists of one item per file ([`MergedTree::file_count`]).
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A member whose content is that of a file of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// Which member of its layer, counted from 0.
    pub ordinal: u32,
    /// Whose content it has.
    pub file: FileId,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes of content, holes included.
        size: u64,
        /// Where they lie.
        source: Source,
    },
    /// A symbolic link, with its target verbatim.
    Symlink(&'a [u8]),
    /// A character device with major and minor number.
    CharacterDevice(u32, u32),
    /// A block device with major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One name, in twenty bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) parent: u32,
    pub(super) name: NameId,
    pub(super) file: u32,
    /// The node after the last one below this.
    pub(super) end: u32,
    /// The next name of the same file, or [`NONE`].
    pub(super) next_name: u32,
}

/// What all layers together hold. See the [module's page](super).
#[derive(Debug)]
pub struct MergedTree {
    pub(super) names: FrozenNames,
    pub(super) nodes: Vec<Stored>,
    pub(super) files: Vec<File>,
    /// The first name of each file.
    pub(super) first_names: Vec<u32>,
    pub(super) xattrs: Vec<Xattrs>,
    pub(super) wanted: Vec<Vec<Wanted>>,
}

impl MergedTree {
    /// All nodes, the root first, in the order of the walk.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = Node<'_>> + DoubleEndedIterator {
        // The ids of nodes are 32 bits wide, so no length is cut off.
        (0..self.nodes.len() as u32).map(|id| Node { tree: self, id })
    }

    /// The root.
    #[must_use]
    pub const fn root(&self) -> Node<'_> {
        Node { tree: self, id: 0 }
    }

    /// A node by its id, which must be of this tree.
    ///
    /// # Panics
    /// When the id is of a larger tree.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Node<'_> {
        assert!(id.index() < self.nodes.len(), "an id of another tree");
        Node {
            tree: self,
            id: id.0,
        }
    }

    /// The node at a path from the root, spelled as [`crate::layer::Entry::path`]; links are not
    /// followed.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<Node<'_>> {
        if path.is_empty() {
            return Some(self.root());
        }
        let mut components = path.split(|byte| *byte == b'/');
        components.try_fold(self.root(), Node::child)
    }

    /// How many files there are: nodes, with hard links counted once.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// All names of a file, in order. A file of another tree has none.
    pub fn names(&self, file: FileId) -> impl Iterator<Item = Node<'_>> {
        let mut next = self.first_names.get(file.index()).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let node = self.nodes.get(next as usize)?;
            let id = std::mem::replace(&mut next, node.next_name);
            Some(Node { tree: self, id })
        })
    }

    /// How many layers the tree is made of.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.wanted.len()
    }

    /// The members of a layer whose content is in the tree, sorted by ordinal, each named once. Empty
    /// files are among them.
    #[must_use]
    pub fn wanted(&self, layer: usize) -> &[Wanted] {
        self.wanted.get(layer).map_or(&[], Vec::as_slice)
    }
}

/// A node and the tree it is in.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: &'a MergedTree,
    id: u32,
}

impl<'a> Node<'a> {
    fn stored(self) -> &'a Stored {
        &self.tree.nodes[self.id as usize]
    }

    fn inode(self) -> &'a File {
        &self.tree.files[self.stored().file as usize]
    }

    /// Its number in the order of the walk.
    #[must_use]
    pub const fn id(self) -> NodeId {
        NodeId(self.id)
    }

    /// The file it is a name of.
    #[must_use]
    pub fn file(self) -> FileId {
        FileId(self.stored().file)
    }

    /// Its name in its directory; empty for the root.
    #[must_use]
    pub fn name(self) -> &'a [u8] {
        self.tree.names.get(self.stored().name)
    }

    /// Its directory; `None` for the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        let id = self.stored().parent;
        (id != NONE).then_some(Self { id, ..self })
    }

    /// Its path from the root, spelled as [`crate::layer::Entry::path`]; empty for the root.
    #[must_use]
    pub fn path(self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut node = self;
        while let Some(parent) = node.parent() {
            names.push(node.name());
            node = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// What is in it, sorted by name; nothing unless it is a directory.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let end = self.stored().end;
        let mut next = self.id + 1;
        std::iter::from_fn(move || {
            let child = (next < end).then_some(Self { id: next, ..self })?;
            next = child.stored().end;
            Some(child)
        })
    }

    /// The node of that name in it.
    #[must_use]
    pub fn child(self, name: &[u8]) -> Option<Self> {
        // Children are in order, with their descendants between them: halve, and go up to the child.
        let (mut low, mut high) = (self.id + 1, self.stored().end);
        while low < high {
            let mut child = Self {
                id: low + (high - low) / 2,
                ..self
            };
            while child.stored().parent != self.id {
                child.id = child.stored().parent;
            }
            match child.name().cmp(name) {
                std::cmp::Ordering::Equal => return Some(child),
                std::cmp::Ordering::Less => low = child.stored().end,
                std::cmp::Ordering::Greater => high = child.id,
            }
        }
        None
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind<'a> {
        match self.inode().body {
            Body::Directory => Kind::Directory,
            Body::File { size, source } => Kind::File { size, source },
            Body::Symlink(target) => Kind::Symlink(self.tree.names.get(target)),
            Body::CharacterDevice(major, minor) => Kind::CharacterDevice(major, minor),
            Body::BlockDevice(major, minor) => Kind::BlockDevice(major, minor),
            Body::Fifo => Kind::Fifo,
        }
    }

    /// Permission bits, setuid, setgid and sticky. 0777 for symbolic links.
    #[must_use]
    pub fn mode(self) -> u32 {
        u32::from(self.inode().mode)
    }

    /// Owner.
    #[must_use]
    pub fn uid(self) -> u32 {
        self.inode().uid
    }

    /// Group.
    #[must_use]
    pub fn gid(self) -> u32 {
        self.inode().gid
    }

    /// Seconds since 1970; 0 for directories that no layer describes.
    #[must_use]
    pub fn mtime(self) -> u64 {
        self.inode().mtime
    }

    /// Extended attributes, sorted by name.
    #[must_use]
    pub fn xattrs(self) -> &'a [(Vec<u8>, Vec<u8>)] {
        let index = self.inode().xattrs as usize;
        self.tree.xattrs.get(index).map_or(&[], |xattrs| xattrs)
    }

    /// How many names its file has; 1 for directories, whatever is in them.
    #[must_use]
    pub fn link_count(self) -> u32 {
        self.inode().links
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("path", &crate::layer::tar::printable(&self.path()))
            .field("kind", &self.kind())
            .field("file", &self.stored().file)
            .finish_non_exhaustive()
    }
}
