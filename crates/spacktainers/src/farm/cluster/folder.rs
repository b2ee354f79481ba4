//! The folder of a run, on the file system that all nodes share. It is all that submitter and tasks know of each other.
//!
//! ```text
//! SHARED/runs/20261126T065305Z/
//!   order.json            what is built, in which batches; written once, last
//!   containers/0/         environment and spack.lock of each container
//!   indices/              what Spack has found out about recipes
//!   submissions/0.json    written before and after a scheduler is asked, so that nothing is submitted twice
//!   claims/0              the job that does batch 0
//!   packages/HASH.json    where a package is on its way
//!   batches/0.json        batch 0 is over
//!   capsules/             what failed packages left
//!   jobs/                 scripts, and what tasks print
//!   report.json           the run is over
//! ```
//!
//! Every file is written under another name first, and nothing in it is secret.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use spack_format::dag_hash::DagHash;

use super::super::plan::{Build, Plan};
use super::super::records::Recorded;
use super::super::{Capsule, Failed, FarmError, Report};
use super::pack::Batch;

/// What the files of this version are.
const VERSION: u32 = 1;

/// `order.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OrderFile {
    version: u32,
    pub(super) project: PathBuf,
    /// `spacktainers.toml`, as it was.
    pub(super) settings: String,
    /// The checkout of Spack.
    pub(super) spack: PathBuf,
    /// Namespaces and folders of recipes.
    pub(super) repositories: Vec<(String, PathBuf)>,
    /// Names of the containers.
    pub(super) containers: Vec<String>,
    pub(super) builds: Vec<Ordered>,
    pub(super) batches: Vec<Batch>,
}

/// A package that is ordered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ordered {
    hash: String,
    pub(super) title: String,
    name: String,
    package_version: String,
    /// For which container.
    pub(super) container: usize,
}

impl Ordered {
    pub(super) fn hash(&self) -> Option<DagHash> {
        self.hash.parse().ok()
    }

    /// The same, for those who remember what it took.
    pub(super) fn build(&self) -> Option<Build> {
        Some(Build {
            hash: self.hash()?,
            title: self.title.clone(),
            name: self.name.clone(),
            version: self.package_version.clone(),
            order: self.container,
            after: Vec::new(),
            laid_down: Vec::new(),
        })
    }
}

impl OrderFile {
    pub(super) fn new(plan: &Plan, batches: Vec<Batch>) -> Self {
        let ordered = plan.builds.iter().map(|build| Ordered {
            hash: build.hash.to_string(),
            title: build.title.clone(),
            name: build.name.clone(),
            package_version: build.version.clone(),
            container: build.order,
        });
        Self {
            version: VERSION,
            project: PathBuf::new(),
            settings: String::new(),
            spack: PathBuf::new(),
            repositories: Vec::new(),
            containers: Vec::new(),
            builds: ordered.collect(),
            batches,
        }
    }
}

/// One file below `submissions/`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Submitted {
    pub(super) name: String,
    pub(super) batches: Vec<usize>,
    /// The scheduler's job; none: it was not heard yet.
    pub(super) job: Option<String>,
}

/// One file below `batches/`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct BatchEnd {
    /// Why what is not built was not.
    pub(super) error: Option<String>,
}

/// One file below `packages/`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PackageFile {
    pub(super) state: PackageState,
    pub(super) job: String,
    pub(super) message: Option<String>,
    pub(super) capsule: Option<PathBuf>,
    pub(super) recorded: Option<Recorded>,
}

/// Where a package is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    /// A task builds it.
    Building,
    /// It is in the mirror.
    Built,
    /// It could not be built or pushed.
    Failed,
    /// Something that it needs failed.
    HeldUp,
}

