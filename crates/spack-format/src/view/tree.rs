//! What lies in prefixes, as a tree in memory in which paths can be followed.
//!
//! Symbolic links in packages may point to other packages, or in circles; whether a link is to be
//! merged as a directory depends on where it leads. Whatever lies outside of the given prefixes is
//! not there.

use std::collections::BTreeMap;

use super::ViewError;

/// A member of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixEntry {
    /// Its path below the prefix: components with slashes between.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: PrefixEntryKind,
}

/// What a member of a prefix is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrefixEntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Whether anybody may execute it.
        executable: bool,
        /// Whether it begins with `#!`. Looked at for files in `bin` only.
        shebang: bool,
    },
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// Another name of the file at this path below the prefix.
    HardLink(Vec<u8>),
}

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(usize);

#[derive(Debug)]
enum Node {
    Directory(BTreeMap<Box<[u8]>, NodeId>),
    File { executable: bool, shebang: bool },
    Symlink(Box<[u8]>),
}

/// What a name in a directory is, before links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File { executable: bool, shebang: bool },
    Symlink,
}

/// A tree from the root of the file system.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

const ROOT: NodeId = NodeId(0);

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::Directory(BTreeMap::new())],
        }
    }

    /// Puts a package in.
    pub(super) fn add(&mut self, prefix: &str, entries: &[PrefixEntry]) -> Result<(), ViewError> {
        let unsafe_path = |path: &[u8]| ViewError::UnsafePath {
            prefix: prefix.to_owned(),
            path: String::from_utf8_lossy(path).into_owned(),
        };
        let root = self
            .make_directories(ROOT, prefix.trim_start_matches('/').as_bytes())
            .ok_or_else(|| unsafe_path(b""))?;
        // Hard links name files that may come later in the list.
        let (links, others): (Vec<_>, Vec<_>) = entries
            .iter()
            .partition(|it| matches!(it.kind, PrefixEntryKind::HardLink(_)));
        for entry in others.into_iter().chain(links) {
            self.add_entry(root, entry)
                .ok_or_else(|| unsafe_path(&entry.path))?;
        }
        Ok(())
    }

    fn add_entry(&mut self, root: NodeId, entry: &PrefixEntry) -> Option<()> {
        let node = match &entry.kind {
            PrefixEntryKind::Directory => {
                return self.make_directories(root, &entry.path).map(|_| ());
            }
            PrefixEntryKind::File {
                executable,
                shebang,
            } => self.push(Node::File {
                executable: *executable,
                shebang: *shebang,
            }),
            PrefixEntryKind::Symlink(target) => self.push(Node::Symlink(target.as_slice().into())),
            PrefixEntryKind::HardLink(target) => {
                let found = self.child_at(root, target)?;
                matches!(
                    self.nodes.get(found.0)?,
                    Node::File { .. } | Node::Symlink(_)
                )
                .then_some(found)?
            }
        };
        let (folder, name) = split(&entry.path);
        let folder = self.make_directories(root, folder)?;
        is_name(name).then_some(())?;
        let Node::Directory(children) = self.nodes.get_mut(folder.0)? else {
            return None;
        };
        children.insert(name.into(), node);
        Some(())
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// Goes down from a directory, making what is missing; `None` if a component is no name or
    /// is there and no directory.
    fn make_directories(&mut self, from: NodeId, path: &[u8]) -> Option<NodeId> {
        let mut at = from;
        for name in path
            .split(|byte| *byte == b'/')
            .filter(|_| !path.is_empty())
        {
            is_name(name).then_some(())?;
            let Node::Directory(children) = self.nodes.get(at.0)? else {
                return None;
            };
            at = match children.get(name) {
                Some(child) => *child,
                None => {
                    let child = self.push(Node::Directory(BTreeMap::new()));
                    let Node::Directory(children) = self.nodes.get_mut(at.0)? else {
                        return None;
                    };
                    children.insert(name.into(), child);
                    child
                }
            };
        }
        matches!(self.nodes.get(at.0)?, Node::Directory(_)).then_some(at)
    }

    /// Goes down without following links.
    fn child_at(&self, from: NodeId, path: &[u8]) -> Option<NodeId> {
        path.split(|byte| *byte == b'/')
            .try_fold(from, |at, name| match self.nodes.get(at.0)? {
                Node::Directory(children) => children.get(name).copied(),
                Node::File { .. } | Node::Symlink(_) => None,
            })
    }

    /// What a node is.
    pub(super) fn kind(&self, node: NodeId) -> Kind {
        match self.nodes.get(node.0) {
            Some(Node::Directory(_)) => Kind::Directory,
            Some(Node::Symlink(_)) => Kind::Symlink,
            Some(Node::File {
                executable,
                shebang,
            }) => Kind::File {
                executable: *executable,
                shebang: *shebang,
            },
            None => Kind::File {
                executable: false,
                shebang: false,
            },
        }
    }

    /// The target of a symbolic link.
    pub(super) fn link_target(&self, node: NodeId) -> Option<&[u8]> {
        match self.nodes.get(node.0)? {
            Node::Symlink(target) => Some(target),
            Node::Directory(_) | Node::File { .. } => None,
        }
    }

    /// Names in a directory, sorted.
    pub(super) fn children(&self, node: NodeId) -> Vec<(&[u8], NodeId)> {
        match self.nodes.get(node.0) {
            Some(Node::Directory(children)) => children
                .iter()
                .map(|(name, child)| (name.as_ref(), *child))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Follows an absolute path and all links on the way, as `realpath` does: gives the path
    /// without links, and what is there, if anything. `None` if links lead in circles.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<(Vec<u8>, Option<NodeId>)> {
        let mut todo: Vec<Vec<u8>> = components(path).map(<[u8]>::to_vec).collect();
        todo.reverse();
        let mut real: Vec<(Vec<u8>, Option<NodeId>)> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                real.pop();
                continue;
            }
            let parent = real.last().map_or(Some(ROOT), |(_, node)| *node);
            let node = parent.and_then(|parent| self.child_at(parent, &name));
            if let Some(target) = node.and_then(|node| self.link_target(node)) {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                if target.starts_with(b"/") {
                    real.clear();
                }
                let target: Vec<_> = components(target).map(<[u8]>::to_vec).collect();
                todo.extend(target.into_iter().rev());
            } else {
                real.push((name, node));
            }
        }
        let node = real.last().map_or(Some(ROOT), |(_, node)| *node);
        let path = real
            .iter()
            .flat_map(|(name, _)| [b"/".as_slice(), name])
            .collect::<Vec<_>>();
        Some((path.concat(), node))
    }

    /// What an absolute path leads to, links followed.
    pub(super) fn find(&self, path: &[u8]) -> Option<NodeId> {
        self.resolve(path)?.1
    }

    /// Whether two absolute paths lead to one and the same file or directory.
    pub(super) fn same_file(&self, a: &[u8], b: &[u8]) -> bool {
        self.find(a).is_some_and(|node| self.find(b) == Some(node))
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&0)
}

/// Folder and name; the folder is empty for a single component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b'/', path) {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (&[], path),
    }
}

/// `folder/name`, or the name alone.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_vec()
    } else {
        [folder, b"/", name].concat()
    }
}
