//! From a tree to the tables below the data.
//!
//! ```text
//! number all inodes     by directory, names in order
//! inode table           all that are no directories, in that order
//!                       then, from the deepest directories up to the root:
//! directory table         entries of all directories of one depth    (their children's inodes have places)
//! inode table             the inodes of these directories            (their entries have places)
//! fragment, export, id and attribute tables
//! ```
//!
//! A place in a compressed stream is known only when all before it is compressed. Going up by depth
//! makes as many stops for that as the tree is deep; between them, all threads compress.

use std::collections::HashMap;
use std::io::Write;

use crate::squashfs::layout::{NO_TABLE, inode_type};
use crate::squashfs::super_block::{Flags, SuperBlock};

use super::area::Area;
use super::content::Content;
use super::inode::{self, Common, DirectoryPart, FilePart};
use super::listing::{Item, Listing};
use super::metadata::{Place, Stream};
use super::pool::Pool;
use super::tree::{Body, Kind, Node, NodeId, Tree};
use super::xattrs::Sets;
use super::{Options, WriteError};

/// The order in which a tree's inodes are numbered.
struct Order {
    /// By node.
    numbers: Vec<u32>,
    /// All that are no directories, by number.
    others: Vec<NodeId>,
    /// Directories with their depth and their parent's number.
    directories: Vec<(NodeId, u32, u32)>,
    inodes: u32,
}

/// User and group ids, which inodes refer to by 16 bits.
#[derive(Default)]
struct Ids {
    indices: HashMap<u32, u16>,
    list: Vec<u8>,
}

impl Ids {
    fn index(&mut self, id: u32) -> Result<u16, WriteError> {
        if let Some(index) = self.indices.get(&id) {
            return Ok(*index);
        }
        // The super block counts them in 16 bits.
        let index = u16::try_from(self.indices.len())
            .ok()
            .filter(|index| *index < u16::MAX);
        let limit = u16::MAX.into();
        let index = index.ok_or(WriteError::TooMany {
            what: "user and group ids",
            limit,
        })?;
        self.indices.insert(id, index);
        self.list.extend_from_slice(&id.to_le_bytes());
        Ok(index)
    }
}

/// Writes the tables of `tree` behind the data.
pub(super) fn finish<W: Write>(
    content: &mut Content<W>,
    tree: &Tree,
    options: &Options,
) -> Result<SuperBlock, WriteError> {
    content.close()?;
    let mut tables = Tables {
        tree,
        order: order(tree),
        ids: Ids::default(),
        sets: Sets::default(),
        places: vec![Place::default(); tree.nodes.len()],
        inodes: Stream::default(),
        directories: Stream::default(),
        directory_table: Vec::new(),
        pool: &mut content.pool,
        area: &mut content.area,
        block_size: options.block_size,
    };
    let inode_table = tables.area.position;
    tables.others()?;
    tables.directories()?;
    let root = tables.inodes.reference(tables.place(Tree::ROOT))?;
    let directory_table = tables.area.position;
    let bytes = std::mem::take(&mut tables.directory_table);
    tables.area.write(&bytes)?;
    drop(bytes);
    let fragment_table = tables.fragment_table()?;
    let export_table = tables.export_table()?;
    let ids = std::mem::take(&mut tables.ids.list);
    let id_table = tables.table(&ids)?;
    let xattr_table = tables.xattr_table()?;
    let area = &tables.area;
    Ok(SuperBlock {
        inodes: tables.order.inodes,
        mkfs_time: options.mkfs_time,
        block_size: options.block_size,
        // Counted in 32 bits when they were made.
        fragments: area.fragments.len() as u32,
        compressor: options.compression.compressor(),
        flags: options.flags().with(Flags::EXPORTABLE),
        ids: (ids.len() / 4) as u16,
        root,
        bytes_used: area.position,
        id_table,
        xattr_table,
        inode_table,
        directory_table,
        fragment_table,
        export_table,
    })
}

fn order(tree: &Tree) -> Order {
    let mut order = Order {
        numbers: vec![0; tree.nodes.len()],
        others: Vec::new(),
        directories: Vec::new(),
        inodes: 1,
    };
    // The root's parent is the number after all others, as mksquashfs has it.
    let beyond = tree.nodes.len() as u32 + 1;
    let mut pending = vec![(Tree::ROOT, 0, beyond)];
    if let Some(number) = order.numbers.first_mut() {
        *number = 1;
    }
    while let Some((directory, depth, parent)) = pending.pop() {
        order.directories.push((directory, depth, parent));
        let Some(Body::Directory(children)) = tree.nodes.get(directory.0 as usize).map(|n| &n.body)
        else {
            continue;
        };
        let own = order
            .numbers
            .get(directory.0 as usize)
            .copied()
            .unwrap_or(0);
        let before = pending.len();
        for child in children.values() {
            // A hard link has been numbered at its first name.
            let Some(number) = order.numbers.get_mut(child.0 as usize).filter(|n| **n == 0) else {
                continue;
            };
            order.inodes += 1;
            *number = order.inodes;
            match tree.nodes.get(child.0 as usize).map(|node| &node.body) {
                Some(Body::Directory(_)) => pending.push((*child, depth + 1, own)),
                _ => order.others.push(*child),
            }
        }
        if let Some(added) = pending.get_mut(before..) {
            added.reverse();
        }
    }
    order
}

