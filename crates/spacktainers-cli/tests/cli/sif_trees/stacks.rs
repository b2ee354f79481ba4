//! Stacks of layers that are hard to get right, made by chance from a seed.
//!
//! A stack is some *moves*, each in a folder of its own, spread over the layers: a file that goes and comes back, a hard link that
//! outlives what it was linked to. A second stack is what GNU tar writes, in each of its formats.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_format::layer::tar::TarWriter;
use oci_format::layer::{Entry, EntryKind};

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

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// The layers of a seed, as tar streams, lowest first.
pub(crate) fn stack(seed: u64) -> Vec<Vec<u8>> {
    let mut chance = Chance::new(seed);
    let layers = 3 + chance.below(4) as usize;
    let mut stack = Stack {
        layers: (0..layers).map(|_| TarWriter::new(Vec::new())).collect(),
        chance,
        folder: String::new(),
        at: 0,
    };
    for number in 0..6 + stack.chance.below(8) {
        stack.begin(number);
        let index = stack.chance.below(MOVES.len() as u64) as usize;
        MOVES[index](&mut stack);
        // Some moves are for nothing: their folder goes, or all that is in it.
        let last = layers - 1;
        match stack.chance.below(10) {
            0 => stack.put_at(last, whiteout(&stack.folder), b""),
            1 => stack.put_at(
                last,
                Entry::file(format!("{}/.wh..wh..opq", stack.folder), 0, 0, 0),
                b"",
            ),
            _ => {}
        }
    }
    let finish = |tar: TarWriter<Vec<u8>>| tar.finish().expect("memory takes all");
    stack.layers.into_iter().map(finish).collect()
}

struct Stack {
    layers: Vec<TarWriter<Vec<u8>>>,
    chance: Chance,
    /// Of the move that is being made.
    folder: String,
    /// The layer that it has come to.
    at: usize,
}

type Move = fn(&mut Stack);

const MOVES: &[Move] = &[
    there_and_back,
    folder_and_file,
    opaque,
    links_that_outlive,
    links_across_layers,
    long_names,
    odd_names,
    block_sizes,
    attributes,
    many_tiny_files,
    below_links,
    modes_and_owners,
    metadata_alone,
    the_same_content_again,
    deep,
    whiteouts_beside_names,
    symbolic_links,
];

impl Stack {
    fn begin(&mut self, number: u64) {
        self.folder = format!("m{number}");
        self.at = self.chance.below(2) as usize;
        let mode = self.chance.of(&[0o755, 0o700, 0o2775, 0o1777]);
        self.directory("", mode);
    }

    /// Goes on to an upper layer. The last one may be left to the whiteouts of whole folders.
    fn next_layer(&mut self) {
        if self.at + 2 < self.layers.len() {
            self.at += 1;
        }
    }

    fn path(&self, name: &str) -> String {
        match name {
            "" => self.folder.clone(),
            name => format!("{}/{name}", self.folder),
        }
    }

    fn put_at(&mut self, layer: usize, entry: Entry, content: &[u8]) {
        self.layers[layer]
            .append_bytes(&entry, content)
            .expect("memory takes all");
    }

    fn put(&mut self, mut entry: Entry, content: &[u8]) {
        entry.mtime = 1 + self.chance.below(u64::from(u32::MAX) / 2 - 1);
        entry.size = content.len() as u64;
        self.put_at(self.at, entry, content);
    }

    fn directory(&mut self, name: &str, mode: u32) {
        self.put(Entry::directory(self.path(name), mode, 0), b"");
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.put(Entry::file(self.path(name), 0o644, 0, 0), content);
    }

    /// A file with some bytes of its own.
    fn some_file(&mut self, name: &str) {
        let length = self.chance.of(&[0, 1, 100, 5000, 140_000]);
        let content = self.bytes(length);
        self.file(name, &content);
    }

    fn symlink(&mut self, name: &str, target: &str) {
        self.put(Entry::symlink(self.path(name), target, 0), b"");
    }

    fn link(&mut self, name: &str, target: &str) {
        let mut entry = Entry::file(self.path(name), 0o644, 0, 0);
        entry.kind = EntryKind::HardLink(self.path(target).into_bytes());
        self.put(entry, b"");
    }

