//! Stacks of layers made by chance: few names, so that members meet, and all that can go wrong.
//!
//! Members are mostly kept only when we can apply them, because a stack ends at its first bad member;
//! a few bad ones stay, to see that umoci refuses them too.

use std::collections::BTreeMap;

use oci_format::layer::merge::{Kind, MergedTree};
use oci_format::layer::tar::TarWriter;
use oci_format::layer::{Entry, EntryKind};

use super::notation::merge_entries;

/// One member with its content.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) entry: Entry,
    pub(crate) content: Vec<u8>,
    /// Written with its holes left out (pax 1.0).
    pub(crate) is_sparse: bool,
}

/// A stack of layers.
#[derive(Debug, Default)]
pub(crate) struct Stack {
    pub(crate) layers: Vec<Vec<Member>>,
    /// Paths where a directory that no member describes took the place of a file.
    pub(crate) below_files: Vec<Vec<u8>>,
}

impl Stack {
    /// The members alone.
    pub(crate) fn entries(&self) -> Vec<Vec<Entry>> {
        let entries = |layer: &Vec<Member>| layer.iter().map(|m| m.entry.clone()).collect();
        self.layers.iter().map(entries).collect()
    }
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// The stack of a seed.
pub(crate) fn stack(seed: u64) -> Stack {
    let mut chance = Chance::new(seed);
    let allows_below_files = chance.percent(25);
    let mut stack = Stack::default();
    for layer in 0..1 + chance.below(4) {
        stack.layers.push(Vec::new());
        for _ in 0..chance.below(18) {
            let before = merge_entries(&stack.entries()).expect("only good members are kept");
            let ordinal = stack.layers[layer].len();
            let new = member(&mut chance, &before, 100 * layer + ordinal + 1);
            stack.layers[layer].push(new);
            match merge_entries(&stack.entries()) {
                Ok(after) => {
                    let below = replaced_by_implied(&before, &after);
                    if below.is_empty() || allows_below_files {
                        stack.below_files.extend(below);
                        continue;
                    }
                }
                // A bad member: the end of the stack.
                Err(_) if chance.percent(2) => return stack,
                Err(_) => {}
            }
            stack.layers[layer].pop();
        }
    }
    stack
}

/// Directories of no time (all members have one) where something else was before.
fn replaced_by_implied(before: &MergedTree, after: &MergedTree) -> Vec<Vec<u8>> {
    let is_implied = |kind, mtime| kind == Kind::Directory && mtime == 0;
    after
        .nodes()
        .filter(|node| is_implied(node.kind(), node.mtime()))
        .map(|node| node.path())
        .filter(|path| {
            before
                .get(path)
                .is_some_and(|node| node.kind() != Kind::Directory)
        })
        .collect()
}

fn member(chance: &mut Chance, tree: &MergedTree, number: usize) -> Member {
    let mut is_sparse = false;
    let mut path = path(chance, tree);
    let mtime = 1_000_000_000 + number as u64;
    let kind = match chance.below(100) {
        0..22 => EntryKind::Directory,
        22..52 => EntryKind::File,
        52..56 => {
            is_sparse = true;
            EntryKind::File
        }
        56..68 => EntryKind::Symlink(link_text(chance)),
        68..80 => EntryKind::HardLink(existing_path(chance, tree).unwrap_or_else(|| b"a".to_vec())),
        80..90 => {
            let hidden = existing_path(chance, tree).filter(|_| chance.percent(80));
            path = whiteout_of(&hidden.unwrap_or(path));
            EntryKind::File
        }
        90..95 => {
            path = join(
                &existing_path(chance, tree).unwrap_or_default(),
                b".wh..wh..opq",
            );
            EntryKind::File
        }
        95 => EntryKind::Fifo,
        96 => EntryKind::CharacterDevice(chance.below(4096) as u32, chance.below(1 << 20) as u32),
        97 => EntryKind::BlockDevice(7, chance.below(300) as u32),
        98 => {
            path = join(
                &path,
                chance.of(&[&b".wh..wh.plnk"[..], b".wh.", b".wh..wh.aufs"]),
            );
            EntryKind::File
        }
        _ => {
            path = Vec::new();
            EntryKind::Directory
        }
    };
    let content = match (&kind, is_sparse) {
        (EntryKind::File, true) => {
            let mut content = vec![0; 4096 * (1 + chance.below(5))];
            content[1024..1536].fill(b'a' + (number % 26) as u8);
            content
        }
        (EntryKind::File, false) if !base_is_whiteout(&path) => format!("member {number}\n")
            .repeat(chance.below(90))
            .into_bytes(),
        _ => Vec::new(),
    };
    // The kernel passes the setgid bit on to new directories, so it is worth its own chance.
    let mode = match &kind {
        EntryKind::Directory => chance.of(&[0o755, 0o700, 0o711, 0o2755, 0o1777, 0o2770, 0o555]),
        EntryKind::Symlink(_) => 0o777,
        _ => chance.of(&[0o644, 0o600, 0o755, 0o4755, 0o000, 0o444]),
    };
    let size = content.len() as u64;
    let mut entry = Entry {
        path,
        kind,
        mode,
        uid: chance.of(&[0, 0, 1, 1000, 65534, 3_000_000]),
        gid: chance.of(&[0, 0, 2, 1000, 4_294_967_294]),
        mtime,
        size,
        xattrs: Vec::new(),
    };
    if !is_sparse && chance.percent(15) {
        entry.xattrs = xattrs(chance, &entry.kind);
    }
    Member {
        entry,
        content,
        is_sparse,
    }
}

fn base_is_whiteout(path: &[u8]) -> bool {
    let base = path.split(|byte| *byte == b'/').next_back();
    base.is_some_and(|base| base.starts_with(b".wh."))
}

const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"e.wh.f",
    "\u{e9}".as_bytes(),
    b"no\xffutf8",
];

