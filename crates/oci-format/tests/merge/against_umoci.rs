//! The same layers given to umoci, which unpacks them, and to us; then compared name by name.
//!
//! Needs root, umoci (or another one named by `OCI_FORMAT_UMOCI`) and GNU tar, which lists what umoci
//! made. `OCI_FORMAT_MERGE_STACKS=5000` makes that many stacks by chance instead of 100.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use oci_format::Digest;
use oci_format::layer::merge::digest::{TreeContent, TreeEntry, TreeHasher};
use oci_format::layer::merge::{Kind, LayerMerge, MergedTree, tree_digest};
use oci_format::layer::tar::{Limits, Policy, TarReader, printable};
use oci_format::layer::{Entry, EntryKind};

use super::cases::{CASES, CASES_BELOW_FILES};
use super::notation::{layer, lines};
use super::random::{Member, Stack, stack, tar};

/// What is compared of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// What it is, and what it points to.
    what: String,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    content: Option<Digest>,
    /// The first of the file's names.
    first: Vec<u8>,
}

type Rows = BTreeMap<Vec<u8>, Row>;

/// A umoci that works here.
struct Umoci {
    program: String,
    /// Before 0.5: files are not replaced by directories that members need, and one attribute of
    /// overlay file systems is left out.
    is_old: bool,
    has_xattrs: bool,
}

/// What became of some stacks.
#[derive(Debug, Default)]
struct Count {
    same: usize,
    refused: usize,
    rows: usize,
    old_refused: usize,
}

#[test]
fn the_cases_are_as_umoci_unpacks_them() {
    let Some(umoci) = find_umoci("the_cases_are_as_umoci_unpacks_them") else {
        return;
    };
    let mut count = Count::default();
    for case in CASES.iter().chain(CASES_BELOW_FILES) {
        let members = |(index, text): (usize, &&str)| {
            let entries = layer(index, text).into_iter();
            entries.map(plain).collect::<Vec<Member>>()
        };
        let mut stack = Stack {
            layers: case.layers.iter().enumerate().map(members).collect(),
            below_files: Vec::new(),
        };
        if CASES_BELOW_FILES
            .iter()
            .any(|below| below.name == case.name)
        {
            stack.below_files.push(Vec::new());
        }
        if stack.layers.is_empty() {
            // umoci does not unpack an image without layers.
            stack.layers.push(Vec::new());
        }
        compare(&umoci, &stack, case.name, &mut count);
    }
    assert_eq!(count.refused, 0, "all cases can be unpacked");
    report(&count);
}

#[test]
fn stacks_made_by_chance_are_as_umoci_unpacks_them() {
    let Some(umoci) = find_umoci("stacks_made_by_chance_are_as_umoci_unpacks_them") else {
        return;
    };
    let asked = std::env::var("OCI_FORMAT_MERGE_STACKS").ok();
    let stacks = asked.and_then(|text| text.parse().ok()).unwrap_or(100);
    let mut count = Count::default();
    for seed in 0..stacks {
        compare(&umoci, &stack(seed), &format!("seed {seed}"), &mut count);
    }
    assert!(
        count.rows >= stacks as usize * 5,
        "{count:?}: too little to see"
    );
    report(&count);
}

fn report(count: &Count) {
    let _ = writeln!(std::io::stderr(), "compared with umoci: {count:?}");
}

fn plain(entry: Entry) -> Member {
    let content = format!("{}\n", entry.mtime).repeat(100).into_bytes();
    let content = content[..entry.size as usize].to_vec();
    Member {
        entry,
        content,
        is_sparse: false,
    }
}

