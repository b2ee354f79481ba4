//! What the writer wrote is what the reader reads.

use std::io::Cursor;

use proptest::collection::vec;
use proptest::prelude::*;
use sif_format::squashfs::{
    Attributes, Compression, Image, ReadError, Xattr, XattrNamespace, read_everything,
};

use crate::model::{
    Model, Node, ROOT, Stretch, What, assert_same, noise, options, read, split, write,
};

const FILE: Attributes = Attributes {
    mode: 0o644,
    ..ROOT
};

fn node(what: What) -> Node {
    Node {
        what,
        attributes: FILE,
        xattrs: Vec::new(),
    }
}

fn file(bytes: Vec<u8>) -> Node {
    node(What::File(vec![Stretch::Bytes(bytes)]))
}

/// Images are read by one thread at a time, and by any.
fn assert_send<T: Send>(_: &T) {}

fn open(bytes: Vec<u8>) -> Image<Cursor<Vec<u8>>> {
    Image::open(Cursor::new(bytes)).expect("our own image")
}

/// Writes with each compressor and reads again.
fn check(model: &Model, block_size: u32) {
    for compression in [
        Compression::Gzip { level: 6 },
        Compression::Zstd { level: 1 },
    ] {
        let bytes = write(model, options(compression, block_size));
        read_everything(&bytes, u64::MAX).expect("all of it");
        assert_same(model, &read(&open(bytes)).expect("readable"));
    }
}

#[test]
fn a_directory_of_five_thousand_is_read_and_searched() {
    let mut model = Model::new();
    model.insert(
        b"many".to_vec(),
        Node {
            attributes: ROOT,
            ..node(What::Directory)
        },
    );
    for number in 0..5000 {
        let path = format!("many/file-{number:05}-with-a-name-that-fills-blocks").into_bytes();
        model.insert(path, file(number.to_string().into_bytes()));
    }
    let bytes = write(&model, options(Compression::GZIP, 131_072));
    let image = open(bytes);
    let many = image.find(b"/many/").expect("readable").expect("there");
    assert_eq!(image.children(&many).expect("a directory").count(), 5000);
    for absent in ["many/file-00000", "many/zzz", "many/file-02000-x", "many/"] {
        let found = image.find(absent.as_bytes()).expect("readable");
        assert_eq!(found.is_some(), absent == "many/", "{absent}");
    }
    assert_same(&model, &read(&image).expect("readable"));
}

#[test]
fn holes_stay_holes() {
    let stretches = vec![
        Stretch::Bytes(noise(2, 4096)),
        Stretch::Zeros(3 * 4096),
        Stretch::Bytes(noise(1, 100)),
    ];
    let model = Model::from([
        (
            b"all".to_vec(),
            node(What::File(vec![Stretch::Zeros(1 << 30)])),
        ),
        (b"middle".to_vec(), node(What::File(stretches))),
    ]);
    let bytes = write(&model, options(Compression::ZSTD, 4096));
    let read = read(&open(bytes)).expect("readable");
    assert_eq!(
        read, model,
        "stretches too: holes are not zeros that are stored"
    );
}

#[test]
fn long_names_targets_and_attributes_fit() {
    let long_name = vec![b'n'; 255];
    let value = noise(3, 64 << 10);
    let xattrs = vec![
        Xattr {
            namespace: XattrNamespace::User,
            name: vec![b'x'; 250],
            value: value.clone(),
        },
        Xattr {
            namespace: XattrNamespace::Trusted,
            name: b"same".to_vec(),
            value,
        },
        Xattr {
            namespace: XattrNamespace::Security,
            name: b"capability".to_vec(),
            value: vec![],
        },
    ];
    let mut model = Model::new();
    model.insert(
        long_name.clone(),
        Node {
            xattrs: xattrs.clone(),
            ..file(vec![1])
        },
    );
    model.insert(
        b"pipe".to_vec(),
        Node {
            xattrs: xattrs.clone(),
            ..node(What::Fifo)
        },
    );
    model.insert(
        b"target".to_vec(),
        Node {
            xattrs,
            ..node(What::Symlink(vec![b't'; 4095]))
        },
    );
    model.insert(b"top".to_vec(), node(What::CharDevice(0xfff, 0xf_ffff)));
    model.insert(b"zz-link".to_vec(), {
        let first = model[&long_name].clone();
        Node {
            what: What::Link(long_name),
            ..first
        }
    });
    check(&model, 131_072);
}

