//! The tree that packages make together, written as one tar while they pass by.
//!
//! Nothing is unpacked to a disk. What is remembered is each path with its kind and owner, and the
//! content of a few small files that decide what is generated at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};

use md5::{Digest as _, Md5};
use oci_format::layer::tar::{
    Limits, Policy, TarError, TarReader, TarWriteError, TarWriter, printable,
};
use oci_format::layer::{Entry, EntryKind};

use super::usr_merge::{self, ALIASES};

/// Files worth keeping are small: lists, templates, certificates.
const KEPT_MAX: u64 = 4 << 20;
/// More links in a row are a loop.
const LINKS_MAX: usize = 40;

/// Why packages make no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A package's archive is damaged or hostile.
    #[error("the archive of package `{package}` cannot be read")]
    Read {
        /// The package.
        package: String,
        /// Why.
        source: TarError,
    },
    /// A package's archive cannot be decompressed.
    #[error("the archive of package `{package}` cannot be read")]
    Content {
        /// The package.
        package: String,
        /// Why.
        source: io::Error,
    },
    /// A kind of file that no package may bring.
    #[error(
        "package `{package}` has a device, `{path}`: only directories, files and links may be in a base image"
    )]
    Device {
        /// The package.
        package: String,
        /// The device.
        path: String,
    },
    /// A file where another package has a directory, or the other way round.
    #[error("package `{package}` has `{path}` as {kind}, and package `{other}` as something else")]
    Kind {
        /// The package that came second.
        package: String,
        /// The path.
        path: String,
        /// What it is there.
        kind: &'static str,
        /// The package that came first.
        other: String,
    },
    /// Links in a circle.
    #[error("`{path}` of package `{package}` lies behind a circle of symbolic links")]
    Loop {
        /// The package.
        package: String,
        /// The path.
        path: String,
    },
    /// The layer cannot be written.
    #[error("cannot write the base layer")]
    Write(#[from] TarWriteError),
}

/// What a package's data part consists of, for dpkg's records.
#[derive(Debug, Default)]
pub(super) struct PackageFiles {
    /// `info/<package>.list`: every path as the package calls it.
    pub(super) list: Vec<u8>,
    /// MD5 of each conffile that the package really has, by path without the leading slash.
    pub(super) conffiles: BTreeMap<Vec<u8>, String>,
    /// Files that another package had already, with no relation that allows it: path and package.
    pub(super) clashes: Vec<(String, u32)>,
}

/// What to do beyond copying a package's files.
pub(super) struct PackageRules<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its place in the order of packages.
    pub(super) index: u32,
    /// Paths, without leading slash, whose MD5 is wanted.
    pub(super) conffiles: &'a BTreeSet<Vec<u8>>,
    /// Packages, by place, that this one's files may be overridden by.
    pub(super) replaced_by: &'a BTreeSet<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Symlink,
    Other,
}

struct Node {
    kind: Kind,
    package: u32,
}

/// Paths that no package made.
const GENERATED: u32 = u32::MAX;

/// The tree so far, and the tar that it is written to.
pub(super) struct Tree<W: Write> {
    tar: TarWriter<W>,
    nodes: HashMap<Vec<u8>, Node>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    aliases: BTreeSet<usize>,
    kept: BTreeMap<Vec<u8>, Vec<u8>>,
    newest: u64,
    names: Vec<String>,
}

impl<W: Write> Tree<W> {
    /// An empty tree. `names` are the packages to come, for messages.
    pub(super) fn new(out: W, names: Vec<String>) -> Self {
        Self {
            tar: TarWriter::new(out),
            nodes: HashMap::new(),
            links: HashMap::new(),
            aliases: (0..usr_merge::ALWAYS).collect(),
            kept: BTreeMap::new(),
            newest: 0,
            names,
        }
    }