fn find_umoci(test: &str) -> Option<Umoci> {
    let skip = |why: &str| {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
        None
    };
    let program = std::env::var("OCI_FORMAT_UMOCI").unwrap_or_else(|_| "umoci".into());
    let Ok(version) = Command::new(&program).arg("--version").output() else {
        return skip("umoci is not installed");
    };
    if Command::new("tar").arg("--version").output().is_err() {
        return skip("tar is not installed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    if std::fs::metadata(folder.path()).expect("just made").uid() != 0 {
        return skip("only root can unpack owners and devices");
    }
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let mut umoci = Umoci {
        program,
        is_old: version.contains(" 0.4.") || version.contains(" 0.3."),
        has_xattrs: true,
    };
    // Not all file systems have attributes, and some hosts let nobody make devices.
    let probe = |entry| umoci.unpack(&[tar(&[plain(entry)])]);
    let with_xattr = Entry {
        xattrs: vec![(b"user.a".to_vec(), b"b".to_vec())],
        ..Entry::file("a", 0o644, 1, 0)
    };
    let rows = match probe(with_xattr) {
        Ok(rows) => rows,
        Err(error) => return skip(&format!("umoci does not work here: {error}")),
    };
    let has_xattrs = rows
        .get(&b"a"[..])
        .is_some_and(|row| !row.xattrs.is_empty());
    let kind = EntryKind::CharacterDevice(1, 3);
    if probe(Entry {
        kind,
        ..Entry::file("a", 0o644, 1, 0)
    })
    .is_err()
    {
        return skip("devices cannot be made here");
    }
    umoci.has_xattrs = has_xattrs;
    Some(umoci)
}

/// Unpacks a stack both ways and compares.
fn compare(umoci: &Umoci, stack: &Stack, name: &str, count: &mut Count) {
    let began = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let layers: Vec<Vec<u8>> = stack.layers.iter().map(|members| tar(members)).collect();
    let ours = merge(&layers);
    let theirs = umoci.unpack(&layers);
    let told = || format!("{name}\n{}", tell(stack));
    let (tree, theirs) = match (ours, theirs) {
        (Ok(tree), Ok(rows)) => (tree, rows),
        (Err(ours), Err(theirs)) => {
            count.refused += 1;
            let last = stack.layers.last().and_then(|members| members.last());
            let member = last
                .map(|member| printable(&member.entry.path))
                .unwrap_or_default();
            assert!(ours.contains(&member), "{ours}\n{}", told());
            assert!(theirs.contains("unpack entry"), "{theirs}\n{}", told());
            return;
        }
        (Ok(_), Err(error)) if umoci.is_old && !stack.below_files.is_empty() => {
            assert!(error.contains("not a directory"), "{error}\n{}", told());
            count.old_refused += 1;
            return;
        }
        // Before 0.6 `.wh.` alone removed its own directory, and the version after it refuses it.
        (Err(error), Ok(_)) if error.contains("a whiteout must name") => {
            count.refused += 1;
            return;
        }
        // AUFS's bookkeeping means nothing to us, wherever it is; umoci looks for its directory all the same.
        (Ok(_), Err(error))
            if error.contains("/.wh..wh.") && error.contains("levels of symbolic links") =>
        {
            count.refused += 1;
            return;
        }
        (Ok(_), Err(error)) => panic!("only umoci refuses: {error}\n{}", told()),
        (Err(error), Ok(_)) => panic!("only we refuse: {error}\n{}", told()),
    };

    let contents = contents(&tree, &layers);
    let ours = rows(&tree, &contents);
    let names = |rows: &Rows| rows.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&ours), names(&theirs), "{}", told());
    for (path, ours) in &ours {
        let mut ours = ours.clone();
        let mut theirs = theirs[path].clone();
        if ours.what == "directory" {
            // The time of unpacking: see the module's page.
            if theirs.mtime + 2 >= began {
                theirs.mtime = ours.mtime;
            }
            if ours.mtime == 0 && !stack.below_files.is_empty() {
                // umoci's directory may have the metadata of the file before it, and pass on the group.
                theirs = Row {
                    mode: ours.mode,
                    uid: ours.uid,
                    gid: ours.gid,
                    ..theirs
                };
                theirs.mtime = 0;
                theirs.xattrs.clear();
            }
        }
        if !umoci.has_xattrs {
            ours.xattrs.clear();
        } else if umoci.is_old {
            ours.xattrs
                .retain(|(name, _)| name != b"trusted.overlay.opaque");
        }
        assert_eq!(ours, theirs, "`{}`\n{}", printable(path), told());
        count.rows += 1;
    }
    count.same += 1;
    if stack.below_files.is_empty() && umoci.has_xattrs && !umoci.is_old {
        assert_eq!(
            digest_of(&tree, &contents),
            digest_of_rows(&theirs),
            "{}",
            told()
        );
    }
}

fn merge(layers: &[Vec<u8>]) -> Result<MergedTree, String> {
    let mut merge = LayerMerge::new();
    for bytes in layers {
        merge
            .apply_layer(&mut lenient(bytes))
            .map_err(|error| error.to_string())?;
    }
    Ok(merge.finish())
}

fn lenient(bytes: &[u8]) -> TarReader<&[u8]> {
    TarReader::with_policy(bytes, Policy::Lenient, Limits::default())
}

