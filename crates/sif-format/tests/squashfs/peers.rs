//! Other programs: what they write is read, and what is written here they unpack.
//!
//! ```text
//! folder ─► mksquashfs, tar2sqfs ─► Image ─► model ═ model of the folder
//! model  ─► Writer ─► unsquashfs, rdsquashfs ─► folder ─► its model ═ model
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use sif_format::squashfs::{Attributes, Compression, Compressor, Image, Xattr, XattrNamespace};

use crate::model::{Model, Node, Stretch, What, assert_same, noise, options, read, write};

const MKSQUASHFS: &[&str] = &["mksquashfs", "setfattr", "getfattr", "mkfifo"];
const TAR2SQFS: &[&str] = &["tar2sqfs", "tar", "setfattr", "getfattr", "mkfifo"];

fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}

/// Whether all programs are there and allowed to work; if not, says which is missing.
fn have(programs: &[&str]) -> bool {
    for program in programs {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        });
        if !found {
            skipped(&format!("{program} is not installed"));
            return false;
        }
    }
    true
}

/// Whether owners, devices and all attributes can be made here.
fn is_root(folder: &Path) -> bool {
    let root = fs::metadata(folder).expect("a folder").uid() == 0;
    if !root {
        skipped("only root can make devices and give files away");
    }
    root
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program that starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A folder with what images may have, as far as anyone may make it.
fn sample(folder: &Path) {
    let at = |name: &str| folder.join(name);
    fs::create_dir_all(at("a/b/c")).expect("folders");
    fs::create_dir(at("empty")).expect("a folder");
    fs::write(at("nothing"), b"").expect("a file");
    fs::write(at("small"), b"small").expect("a file");
    fs::write(at("small-again"), b"small").expect("a file");
    fs::write(at("a/exact"), noise(1, 131_072)).expect("a file");
    fs::write(at("a/large"), noise(2, 300_001)).expect("a file");
    fs::write(at("a/b/text"), b"all work and no play\n".repeat(40_000)).expect("a file");
    fs::hard_link(at("a/large"), at("a/b/linked")).expect("a link");
    symlink("../small", at("a/link")).expect("a link");
    symlink("x".repeat(4000), at("a/long-link")).expect("a link");
    fs::write(at(&"n".repeat(255)), b"long").expect("a file");
    let sparse = File::create(at("sparse")).expect("a file");
    sparse.set_len(5_000_001).expect("a hole");
    fs::create_dir(at("many")).expect("a folder");
    for number in 0..1500 {
        let name = format!("many/entry-{number}-{}", "y".repeat(number % 90));
        fs::write(at(&name), name.as_bytes()).expect("a file");
    }
    fs::set_permissions(at("small"), fs::Permissions::from_mode(0o4755)).expect("a mode");
    run(Command::new("mkfifo").arg(at("fifo")));
    for (name, value) in [("user.short", "v"), ("user.long", &"long ".repeat(200))] {
        for file in ["small", "a/large", "empty"] {
            run(Command::new("setfattr")
                .args(["-n", name, "-v", value])
                .arg(at(file)));
        }
    }
}

/// What a folder has, in the words of a model.
fn model_of(folder: &Path) -> Model {
    let mut model = Model::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(parent) = pending.pop() {
        for entry in fs::read_dir(&parent).expect("a folder") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(folder).expect("below it");
            let metadata = fs::symlink_metadata(&path).expect("metadata");
            let attributes = Attributes {
                mode: (metadata.mode() & 0o7777) as u16,
                uid: metadata.uid(),
                gid: metadata.gid(),
                mtime: metadata.mtime() as u32,
            };
            let what = what_of(&path, &metadata);
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            let node = Node {
                what,
                attributes,
                xattrs: Vec::new(),
            };
            model.insert(below.as_os_str().as_bytes().to_vec(), node);
        }
    }
    add_xattrs(folder, &mut model);
    add_links(folder, &mut model);
    model
}

