//! A tree in plain words: written as an image, read from one, and compared.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, Write};
use std::num::NonZeroUsize;

use sif_format::squashfs::{
    Attributes, Compression, Device, Image, InodeKind, Kind, NodeId, Options, Piece, ReadError,
    Tree, Writer, Xattr,
};

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Directory,
    /// Stretches of content.
    File(Vec<Stretch>),
    Symlink(Vec<u8>),
    BlockDevice(u32, u32),
    CharDevice(u32, u32),
    Fifo,
    Socket,
    /// Another name of the path given.
    Link(Vec<u8>),
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stretch {
    Bytes(Vec<u8>),
    Zeros(u64),
}

/// What a path is and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) what: What,
    pub(crate) attributes: Attributes,
    pub(crate) xattrs: Vec<Xattr>,
}

/// All paths, without the root; directories before what is in them.
pub(crate) type Model = BTreeMap<Vec<u8>, Node>;

pub(crate) const ROOT: Attributes = Attributes {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 1_700_000_000,
};

pub(crate) fn options(compression: Compression, block_size: u32) -> Options {
    let mut options = Options::new(
        compression,
        1_700_000_000,
        NonZeroUsize::new(2).expect("two"),
    );
    options.block_size = block_size;
    options
}

pub(crate) fn bytes_of(stretches: &[Stretch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for stretch in stretches {
        match stretch {
            Stretch::Bytes(some) => bytes.extend_from_slice(some),
            Stretch::Zeros(count) => bytes.resize(bytes.len() + *count as usize, 0),
        }
    }
    bytes
}

/// The image of a model.
pub(crate) fn write(model: &Model, options: Options) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), options).expect("a writer");
    let mut tree = Tree::new(ROOT).expect("a root");
    let mut nodes: BTreeMap<&[u8], NodeId> = BTreeMap::from([(&b""[..], Tree::ROOT)]);
    let mut links = Vec::new();
    for (path, node) in model {
        let (parent, name) = split(path);
        let parent = nodes[parent];
        let kind = match &node.what {
            What::Directory => {
                let id = tree.add_directory(parent, name, node.attributes);
                let id = id.expect("a directory");
                tree.set_xattrs(id, node.xattrs.clone()).expect("xattrs");
                nodes.insert(path, id);
                continue;
            }
            What::Link(to) => {
                links.push((parent, name, to));
                continue;
            }
            What::File(stretches) => {
                let mut file = writer.begin_file().expect("a file");
                for stretch in stretches {
                    match stretch {
                        Stretch::Bytes(bytes) => file.write_all(bytes).expect("content"),
                        Stretch::Zeros(count) => file.write_hole(*count).expect("a hole"),
                    }
                }
                Kind::File(file.finish().expect("a whole file"))
            }
            What::Symlink(target) => Kind::Symlink(target.clone()),
            What::BlockDevice(major, minor) => Kind::BlockDevice(Device {
                major: *major,
                minor: *minor,
            }),
            What::CharDevice(major, minor) => Kind::CharDevice(Device {
                major: *major,
                minor: *minor,
            }),
            What::Fifo => Kind::Fifo,
            What::Socket => Kind::Socket,
        };
        let id = tree
            .add(parent, name, node.attributes, kind)
            .expect("a node");
        tree.set_xattrs(id, node.xattrs.clone()).expect("xattrs");
        nodes.insert(path, id);
    }
    for (parent, name, to) in links {
        tree.link(parent, name, nodes[&to[..]]).expect("a link");
    }
    let finished = writer.finish(&tree).expect("an image");
    finished.patch().expect("a super block").0.into_inner()
}

