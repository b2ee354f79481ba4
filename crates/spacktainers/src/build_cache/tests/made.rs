//! Small install trees, made up.

use std::collections::HashSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use spack_format::concrete::ConcreteSpecs;
use spack_format::dag_hash::DagHash;
use spack_format::database::{INDEX_PATH, StoreIndex};
use spack_format::lockfile::SpackLockfile;
use tempfile::TempDir;

use crate::build_cache::{Catalog, Destination, PushOptions, Signing};
use crate::event::Silent;
use crate::fetch::{Context, Trust};
use crate::install_tree::InstallTree;
use crate::local_cache::LocalCache;
use crate::mirror::{FolderWriter, SharedWriter};
use crate::openpgp::{PublicKeys, SecretKey};

/// Name, version, and what is linked to.
pub(super) type Package<'a> = (&'a str, &'a str, &'a [&'a str]);

/// An install tree, a local cache, and a folder for a mirror.
pub(super) struct Stage {
    folder: TempDir,
    cache: LocalCache,
}

/// A hash that is the name, as far as hashes have digits.
pub(super) fn hash(name: &str) -> DagHash {
    let letters = name.bytes().map(|byte| match byte {
        b'0'..=b'9' => char::from(b'g' + byte - b'0'),
        b'-' => 'z',
        byte => char::from(byte),
    });
    let text: String = letters.chain(std::iter::repeat('a')).take(32).collect();
    text.parse().expect("a hash")
}

fn node((name, version, below): Package<'_>) -> String {
    let edges: Vec<String> = below
        .iter()
        .map(|name| {
            let hash = hash(name);
            format!(
                "{{\"name\":\"{name}\",\"hash\":\"{hash}\",\"parameters\":{{\"deptypes\":[\"build\",\"link\"],\"virtuals\":[]}}}}"
            )
        })
        .collect();
    format!(
        "{{\"name\":\"{name}\",\"version\":\"{version}\",\"arch\":{{\"platform\":\"linux\",\
         \"platform_os\":\"debian12\",\"target\":\"x86_64\"}},\"namespace\":\"builtin\",\
         \"parameters\":{{\"build_system\":\"generic\"}},\"dependencies\":[{}],\
         \"annotations\":{{\"original_specfile_version\":5}},\"hash\":\"{}\"}}",
        edges.join(","),
        hash(name)
    )
}

impl Stage {
    /// A tree with these packages; dependencies must be among them.
    pub(super) fn with(packages: &[Package<'_>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = LocalCache::open(folder.path().join("local")).expect("a local cache");
        let stage = Self { folder, cache };
        let nodes: Vec<String> = packages
            .iter()
            .map(|package| format!("\"{}\":{}", hash(package.0), node(*package)))
            .collect();
        let lock = format!(
            "{{\"_meta\":{{\"file-type\":\"spack-lockfile\",\"lockfile-version\":6,\"specfile-version\":5}},\
             \"roots\":[],\"concrete_specs\":{{{}}}}}",
            nodes.join(",")
        );
        let specs: ConcreteSpecs = SpackLockfile::parse(&lock).expect("a lock").specs;
        for package in packages {
            stage.install(*package, packages);
        }
        let installed: HashSet<DagHash> = packages.iter().map(|it| hash(it.0)).collect();
        let index = StoreIndex {
            specs: &specs,
            installed: &installed,
            explicit: &HashSet::new(),
            prefix: &|spec| {
                Some(
                    stage
                        .prefix(&spec.name, &spec.version)
                        .display()
                        .to_string(),
                )
            },
            installation_time: 1,
        };
        let file = stage.root().join(INDEX_PATH);
        fs::create_dir_all(file.parent().expect("a folder")).expect("makes");
        fs::write(file, index.to_text().expect("a database")).expect("writes");
        stage
    }

    fn install(&self, package: Package<'_>, all: &[Package<'_>]) {
        let (name, version, below) = package;
        let prefix = self.prefix(name, version);
        fs::create_dir_all(prefix.join(".spack")).expect("makes");
        fs::create_dir_all(prefix.join("bin")).expect("makes");
        let mut nodes = vec![node(package)];
        nodes.extend(
            all.iter()
                .filter(|it| below.contains(&it.0))
                .map(|it| node(*it)),
        );
        let spec = format!(
            "{{\"spec\":{{\"_meta\":{{\"version\":5}},\"nodes\":[{}]}}}}",
            nodes.join(",")
        );
        fs::write(prefix.join(".spack/spec.json"), spec).expect("writes");
        let script = format!("#!/bin/sh\n# {name}\nexec {}/bin/x\n", prefix.display());
        fs::write(prefix.join("bin").join(name), script).expect("writes");
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder
            .path()
            .join("root/__spack_path_placeholder__/__spack")
    }

    pub(super) fn prefix(&self, name: &str, version: &str) -> PathBuf {
        let below = format!("linux-x86_64/{name}-{version}-{}", hash(name));
        self.root().join(below)
    }

    pub(super) fn tree(&self) -> InstallTree {
        InstallTree::open(&self.folder.path().join("root")).expect("a tree")
    }

    pub(super) fn local_cache(&self) -> &LocalCache {
        &self.cache
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            cache: &self.cache,
            reporter: &Silent,
            jobs: NonZeroUsize::new(4).expect("four"),
            now: SystemTime::now(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A mirror in a folder of this name.
    pub(super) fn mirror(&self, name: &str) -> SharedWriter {
        Arc::new(FolderWriter::new(self.path(name)))
    }
}

pub(super) fn key() -> Arc<SecretKey> {
    let text = include_str!("../../../tests/data/openpgp/alpha.secret");
    Arc::new(SecretKey::parse(text).expect("the test key"))
}

pub(super) fn trust() -> Trust {
    let keys = include_bytes!("../../../tests/data/openpgp/alpha.pub");
    Trust::Signed(PublicKeys::parse(keys).expect("the test key"))
}

pub(super) fn destination(writer: &SharedWriter, options: PushOptions) -> Destination {
    Destination::new(Arc::clone(writer), Signing::Key(key()), options)
}

pub(super) fn catalog(writer: &SharedWriter) -> Catalog {
    Catalog::Listed(Arc::clone(writer))
}

/// All files below a folder with their bytes, by their path.
pub(super) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push((path.clone(), fs::read(&path).expect("reads")));
            }
        }
    }
    files.sort();
    files
}