fn what_of(path: &Path, metadata: &fs::Metadata) -> What {
    let kind = metadata.file_type();
    let number = metadata.rdev();
    let major = (number >> 8 & 0xfff) as u32;
    let minor = (number & 0xff | number >> 12 & 0xf_ff00) as u32;
    if kind.is_dir() {
        What::Directory
    } else if kind.is_symlink() {
        What::Symlink(
            fs::read_link(path)
                .expect("a link")
                .into_os_string()
                .into_vec(),
        )
    } else if kind.is_fifo() {
        What::Fifo
    } else if kind.is_socket() {
        What::Socket
    } else if kind.is_block_device() {
        What::BlockDevice(major, minor)
    } else if kind.is_char_device() {
        What::CharDevice(major, minor)
    } else {
        What::File(vec![Stretch::Bytes(fs::read(path).expect("a file"))])
    }
}

/// The first name in the order of a walk has the content; the others are links to it.
fn add_links(folder: &Path, model: &mut Model) {
    let mut names: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for (path, node) in model
        .iter()
        .filter(|(_, node)| node.what != What::Directory)
    {
        let metadata = fs::symlink_metadata(folder.join(OsStr::from_bytes(path)));
        let inode = metadata.expect("metadata").ino();
        let _ = &node;
        names.entry(inode).or_default().push(path.clone());
    }
    for mut group in names.into_values() {
        group.sort_by(|a, b| a.split(|c| *c == b'/').cmp(b.split(|c| *c == b'/')));
        for other in &group[1..] {
            model.get_mut(other).expect("a name").what = What::Link(group[0].clone());
        }
    }
}

/// Asks getfattr, as the standard library does not know attributes.
fn add_xattrs(folder: &Path, model: &mut Model) {
    let output = Command::new("getfattr")
        .args([
            "-R",
            "-P",
            "-h",
            "-d",
            "-e",
            "hex",
            "-m",
            "^(user|trusted|security)\\.",
            ".",
        ])
        .current_dir(folder)
        .output()
        .expect("getfattr");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut path = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(b"# file: ") {
            path = name.strip_prefix(b"./").unwrap_or(name).to_vec();
            continue;
        }
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        let value = hex::decode(value.strip_prefix(b"0x").unwrap_or_default()).expect("hex");
        let xattr = Xattr::from_full_name(name, value).expect("a known name space");
        if let Some(node) = model.get_mut(&path) {
            node.xattrs.push(xattr);
            node.xattrs.sort();
        }
    }
}

fn mksquashfs(folder: &Path, image: &Path, arguments: &[&str]) -> Image<File> {
    let always = ["-noappend", "-no-progress", "-quiet"];
    run(Command::new("mksquashfs")
        .args([folder, image])
        .args(always)
        .args(arguments));
    Image::open(File::open(image).expect("an image")).expect("a readable image")
}

#[test]
fn images_of_mksquashfs_are_read() {
    if !have(MKSQUASHFS) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("tree");
    fs::create_dir(&folder).expect("a folder");
    sample(&folder);
    let model = model_of(&folder);
    assert!(
        model[&b"small"[..]].xattrs.len() == 2,
        "the sample has attributes"
    );
    let ways: [(&[&str], Compressor); 9] = [
        (&["-comp", "gzip"], Compressor::Gzip),
        (
            &[
                "-comp",
                "gzip",
                "-Xcompression-level",
                "1",
                "-Xwindow-size",
                "8",
            ],
            Compressor::Gzip,
        ),
        (&["-comp", "zstd"], Compressor::Zstd),
        (
            &["-comp", "zstd", "-b", "1M", "-always-use-fragments"],
            Compressor::Zstd,
        ),
        (&["-comp", "xz"], Compressor::Xz),
        (
            &["-comp", "xz", "-Xbcj", "x86", "-Xdict-size", "100%"],
            Compressor::Xz,
        ),
        (&["-no-fragments", "-b", "4096"], Compressor::Gzip),
        (
            &[
                "-noI",
                "-noD",
                "-noF",
                "-noX",
                "-no-exports",
                "-no-duplicates",
            ],
            Compressor::Gzip,
        ),
        (&["-no-sparse", "-nopad", "-b", "64K"], Compressor::Gzip),
    ];
    for (arguments, compressor) in ways {
        let image = mksquashfs(&folder, &scratch.path().join("image"), arguments);
        assert_eq!(image.super_block().compressor, compressor);
        assert_same(
            &model,
            &read(&image).unwrap_or_else(|error| panic!("{arguments:?}: {error}")),
        );
    }
}

