//! What an image looks like: names and inodes.
//!
//! ```text
//! directory ─ name ─► inode ◄─ name ─ directory      (two names: a hard link)
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::squashfs::layout::{Attributes, Device, NAME_MAX, TARGET_MAX, XATTR_VALUE_MAX, Xattr};

use super::area::FileId;

/// What an inode is, other than a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file with this content. Two inodes may have the same content.
    File(FileId),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A block device.
    BlockDevice(Device),
    /// A character device.
    CharDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// An inode of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub(super) u32);

/// Why something cannot be in a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A name that no file can have: empty, `.`, `..`, with a slash or NUL, or longer than 255 bytes.
    #[error("`{}` cannot be the name of a file", .name.escape_ascii())]
    Name {
        /// The name.
        name: Vec<u8>,
    },
    /// The directory has that name already.
    #[error("there is a `{}` in that directory already", .name.escape_ascii())]
    Taken {
        /// The name.
        name: Vec<u8>,
    },
    /// The parent is no directory of this tree.
    #[error("the parent of `{}` is not a directory of this tree", .name.escape_ascii())]
    Parent {
        /// The name that was to be put there.
        name: Vec<u8>,
    },
    /// A second name for a directory, or for something that is not in this tree.
    #[error("`{}` cannot be a second name of that: it is a directory or not of this tree", .name.escape_ascii())]
    Link {
        /// The name.
        name: Vec<u8>,
    },
    /// The inode is not in this tree or not of the kind that is needed.
    #[error("that inode is not in this tree, or of another kind")]
    Node,
    /// A mode with more than permissions, set-id and sticky bits.
    #[error("{mode:#o} is not a mode: it has more than the bits of 0o7777")]
    Mode {
        /// The mode.
        mode: u16,
    },
    /// A link target that is empty, has a NUL, or is longer than 4095 bytes.
    #[error("`{}` cannot be the target of a link", .target.escape_ascii())]
    Target {
        /// The target.
        target: Vec<u8>,
    },
    /// A device number that Linux does not have.
    #[error("there is no device {}:{}", .device.major, .device.minor)]
    Device {
        /// The number.
        device: Device,
    },
    /// An extended attribute that Linux would not read.
    #[error("`{}` cannot be an extended attribute: its name is empty or longer than 255 bytes, it stands twice, or its value is above 64 KiB", .name.escape_ascii())]
    Xattr {
        /// Its whole name.
        name: Vec<u8>,
    },
    /// More inodes than the format can number.
    #[error("more inodes than squashfs can number")]
    TooMany,
}

pub(super) enum Body {
    Directory(BTreeMap<Vec<u8>, NodeId>),
    Other { kind: Kind, links: u32 },
}

pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) body: Body,
}

/// The names, inodes and links of an image to be.
pub struct Tree {
    pub(super) nodes: Vec<Node>,
}

