//! Damaged and hostile images: an error or other content, never a panic, a loop or too much memory.

use std::io::Cursor;

use proptest::prelude::*;
use sif_format::squashfs::{
    Attributes, Compression, Image, InodeKind, ReadError, Xattr, XattrNamespace, read_everything,
};

use crate::model::{Model, Node, ROOT, Stretch, What, noise, options, write};

/// Content that is read of a damaged image.
const CONTENT: u64 = 4 << 20;

/// An image of some kilobytes that has everything.
fn image(compression: Compression) -> Vec<u8> {
    let mut model = Model::new();
    let mut add = |path: &str, what, xattrs: usize| {
        let xattrs = (0..xattrs)
            .map(|index| Xattr {
                namespace: XattrNamespace::User,
                name: format!("name{index}").into_bytes(),
                value: vec![b'v'; 20],
            })
            .collect();
        let attributes = Attributes {
            uid: path.len() as u32,
            ..ROOT
        };
        model.insert(
            path.as_bytes().to_vec(),
            Node {
                what,
                attributes,
                xattrs,
            },
        );
    };
    let bytes = |bytes: Vec<u8>| What::File(vec![Stretch::Bytes(bytes)]);
    add("a", What::Directory, 1);
    add("a/b", What::Directory, 0);
    add("a/b/blocks", bytes(noise(1, 5000)), 0);
    add("a/b/hole", What::File(vec![Stretch::Zeros(100_000)]), 0);
    add("a/text", bytes(b"text ".repeat(3000)), 2);
    add("device", What::BlockDevice(1, 2), 0);
    add("link", What::Symlink(b"a/b/blocks".to_vec()), 0);
    add("pipe", What::Fifo, 1);
    for number in 0..40 {
        add(&format!("a/b/{number}"), bytes(vec![number; 30]), 0);
    }
    write(&model, options(compression, 4096))
}

/// Reads all, and in other ways than a walk does.
fn read(bytes: &[u8]) -> Result<(), ReadError> {
    let everything = read_everything(bytes, CONTENT);
    if let Ok(image) = Image::open(Cursor::new(bytes)) {
        let _ = image.find(b"a/b/blocks");
        let numbers = image.super_block().inodes.min(100);
        let _ = (0..=numbers)
            .map(|number| image.inode(number))
            .filter(Result::is_ok)
            .count();
    }
    everything
}

/// An image whose metadata is stored, so that changes reach what is behind the decompressor.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let image = Image::open(Cursor::new(bytes)).expect("our own image");
    let block = image.super_block().clone();
    drop(image);
    assert_eq!(block.xattr_table, u64::MAX, "only without attributes");
    let inodes = unpack(bytes, block.inode_table, block.directory_table);
    let directories = unpack(bytes, block.directory_table, block.directory_table + 1);
    // One block each: all places within them stay, and none is before them.
    assert!(block.directory_table > block.inode_table);
    let u64_at = |at: u64| u64::from_le_bytes(bytes[at as usize..][..8].try_into().expect("8"));
    let ids = unpack(bytes, u64_at(block.id_table), u64_at(block.id_table) + 1);
    let mut out = bytes[..block.inode_table as usize].to_vec();
    let put = |out: &mut Vec<u8>, metadata: &[u8]| {
        let begin = out.len() as u64;
        out.extend_from_slice(&(metadata.len() as u16 | 0x8000).to_le_bytes());
        out.extend_from_slice(metadata);
        begin
    };
    put(&mut out, &inodes);
    let directory_table = put(&mut out, &directories);
    let ids = put(&mut out, &ids);
    let id_table = out.len() as u64;
    out.extend_from_slice(&ids.to_le_bytes());
    let mut set = |at: usize, value: u64| out[at..at + 8].copy_from_slice(&value.to_le_bytes());
    set(48, id_table);
    set(72, directory_table);
    set(80, u64::MAX);
    set(88, u64::MAX);
    set(40, id_table + 8);
    // No fragments, and no longer to be exported.
    out[16..20].fill(0);
    out[24] &= !0x80;
    out
}

/// The one metadata block at `place`, decompressed by zlib.
fn unpack(bytes: &[u8], place: u64, end: u64) -> Vec<u8> {
    let place = place as usize;
    let header = u16::from_le_bytes([bytes[place], bytes[place + 1]]);
    let length = usize::from(header & 0x7fff);
    assert!(place + 2 + length >= end as usize, "one block only");
    let body = &bytes[place + 2..][..length];
    if header & 0x8000 != 0 {
        return body.to_vec();
    }
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(body), &mut out).expect("zlib");
    out
}

/// A root, in it a directory `d`, in it a directory `e` and a link, all as stored metadata.
fn small() -> Vec<u8> {
    let node = |what| Node {
        what,
        attributes: ROOT,
        xattrs: Vec::new(),
    };
    let model = Model::from([
        (b"d".to_vec(), node(What::Directory)),
        (b"d/e".to_vec(), node(What::Directory)),
        (b"d/l".to_vec(), node(What::Symlink(b"target".to_vec()))),
    ]);
    let bytes = stored(&write(
        &model,
        options(Compression::Gzip { level: 1 }, 4096),
    ));
    read_everything(&bytes, CONTENT).expect("still readable");
    bytes
}