#[test]
fn options_of_mksquashfs_that_change_the_tree_are_seen() {
    if !have(MKSQUASHFS) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("tree");
    fs::create_dir(&folder).expect("a folder");
    sample(&folder);
    let image = scratch.path().join("image");
    let pseudo = [
        "-p",
        "null c 666 7 8 1 3",
        "-p",
        "disk b 600 70000 80000 259 70000",
    ];
    let arguments = [&["-no-xattrs", "-all-time", "1234567"][..], &pseudo].concat();
    let tree = read(&mksquashfs(&folder, &image, &arguments)).expect("readable");
    assert!(tree.values().all(|node| node.xattrs.is_empty()));
    assert_eq!(tree[&b"small"[..]].attributes.mtime, 1_234_567);
    assert_eq!(tree[&b"null"[..]].what, What::CharDevice(1, 3));
    let disk = &tree[&b"disk"[..]];
    assert_eq!(disk.what, What::BlockDevice(259, 70_000));
    assert_eq!((disk.attributes.uid, disk.attributes.gid), (70_000, 80_000));
    let tree = read(&mksquashfs(&folder, &image, &["-all-root"])).expect("readable");
    assert!(
        tree.values()
            .all(|node| node.attributes.uid == 0 && node.attributes.gid == 0)
    );
}

#[test]
fn compressors_that_are_not_supported_are_named() {
    if !have(MKSQUASHFS) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("tree");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("file"), b"text ".repeat(1000)).expect("a file");
    for name in ["lz4", "lzo", "lzma"] {
        let image = scratch.path().join(name);
        let mut command = Command::new("mksquashfs");
        command
            .args([&folder, &image])
            .args(["-quiet", "-no-progress", "-comp", name]);
        if !command.output().expect("mksquashfs").status.success() {
            skipped(&format!("this mksquashfs has no {name}"));
            continue;
        }
        let error = Image::open(File::open(&image).expect("an image")).map(drop);
        let text = error.expect_err("no such decompressor").to_string();
        assert!(text.contains(name) && text.contains("zstd can"), "{text}");
    }
}

#[test]
fn images_of_tar2sqfs_are_read() {
    if !have(TAR2SQFS) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("tree");
    fs::create_dir(&folder).expect("a folder");
    sample(&folder);
    let model = model_of(&folder);
    let archive = scratch.path().join("tree.tar");
    run(Command::new("tar")
        .args([
            "--sort=name",
            "--xattrs",
            "--sparse",
            "--format=posix",
            "-cf",
        ])
        .arg(&archive)
        .arg("-C")
        .args([&folder, Path::new(".")]));
    let ways: [&[&str]; 4] = [
        &["-c", "gzip", "-e"],
        &["-c", "xz"],
        &["-c", "zstd", "-b", "4096"],
        &["-c", "gzip", "-T"],
    ];
    for arguments in ways {
        let path = scratch.path().join("image");
        let input = File::open(&archive).expect("an archive");
        run(Command::new("tar2sqfs")
            .args(["-q", "-f"])
            .args(arguments)
            .arg(&path)
            .stdin(Stdio::from(input)));
        let image = Image::open(File::open(path).expect("an image")).expect("readable");
        assert_same(
            &model,
            &read(&image).unwrap_or_else(|error| panic!("{arguments:?}: {error}")),
        );
    }
}

