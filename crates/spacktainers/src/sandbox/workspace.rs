//! A root file system on the disk, with what belongs to it, in a folder of the local cache.
//!
//! ```text
//! <cache>/sandboxes/
//!   <process>-<counter>.lock   held while the folder is in use
//!   <process>-<counter>/root   the unpacked layers
//!                      /...    scripts, arguments, copies of the machine's files, folders that are forgotten
//! ```
//!
//! It goes away with its value. A killed process leaves it, and the next one removes it: nothing in it is ever taken for a result.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oci_format::Digest;

use super::SandboxError;
use super::machine::Owners;
use crate::content::Content;
use crate::source::LoadedLayer;
use crate::unpack::{inside, unpack};

/// Files that are handed back are small texts; of what is larger the beginning is taken.
const LONGEST_HANDED_BACK: u64 = 1 << 20;

const LOCK_ENDING: &str = "lock";

/// A folder with a root in it.
pub(super) struct Workspace {
    folder: PathBuf,
    root: PathBuf,
    lock_path: PathBuf,
    /// Held until this value goes.
    _lock: File,
    /// What is unpacked: diffIDs, lowest first.
    applied: Vec<Digest>,
}

impl Workspace {
    /// An empty one. What killed processes left is removed.
    pub(super) fn create(cache: &Path) -> Result<Self, SandboxError> {
        let all = cache.join("sandboxes");
        fs::create_dir_all(&all).map_err(SandboxError::io("make", &all))?;
        let all = fs::canonicalize(&all).map_err(SandboxError::io("find", &all))?;
        remove_stale(&all);
        let (name, lock_path, lock) = lock(&all)?;
        let folder = all.join(name);
        // Programs in there may be setuid: nobody else comes in.
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(SandboxError::io("make", &folder))?;
        Ok(Self {
            root: folder.join("root"),
            folder,
            lock_path,
            _lock: lock,
            applied: Vec::new(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the root hold these layers.
    pub(super) fn bring(
        &mut self,
        layers: &[LoadedLayer],
        owners: Owners,
    ) -> Result<(), SandboxError> {
        let wanted: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        let keep_owners = owners == Owners::Kept;
        if !self.applied.is_empty()
            && let Some(more) = wanted.strip_prefix(self.applied.as_slice())
        {
            let at = wanted.len() - more.len();
            let contents = contents(layers.get(at..).unwrap_or_default());
            // A directory may forbid what a later layer does to it; then all is unpacked anew.
            if contents.is_empty() || unpack(&contents, &self.root, keep_owners).is_ok() {
                self.applied = wanted;
                return Ok(());
            }
        }
        self.applied.clear();
        remove_tree(&self.root).map_err(SandboxError::io("remove", &self.root))?;
        DirBuilder::new()
            .mode(0o755)
            .create(&self.root)
            .and_then(|()| fs::set_permissions(&self.root, Permissions::from_mode(0o755)))
            .map_err(SandboxError::io("make", &self.root))?;
        unpack(&contents(layers), &self.root, keep_owners)?;
        self.applied = wanted;
        Ok(())
    }

    /// Notes that the root holds one layer more.
    pub(super) fn holds(&mut self, layer: &LoadedLayer) {
        self.applied.push(layer.diff_id);
    }

    /// Writes a file beside the root, readable for the caller alone.
    pub(super) fn put(&self, name: &str, bytes: &[u8], mode: u32) -> Result<PathBuf, SandboxError> {
        let path = self.folder.join(name);
        let _ = fs::remove_file(&path);
        File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                // Whatever the caller's umask is.
                file.set_permissions(Permissions::from_mode(mode))
            })
            .map_err(SandboxError::io("write", &path))?;
        Ok(path)
    }

    /// An empty folder beside the root that everybody can write to.
    pub(super) fn empty_folder(&self, name: &str) -> Result<PathBuf, SandboxError> {
        let path = self.folder.join(name);
        remove_tree(&path)
            .and_then(|()| fs::create_dir(&path))
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o1777)))
            .map_err(SandboxError::io("make", &path))?;
        Ok(path)
    }

    /// Takes files out of the root.
    pub(super) fn hand_back(
        &self,
        paths: &[String],
    ) -> Result<BTreeMap<String, Vec<u8>>, SandboxError> {
        let mut taken = BTreeMap::new();
        for path in paths {
            let place = inside::resolve(&self.root, path.trim_start_matches('/').as_bytes())?;
            if !fs::symlink_metadata(&place).is_ok_and(|it| it.is_file()) {
                continue;
            }
            let mut bytes = Vec::new();
            File::open(&place)
                .and_then(|file| file.take(LONGEST_HANDED_BACK).read_to_end(&mut bytes))
                .map_err(SandboxError::io("read", &place))?;
            fs::remove_file(&place).map_err(SandboxError::io("remove", &place))?;
            taken.insert(path.clone(), bytes);
        }
        Ok(taken)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed now is tried again by the next process.
        if remove_tree(&self.folder).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

fn contents(layers: &[LoadedLayer]) -> Vec<Content> {
    layers.iter().map(|layer| layer.content.clone()).collect()
}

/// A name that nobody else uses, and the lock that says so.
fn lock(all: &Path) -> Result<(String, PathBuf, File), SandboxError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{counter}", std::process::id());
        let path = all.join(&name).with_extension(LOCK_ENDING);
        let failed = SandboxError::io("lock", &path);
        let file = match File::create_new(&path) {
            Ok(file) => file,
            // Left by a process with the same number, on this machine or another one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(failed(error)),
        };
        // Where there are no locks, folders of living processes cannot be told from others, and none is removed.
        let _ = file.lock();
        let is_ours = fs::metadata(&path)
            .is_ok_and(|named| file.metadata().is_ok_and(|held| held.ino() == named.ino()));
        if is_ours {
            return Ok((name, path, file));
        }
    }
}

/// Removes the folders of processes that are gone. Faults are passed over.
fn remove_stale(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|it| it != LOCK_ENDING) {
            continue;
        }
        let Ok(file) = File::options().write(true).open(&path) else {
            continue;
        };
        if file.try_lock().is_ok() && remove_tree(&path.with_extension("")).is_ok() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Removes a tree, also where its directories forbid it.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_tree(path)?;
            fs::remove_dir_all(path)
        }
        result => result,
    }
}

fn open_tree(path: &Path) -> io::Result<()> {
    let mut pending = vec![path.to_owned()];
    while let Some(folder) = pending.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Ok(())
}