#[test]
fn every_truncation_is_an_error() {
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let bytes = image(compression);
        read(&bytes).expect("all of it");
        let used = Image::open(Cursor::new(&bytes))
            .expect("our own")
            .super_block()
            .bytes_used;
        for length in (0..used as usize).step_by(7) {
            let error = read(&bytes[..length]).expect_err("cut off");
            let right = matches!(error, ReadError::CutOff { .. } | ReadError::NotSquashfs);
            assert!(right, "{length}: {error}");
        }
        // And when the super block says that this was all, there are tables that do not fit.
        for length in 96..used {
            let mut changed = bytes[..length as usize].to_vec();
            changed[40..48].copy_from_slice(&length.to_le_bytes());
            read(&changed).expect_err("cut off");
        }
    }
}

#[test]
fn no_changed_byte_makes_a_panic() {
    let bytes = image(Compression::Gzip { level: 6 });
    let image = Image::open(Cursor::new(&bytes)).expect("our own");
    let inodes = image.super_block().inode_table as usize;
    let inodes = inodes..image.super_block().directory_table as usize;
    // Of the content, whose bytes are as they come, some.
    let content = (96..inodes.start).step_by(11);
    let mut noticed = 0;
    for at in (0..96).chain(content).chain(inodes.start..bytes.len()) {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        noticed += usize::from(read(&changed).is_err() && inodes.contains(&at));
    }
    // zlib has a checksum; a bit or two between blocks have no meaning.
    assert!(noticed + 2 >= inodes.len(), "{noticed} of {}", inodes.len());
}

#[test]
fn no_changed_byte_of_metadata_makes_a_panic() {
    let bytes = small();
    for at in 0..bytes.len() {
        for value in [0, 1, 2, 3, 8, 9, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _ = read(&changed);
        }
    }
}

#[test]
fn a_directory_inside_itself_is_refused() {
    let bytes = small();
    let image = Image::open(Cursor::new(&bytes)).expect("readable");
    let table = image.super_block().inode_table as usize;
    let root = (image.super_block().root & 0xffff) as usize + table + 2;
    let inner = image.find(b"d/e").expect("readable").expect("there").number;
    // The listing of `d` becomes that of `e` as well: `e` has an `e`, which has the same number.
    let inode_of = |number: u32| {
        (table + 2..root + 32)
            .find(|at| {
                bytes[*at..*at + 2] == [1, 0] && bytes[at + 12..at + 16] == number.to_le_bytes()
            })
            .expect("an inode")
    };
    let outer = image.find(b"d").expect("readable").expect("there").number;
    let (outer, inner) = (inode_of(outer), inode_of(inner));
    let mut changed = bytes.clone();
    changed.copy_within(outer + 16..outer + 28, inner + 16);
    let error = read(&changed).expect_err("endless");
    assert!(
        matches!(&error, ReadError::Walk { path, .. } if path == b"d/e/e"),
        "{error}"
    );
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    // Paths have up to 4095 bytes: 2048 directories with names of one.
    for (depth, fits) in [(2048, true), (2049, false)] {
        let error = read_everything(&deep(depth), CONTENT);
        let right = match error {
            Ok(()) => fits,
            Err(ReadError::Walk { path, .. }) => !fits && path.len() == 4097,
            Err(_) => false,
        };
        assert!(right, "{depth}");
    }
}

/// An image of directories within each other.
fn deep(depth: usize) -> Vec<u8> {
    let mut path = Vec::new();
    let mut model = Model::new();
    for _ in 0..depth {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.push(b'd');
        let node = Node {
            what: What::Directory,
            attributes: ROOT,
            xattrs: Vec::new(),
        };
        model.insert(path.clone(), node);
    }
    write(&model, options(Compression::Gzip { level: 1 }, 4096))
}

#[test]
fn sizes_that_the_image_has_no_room_for_are_refused() {
    // A file that says it has an exabyte: its block list cannot be in this image.
    let model = Model::from([(
        b"file".to_vec(),
        Node {
            what: What::File(vec![Stretch::Zeros(4096)]),
            attributes: ROOT,
            xattrs: Vec::new(),
        },
    )]);
    let bytes = stored(&write(
        &model,
        options(Compression::Gzip { level: 1 }, 4096),
    ));
    let image = Image::open(Cursor::new(&bytes)).expect("readable");
    let file = image.find(b"file").expect("readable").expect("there");
    assert!(matches!(file.kind, InodeKind::File(part) if part.size() == 4096));
    let table = image.super_block().inode_table as usize;
    let size = (table..bytes.len() - 16)
        .find(|at| bytes[*at..*at + 8] == 4096_u64.to_le_bytes())
        .expect("its size");
    let mut changed = bytes.clone();
    changed[size..size + 8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    let error = read(&changed).expect_err("too large");
    assert!(matches!(error, ReadError::Inode { .. }), "{error}");
    // Two blocks, of which one has no size: the list runs into what follows and ends with it.
    let mut changed = bytes;
    changed[size..size + 8].copy_from_slice(&(1_u64 << 17).to_le_bytes());
    read(&changed).expect_err("a list that ends early");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_damage_never_panics(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        zstd in any::<bool>(),
        plain in any::<bool>(),
    ) {
        let mut bytes = match (plain, zstd) {
            (true, _) => small(),
            (_, true) => image(Compression::ZSTD),
            (_, false) => image(Compression::Gzip { level: 1 }),
        };
        for (place, value) in places {
            let at = place.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn any_bytes_after_a_super_block_are_no_danger(
        tail in proptest::collection::vec(any::<u8>(), 0..2000),
        tables in proptest::array::uniform8(96_u64..2200),
    ) {
        let mut bytes = small()[..96].to_vec();
        for (index, table) in tables.iter().enumerate() {
            bytes[32 + index * 8..][..8].copy_from_slice(&table.to_le_bytes());
        }
        bytes.extend_from_slice(&tail);
        let _ = read(&bytes);
        let _ = read(&tail);
    }
}