/// A tree that only root can unpack: owners, devices, attributes of all name spaces, links of everything.
fn rich_model() -> Model {
    let space = |namespace, name: &str, value: Vec<u8>| Xattr {
        namespace,
        name: name.as_bytes().to_vec(),
        value,
    };
    let capability = hex::decode("0100000200040000000000000000000000000000").expect("hex");
    let xattrs = vec![
        space(
            XattrNamespace::User,
            "text",
            b"shared by two, and long enough to be".to_vec(),
        ),
        space(XattrNamespace::Trusted, "t", vec![0, 1, 2]),
        space(XattrNamespace::Security, "capability", capability),
    ];
    let mut model = Model::new();
    let mut add = |path: &str, mode, uid, what, xattrs: &[Xattr]| {
        let attributes = Attributes {
            mode,
            uid,
            gid: uid / 2,
            mtime: 1_600_000_000,
        };
        let xattrs = xattrs.to_vec();
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
    add("dir", 0o1777, 1000, What::Directory, &xattrs[..1]);
    add("dir/sub", 0o2750, 4_000_000_000, What::Directory, &[]);
    add("dir/sub/file", 0o4755, 0, bytes(noise(5, 300_000)), &xattrs);
    add("dir/same", 0o600, 12, bytes(noise(5, 300_000)), &[]);
    add("dir/tail", 0o644, 65_534, bytes(noise(6, 77)), &xattrs[..1]);
    add("empty", 0, 0, bytes(Vec::new()), &[]);
    add(
        "link",
        0o777,
        3,
        What::Symlink(b"dir/sub/file".to_vec()),
        &[],
    );
    add("null", 0o666, 0, What::CharDevice(1, 3), &[]);
    add("disk", 0o660, 6, What::BlockDevice(259, 70_000), &[]);
    add("pipe", 0o640, 9, What::Fifo, &[]);
    let sparse = vec![
        Stretch::Bytes(noise(7, 131_072)),
        Stretch::Zeros(8 << 20),
        Stretch::Bytes(b"end".to_vec()),
    ];
    add("sparse", 0o644, 0, What::File(sparse), &[]);
    for number in 0..5000 {
        add(
            &format!("dir/sub/{number}"),
            0o644,
            0,
            bytes(Vec::new()),
            &[],
        );
    }
    let pipe = model[&b"pipe"[..]].clone();
    let file = model[&b"dir/sub/file"[..]].clone();
    let link = |to: &str, node: Node| Node {
        what: What::Link(to.as_bytes().to_vec()),
        ..node
    };
    model.insert(b"zz-pipe".to_vec(), link("pipe", pipe));
    model.insert(b"zz-file".to_vec(), link("dir/sub/file", file));
    model
}

/// Unpacks our image by `command` and compares; attributes that links cannot get back are left out.
fn check_unpacked(folder: &Path, model: &Model) {
    let mut unpacked = model_of(folder);
    let mut model = model.clone();
    for tree in [&mut unpacked, &mut model] {
        for node in tree.values_mut() {
            if let What::Symlink(_) = node.what {
                node.attributes.mtime = 0;
            }
        }
    }
    assert_same(&model, &unpacked);
}

#[test]
fn unsquashfs_unpacks_what_is_written() {
    let scratch = tempfile::tempdir().expect("a folder");
    if !have(&["unsquashfs", "getfattr"]) || !is_root(scratch.path()) {
        return;
    }
    let model = rich_model();
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let image = scratch.path().join("image");
        fs::write(&image, write(&model, options(compression, 131_072))).expect("an image");
        let folder = scratch.path().join(compression.compressor().name());
        run(Command::new("unsquashfs")
            .args(["-no-progress", "-d"])
            .args([&folder, &image]));
        check_unpacked(&folder, &model);
        let sparse = fs::metadata(folder.join("sparse")).expect("a file");
        let stored = sparse.blocks() * 512;
        assert!(
            stored < 1 << 20,
            "a hole of 8 MiB has become {stored} bytes"
        );
    }
}