    fn remove(&mut self, name: &str) {
        self.put_at(self.at, whiteout(&self.path(name)), b"");
    }

    /// Bytes that compress somewhat.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 16);
        while bytes.len() < length {
            let word = self.chance.next().to_le_bytes();
            let times = 1 + self.chance.below(4);
            (0..times).for_each(|_| bytes.extend_from_slice(&word));
        }
        bytes.truncate(length);
        bytes
    }
}

fn whiteout(path: &str) -> Entry {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let hidden = match parent {
        "" => format!(".wh.{name}"),
        parent => format!("{parent}/.wh.{name}"),
    };
    Entry::file(hidden, 0, 0, 0)
}

// --- Moves -------------------------------------------------------------------------------------------------

fn there_and_back(stack: &mut Stack) {
    for name in ["a", "b", "c"] {
        stack.some_file(name);
    }
    stack.next_layer();
    stack.remove("a");
    stack.remove("b");
    stack.next_layer();
    stack.some_file("a");
    stack.some_file("c");
}

fn folder_and_file(stack: &mut Stack) {
    stack.directory("thing", 0o755);
    stack.some_file("thing/inside");
    stack.some_file("other");
    stack.next_layer();
    if stack.chance.below(2) == 0 {
        stack.remove("thing");
        stack.next_layer();
    }
    stack.some_file("thing");
    stack.directory("other", 0o711);
    stack.some_file("other/inside");
    stack.next_layer();
    stack.directory("thing", 0o750);
    stack.some_file("thing/again");
    stack.symlink("other", "thing");
}

fn opaque(stack: &mut Stack) {
    stack.directory("o", 0o755);
    stack.directory("o/sub", 0o755);
    stack.some_file("o/one");
    stack.some_file("o/sub/two");
    stack.next_layer();
    stack.directory("o", 0o700);
    stack.directory("o/sub", 0o700);
    stack.some_file("o/sub/three");
    let path = stack.path("o/.wh..wh..opq");
    stack.put_at(stack.at, Entry::file(path, 0, 0, 0), b"");
    stack.some_file("o/four");
}

fn links_that_outlive(stack: &mut Stack) {
    stack.some_file("first");
    stack.link("second", "first");
    stack.directory("d", 0o755);
    stack.link("d/third", "second");
    stack.next_layer();
    stack.remove("first");
    if stack.chance.below(2) == 0 {
        stack.next_layer();
        stack.some_file("first");
    }
}

fn links_across_layers(stack: &mut Stack) {
    stack.some_file("old");
    stack.some_file("replaced");
    stack.next_layer();
    stack.link("new", "old");
    stack.link("kept", "replaced");
    stack.next_layer();
    stack.some_file("replaced");
    stack.remove("old");
    stack.link("newer", "new");
}

fn long_names(stack: &mut Stack) {
    let long = "n".repeat(255);
    stack.some_file(&long);
    let hundred = "h".repeat(100);
    stack.directory(&hundred, 0o755);
    let deeper = format!("{hundred}/{}", "i".repeat(156));
    stack.directory(&deeper, 0o755);
    stack.some_file(&format!("{deeper}/{long}"));
    stack.link(&format!("{deeper}/{}", "k".repeat(101)), &long);
    stack.symlink("far", &"t/".repeat(2000));
    stack.next_layer();
    // The name of a whiteout has four characters more.
    stack.some_file(&"w".repeat(251));
    stack.next_layer();
    stack.remove(&"w".repeat(251));
}

fn odd_names(stack: &mut Stack) {
    for name in [
        "a b",
        "new\nline",
        "back\\slash",
        "-dash",
        "é",
        "quote\"'",
        "*",
        "a.wh.b",
        ".whx",
        "...",
        "\u{1}",
        "%41",
        "{}",
        "$HOME",
    ] {
        stack.some_file(name);
    }
    let path = [stack.folder.as_bytes(), b"/not\xffutf8"].concat();
    stack.put(Entry::file(path, 0o644, 0, 0), b"bytes");
    stack.next_layer();
    stack.remove("new\nline");
    stack.remove("*");
}