    /// Writes all files of a package.
    pub(super) fn add_package(
        &mut self,
        data: impl Read,
        rules: &PackageRules<'_>,
    ) -> Result<PackageFiles, TreeError> {
        let read = |source| TreeError::Read {
            package: rules.name.to_owned(),
            source,
        };
        let mut archive = TarReader::with_policy(data, Policy::Lenient, Limits::default());
        let mut files = PackageFiles::default();
        while let Some(mut member) = archive.next_member().map_err(read)? {
            let shipped = std::mem::take(&mut member.entry.path);
            files.list.extend_from_slice(b"/");
            files
                .list
                .extend_from_slice(if shipped.is_empty() { b"." } else { &shipped });
            files.list.push(b'\n');
            if shipped.is_empty() {
                continue;
            }
            if let Some(alias) = usr_merge::alias(&shipped) {
                self.aliases.insert(alias);
                continue;
            }
            let path = self.locate(&shipped, rules.name)?;
            let mut entry = Entry {
                path,
                ..member.entry.clone()
            };
            if let EntryKind::HardLink(target) = &entry.kind {
                entry.kind = EntryKind::HardLink(self.locate(target, rules.name)?);
            }
            if !self.claim(&mut entry, rules, &mut files)? {
                continue;
            }
            self.newest = self.newest.max(entry.mtime);
            let is_conffile = rules.conffiles.contains(&shipped);
            let is_kept = entry.size <= KEPT_MAX && is_worth_keeping(&entry.path);
            if entry.kind == EntryKind::File && (is_conffile || is_kept) {
                let mut bytes = Vec::new();
                (&mut member)
                    .take(KEPT_MAX * 16)
                    .read_to_end(&mut bytes)
                    .map_err(|source| TreeError::Content {
                        package: rules.name.to_owned(),
                        source,
                    })?;
                self.tar.append_bytes(&entry, &bytes)?;
                if is_conffile {
                    files
                        .conffiles
                        .insert(shipped, hex::encode(Md5::digest(&bytes)));
                }
                if is_kept {
                    self.kept.insert(entry.path, bytes);
                }
            } else {
                self.tar.append(&entry, &mut member)?;
            }
        }
        Ok(files)
    }

    /// Whether this entry is to be written; notes it as present.
    fn claim(
        &mut self,
        entry: &mut Entry,
        rules: &PackageRules<'_>,
        files: &mut PackageFiles,
    ) -> Result<bool, TreeError> {
        if matches!(
            entry.kind,
            EntryKind::CharacterDevice(..) | EntryKind::BlockDevice(..)
        ) {
            let path = printable(&entry.path);
            return Err(TreeError::Device {
                package: rules.name.to_owned(),
                path,
            });
        }
        // What base-files does after unpacking: these have been links into /run for many years.
        if entry.kind == EntryKind::Directory {
            let moved = match entry.path.as_slice() {
                b"var/run" => Some("/run"),
                b"var/lock" => Some("/run/lock"),
                _ => None,
            };
            if let Some(target) = moved {
                *entry = Entry::symlink(entry.path.clone(), target, entry.mtime);
            }
        }
        let kind = match &entry.kind {
            EntryKind::Directory => Kind::Directory,
            EntryKind::Symlink(_) => Kind::Symlink,
            _ => Kind::Other,
        };
        if let Some(node) = self.nodes.get(&entry.path) {
            return match (node.kind, kind) {
                // As dpkg: a directory stays as the first package made it, and a link to a
                // directory, or a directory in a link's place, stays too.
                (Kind::Directory, Kind::Directory | Kind::Symlink)
                | (Kind::Symlink, Kind::Directory) => Ok(false),
                (Kind::Directory, Kind::Other) | (Kind::Other, Kind::Directory) => {
                    Err(TreeError::Kind {
                        package: rules.name.to_owned(),
                        path: printable(&entry.path),
                        kind: if kind == Kind::Directory {
                            "a directory"
                        } else {
                            "a file"
                        },
                        other: self.package_name(node.package),
                    })
                }
                _ => {
                    if node.package != rules.index && !rules.replaced_by.contains(&node.package) {
                        files.clashes.push((printable(&entry.path), node.package));
                    }
                    Ok(false)
                }
            };
        }
        if let EntryKind::Symlink(target) = &entry.kind {
            self.links.insert(entry.path.clone(), target.clone());
        }
        self.nodes.insert(
            entry.path.clone(),
            Node {
                kind,
                package: rules.index,
            },
        );
        Ok(true)
    }

    /// Where a path really is: below the merged `/usr`, and with links among its folders followed.
    fn locate(&mut self, shipped: &[u8], package: &str) -> Result<Vec<u8>, TreeError> {
        let (mut path, alias) = usr_merge::real_path(shipped);
        self.aliases.extend(alias);
        for _ in 0..LINKS_MAX {
            match self.step(&path) {
                None => return Ok(path),
                Some(next) => path = usr_merge::real_path(&next).0,
            }
        }
        Err(TreeError::Loop {
            package: package.to_owned(),
            path: printable(shipped),
        })
    }

