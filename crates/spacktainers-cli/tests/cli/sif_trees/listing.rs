//! What lies in a folder, name by name.
//!
//! GNU tar reads the folder, as it sees all that there is: owners, times, attributes, other names of one file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use oci_format::Digest;
use oci_format::layer::EntryKind;
use oci_format::layer::tar::{Limits, Policy, TarReader, printable};

/// What is compared of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it is; size and content of a file, target of a link.
    pub(crate) what: String,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) mtime: u64,
    /// Names with values.
    pub(crate) xattrs: Vec<String>,
    /// The first of the file's names.
    pub(crate) first: String,
}

impl Row {
    pub(crate) fn is_directory(&self) -> bool {
        self.what == "directory"
    }
}

/// Paths, the root's being empty, with what is there.
pub(crate) type Rows = BTreeMap<Vec<u8>, Row>;

/// Lists a folder, which has to be readable whatever the modes: as root.
pub(crate) fn of_folder(folder: &Path) -> Rows {
    let output = Command::new("tar")
        .args(["-cf", "-", "--format=posix", "--numeric-owner"])
        .args([
            "--sort=name",
            "--xattrs",
            "--xattrs-include=*",
            "--no-acls",
            "--no-selinux",
        ])
        .arg("-C")
        .args([folder, Path::new(".")])
        .output()
        .expect("tar starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut tar =
        TarReader::with_policy(output.stdout.as_slice(), Policy::Lenient, Limits::default());
    let mut rows = Rows::new();
    while let Some(mut member) = tar.next_member().expect("a tar") {
        let entry = member.entry.clone();
        let what = match &entry.kind {
            EntryKind::HardLink(first) => {
                let row = rows.get(first).expect("before its links").clone();
                rows.insert(entry.path, row);
                continue;
            }
            EntryKind::File => {
                let mut content = Vec::new();
                member.read_to_end(&mut content).expect("content");
                format!("file of {} bytes: {}", content.len(), Digest::of(&content))
            }
            EntryKind::Directory => "directory".to_owned(),
            EntryKind::Symlink(target) => format!("link to {}", printable(target)),
            EntryKind::CharacterDevice(..) | EntryKind::BlockDevice(..) => "device".to_owned(),
            EntryKind::Fifo => "pipe".to_owned(),
        };
        let row = Row {
            what,
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            mtime: entry.mtime,
            xattrs: entry
                .xattrs
                .iter()
                .map(|(name, value)| format!("{}={}", printable(name), Digest::of(value)))
                .collect(),
            first: printable(&entry.path),
        };
        rows.insert(entry.path, row);
    }
    rows
}

/// The differences in words, at most a few; nothing where there are none.
pub(crate) fn differences(left: &Rows, right: &Rows) -> String {
    let mut told = String::new();
    let paths: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let different = paths
        .into_iter()
        .filter(|path| left.get(*path) != right.get(*path));
    for path in different.take(12) {
        let _ = writeln!(told, "{:?}", printable(path));
        for rows in [left, right] {
            let _ = match rows.get(path) {
                Some(row) => writeln!(told, "  {row:?}"),
                None => writeln!(told, "  nothing"),
            };
        }
    }
    told
}