impl Tree {
    /// The root directory.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree that has nothing but its root directory.
    ///
    /// # Errors
    /// [`TreeError::Mode`].
    pub fn new(root: Attributes) -> Result<Self, TreeError> {
        check_mode(root)?;
        let body = Body::Directory(BTreeMap::new());
        Ok(Self {
            nodes: vec![Node {
                attributes: root,
                xattrs: Vec::new(),
                body,
            }],
        })
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// When the name or mode cannot be, or the parent does not take it.
    pub fn add_directory(
        &mut self,
        parent: NodeId,
        name: &[u8],
        attributes: Attributes,
    ) -> Result<NodeId, TreeError> {
        self.add_node(parent, name, attributes, Body::Directory(BTreeMap::new()))
    }

    /// Adds anything but a directory.
    ///
    /// # Errors
    /// When the name, mode, target or device cannot be, or the parent does not take it.
    pub fn add(
        &mut self,
        parent: NodeId,
        name: &[u8],
        attributes: Attributes,
        kind: Kind,
    ) -> Result<NodeId, TreeError> {
        match &kind {
            Kind::Symlink(target) => {
                let fits = (1..=TARGET_MAX).contains(&target.len());
                if !fits || target.contains(&0) {
                    return Err(TreeError::Target {
                        target: target.clone(),
                    });
                }
            }
            Kind::BlockDevice(device) | Kind::CharDevice(device) => {
                device
                    .encode()
                    .ok_or(TreeError::Device { device: *device })?;
            }
            Kind::File(_) | Kind::Fifo | Kind::Socket => {}
        }
        self.add_node(parent, name, attributes, Body::Other { kind, links: 1 })
    }

    /// Gives something one more name: a hard link.
    ///
    /// # Errors
    /// When the name cannot be, the parent does not take it, or `node` is a directory.
    pub fn link(&mut self, parent: NodeId, name: &[u8], node: NodeId) -> Result<(), TreeError> {
        let no_link = || TreeError::Link {
            name: name.to_vec(),
        };
        match self.nodes.get(node.0 as usize) {
            Some(Node {
                body: Body::Other { links, .. },
                ..
            }) if *links < u32::MAX => {}
            _ => return Err(no_link()),
        }
        self.insert(parent, name, node)?;
        if let Some(Node {
            body: Body::Other { links, .. },
            ..
        }) = self.nodes.get_mut(node.0 as usize)
        {
            *links += 1;
        }
        Ok(())
    }

    /// Gives a file its content, for trees that are made before the content is there.
    ///
    /// # Errors
    /// [`TreeError::Node`] when it is no file.
    pub fn set_content(&mut self, node: NodeId, content: FileId) -> Result<(), TreeError> {
        match self.nodes.get_mut(node.0 as usize) {
            Some(Node {
                body:
                    Body::Other {
                        kind: Kind::File(old),
                        ..
                    },
                ..
            }) => *old = content,
            _ => return Err(TreeError::Node),
        }
        Ok(())
    }

    /// Gives an inode its extended attributes, in place of those it had. Their order does not matter.
    ///
    /// # Errors
    /// [`TreeError::Xattr`] or [`TreeError::Node`].
    pub fn set_xattrs(&mut self, node: NodeId, mut xattrs: Vec<Xattr>) -> Result<(), TreeError> {
        xattrs.sort();
        let mut last: Option<&Xattr> = None;
        for xattr in &xattrs {
            let full_length = xattr.namespace.prefix().len() + xattr.name.len();
            let twice = last
                .is_some_and(|last| last.namespace == xattr.namespace && last.name == xattr.name);
            if twice
                || xattr.name.is_empty()
                || xattr.name.contains(&0)
                || full_length > NAME_MAX
                || xattr.value.len() > XATTR_VALUE_MAX
            {
                return Err(TreeError::Xattr {
                    name: xattr.full_name(),
                });
            }
            last = Some(xattr);
        }
        let node = self.nodes.get_mut(node.0 as usize).ok_or(TreeError::Node)?;
        node.xattrs = xattrs;
        Ok(())
    }

    /// What has this name in that directory.
    #[must_use]
    pub fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes.get(parent.0 as usize)?.body {
            Body::Directory(children) => children.get(name).copied(),
            Body::Other { .. } => None,
        }
    }

    fn add_node(
        &mut self,
        parent: NodeId,
        name: &[u8],
        attributes: Attributes,
        body: Body,
    ) -> Result<NodeId, TreeError> {
        check_mode(attributes)?;
        // Inode numbers begin at one, so the last number of 32 bits stays free.
        let index = u32::try_from(self.nodes.len())
            .ok()
            .filter(|index| *index < u32::MAX - 1);
        let id = NodeId(index.ok_or(TreeError::TooMany)?);
        self.insert(parent, name, id)?;
        self.nodes.push(Node {
            attributes,
            xattrs: Vec::new(),
            body,
        });
        Ok(id)
    }

    fn insert(&mut self, parent: NodeId, name: &[u8], id: NodeId) -> Result<(), TreeError> {
        if !is_name(name) {
            return Err(TreeError::Name {
                name: name.to_vec(),
            });
        }
        let Some(Node {
            body: Body::Directory(children),
            ..
        }) = self.nodes.get_mut(parent.0 as usize)
        else {
            return Err(TreeError::Parent {
                name: name.to_vec(),
            });
        };
        match children.entry(name.to_vec()) {
            Entry::Vacant(place) => place.insert(id),
            Entry::Occupied(_) => {
                return Err(TreeError::Taken {
                    name: name.to_vec(),
                });
            }
        };
        Ok(())
    }
}

fn check_mode(attributes: Attributes) -> Result<(), TreeError> {
    if attributes.mode & !0o7777 != 0 {
        return Err(TreeError::Mode {
            mode: attributes.mode,
        });
    }
    Ok(())
}

fn is_name(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}