/// `report.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ReportFile {
    built: Vec<String>,
    failed: Vec<FailedFile>,
    held_up: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FailedFile {
    package: String,
    message: String,
    capsule: Option<PathBuf>,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub(super) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// All runs below `shared`, oldest first.
    pub(super) fn all(shared: &Path) -> Result<Vec<Self>, FarmError> {
        let folder = shared.join("runs");
        let mut names = names(&folder).map_err(FarmError::io("read", &folder))?;
        names.sort();
        let runs = names.into_iter().map(|name| Self::at(folder.join(name)));
        Ok(runs
            .filter(|run| run.file("order.json").is_file())
            .collect())
    }

    /// A new one, named by a time.
    pub(super) fn make(shared: &Path, name: &str) -> Result<Self, FarmError> {
        let runs = shared.join("runs");
        fs::create_dir_all(&runs).map_err(FarmError::io("make the folder", &runs))?;
        // A project's `git status` need not show it.
        let ignored = shared.join(".gitignore");
        if !ignored.exists() {
            fs::write(&ignored, "*\n").map_err(FarmError::io("write", &ignored))?;
        }
        let mut path = runs.join(name);
        for more in 2_u32.. {
            match fs::create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    path = runs.join(format!("{name}-{more}"));
                }
                made => {
                    made.map_err(FarmError::io("make the folder", &path))?;
                    break;
                }
            }
        }
        for part in PARTS {
            let part = path.join(part);
            fs::create_dir(&part).map_err(FarmError::io("make the folder", &part))?;
        }
        Ok(Self { path })
    }

    /// The last part of its path.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, below: &str) -> PathBuf {
        self.path.join(below)
    }

    pub(super) fn order(&self) -> Result<OrderFile, FarmError> {
        let order: OrderFile = self.read("order.json")?.ok_or_else(|| {
            let gone = io::Error::from(ErrorKind::NotFound);
            FarmError::io("read", &self.file("order.json"))(gone)
        })?;
        match order.version {
            VERSION => Ok(order),
            version => Err(FarmError::Run {
                run: self.path.clone(),
                why: format!("it is of version {version}, and this program reads {VERSION}"),
            }),
        }
    }

    /// Writes environment and lock of a container.
    pub(super) fn put_container(
        &self,
        index: usize,
        manifest: &Json,
        lock: &str,
    ) -> Result<(), FarmError> {
        self.put_text(&format!("containers/{index}.json"), &manifest.to_string())?;
        self.put_text(&format!("containers/{index}.lock"), lock)
    }

    /// Environment and lock of a container.
    pub(super) fn container(&self, index: usize) -> Result<(Json, String), FarmError> {
        let manifest = self.read(&format!("containers/{index}.json"))?;
        let lock = self.file(&format!("containers/{index}.lock"));
        let text = fs::read_to_string(&lock).map_err(FarmError::io("read", &lock))?;
        Ok((manifest.unwrap_or_default(), text))
    }

    pub(super) fn submissions(&self) -> Result<Vec<Submitted>, FarmError> {
        let mut submissions = Vec::new();
        while let Some(it) = self.read(&submission(submissions.len()))? {
            submissions.push(it);
        }
        Ok(submissions)
    }

    pub(super) fn put_submission(&self, index: usize, it: &Submitted) -> Result<(), FarmError> {
        self.put(&submission(index), it)
    }

    /// Takes back what was about to be submitted.
    pub(super) fn remove_submission(&self, index: usize) -> Result<(), FarmError> {
        let path = self.file(&submission(index));
        fs::remove_file(&path).map_err(FarmError::io("remove", &path))
    }

    /// The batches that are over. Listing the folder shows what other nodes wrote, where asking for a file may not.
    pub(super) fn over(&self) -> Result<HashSet<usize>, FarmError> {
        let folder = self.file("batches");
        let names = names(&folder).map_err(FarmError::io("read", &folder))?;
        let number = |name: &String| name.strip_suffix(".json")?.parse().ok();
        Ok(names.iter().filter_map(number).collect())
    }

    pub(super) fn batch_end(&self, batch: usize) -> Result<Option<BatchEnd>, FarmError> {
        self.read(&format!("batches/{batch}.json"))
    }

    pub(super) fn end_batch(&self, batch: usize, error: Option<String>) -> Result<(), FarmError> {
        self.put(&format!("batches/{batch}.json"), &BatchEnd { error })
    }

    pub(super) fn package(&self, hash: &DagHash) -> Result<Option<PackageFile>, FarmError> {
        self.read(&format!("packages/{hash}.json"))
    }

    pub(super) fn put_package(&self, hash: &DagHash, it: &PackageFile) -> Result<(), FarmError> {
        self.put(&format!("packages/{hash}.json"), it)
    }

    /// Makes a batch the business of `job` alone; says whether it is. A job that is run again keeps its batches.
    pub(super) fn claim(&self, batch: usize, job: &str) -> Result<bool, FarmError> {
        let path = self.file(&format!("claims/{batch}"));
        let claim = || -> io::Result<bool> {
            // Written first and linked then: nobody reads half of it.
            let mut written = tempfile::NamedTempFile::new_in(self.file("claims"))?;
            written.write_all(job.as_bytes())?;
            match written.persist_noclobber(&path) {
                Ok(_) => Ok(true),
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                    Ok(fs::read_to_string(&path)? == job)
                }
                Err(error) => Err(error.error),
            }
        };
        claim().map_err(FarmError::io("write", &path))
    }

    /// The job that does a batch.
    pub(super) fn claimed(&self, batch: usize) -> Option<String> {
        fs::read_to_string(self.file(&format!("claims/{batch}"))).ok()
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_over(&self) -> bool {
        self.file("report.json").is_file()
    }

    pub(super) fn put_report(&self, report: &Report) -> Result<(), FarmError> {
        let failed = report.failed.iter().map(|it| FailedFile {
            package: it.package.clone(),
            message: it.message.clone(),
            capsule: it.capsule.as_ref().map(|it| it.folder.clone()),
        });
        let file = ReportFile {
            built: report.built.clone(),
            failed: failed.collect(),
            held_up: report.held_up.clone(),
        };
        self.put("report.json", &file)
    }

    pub(super) fn report(&self) -> Result<Option<Report>, FarmError> {
        let Some(file) = self.read::<ReportFile>("report.json")? else {
            return Ok(None);
        };
        let failed = file.failed.into_iter().map(|it| Failed {
            package: it.package,
            message: it.message,
            capsule: it.capsule.and_then(|it| Capsule::open(&it).ok()),
        });
        Ok(Some(Report {
            built: file.built,
            failed: failed.collect(),
            held_up: file.held_up,
        }))
    }

    fn read<T: DeserializeOwned>(&self, below: &str) -> Result<Option<T>, FarmError> {
        let path = self.file(below);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(FarmError::io("read", &path))?,
        };
        let wrong = |error: serde_json::Error| FarmError::io("read", &path)(error.into());
        serde_json::from_slice(&text).map(Some).map_err(wrong)
    }

    pub(super) fn put<T: Serialize>(&self, below: &str, value: &T) -> Result<(), FarmError> {
        let text = serde_json::to_string(value);
        let wrong =
            |error: serde_json::Error| FarmError::io("write", &self.file(below))(error.into());
        self.put_text(below, &text.map_err(wrong)?)
    }

    fn put_text(&self, below: &str, text: &str) -> Result<(), FarmError> {
        crate::spack::write_whole(&self.file(below), text).map_err(FarmError::Spack)
    }
}