#[test]
fn unsquashfs_lists_what_is_written() {
    if !have(&["unsquashfs"]) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let image = scratch.path().join("image");
    let model = rich_model();
    fs::write(&image, write(&model, options(Compression::GZIP, 131_072))).expect("an image");
    let output = Command::new("unsquashfs")
        .args(["-lln"])
        .arg(&image)
        .output()
        .expect("a listing");
    let listing = String::from_utf8(output.stdout).expect("text");
    let line = |path: &str| {
        let end = format!(" squashfs-root/{path}");
        let line = listing
            .lines()
            .find(|line| line.ends_with(&end) || line.contains(&format!("{end} -> ")));
        line.unwrap_or_else(|| panic!("`{path}` is not in the listing"))
            .to_owned()
    };
    assert!(
        line("dir/sub/file").starts_with("-rwsr-xr-x 0/0 "),
        "{}",
        line("dir/sub/file")
    );
    assert!(
        line("dir").starts_with("drwxrwxrwt 1000/500 "),
        "{}",
        line("dir")
    );
    assert!(
        line("disk").starts_with("brw-rw---- 6/3 "),
        "{}",
        line("disk")
    );
    // Of devices it lists large numbers wrongly, though it makes them rightly.
    assert!(line("null").contains(" 1,  3 "), "{}", line("null"));
    assert!(
        line("link").ends_with("-> dir/sub/file"),
        "{}",
        line("link")
    );
    let names = listing
        .lines()
        .filter(|line| line.contains(" squashfs-root"));
    assert_eq!(names.count(), model.len() + 1);
}

#[test]
fn rdsquashfs_unpacks_what_is_written() {
    let scratch = tempfile::tempdir().expect("a folder");
    if !have(&["rdsquashfs", "getfattr"]) || !is_root(scratch.path()) {
        return;
    }
    let mut model = rich_model();
    // It makes files of hard links, one for each name.
    for (name, to) in [("zz-pipe", "pipe"), ("zz-file", "dir/sub/file")] {
        let node = model[to.as_bytes()].clone();
        model.insert(name.as_bytes().to_vec(), node);
    }
    // It gives files away after it set attributes, whereupon Linux takes capabilities from them.
    for node in model.values_mut() {
        node.xattrs
            .retain(|xattr| xattr.namespace != XattrNamespace::Security);
    }
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let image = scratch.path().join("image");
        fs::write(&image, write(&rich_model(), options(compression, 131_072))).expect("an image");
        let folder = scratch.path().join(compression.compressor().name());
        run(Command::new("rdsquashfs")
            .args(["-q", "-X", "-T", "-C", "-O", "-u", "/", "-p"])
            .args([&folder, &image]));
        check_unpacked(&folder, &model);
        let output = Command::new("rdsquashfs")
            .args(["-x", "/dir/sub/file"])
            .arg(&image)
            .output();
        let listed = String::from_utf8(output.expect("a list").stdout).expect("text");
        assert!(listed.contains("security.capability="), "{listed}");
    }
}

#[test]
fn folders_that_are_packed_come_back() {
    if !have(MKSQUASHFS) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("tree");
    fs::create_dir(&folder).expect("a folder");
    sample(&folder);
    let path = scratch.path().join("image");
    let file = File::create(&path).expect("a file");
    let summary = crate::pack::pack(&folder, file, options(Compression::GZIP, 131_072));
    let summary = summary.expect("an image");
    assert_eq!(fs::metadata(&path).expect("an image").len(), summary.size);
    let image = Image::open(File::open(&path).expect("an image")).expect("readable");
    let mut model = model_of(&folder);
    model.values_mut().for_each(|node| node.xattrs.clear());
    assert_same(&model, &read(&image).expect("readable"));
}