#[test]
fn an_image_within_a_larger_file_is_found_at_its_offset() {
    let model = Model::from([(b"a".to_vec(), file(noise(4, 10_000)))]);
    let image = write(&model, options(Compression::GZIP, 4096));
    let mut bytes = vec![0x55; 12_345];
    bytes.extend_from_slice(&image);
    bytes.extend_from_slice(&[0x55; 1000]);
    let length = image.len() as u64;
    let inside = Image::open_at(Cursor::new(bytes.clone()), 12_345, length).expect("there");
    assert_send(&inside);
    assert_same(&model, &read(&inside).expect("readable"));
    // One byte less than the super block speaks of, though the file goes on.
    let used = inside.super_block().bytes_used;
    let cut = Image::open_at(Cursor::new(bytes), 12_345, used - 1);
    assert!(matches!(cut, Err(ReadError::CutOff { .. })));
}

#[test]
fn inodes_are_found_by_number() {
    let model = Model::from([
        (b"a".to_vec(), file(vec![1; 10])),
        (b"b".to_vec(), node(What::Fifo)),
    ]);
    let image = open(write(&model, options(Compression::GZIP, 4096)));
    for entry in image.walk() {
        let inode = entry.expect("readable").inode;
        assert_eq!(image.inode(inode.number).expect("numbered"), inode);
    }
    for number in [0, 4, u32::MAX] {
        let missing = image.inode(number);
        assert!(
            matches!(missing, Err(ReadError::Missing { .. })),
            "{number}"
        );
    }
    let fifo = image.find(b"b").expect("readable").expect("there");
    assert!(matches!(image.content(&fifo), Err(ReadError::Kind { .. })));
    assert!(matches!(image.children(&fifo), Err(ReadError::Kind { .. })));
    assert_eq!(image.find(b"b/c").expect("readable"), None);
}

/// A node that is no link and no directory.
fn any_leaf() -> impl Strategy<Value = What> {
    let stretch = prop_oneof![
        (0_usize..30_000, 0_u64..4).prop_map(|(length, seed)| Stretch::Bytes(noise(seed, length))),
        (0_usize..30_000, any::<u8>())
            .prop_map(|(length, byte)| Stretch::Bytes(vec![byte; length])),
        (0_u64..50_000).prop_map(Stretch::Zeros),
    ];
    prop_oneof![
        6 => vec(stretch, 0..4).prop_map(What::File),
        1 => vec(1_u8.., 1..300).prop_map(What::Symlink),
        1 => (0_u32..1 << 12, 0_u32..1 << 20).prop_map(|(a, b)| What::BlockDevice(a, b)),
        1 => (0_u32..1 << 12, 0_u32..1 << 20).prop_map(|(a, b)| What::CharDevice(a, b)),
        1 => Just(What::Fifo),
        1 => Just(What::Socket),
    ]
}

fn any_xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let spaces = [
        XattrNamespace::User,
        XattrNamespace::Trusted,
        XattrNamespace::Security,
    ];
    let names = vec(
        (prop::sample::select(spaces.to_vec()), 0_u8..5, 0_usize..40),
        0..4,
    );
    // Few different ones, so that sets and values are shared.
    (0_u8..4, names).prop_map(|(some, names)| {
        let mut xattrs: Vec<Xattr> = Vec::new();
        for (namespace, name, length) in names.into_iter().filter(|_| some == 0) {
            let name = vec![b'a' + name; usize::from(name) + 1];
            if !xattrs
                .iter()
                .any(|x| x.namespace == namespace && x.name == name)
            {
                xattrs.push(Xattr {
                    namespace,
                    name,
                    value: vec![7; length],
                });
            }
        }
        xattrs.sort();
        xattrs
    })
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    (0_u16..=0o7777, 0_u32..5, any::<u32>(), any::<u32>()).prop_map(|(mode, uid, gid, mtime)| {
        Attributes {
            mode,
            uid,
            gid: gid % 3 * 1_000_000_000,
            mtime,
        }
    })
}