fn name(chance: &mut Chance) -> Vec<u8> {
    match chance.below(40) {
        0 => vec![b'n'; 255],
        1 => vec![b'm'; 120],
        2 => b".wh..wh.plnk".to_vec(),
        _ => chance.of(NAMES).to_vec(),
    }
}

/// A new path, often below something that is there.
fn path(chance: &mut Chance, tree: &MergedTree) -> Vec<u8> {
    let mut path = match chance.below(3) {
        0 => existing_path(chance, tree).unwrap_or_default(),
        _ => Vec::new(),
    };
    for _ in 0..1 + chance.below(3) {
        path = join(&path, &name(chance));
    }
    // A member called `.wh.…` would be a whiteout; only directories above members may be.
    if base_is_whiteout(&path) {
        join(&path, b"a")
    } else {
        path
    }
}

fn existing_path(chance: &mut Chance, tree: &MergedTree) -> Option<Vec<u8>> {
    let count = tree.nodes().len();
    let node = (count > 1).then(|| tree.nodes().nth(1 + chance.below(count - 1)))?;
    node.map(|node| node.path())
        .filter(|path| !base_is_whiteout(path))
}

fn whiteout_of(path: &[u8]) -> Vec<u8> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => join(&path[..slash], &[b".wh.", &path[slash + 1..]].concat()),
        None => [b".wh.", path].concat(),
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        [] => name.to_vec(),
        directory => [directory, b"/", name].concat(),
    }
}

fn link_text(chance: &mut Chance) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for _ in 0..1 + chance.below(3) {
        parts.push(match chance.below(5) {
            0 => b"..".to_vec(),
            1 => b".".to_vec(),
            _ => name(chance),
        });
    }
    let text = parts.join(&b'/');
    match chance.below(4) {
        0 => [b"/", text.as_slice()].concat(),
        1 => [text.as_slice(), b"/"].concat(),
        _ => text,
    }
}

fn xattrs(chance: &mut Chance, kind: &EntryKind) -> Vec<(Vec<u8>, Vec<u8>)> {
    // cap_net_raw=ep, version 2.
    const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut found = BTreeMap::new();
    for _ in 0..1 + chance.below(3) {
        let (name, value): (&[u8], &[u8]) = match chance.below(6) {
            // umoci stops at `user.` attributes of anything else, and the kernel at capabilities.
            0 | 1 if matches!(kind, EntryKind::File | EntryKind::Directory) => {
                (b"user.text", b"some")
            }
            2 if *kind == EntryKind::File => (b"security.capability", CAPABILITY),
            3 => (b"trusted.overlay.opaque", b"y"),
            4 => (b"security.selinux", b"system_u:object_r:bin_t:s0\0"),
            _ => (b"trusted.note", b"\0\xff"),
        };
        found.insert(name.to_vec(), value.to_vec());
    }
    found.into_iter().collect()
}

/// The tar stream of a layer.
pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    const END: usize = 1024;
    let mut bytes = Vec::new();
    for member in members {
        let written = if member.is_sparse {
            sparse(member)
        } else if member.entry.path.is_empty() {
            root(&member.entry)
        } else {
            let mut writer = TarWriter::new(Vec::new());
            writer
                .append_bytes(&member.entry, &member.content)
                .expect("memory takes all");
            writer.finish().expect("memory takes all")
        };
        bytes.extend_from_slice(&written[..written.len() - END]);
    }
    bytes.extend_from_slice(&[0; END]);
    bytes
}

/// The root itself, which our own writer does not write.
fn root(entry: &Entry) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let xattrs: Vec<(String, &[u8])> = entry
        .xattrs
        .iter()
        .map(|(name, value)| {
            (
                format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)),
                value.as_slice(),
            )
        })
        .collect();
    if !xattrs.is_empty() {
        builder
            .append_pax_extensions(xattrs.iter().map(|(name, value)| (name.as_str(), *value)))
            .expect("memory takes all");
    }
    let mut header = tar::Header::new_ustar();
    header.set_path("./").expect("a short name");
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(entry.mtime);
    header.set_size(0);
    header.set_cksum();
    builder
        .append(&header, std::io::empty())
        .expect("memory takes all");
    builder.into_inner().expect("memory takes all")
}

/// A file with holes as GNU tar's `--sparse-version=1.0` has it: one part, 512 bytes at 1024.
fn sparse(member: &Member) -> Vec<u8> {
    let entry = &member.entry;
    let size = member.content.len().to_string();
    let mut builder = tar::Builder::new(Vec::new());
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", &entry.path),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    builder
        .append_pax_extensions(records)
        .expect("memory takes all");
    let mut data = b"1\n1024\n512\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(&member.content[1024..1536]);
    let mut header = tar::Header::new_gnu();
    header
        .set_path("GNUSparseFile.0/sparse")
        .expect("a short name");
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(entry.mtime);
    header.set_size(data.len() as u64);
    header.set_cksum();
    builder
        .append(&header, data.as_slice())
        .expect("memory takes all");
    builder.into_inner().expect("memory takes all")
}
