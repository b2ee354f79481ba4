//! All entries of an image, directories before what is in them.
//!
//! The walk ends whatever the image says: no directory is entered twice, and none too deep.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::children::Children;
use super::inode::{Inode, InodeKind};
use super::{Entry, Image, ReadError};

/// Directories inside of each other. Linux cannot name what lies deeper: paths have 4096 bytes.
pub(super) const DEPTH_MAX: usize = 2048;

/// Walks through a tree, names in the order of their bytes. Ends after the first error.
pub struct Walk<'a, R> {
    image: &'a Image<R>,
    /// Where the walk begins, until it has begun.
    root: Option<Result<Inode, ReadError>>,
    /// The directories that the walk is in, each with the length of its path.
    open: Vec<(Children<'a, R>, usize)>,
    path: Vec<u8>,
    seen: HashSet<u32>,
}

impl<'a, R: Read + Seek> Walk<'a, R> {
    pub(super) fn new(image: &'a Image<R>, root: Result<Inode, ReadError>) -> Self {
        Self {
            image,
            root: Some(root),
            open: Vec::new(),
            path: Vec::new(),
            seen: HashSet::new(),
        }
    }

    fn step(&mut self) -> Result<Option<Entry>, ReadError> {
        if let Some(root) = self.root.take() {
            return self.enter(root?).map(Some);
        }
        while let Some((children, length)) = self.open.last_mut() {
            self.path.truncate(*length);
            let Some(name) = children.next_name()? else {
                self.open.pop();
                continue;
            };
            let inode = children.inode(&name)?;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name.name);
            return self.enter(inode).map(Some);
        }
        Ok(None)
    }

    /// Opens `inode`, whose path is the present one, if it is a directory.
    fn enter(&mut self, inode: Inode) -> Result<Entry, ReadError> {
        if let InodeKind::Directory(part) = inode.kind {
            let refused = |reason| ReadError::Walk {
                path: self.path.clone(),
                reason,
            };
            if !self.seen.insert(inode.number) {
                return Err(refused("this directory has another name already"));
            }
            if self.open.len() >= DEPTH_MAX {
                return Err(refused("this directory is too deep in the tree"));
            }
            let children = Children::new(self.image, inode.number, part)?;
            self.open.push((children, self.path.len()));
        }
        Ok(Entry {
            path: self.path.clone(),
            inode,
        })
    }
}

impl<R: Read + Seek> Iterator for Walk<'_, R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.step();
        if entry.is_err() {
            self.open.clear();
        }
        entry.transpose()
    }
}