/// The second pass: the content of every file, by its number.
fn contents(tree: &MergedTree, layers: &[Vec<u8>]) -> Vec<Option<Digest>> {
    let mut found = vec![None; tree.file_count()];
    for (index, bytes) in layers.iter().enumerate() {
        let mut wanted = tree.wanted(index).iter().peekable();
        let mut reader = lenient(bytes);
        let mut ordinal = 0;
        while let Some(mut member) = reader.next_member().expect("read before") {
            if let Some(wanted) = wanted.next_if(|wanted| wanted.ordinal == ordinal) {
                let mut content = Vec::new();
                member.read_to_end(&mut content).expect("memory");
                let slot = &mut found[wanted.file.index()];
                assert!(slot.is_none(), "one member for each file");
                *slot = Some(Digest::of(&content));
            }
            ordinal += 1;
        }
        assert!(wanted.next().is_none(), "every wanted member is there");
    }
    found
}

fn rows(tree: &MergedTree, contents: &[Option<Digest>]) -> Rows {
    let row = |node: oci_format::layer::merge::Node<'_>| Row {
        what: match node.kind() {
            Kind::Directory => "directory".into(),
            Kind::File { size, .. } => format!("file of {size}"),
            Kind::Symlink(target) => format!("link to {}", printable(target)),
            Kind::CharacterDevice(major, minor) => format!("character device {major}:{minor}"),
            Kind::BlockDevice(major, minor) => format!("block device {major}:{minor}"),
            Kind::Fifo => "pipe".into(),
        },
        mode: node.mode(),
        uid: node.uid().into(),
        gid: node.gid().into(),
        mtime: node.mtime(),
        xattrs: node.xattrs().to_vec(),
        content: contents[node.file().index()],
        first: tree
            .names(node.file())
            .map(|name| name.path())
            .min()
            .unwrap_or_default(),
    };
    tree.nodes().map(|node| (node.path(), row(node))).collect()
}

fn digest_of(tree: &MergedTree, contents: &[Option<Digest>]) -> Digest {
    tree_digest(tree, |file| contents[file.index()]).expect("contents are known")
}

/// The digest of what umoci made, from its listing alone.
fn digest_of_rows(rows: &Rows) -> Digest {
    let mut paths: Vec<&Vec<u8>> = rows.keys().collect();
    paths.sort_by_key(|path| path.split(|byte| *byte == b'/').collect::<Vec<_>>());
    let mut hasher = TreeHasher::new();
    for path in paths {
        let row = &rows[path];
        // Devices are rare enough to be left out here; our side has them in the comparison above.
        let content = match (row.content, row.what.split_once(' ')) {
            (Some(digest), _) => TreeContent::File(digest),
            (_, None) if row.what == "directory" => TreeContent::Directory,
            (_, None) => TreeContent::Fifo,
            (_, Some(("link", text))) => {
                let target = text.strip_prefix("to ").expect("as written above");
                TreeContent::Symlink(target.as_bytes())
            }
            (_, Some((kind, text))) => {
                let numbers = text.strip_prefix("device ").expect("as written above");
                let (major, minor) = numbers.split_once(':').expect("two numbers");
                let number = |text: &str| text.parse().expect("a number");
                match kind {
                    "character" => TreeContent::CharacterDevice(number(major), number(minor)),
                    _ => TreeContent::BlockDevice(number(major), number(minor)),
                }
            }
        };
        let entry = TreeEntry {
            path,
            content,
            mode: row.mode,
            uid: row.uid as u32,
            gid: row.gid as u32,
            xattrs: &row.xattrs,
        };
        hasher.push(&entry).expect("sorted");
    }
    hasher.finish()
}

impl Umoci {
    /// Makes an image layout of the layers, unpacks it, and lists what came of it.
    fn unpack(&self, layers: &[Vec<u8>]) -> Result<Rows, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = folder.path().join("layout");
        write_layout(&layout, layers);
        let root = folder.path().join("root");
        let image = format!("{}:x", layout.display());
        let output = Command::new(&self.program)
            .args(["raw", "unpack", "--image", &image])
            .arg(&root)
            .output()
            .expect("umoci is there");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let output = Command::new("tar")
            .args([
                "--create",
                "--file=-",
                "--format=posix",
                "--numeric-owner",
                "--sort=name",
            ])
            .args([
                "--xattrs",
                "--xattrs-include=*",
                "--no-acls",
                "--no-selinux",
            ])
            .arg("--directory")
            .args([&root, Path::new(".")])
            .output()
            .expect("tar is there");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut rows = listed(&output.stdout);
        name_links(&root, &mut rows);
        Ok(rows)
    }
}

