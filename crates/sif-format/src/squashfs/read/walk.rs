//! All entries of an image, directories before what is in them.
//!
//! The walk ends whatever the image says: no directory is entered twice, and no path is longer than
//! Linux can name, which bounds the depth as well.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::children::Children;
use super::inode::{Inode, InodeKind};
use super::{Entry, Image, ReadError};

/// The longest path (Linux: `PATH_MAX`, without the NUL). Every directory adds two bytes at least.
const PATH_MAX: usize = 4095;

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

    /// The entry of `inode`, whose path is the present one. A directory is where the walk goes on.
    fn enter(&mut self, inode: Inode) -> Result<Entry, ReadError> {
        let refused = |reason| ReadError::Walk {
            path: self.path.clone(),
            reason,
        };
        if self.path.len() > PATH_MAX {
            return Err(refused("the path is longer than Linux can name"));
        }
        if let InodeKind::Directory(part) = inode.kind {
            if !self.seen.insert(inode.number) {
                return Err(refused("this directory has another name already"));
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
