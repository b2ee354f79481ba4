//! Folders and files of the tree itself: where packages are unpacked, locks, and the database.
//!
//! ```text
//! <root>/.spack-db/lock             Spack's: whoever writes the database has it
//! <root>/.spack-db/prefix_lock      Spack's: each package that is being installed has a byte of it
//! <root>/.spack-db/index.json       replaced in one step
//! <root>/.spack-db/index_verifier   changes with it, so that a Spack that runs reads it again
//! <root>/.spack-db/spacktainers/    ours: packages that are being unpacked
//! ```
//!
//! Source: `lib/spack/spack/database.py` and `llnl/util/lock.py` in Spack 1.1. Its locks are those of `fcntl`, which a
//! process has as a whole; so threads of this one wait for each other besides.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use spack_format::dag_hash::DagHash;
use spack_format::database::INDEX_PATH;
use tempfile::TempDir;

use super::merge::Index;
use super::{LayError, folder};
use crate::install_tree::{InstallTreeError, MAX_DATABASE, read_text};

/// How long somebody else may have the database. Spack has it for less than a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long is slept between attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// One at a time in this process.
static HERE: Mutex<()> = Mutex::new(());

/// A tree that may be written.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    folder: PathBuf,
}

/// The database, for ourselves.
pub(super) struct Locked {
    _here: MutexGuard<'static, ()>,
    _file: File,
    /// Once it was needed.
    prefixes: Option<File>,
}

/// A folder for packages that are being unpacked. It goes when this is dropped, or when the next run finds it.
pub(super) struct Staging {
    folder: TempDir,
    keeps_modes: bool,
    _lock: File,
}

impl Staging {
    /// Where a package is unpacked.
    pub(super) fn of(&self, hash: &DagHash) -> PathBuf {
        self.folder.path().join(hash.as_str())
    }

    /// Whether files and folders get the modes that they are made with, and folders the group bit of the one above: a umask
    /// or a default access list may take some away.
    pub(super) const fn keeps_modes(&self) -> bool {
        self.keeps_modes
    }
}

impl Store {
    /// The tree at `root`, which is made if it is not there.
    pub(super) fn open(root: PathBuf) -> Result<Self, LayError> {
        let folder = root.join(".spack-db");
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        Ok(Self { root, folder })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The database, if there is one.
    pub(super) fn index_text(&self) -> Result<Option<String>, LayError> {
        match read_text(&self.root.join(INDEX_PATH), MAX_DATABASE) {
            Ok(text) => Ok(Some(text)),
            Err(InstallTreeError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A database that cannot be used.
    pub(super) fn wrong(&self, error: impl ToString) -> LayError {
        let file = self.root.join(INDEX_PATH);
        let why = error.to_string();
        InstallTreeError::Database { file, why }.into()
    }

    /// A folder to unpack in. What was left by whoever was killed is removed.
    pub(super) fn staging(&self) -> Result<Staging, LayError> {
        let all = self.folder.join("spacktainers");
        fs::create_dir_all(&all).map_err(at(&all))?;
        // Nobody looks for what was left while somebody makes a folder.
        let guard = open(&all.join("lock"))?;
        // Where files cannot be locked, nothing is taken for left.
        let is_locked = guard.lock().is_ok();
        if is_locked {
            for entry in fs::read_dir(&all).map_err(at(&all))?.flatten() {
                let is_left =
                    File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
                if is_left {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
        let folder = tempfile::Builder::new()
            .prefix("laying-")
            .tempdir_in(&all)
            .map_err(at(&all))?;
        let lock = open(&folder.path().join("lock"))?;
        if is_locked {
            lock.try_lock()
                .map_err(|error| at(folder.path())(error.into()))?;
        }
        let keeps_modes = folder::keeps_modes(folder.path()).map_err(at(folder.path()))?;
        Ok(Staging {
            folder,
            keeps_modes,
            _lock: lock,
        })
    }

    /// Waits for the database.
    pub(super) fn lock(&self) -> Result<Locked, LayError> {
        let here = HERE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join("lock");
        let file = open(&path)?;
        let since = Instant::now();
        while !has_lock(&file, &path)? {
            if since.elapsed() > PATIENCE {
                return Err(LayError::Locked { path });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Locked {
            _here: here,
            _file: file,
            prefixes: None,
        })
    }

    /// Gives a package, which is in a folder of [`Staging`], its name. A folder of this name that the database does not know was left by somebody who was killed,
    /// and is moved away, unless a Spack is at work in this tree.
    pub(super) fn settle(
        &self,
        from: &Path,
        prefix: &Path,
        locked: &mut Locked,
    ) -> Result<(), LayError> {
        if let Some(parent) = prefix.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        if fs::symlink_metadata(prefix).is_ok() {
            if locked.prefixes.is_none() {
                let path = self.folder.join("prefix_lock");
                let file = open(&path)?;
                if !has_lock(&file, &path)? {
                    let prefix = prefix.to_owned();
                    return Err(LayError::InTheWay { prefix });
                }
                locked.prefixes = Some(file);
            }
            let mut away = from.as_os_str().to_owned();
            away.push(".left");
            fs::rename(prefix, &away).map_err(at(prefix))?;
        }
        fs::rename(from, prefix).map_err(at(prefix))
    }

    /// Replaces the database in one step. It is not forced to the disk, which would wait for all packages; Spack does not
    /// either.
    pub(super) fn write(&self, index: &Index, _: &Locked) -> Result<(), LayError> {
        let text = index.to_text().map_err(|error| self.wrong(error))?;
        let replace = |name: &str, bytes: &[u8]| {
            let path = self.folder.join(name);
            let mut file = tempfile::Builder::new()
                .prefix(name)
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(&self.folder)
                .map_err(at(&path))?;
            file.write_all(bytes).map_err(at(&path))?;
            file.persist(&path).map_err(|it| at(&path)(it.error))?;
            Ok(())
        };
        replace("index.json", text.as_bytes())?;
        // Any text that was not there before will do.
        let verifier = oci_format::Digest::of(text.as_bytes()).hex();
        replace("index_verifier", verifier.as_bytes())
    }

    /// The program that scripts with long first lines start, where there is none: Spack puts its own there.
    pub(super) fn sbang(&self, path: &Path) -> Result<(), LayError> {
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).map_err(at(folder))?;
        let mut file = tempfile::Builder::new()
            .prefix(".sbang")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempfile_in(folder)
            .map_err(at(folder))?;
        file.write_all(crate::site::SBANG.as_bytes())
            .map_err(at(path))?;
        file.persist(path).map_err(|it| at(path)(it.error))?;
        Ok(())
    }
}

fn open(path: &Path) -> Result<File, LayError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(at(path))
}

/// Whether the whole file is ours now.
fn has_lock(file: &File, path: &Path) -> Result<bool, LayError> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(error) => Err(at(path)(error.into())),
    }
}

/// An error of a file.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> LayError + use<> {
    let path = path.to_owned();
    move |source| LayError::Write { path, source }
}