/// What an image has, in the same words. Hard links are names of the first path that the walk gives.
pub(crate) fn read<R: Read + Seek>(image: &Image<R>) -> Result<Model, ReadError> {
    let mut model = Model::new();
    let mut first: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut names: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for entry in image.walk() {
        let entry = entry?;
        let inode = entry.inode;
        if entry.path.is_empty() {
            continue;
        }
        // Every name is found; of large directories some are looked for.
        if model.len() < 100 || model.len().is_multiple_of(97) {
            assert_eq!(image.find(&entry.path)?.as_ref(), Some(&inode));
        }
        if !inode.is_directory() {
            names.entry(inode.number).or_insert((0, inode.links)).0 += 1;
        }
        if let Some(first) = first.get(&inode.number) {
            let node: &Node = &model[first];
            let what = What::Link(first.clone());
            let node = Node {
                what,
                ..node.clone()
            };
            model.insert(entry.path, node);
            continue;
        }
        first.insert(inode.number, entry.path.clone());
        let what = match &inode.kind {
            InodeKind::Directory(_) => What::Directory,
            InodeKind::File(_) => What::File(read_file(image, &inode)?),
            InodeKind::Symlink(target) => What::Symlink(target.clone()),
            InodeKind::BlockDevice(device) => What::BlockDevice(device.major, device.minor),
            InodeKind::CharDevice(device) => What::CharDevice(device.major, device.minor),
            InodeKind::Fifo => What::Fifo,
            InodeKind::Socket => What::Socket,
        };
        let node = Node {
            what,
            attributes: inode.attributes,
            xattrs: image.xattrs(&inode)?,
        };
        model.insert(entry.path, node);
    }
    for (number, (names, links)) in names {
        assert_eq!(names, links, "names and links of inode {number}");
    }
    Ok(model)
}

fn read_file<R: Read + Seek>(
    image: &Image<R>,
    inode: &sif_format::squashfs::Inode,
) -> Result<Vec<Stretch>, ReadError> {
    let mut pieces = image.content(inode)?;
    let mut stretches: Vec<Stretch> = Vec::new();
    while let Some(piece) = pieces.next_piece()? {
        match (piece, stretches.last_mut()) {
            (Piece::Bytes(bytes), Some(Stretch::Bytes(last))) => last.extend_from_slice(bytes),
            (Piece::Hole(count), Some(Stretch::Zeros(last))) => *last += count,
            (Piece::Bytes(bytes), _) => stretches.push(Stretch::Bytes(bytes.to_vec())),
            (Piece::Hole(count), _) => stretches.push(Stretch::Zeros(count)),
        }
    }
    // The same as a stream of bytes, in odd portions. Files of holes alone may be too long for it.
    if inode.size() < 64 << 20 {
        let mut stream = image.content(inode)?;
        let mut bytes = Vec::new();
        let mut portion = [0; 1013];
        loop {
            let length = stream.read(&mut portion).expect("content");
            if length == 0 {
                break;
            }
            bytes.extend_from_slice(&portion[..length]);
        }
        assert_eq!(bytes.len() as u64, inode.size());
        assert!(bytes == bytes_of(&stretches), "pieces and stream differ");
    }
    Ok(stretches)
}

/// Fails with the first path where two models differ. Zeros count as zeros, stored or not.
pub(crate) fn assert_same(left: &Model, right: &Model) {
    for path in left.keys().chain(right.keys()) {
        let name = path.escape_ascii();
        let (left, right) = (left.get(path), right.get(path));
        let (Some(left), Some(right)) = (left, right) else {
            panic!("`{name}` is in one only: {left:?} {right:?}");
        };
        assert_eq!(left.attributes, right.attributes, "attributes of `{name}`");
        assert_eq!(left.xattrs, right.xattrs, "extended attributes of `{name}`");
        match (&left.what, &right.what) {
            (What::File(left), What::File(right)) => {
                let same = left == right || bytes_of(left) == bytes_of(right);
                assert!(same, "content of `{name}`");
            }
            (left, right) => assert_eq!(left, right, "kind of `{name}`"),
        }
    }
}

/// Directory and name of a path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Bytes that do not compress and are the same each time.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