/// GNU tar tells of hard links among files and symbolic links alone; the file system knows all of them.
fn name_links(root: &Path, rows: &mut Rows) {
    let mut names: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for path in rows.keys().filter(|path| !path.is_empty()) {
        let found = std::fs::symlink_metadata(root.join(OsStr::from_bytes(path)));
        let found = found.expect("umoci made it");
        if !found.is_dir() {
            names.entry(found.ino()).or_default().push(path.clone());
        }
    }
    for names in names.into_values() {
        for name in &names {
            if let Some(row) = rows.get_mut(name) {
                row.first.clone_from(&names[0]);
            }
        }
    }
}

fn write_layout(layout: &Path, layers: &[Vec<u8>]) {
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder");
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).expect("a file");
        let size = bytes.len();
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let put_layer = |bytes: &Vec<u8>| put("application/vnd.oci.image.layer.v1.tar", bytes);
    let described: Vec<String> = layers.iter().map(put_layer).collect();
    let ids: Vec<String> = layers
        .iter()
        .map(|bytes| format!("\"{}\"", Digest::of(bytes)))
        .collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        config.as_bytes(),
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[{}]}}"#,
        described.join(",")
    );
    let manifest = put(
        "application/vnd.oci.image.manifest.v1+json",
        manifest.as_bytes(),
    );
    let (head, _) = manifest.rsplit_once('}').expect("an object");
    let named = format!(r#"{head},"annotations":{{"org.opencontainers.image.ref.name":"x"}}}}"#);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{named}]}}"#);
    std::fs::write(layout.join("index.json"), index).expect("a file");
    let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
    std::fs::write(layout.join("oci-layout"), version).expect("a file");
}

/// The rows of a listing by GNU tar.
fn listed(bytes: &[u8]) -> Rows {
    let mut found = Rows::new();
    let mut firsts: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    let mut reader = lenient(bytes);
    while let Some(mut member) = reader.next_member().expect("GNU tar's own") {
        let mut content = Vec::new();
        member.read_to_end(&mut content).expect("memory");
        let Entry {
            path,
            kind,
            mode,
            uid,
            gid,
            mtime,
            size,
            mut xattrs,
        } = member.entry.clone();
        if let EntryKind::HardLink(target) = kind {
            firsts.entry(target).or_default().push(path);
            continue;
        }
        // What the host itself puts on every file is not the image's.
        xattrs.retain(|(name, _)| name != b"security.selinux");
        let is_file = kind == EntryKind::File;
        let row = Row {
            what: match kind {
                EntryKind::Directory => "directory".into(),
                EntryKind::File | EntryKind::HardLink(_) => format!("file of {size}"),
                EntryKind::Symlink(target) => format!("link to {}", printable(&target)),
                EntryKind::CharacterDevice(major, minor) => {
                    format!("character device {major}:{minor}")
                }
                EntryKind::BlockDevice(major, minor) => format!("block device {major}:{minor}"),
                EntryKind::Fifo => "pipe".into(),
            },
            mode,
            uid,
            gid,
            mtime,
            xattrs,
            content: is_file.then(|| Digest::of(&content)),
            first: path.clone(),
        };
        found.insert(path, row);
    }
    for (target, mut names) in firsts {
        let mut row = found[&target].clone();
        names.push(target);
        row.first = names.iter().min().cloned().unwrap_or_default();
        for name in names {
            found.insert(name, row.clone());
        }
    }
    found
}

/// A stack for people, and what we make of it.
fn tell(stack: &Stack) -> String {
    let mut text = String::new();
    for (index, members) in stack.layers.iter().enumerate() {
        text.push_str(&format!("layer {index}\n"));
        for Member {
            entry, is_sparse, ..
        } in members
        {
            let holes = if *is_sparse { " with holes" } else { "" };
            let kind = match &entry.kind {
                EntryKind::Symlink(target) => format!("Symlink to {}", printable(target)),
                EntryKind::HardLink(target) => format!("HardLink to {}", printable(target)),
                kind => format!("{kind:?}"),
            };
            text.push_str(&format!(
                "  {} {kind}{holes} {:o} {}:{} @{}\n",
                printable(&entry.path),
                entry.mode,
                entry.uid,
                entry.gid,
                entry.mtime
            ));
        }
    }
    if let Ok(tree) = super::notation::merge_entries(&stack.entries()) {
        text.push_str(&format!("we\n  {}\n", lines(&tree).join("\n  ")));
    }
    text
}