    /// The path with the first link among its folders replaced by its target.
    fn step(&self, path: &[u8]) -> Option<Vec<u8>> {
        let slashes = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at);
        for at in slashes {
            let Some(target) = self.links.get(&path[..at]) else {
                continue;
            };
            let base = match path[..at].iter().rposition(|byte| *byte == b'/') {
                Some(slash) if !target.starts_with(b"/") => &path[..slash],
                _ => b"",
            };
            let mut out: Vec<&[u8]> = Vec::new();
            let parts = base
                .split(|b| *b == b'/')
                .chain(target.split(|b| *b == b'/'));
            for part in parts.chain(path[at + 1..].split(|b| *b == b'/')) {
                match part {
                    b"" | b"." => {}
                    b".." => {
                        out.pop();
                    }
                    part => out.push(part),
                }
            }
            return Some(out.join(&b'/'));
        }
        None
    }

    /// Whether something is where an absolute path leads, `/bin/bash`.
    pub(super) fn exists_absolute(&self, path: &str) -> bool {
        let (mut path, _) = usr_merge::real_path(path.trim_start_matches('/').as_bytes());
        for _ in 0..LINKS_MAX {
            match self.step(&path) {
                Some(next) => path = usr_merge::real_path(&next).0,
                None => break,
            }
        }
        self.nodes.contains_key(&path)
    }

    /// The content of a file that was kept while it passed by.
    pub(super) fn kept(&self, path: &str) -> Option<&[u8]> {
        self.kept.get(path.as_bytes()).map(Vec::as_slice)
    }

    /// Names and contents of kept files below a folder, in order; the folder's name is cut away.
    pub(super) fn kept_below(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let start = format!("{folder}/").into_bytes();
        self.kept
            .range(start.clone()..)
            .take_while(|(path, _)| path.starts_with(&start))
            .map(|(path, bytes)| {
                (
                    String::from_utf8_lossy(&path[start.len()..]).into_owned(),
                    bytes.clone(),
                )
            })
            .collect()
    }

    /// The newest time of any file of a package, in seconds since 1970: what generated files get, so
    /// that the packages alone decide the bytes of the layer.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Generates a file unless something is there. Missing folders above it are made.
    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), TreeError> {
        self.owned_file(path, mode, 0, bytes)
    }

    /// The same with a group.
    pub(super) fn owned_file(
        &mut self,
        path: &str,
        mode: u32,
        gid: u64,
        bytes: &[u8],
    ) -> Result<(), TreeError> {
        let entry = Entry {
            gid,
            ..Entry::file(path, mode, self.newest, bytes.len() as u64)
        };
        self.generate(entry, Kind::Other, bytes)
    }

    /// Generates a symbolic link unless something is there.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        let (real, _) = usr_merge::real_path(path.as_bytes());
        let entry = Entry::symlink(real, target, self.newest);
        self.generate(entry, Kind::Symlink, &[])
    }

    /// Generates a directory unless something is there.
    pub(super) fn directory(&mut self, path: &str, mode: u32, gid: u64) -> Result<(), TreeError> {
        let entry = Entry {
            gid,
            ..Entry::directory(path, mode, self.newest)
        };
        self.generate(entry, Kind::Directory, &[])
    }

    fn generate(&mut self, entry: Entry, kind: Kind, bytes: &[u8]) -> Result<(), TreeError> {
        if self.nodes.contains_key(&entry.path) {
            return Ok(());
        }
        let slashes: Vec<usize> = entry
            .path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at)
            .collect();
        for at in slashes {
            let parent = &entry.path[..at];
            if !self.nodes.contains_key(parent) {
                self.tar
                    .append_bytes(&Entry::directory(parent, 0o755, self.newest), &[])?;
                self.nodes.insert(
                    parent.to_vec(),
                    Node {
                        kind: Kind::Directory,
                        package: GENERATED,
                    },
                );
            }
        }
        self.tar.append_bytes(&entry, bytes)?;
        self.nodes.insert(
            entry.path,
            Node {
                kind,
                package: GENERATED,
            },
        );
        Ok(())
    }

    fn package_name(&self, index: u32) -> String {
        self.names
            .get(index as usize)
            .cloned()
            .unwrap_or_else(|| "(none)".to_owned())
    }

    /// Writes the links of the merged `/usr` and ends the tar.
    pub(super) fn finish(mut self) -> Result<W, TreeError> {
        for alias in std::mem::take(&mut self.aliases) {
            let name = ALIASES[alias];
            self.directory(&format!("usr/{name}"), 0o755, 0)?;
            let link = Entry::symlink(name, format!("usr/{name}"), self.newest);
            self.tar.append_bytes(&link, &[])?;
        }
        Ok(self.tar.finish()?)
    }
}

/// Files that decide what is generated at the end.
fn is_worth_keeping(path: &[u8]) -> bool {
    const FOLDERS: [&[u8]; 8] = [
        b"usr/share/base-files/",
        b"usr/share/base-passwd/",
        b"usr/share/ca-certificates/",
        b"usr/share/debianutils/",
        b"usr/share/libc-bin/",
        b"usr/share/pam/",
        b"usr/share/pam-configs/",
        b"usr/lib/sysusers.d/",
    ];
    FOLDERS.iter().any(|folder| path.starts_with(folder)) || path == b"usr/share/readline/inputrc"
}