/// Where something goes: into which of the directories before it, and under which name.
fn any_node() -> impl Strategy<Value = (usize, Vec<u8>, u8, What, Attributes, Vec<Xattr>)> {
    let name = vec(prop_oneof![1_u8..b'.', b'0'..], 1..20);
    (
        any::<usize>(),
        name,
        0_u8..8,
        any_leaf(),
        any_attributes(),
        any_xattrs(),
    )
}

/// A quarter directories, an eighth hard links, else anything.
fn any_model() -> impl Strategy<Value = Model> {
    vec(any_node(), 0..60).prop_map(|nodes| {
        let mut model = Model::new();
        let mut directories = vec![Vec::new()];
        let mut linked: Vec<(Vec<u8>, usize)> = Vec::new();
        for (place, name, choice, what, attributes, xattrs) in nodes {
            let parent: &Vec<u8> = &directories[place % directories.len()];
            let path = match &parent[..] {
                b"" => name,
                parent => [parent, b"/", &name].concat(),
            };
            if model.contains_key(&path) || linked.iter().any(|(other, _)| *other == path) {
                continue;
            }
            let what = match choice {
                0 | 1 => What::Directory,
                2 => {
                    linked.push((path, place));
                    continue;
                }
                _ => what,
            };
            if what == What::Directory {
                directories.push(path.clone());
            }
            model.insert(
                path,
                Node {
                    what,
                    attributes,
                    xattrs,
                },
            );
        }
        link(&mut model, linked);
        model
    })
}

/// Adds hard links to what is there.
fn link(model: &mut Model, linked: Vec<(Vec<u8>, usize)>) {
    let targets: Vec<Vec<u8>> = model
        .iter()
        .filter(|(_, node)| node.what != What::Directory)
        .map(|(path, _)| path.clone())
        .collect();
    for (path, place) in linked.into_iter().filter(|_| !targets.is_empty()) {
        let to = targets[place % targets.len()].clone();
        let node = Node {
            what: What::Link(to.clone()),
            ..model[&to].clone()
        };
        model.insert(path, node);
    }
}

/// The order of a walk: names within a directory, not whole paths.
fn walk_key(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').collect()
}

/// The first name of each inode in the order of the walk is the one that is no link.
fn normalize(model: &Model) -> Model {
    let mut groups: std::collections::BTreeMap<&[u8], Vec<&[u8]>> = Default::default();
    for (path, node) in model {
        if let What::Link(to) = &node.what {
            groups.entry(to).or_insert_with(|| vec![to]).push(path);
        }
    }
    let mut normal = model.clone();
    for (to, mut names) in groups {
        names.sort_by_key(|path| walk_key(path));
        let what = model[to].what.clone();
        for (index, name) in names.iter().enumerate() {
            let node = normal.get_mut(*name).expect("a name");
            node.what = if index == 0 {
                what.clone()
            } else {
                What::Link(names[0].to_vec())
            };
        }
    }
    normal
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_comes_back(model in any_model(), small in any::<bool>()) {
        let block_size = if small { 4096 } else { 16384 };
        let bytes = write(&model, options(Compression::Zstd { level: 1 }, block_size));
        let image = open(bytes);
        assert_same(&normalize(&model), &read(&image).expect("readable"));
        // The walk gives names in order, directories before what is in them.
        let paths: Vec<Vec<u8>> = image.walk().map(|entry| entry.expect("readable").path).collect();
        prop_assert_eq!(&paths[0], b"");
        let mut sorted = paths[1..].to_vec();
        sorted.sort_by(|a, b| walk_key(a).cmp(&walk_key(b)));
        prop_assert_eq!(&paths[1..], &sorted[..]);
        for path in &sorted {
            prop_assert!(paths.iter().any(|other| other == split(path).0));
        }
    }
}