struct Tables<'a, W> {
    tree: &'a Tree,
    order: Order,
    ids: Ids,
    sets: Sets<'a>,
    /// Where each node's inode is, once it is written.
    places: Vec<Place>,
    inodes: Stream,
    directories: Stream,
    /// It comes after the inode table, which is written as it grows.
    directory_table: Vec<u8>,
    pool: &'a mut Pool,
    area: &'a mut Area<W>,
    block_size: u32,
}

impl<'a, W: Write> Tables<'a, W> {
    fn place(&self, node: NodeId) -> Place {
        self.places
            .get(node.0 as usize)
            .copied()
            .unwrap_or_default()
    }

    fn number(&self, node: NodeId) -> u32 {
        self.order
            .numbers
            .get(node.0 as usize)
            .copied()
            .unwrap_or(0)
    }

    fn common(&mut self, node: &'a Node, number: u32, links: u32) -> Result<Common, WriteError> {
        Ok(Common {
            mode: node.attributes.mode,
            uid: self.ids.index(node.attributes.uid)?,
            gid: self.ids.index(node.attributes.gid)?,
            mtime: node.attributes.mtime,
            number,
            links,
            xattr: self.sets.number(&node.xattrs)?,
        })
    }

    fn push_inode(&mut self, node: NodeId, inode: &[u8]) -> Result<(), WriteError> {
        if let Some(place) = self.places.get_mut(node.0 as usize) {
            *place = self.inodes.place();
        }
        let area = &mut *self.area;
        self.inodes
            .push(inode, self.pool, &mut |bytes| area.write(bytes))
    }

    /// All inodes but directories.
    fn others(&mut self) -> Result<(), WriteError> {
        let others = std::mem::take(&mut self.order.others);
        for id in others {
            let Some(node) = self.tree.nodes.get(id.0 as usize) else {
                continue;
            };
            let Body::Other { kind, links } = &node.body else {
                continue;
            };
            let common = self.common(node, self.number(id), *links)?;
            let inode = self.other(&common, kind)?;
            self.push_inode(id, &inode)?;
        }
        let area = &mut *self.area;
        self.inodes.drain(self.pool, &mut |bytes| area.write(bytes))
    }

    fn other(&self, common: &Common, kind: &Kind) -> Result<Vec<u8>, WriteError> {
        Ok(match kind {
            Kind::File(file) => {
                let record = self.area.files.get(file.0 as usize);
                let record = record.ok_or(WriteError::UnknownContent)?;
                let (start, block_sizes) = self.area.block_list(record)?;
                let holes: u64 = record.holes.iter().map(|(_, count)| count).sum();
                inode::file(
                    common,
                    &FilePart {
                        start,
                        size: record.size,
                        hole_bytes: holes * u64::from(self.block_size),
                        tail: record.tail,
                        block_sizes: &block_sizes,
                    },
                )
            }
            Kind::Symlink(target) => inode::symlink(common, target),
            Kind::BlockDevice(device) | Kind::CharDevice(device) => {
                // Checked when it entered the tree.
                inode::device(basic_type(kind), common, device.encode().unwrap_or(0))
            }
            Kind::Fifo | Kind::Socket => inode::ipc(basic_type(kind), common),
        })
    }

    /// The directories, deepest first.
    fn directories(&mut self) -> Result<(), WriteError> {
        let mut directories = std::mem::take(&mut self.order.directories);
        directories.sort_by_key(|(_, depth, _)| std::cmp::Reverse(*depth));
        for level in directories.chunk_by(|(_, one, _), (_, other, _)| one == other) {
            let mut inodes = Vec::with_capacity(level.len());
            for (id, _, parent) in level {
                let Some(node) = self.tree.nodes.get(id.0 as usize) else {
                    continue;
                };
                let Body::Directory(children) = &node.body else {
                    continue;
                };
                let (mut listing, subdirectories) = self.list(children.iter())?;
                let size = listing.finish()?;
                let begin = self.directories.place();
                let landmarks = self.push_listing(&listing)?;
                inodes.push((*id, node, *parent, subdirectories, size, begin, landmarks));
            }
            let table = &mut self.directory_table;
            self.directories
                .drain(self.pool, &mut |bytes| append(table, bytes))?;
            for (id, node, parent, subdirectories, size, begin, landmarks) in inodes {
                let mut index = Vec::new();
                for (at, place, name) in &landmarks {
                    let start = self.directories.start_of(*place)?;
                    let length = name.len().saturating_sub(1) as u32;
                    for number in [*at, start, length] {
                        index.extend_from_slice(&number.to_le_bytes());
                    }
                    index.extend_from_slice(name);
                }
                let common =
                    self.common(node, self.number(id), subdirectories.saturating_add(2))?;
                let part = DirectoryPart {
                    start: self.directories.start_of(begin)?,
                    offset: begin.offset(),
                    size,
                    parent,
                    index: &index,
                    index_count: landmarks.len() as u16,
                };
                self.push_inode(id, &inode::directory(&common, &part))?;
            }
            let area = &mut *self.area;
            self.inodes
                .drain(self.pool, &mut |bytes| area.write(bytes))?;
        }
        let table = &mut self.directory_table;
        self.directories
            .finish(self.pool, &mut |bytes| append(table, bytes))?;
        let area = &mut *self.area;
        self.inodes
            .finish(self.pool, &mut |bytes| area.write(bytes))
    }