fn block_sizes(stack: &mut Stack) {
    const BLOCK: usize = 131_072;
    let size = stack.chance.of(&[
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        2 * BLOCK,
        3 * BLOCK + 77,
        9 * BLOCK,
    ]);
    let content = stack.bytes(size);
    stack.file("full", &content);
    stack.file("zeros", &vec![0; size]);
    let mut holes = vec![0; 4 * BLOCK + 5];
    let place = stack.chance.below(holes.len() as u64 - 1) as usize;
    holes[place] = 1;
    stack.file("holes", &holes);
    let mut tail = content;
    tail.resize(size + BLOCK, 0);
    stack.file("tail", &tail);
}

fn attributes(stack: &mut Stack) {
    // cap_net_raw=ep, version 2.
    const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = stack.bytes(900);
    let named = [
        ("user.short", &b"v"[..]),
        ("user.long", &long),
        ("user.zero", b"a\0b"),
        ("security.capability", CAPABILITY),
        ("trusted.note", b"t"),
    ];
    for number in 0..6 {
        let mut entry = Entry::file(stack.path(&format!("f{number}")), 0o755, 0, 0);
        let first = stack.chance.below(named.len() as u64) as usize;
        entry.xattrs = named[first..]
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()))
            .collect();
        entry.xattrs.sort();
        stack.put(entry, b"content");
    }
    let mut folder = Entry::directory(stack.path("folder"), 0o755, 0);
    folder.xattrs = vec![(b"user.folder".to_vec(), b"x".to_vec())];
    stack.put(folder, b"");
    stack.next_layer();
    stack.file("f0", b"without");
}

fn many_tiny_files(stack: &mut Stack) {
    let count = stack.chance.of(&[300, 700]);
    for number in 0..count {
        stack.file(
            &format!("tiny{number}"),
            format!("{number}").repeat(number % 7).as_bytes(),
        );
    }
    stack.next_layer();
    for number in (0..count).step_by(3) {
        stack.remove(&format!("tiny{number}"));
    }
}

fn below_links(stack: &mut Stack) {
    stack.directory("real", 0o755);
    stack.some_file("real/one");
    stack.some_file("real/two");
    stack.symlink("link", "real");
    let absolute = format!("/{}", stack.path("real"));
    stack.symlink("absolute", &absolute);
    stack.symlink("up", &format!("../../../{}", stack.path("real")));
    stack.next_layer();
    stack.some_file("link/through");
    stack.some_file("absolute/too");
    stack.some_file("up/as-well");
    stack.remove("link/one");
    stack.next_layer();
    if stack.chance.below(2) == 0 {
        stack.remove("link");
        stack.next_layer();
        stack.directory("link", 0o755);
        stack.some_file("link/own");
    }
}

fn modes_and_owners(stack: &mut Stack) {
    let modes = [0o4755, 0o2755, 0o6711, 0o1644, 0o000, 0o400, 0o777];
    let ids = [0, 1, 1000, 65_534, 65_535, 65_536, 3_000_000, 4_294_967_294];
    for (number, mode) in modes.into_iter().enumerate() {
        let mut entry = Entry::file(stack.path(&format!("f{number}")), mode, 0, 0);
        (entry.uid, entry.gid) = (stack.chance.of(&ids), stack.chance.of(&ids));
        stack.put(entry, b"x");
        let mut entry = Entry::directory(stack.path(&format!("d{number}")), mode, 0);
        (entry.uid, entry.gid) = (stack.chance.of(&ids), stack.chance.of(&ids));
        stack.put(entry, b"");
    }
    let mut entry = Entry::symlink(stack.path("link"), "f0", 0);
    (entry.uid, entry.gid) = (stack.chance.of(&ids), stack.chance.of(&ids));
    stack.put(entry, b"");
    let mut pipe = Entry::file(stack.path("pipe"), 0o620, 0, 0);
    pipe.kind = EntryKind::Fifo;
    stack.put(pipe, b"");
}

