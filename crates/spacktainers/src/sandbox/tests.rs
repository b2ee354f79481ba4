//! Commands over a small image of this machine's own programs.

mod against_others;
mod changes;
mod running;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use oci_format::layer::tar::{Policy, TarReader, TarWriter};
use oci_format::layer::{Entry, EntryKind};

use super::*;
use crate::test_support::skipped;

/// Programs of the image.
const PROGRAMS: [&str; 20] = [
    "sh", "cat", "chmod", "chown", "cp", "env", "id", "ln", "ls", "mkdir", "mkfifo", "mknod", "mv",
    "pwd", "readlink", "rm", "sleep", "stat", "touch", "grep",
];

/// Keeps what it is told.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Reporter for Lines {
    fn event(&self, event: Event) {
        if let Event::Output { text, .. } = event {
            self.0.lock().expect("no panic").push(text);
        }
    }
}

/// A sandbox with a cache of its own, and an image.
struct Stage {
    folder: tempfile::TempDir,
    cache: LocalCache,
    lines: Arc<Lines>,
    is_root: bool,
    layers: Vec<LoadedLayer>,
}

fn search_path() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

fn has(program: &str) -> bool {
    let found = search_path().iter().any(|it| it.join(program).is_file());
    if !found {
        skipped(&format!("there is no {program}"));
    }
    found
}

impl Stage {
    /// With owners kept where root runs the tests.
    fn new() -> Option<Self> {
        Self::of(is_root())
    }

    /// As for anybody.
    fn of_anybody() -> Option<Self> {
        Self::of(false)
    }

    fn of(is_root: bool) -> Option<Self> {
        if !has("bwrap") || !has("ldd") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let cache = LocalCache::open(folder.path().join("cache")).expect("a cache");
        let mut writer = cache.writer().expect("a writer");
        std::io::Write::write_all(&mut writer, programs()).expect("a blob");
        let layer = adopted(writer);
        let stage = Self {
            folder,
            cache,
            lines: Arc::default(),
            is_root,
            layers: vec![layer],
        };
        // Some machines allow nobody to have namespaces.
        let works = stage.sandbox().execute(&stage.layers, &shell("true"));
        if let Err(error) = works {
            let lines = stage.lines.0.lock().expect("no panic").join("; ");
            skipped(&format!("bubblewrap does not work here: {error}: {lines}"));
            return None;
        }
        Some(stage)
    }

    fn sandbox(&self) -> Sandbox {
        let machine = Machine::new(&search_path(), self.is_root);
        Sandbox::new(
            machine,
            self.cache.clone(),
            self.lines.clone(),
            Stop::default(),
        )
    }

    /// Adds a layer.
    fn add(&mut self, entries: &[(Entry, &[u8])]) {
        let mut tar = TarWriter::new(self.cache.writer().expect("a writer"));
        for (entry, bytes) in entries {
            tar.append_bytes(entry, bytes).expect("an entry");
        }
        self.layers.push(adopted(tar.finish().expect("a tar")));
    }

    /// Runs a script over the image, and adds what it changed.
    fn run(&mut self, script: &str) -> Vec<String> {
        let ran = self
            .sandbox()
            .execute(&self.layers, &shell(script))
            .unwrap_or_else(|error| panic!("{error:?}: {:#?}", self.told()));
        let paths = ran.layer.iter().flat_map(members).map(|it| shown(&it));
        let paths = paths.collect();
        self.layers.extend(ran.layer);
        paths
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.0.lock().expect("no panic"))
    }

    /// The image's tree without times: path, and what is there.
    fn tree(&self, layers: &[LoadedLayer]) -> BTreeMap<String, String> {
        tree(layers, &self.folder.path().join("look"))
    }
}

fn adopted(writer: crate::local_cache::BlobWriter) -> LoadedLayer {
    let (digest, content) = writer.finish().expect("a blob");
    LoadedLayer {
        diff_id: digest,
        digest: Some(digest),
        content,
    }
}

/// A script as a step.
fn shell(script: &str) -> Step {
    let command = ["/bin/sh", "-e", "-c", script].map(str::to_owned);
    Step::in_image("script", command.to_vec())
}

/// The members of a layer.
fn members(layer: &LoadedLayer) -> Vec<Entry> {
    let bytes = layer.content.open(0).expect("a layer");
    let mut tar = TarReader::with_policy(bytes, Policy::Strict, Default::default());
    let mut found = Vec::new();
    while let Some(member) = tar.next_member().expect("a tar") {
        found.push(member.entry.clone());
    }
    found
}

fn shown(entry: &Entry) -> String {
    let path = String::from_utf8_lossy(&entry.path).into_owned();
    match &entry.kind {
        EntryKind::Directory => format!("{path}/"),
        EntryKind::Symlink(to) => format!("{path} -> {}", String::from_utf8_lossy(to)),
        EntryKind::HardLink(to) => format!("{path} = {}", String::from_utf8_lossy(to)),
        _ => path,
    }
}

fn tree(layers: &[LoadedLayer], folder: &Path) -> BTreeMap<String, String> {
    let contents: Vec<_> = layers.iter().map(|it| it.content.clone()).collect();
    let _ = fs::remove_dir_all(folder);
    crate::unpack::unpack(&contents, folder, is_root()).expect("unpacks");
    let found = snapshot::take(folder).expect("a tree");
    let mut names: BTreeMap<_, String> = BTreeMap::new();
    found
        .iter()
        .map(|(path, header)| {
            let path = String::from_utf8_lossy(path).into_owned();
            let place = folder.join(&path);
            let what = match header.kind {
                snapshot::Kind::File => {
                    let bytes = fs::read(&place).expect("a file");
                    let first = names
                        .entry((header.identity.0, header.identity.1))
                        .or_insert_with(|| path.clone());
                    format!("{} as {first}", oci_format::Digest::of(&bytes))
                }
                snapshot::Kind::Symlink => {
                    format!("-> {}", fs::read_link(&place).expect("a link").display())
                }
                other => format!("{other:?}"),
            };
            let line = format!("{:o} {}:{} {what}", header.mode, header.uid, header.gid);
            (path, line)
        })
        .collect()
}

/// A layer with a few programs of this machine and the libraries that they need.
fn programs() -> &'static [u8] {
    static LAYER: OnceLock<Vec<u8>> = OnceLock::new();
    LAYER.get_or_init(|| {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for program in PROGRAMS {
            let Some(path) = search_path()
                .into_iter()
                .chain(["/bin".into()])
                .map(|it| it.join(program))
                .find(|it| it.is_file())
            else {
                continue;
            };
            let listed = Command::new("ldd").arg(&path).output().expect("ldd runs");
            for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
                if word.starts_with('/') {
                    files.insert(word.trim_start_matches('/').to_owned(), word.into());
                }
            }
            files.insert(format!("bin/{program}"), path);
        }
        let mut tar = TarWriter::new(Vec::new());
        let folders = ["bin", "etc", "proc", "tmp", "usr"];
        for folder in folders {
            tar.append_bytes(&Entry::directory(folder, 0o755, 1000), b"")
                .expect("memory");
        }
        for (path, from) in files {
            let bytes = fs::read(&from).expect("a program");
            let entry = Entry::file(path, 0o755, 1000, bytes.len() as u64);
            tar.append_bytes(&entry, &bytes).expect("memory");
        }
        tar.finish().expect("memory")
    })
}
