//! Layers and trees as lines of text, so that a test can be read at a glance.
//!
//! ```text
//! layer                           tree
//! d PATH [MODE [UID:GID]]         PATH/ MODE UID:GID @MTIME      directory
//! f PATH [MODE [UID:GID]]         PATH LAYER.ORDINAL MODE        file (xN: with N names)
//! s PATH TARGET                   PATH -> TARGET                 symbolic link
//! h PATH TARGET                   (as what it links to)          hard link
//! c PATH MAJOR MINOR              PATH c MAJOR:MINOR             character device
//! p PATH                          PATH p                         pipe
//! ```
//!
//! `.` is the root. Members are of the time 100 × layer + ordinal + 1, so that every one is known by it.

use oci_format::layer::merge::{Kind, LayerMerge, MergeError, MergedTree, Node};
use oci_format::layer::{Entry, EntryKind};

/// The members of one layer.
pub(crate) fn layer(index: usize, text: &str) -> Vec<Entry> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(ordinal, line)| entry(line, (100 * index + ordinal + 1) as u64))
        .collect()
}

fn entry(line: &str, mtime: u64) -> Entry {
    let words: Vec<&str> = line.split(' ').collect();
    let word = |at: usize| words.get(at).copied();
    let path = word(1).filter(|path| *path != ".").unwrap_or("");
    let mode = |default| {
        word(2).map_or(default, |mode| {
            u32::from_str_radix(mode, 8).expect("an octal mode")
        })
    };
    let number = |at| word(at).and_then(|word| word.parse().ok()).expect("number");
    let mut entry = match word(0) {
        Some("d") => Entry::directory(path, mode(0o750), mtime),
        Some("f") => Entry::file(path, mode(0o640), mtime, 10),
        Some("s") => Entry::symlink(path, word(2).expect("target"), mtime),
        Some("h") => Entry {
            kind: EntryKind::HardLink(word(2).expect("target").into()),
            ..Entry::file(path, 0o600, mtime, 0)
        },
        Some("c") => Entry {
            kind: EntryKind::CharacterDevice(number(2), number(3)),
            ..Entry::file(path, 0o600, mtime, 0)
        },
        Some("p") => Entry {
            kind: EntryKind::Fifo,
            ..Entry::file(path, 0o600, mtime, 0)
        },
        _ => panic!("not a member: {line}"),
    };
    if let (Some("d" | "f"), Some(owner)) = (word(0), word(3)) {
        let (uid, gid) = owner.split_once(':').expect("UID:GID");
        entry.uid = uid.parse().expect("number");
        entry.gid = gid.parse().expect("number");
    }
    entry
}

/// Merges layers in notation.
pub(crate) fn merge(layers: &[&str]) -> Result<MergedTree, MergeError> {
    let layers: Vec<_> = layers
        .iter()
        .enumerate()
        .map(|(index, text)| layer(index, text))
        .collect();
    merge_entries(&layers)
}

/// Merges layers of members.
pub(crate) fn merge_entries(layers: &[Vec<Entry>]) -> Result<MergedTree, MergeError> {
    let mut merge = LayerMerge::new();
    for members in layers {
        let mut layer = merge.begin_layer();
        for member in members {
            layer.apply(member)?;
        }
    }
    Ok(merge.finish())
}

/// A tree in notation, one line per node.
pub(crate) fn lines(tree: &MergedTree) -> Vec<String> {
    tree.nodes().map(line).collect()
}

fn line(node: Node<'_>) -> String {
    let path = String::from_utf8_lossy(&node.path()).into_owned();
    let text = match node.kind() {
        Kind::Directory => {
            let owner = format!("{}:{}", node.uid(), node.gid());
            format!("{path}/ {:o} {owner} @{}", node.mode(), node.mtime())
        }
        Kind::File { source, .. } => {
            format!(
                "{path} {}.{} {:o}",
                source.layer,
                source.ordinal,
                node.mode()
            )
        }
        Kind::Symlink(target) => format!("{path} -> {}", String::from_utf8_lossy(target)),
        Kind::CharacterDevice(major, minor) => format!("{path} c {major}:{minor}"),
        Kind::BlockDevice(major, minor) => format!("{path} b {major}:{minor}"),
        Kind::Fifo => format!("{path} p"),
    };
    match node.link_count() {
        1 => text,
        count => format!("{text} x{count}"),
    }
}