fn metadata_alone(stack: &mut Stack) {
    let content = stack.bytes(2000);
    stack.file("same", &content);
    stack.directory("d", 0o755);
    stack.some_file("d/inside");
    stack.next_layer();
    let mut entry = Entry::file(stack.path("same"), 0o600, 0, 0);
    entry.uid = 7;
    stack.put(entry, &content);
    stack.directory("d", 0o770);
}

fn the_same_content_again(stack: &mut Stack) {
    let (small, large) = (stack.bytes(300), stack.bytes(200_000));
    for number in 0..3 {
        for name in ["a", "b"] {
            stack.file(&format!("small-{name}{number}"), &small);
            stack.file(&format!("large-{name}{number}"), &large);
        }
        stack.next_layer();
    }
}

fn deep(stack: &mut Stack) {
    let mut path = String::from("0");
    for number in 1..80 {
        // Every second one is not in the layer: it comes with what lies below it.
        if number % 2 == 0 {
            stack.directory(&path, 0o755);
        }
        path = format!("{path}/{number}");
    }
    stack.some_file(&format!("{path}/end"));
    stack.next_layer();
    stack.some_file(&format!("{path}/other-end"));
}

fn whiteouts_beside_names(stack: &mut Stack) {
    for name in ["a", "b"] {
        stack.directory(name, 0o755);
        stack.some_file(&format!("{name}/lower"));
    }
    stack.next_layer();
    stack.remove("nothing");
    stack.directory("c", 0o755);
    stack.remove("c/nothing");
    // The whiteout is of what lies below the layer, wherever it stands in it.
    stack.remove("a");
    stack.directory("a", 0o755);
    stack.some_file("a/upper");
}

fn symbolic_links(stack: &mut Stack) {
    for (name, target) in [
        ("self", "self"),
        ("dangling", "nowhere/at all"),
        ("root", "/"),
        ("up", "../../../../.."),
        ("dots", "./././x/../y//z/"),
        ("bytes", "é\u{1}\n"),
    ] {
        stack.symlink(name, target);
    }
    stack.next_layer();
    stack.some_file("dangling");
    stack.link("linked", "self");
}

// --- GNU tar -----------------------------------------------------------------------------------------------

/// Layers as GNU tar writes them, in each of its formats: sparse files, long names, links. And the folder that was packed.
pub(crate) fn of_gnu_tar(scratch: &Path) -> (Vec<Vec<u8>>, PathBuf) {
    let formats: &[&[&str]] = &[
        &["--format=gnu", "--sparse"],
        &["--format=oldgnu", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
        &["--format=pax", "--xattrs"],
        &["--format=ustar", "--blocking-factor=40"],
    ];
    let mut layers = Vec::new();
    for (number, options) in formats.iter().enumerate() {
        let folder = scratch.join(format!("g{number}"));
        fs::create_dir_all(folder.join("empty")).expect("folders");
        let holes = File::create(folder.join("holes")).expect("a file");
        holes.set_len(3_000_000).expect("a hole");
        for place in [0, 700_000, 1_400_001, 2_999_990] {
            holes.write_all_at(b"something", place).expect("writes");
        }
        let only = File::create(folder.join("only a hole")).expect("a file");
        only.set_len(2_000_000).expect("a hole");
        let many = File::create(folder.join("many holes")).expect("a file");
        (0..40_u64).for_each(|it| many.write_all_at(b"x", it * 65_536).expect("writes"));
        fs::write(folder.join("plain"), "plain").expect("writes");
        fs::hard_link(folder.join("plain"), folder.join("linked")).expect("links");
        let long = folder.join("l".repeat(90));
        fs::write(&long, "long").expect("writes");
        if !options.contains(&"--format=ustar") {
            fs::create_dir(folder.join("d".repeat(200))).expect("a folder");
            fs::write(folder.join("d".repeat(200)).join("f".repeat(200)), "x").expect("writes");
        }
        let output = Command::new("tar")
            .args(["-cf", "-", "--sort=name", "--numeric-owner"])
            .args(*options)
            .arg("-C")
            .arg(scratch)
            .arg(format!("g{number}"))
            .output()
            .expect("tar starts");
        assert!(
            output.status.success(),
            "{options:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        layers.push(output.stdout);
    }
    (layers, scratch.to_owned())
}