    /// A directory's entries, and how many of them are directories.
    fn list<'n>(
        &self,
        children: impl Iterator<Item = (&'n Vec<u8>, &'n NodeId)>,
    ) -> Result<(Listing, u32), WriteError> {
        let mut listing = Listing::default();
        let mut subdirectories = 0_u32;
        for (name, child) in children {
            let kind = match self.tree.nodes.get(child.0 as usize).map(|node| &node.body) {
                Some(Body::Other { kind, .. }) => basic_type(kind),
                _ => {
                    subdirectories = subdirectories.saturating_add(1);
                    inode_type::DIRECTORY
                }
            };
            let place = self.place(*child);
            listing.push(&Item {
                name,
                kind,
                number: self.number(*child),
                start: self.inodes.start_of(place)?,
                offset: place.offset(),
            });
        }
        Ok((listing, subdirectories))
    }

    /// Appends a listing to the directory table, and notes where the headers of its index come to lie.
    fn push_listing(
        &mut self,
        listing: &Listing,
    ) -> Result<Vec<(u32, Place, Vec<u8>)>, WriteError> {
        let mut landmarks = Vec::with_capacity(listing.index.len());
        let mut done = 0;
        for landmark in &listing.index {
            let until = landmark.at as usize;
            self.push_entries(listing.bytes.get(done..until).unwrap_or_default())?;
            landmarks.push((landmark.at, self.directories.place(), landmark.name.clone()));
            done = until;
        }
        self.push_entries(listing.bytes.get(done..).unwrap_or_default())?;
        Ok(landmarks)
    }

    fn push_entries(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let table = &mut self.directory_table;
        self.directories
            .push(bytes, self.pool, &mut |bytes| append(table, bytes))
    }

    fn fragment_table(&mut self) -> Result<u64, WriteError> {
        let mut bytes = Vec::with_capacity(self.area.fragments.len() * 16);
        for (start, size) in &self.area.fragments {
            bytes.extend_from_slice(&start.to_le_bytes());
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
        }
        self.table(&bytes)
    }

    fn export_table(&mut self) -> Result<u64, WriteError> {
        let mut bytes = vec![0; self.order.inodes as usize * 8];
        for (number, place) in self.order.numbers.iter().zip(&self.places) {
            let at = (*number as usize).saturating_sub(1) * 8;
            if let Some(slot) = bytes.get_mut(at..at + 8) {
                slot.copy_from_slice(&self.inodes.reference(*place)?.to_le_bytes());
            }
        }
        self.table(&bytes)
    }

    fn xattr_table(&mut self) -> Result<u64, WriteError> {
        if self.sets.count() == 0 {
            return Ok(NO_TABLE);
        }
        let begin = self.area.position;
        let area = &mut *self.area;
        let lookup = self.sets.write(self.pool, &mut |bytes| area.write(bytes))?;
        let places = self.blocks(&lookup)?;
        let table = self.area.position;
        let mut header = begin.to_le_bytes().to_vec();
        header.extend_from_slice(&self.sets.count().to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        self.area.write(&header)?;
        self.area.write(&places)?;
        Ok(table)
    }

    /// A table: its blocks, and after them the list of their places, whose own place is given.
    fn table(&mut self, bytes: &[u8]) -> Result<u64, WriteError> {
        let places = self.blocks(bytes)?;
        let table = self.area.position;
        self.area.write(&places)?;
        Ok(table)
    }

    /// Writes `bytes` as metadata blocks and gives the list of their places.
    fn blocks(&mut self, bytes: &[u8]) -> Result<Vec<u8>, WriteError> {
        let begin = self.area.position;
        let mut stream = Stream::default();
        let area = &mut *self.area;
        stream.push(bytes, self.pool, &mut |bytes| area.write(bytes))?;
        stream.finish(self.pool, &mut |bytes| area.write(bytes))?;
        Ok(stream
            .starts()
            .iter()
            .flat_map(|start| (begin + start).to_le_bytes())
            .collect())
    }
}

fn append(table: &mut Vec<u8>, bytes: &[u8]) -> Result<(), WriteError> {
    table.extend_from_slice(bytes);
    Ok(())
}

fn basic_type(kind: &Kind) -> u16 {
    match kind {
        Kind::File(_) => inode_type::FILE,
        Kind::Symlink(_) => inode_type::SYMLINK,
        Kind::BlockDevice(_) => inode_type::BLOCK_DEVICE,
        Kind::CharDevice(_) => inode_type::CHAR_DEVICE,
        Kind::Fifo => inode_type::FIFO,
        Kind::Socket => inode_type::SOCKET,
    }
}