/// Folders of a run.
const PARTS: [&str; 7] = [
    "containers",
    "submissions",
    "claims",
    "packages",
    "batches",
    "capsules",
    "jobs",
];

fn submission(index: usize) -> String {
    format!("submissions/{index}.json")
}

/// What is in a folder, without what is just being written; nothing if it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: io::Result<Vec<String>> = names.collect();
    Ok(names?
        .into_iter()
        .filter(|it| !it.starts_with('.'))
        .collect())
}

/// What became of an attempt to lock a file.
pub(super) enum Locked {
    /// It is ours until this is dropped; none: this file system knows no locks.
    Ours(#[expect(dead_code, reason = "held, not read")] Option<File>),
    /// Somebody else has it.
    Busy,
}

/// Locks a file, which is made.
pub(super) fn lock(path: &Path) -> Result<Locked, FarmError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(FarmError::io("make the folder", folder))?;
    let file = File::options().create(true).append(true).open(path);
    let file = file.map_err(FarmError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Locked::Ours(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(Locked::Busy),
        Err(TryLockError::Error(_)) => Ok(Locked::Ours(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::plan::test_plan;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let shared = tempfile::tempdir().expect("a folder");
        let run = RunFolder::make(shared.path(), "a").expect("a run");
        assert_eq!(
            RunFolder::all(shared.path()).expect("runs").len(),
            0,
            "no order"
        );
        let plan = test_plan(&[("zlib", &[])]);
        run.put("order.json", &OrderFile::new(&plan, Vec::new()))
            .expect("written");
        let second = RunFolder::make(shared.path(), "a").expect("a run");
        assert_eq!(second.name(), "a-2");
        let runs = RunFolder::all(shared.path()).expect("runs");
        assert_eq!((runs.len(), runs[0].name().as_str()), (1, "a"));
        let order = runs[0].order().expect("an order");
        assert_eq!(order.builds[0].build().as_ref(), plan.builds.first());

        run.end_batch(7, Some("why".to_owned())).expect("written");
        assert_eq!(run.over().expect("read"), HashSet::from([7]));
        let end = run.batch_end(7).expect("read").expect("there");
        assert_eq!(end.error.as_deref(), Some("why"));
        assert!(!run.is_over());
        let report = Report {
            held_up: vec!["x".to_owned()],
            ..Report::default()
        };
        run.put_report(&report).expect("written");
        assert!(run.is_over());
        let read = run.report().expect("read").expect("there");
        assert_eq!(read.held_up, ["x"]);
    }

    #[test]
    fn a_batch_is_one_jobs_business() {
        let shared = tempfile::tempdir().expect("a folder");
        let run = RunFolder::make(shared.path(), "a").expect("a run");
        assert!(run.claim(0, "17_1").expect("asked"));
        assert!(run.claim(0, "17_1").expect("asked"), "it runs again");
        assert!(!run.claim(0, "18").expect("asked"));
        assert!(run.claim(1, "18").expect("asked"));
        assert_eq!(run.claimed(0).as_deref(), Some("17_1"));
    }

    #[test]
    fn another_versions_run_is_left_alone() {
        let shared = tempfile::tempdir().expect("a folder");
        let run = RunFolder::make(shared.path(), "a").expect("a run");
        let mut order = OrderFile::new(&test_plan(&[]), Vec::new());
        order.version = 99;
        run.put("order.json", &order).expect("written");
        assert!(matches!(run.order(), Err(FarmError::Run { .. })));
    }
}
