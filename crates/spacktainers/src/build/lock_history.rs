//! How often packages change by themselves: what git remembers of the `spack.lock` files of a project.
//!
//! ```text
//! git log --raw ──► pairs of blobs, before and after ──► git cat-file ──► own changes, remembered by the pair
//! ```
//!
//! A package of the later lock that the earlier did not have, while it had all that the package depends on, has changed by
//! itself. One whose dependencies have changed too says nothing: it has another hash in any case.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use spack_format::dag_hash::DagHash;
use spack_format::lockfile::SpackLockfile;

use crate::layer::Observed;
use crate::local_cache::LocalCache;

/// Commits that are looked at, from the latest.
const COMMITS: &str = "--max-count=200";

/// Pairs that are compared at most.
const PAIRS: usize = 400;

/// A larger lock says nothing here.
const LARGEST: u64 = 64 << 20;

/// Kind of the records in the local cache: what one change of a lock was.
const RECORD_KIND: &str = "lock-change-1";

/// What the history says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LockHistory {
    /// By the name of the package.
    pub(super) observed: BTreeMap<String, Observed>,
    /// Changes that were looked at.
    pub(super) changes: usize,
}

/// One change of a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    /// Names in the lock before.
    before: BTreeSet<String>,
    /// Those of them that changed by themselves.
    changed: BTreeSet<String>,
}

/// Reads the history of `locks`, files of the project in `folder`. Where there is no git, no repository or nothing that can be
/// read, there is no history, which is no fault: a plan is made without it as well.
pub(super) fn read(folder: &Path, locks: &[PathBuf], cache: &LocalCache) -> LockHistory {
    let mut history = LockHistory::default();
    let mut blobs = None;
    for (before, after) in pairs(folder, locks) {
        let key = format!("{before}-{after}");
        let known = cache
            .record(RECORD_KIND, &key)
            .and_then(|bytes| serde_json::from_slice::<Change>(&bytes).ok());
        let change = known.or_else(|| {
            let blobs = match &mut blobs {
                Some(blobs) => blobs,
                none => none.insert(Blobs::open(folder)?),
            };
            let change = change(&*blobs.lock(&before)?, &*blobs.lock(&after)?);
            if let Ok(bytes) = serde_json::to_vec(&change) {
                // Not remembered is only slower.
                let _ = cache.put_record(RECORD_KIND, &key, &bytes);
            }
            Some(change)
        });
        let Some(change) = change else { continue };
        history.changes += 1;
        for name in change.before {
            let seen = history.observed.entry(name.clone()).or_default();
            seen.times += 1;
            seen.changed += u32::from(change.changed.contains(&name));
        }
    }
    history
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    // The project's own repository, whatever git this program was started by.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command
        .args([
            "--no-pager",
            "--literal-pathspecs",
            "-c",
            "core.fsmonitor=false",
            "-C",
        ])
        .arg(folder)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Names of the blobs before and after each change of the files, from the latest.
fn pairs(folder: &Path, files: &[PathBuf]) -> Vec<(String, String)> {
    let files: Vec<&OsStr> = files
        .iter()
        .map(|file| file.strip_prefix(folder).unwrap_or(file).as_os_str())
        .collect();
    if files.is_empty() {
        return Vec::new();
    }
    let output = git(folder)
        .args([
            "log",
            COMMITS,
            "--format=",
            "--raw",
            "--no-abbrev",
            "--no-renames",
            "--no-ext-diff",
            "--",
        ])
        .args(files)
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().filter_map(pair).take(PAIRS).collect()
        }
        _ => Vec::new(),
    }
}

/// `:100644 100644 BEFORE AFTER M<tab>path`
fn pair(line: &str) -> Option<(String, String)> {
    let mut words = line.strip_prefix(':')?.split_ascii_whitespace().skip(2);
    let (before, after, kind) = (words.next()?, words.next()?, words.next()?);
    let is_name = |text: &str| text.len() >= 40 && text.bytes().all(|it| it.is_ascii_hexdigit());
    (kind == "M" && is_name(before) && is_name(after))
        .then(|| (before.to_owned(), after.to_owned()))
}

fn change(before: &SpackLockfile, after: &SpackLockfile) -> Change {
    let had: HashSet<DagHash> = before.specs.iter().map(|node| node.hash).collect();
    let names: BTreeSet<String> = before.specs.iter().map(|node| node.name.clone()).collect();
    let changed = after
        .specs
        .iter()
        .filter(|node| !had.contains(&node.hash) && names.contains(&node.name))
        .filter(|node| node.edges.iter().all(|edge| had.contains(&edge.hash)))
        .map(|node| node.name.clone())
        .collect();
    Change {
        before: names,
        changed,
    }
}

/// A `git cat-file` that answers one question after the other.
struct Blobs {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// A lock is after one change and before the next.
    read: HashMap<String, Option<Rc<SpackLockfile>>>,
}

impl Blobs {
    fn open(folder: &Path) -> Option<Self> {
        let mut process = git(folder)
            .args(["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let questions = process.stdin.take()?;
        let answers = BufReader::new(process.stdout.take()?);
        Some(Self {
            process,
            questions,
            answers,
            read: HashMap::new(),
        })
    }

    fn lock(&mut self, name: &str) -> Option<Rc<SpackLockfile>> {
        if let Some(known) = self.read.get(name) {
            return known.clone();
        }
        let lock = self
            .text(name)
            .and_then(|text| SpackLockfile::parse(&text).ok())
            .map(Rc::new);
        self.read.insert(name.to_owned(), lock.clone());
        lock
    }

    /// `NAME blob SIZE`, the bytes and a line end.
    fn text(&mut self, name: &str) -> Option<String> {
        writeln!(self.questions, "{name}").ok()?;
        self.questions.flush().ok()?;
        let mut header = String::new();
        (&mut self.answers).take(256).read_line(&mut header).ok()?;
        let mut words = header.split_ascii_whitespace().skip(1);
        if words.next()? != "blob" {
            return None;
        }
        let size: u64 = words.next()?.parse().ok()?;
        if size > LARGEST {
            // Passed over, so that the next answer is where it is looked for.
            let mut rest = (&mut self.answers).take(size.checked_add(1)?);
            std::io::copy(&mut rest, &mut std::io::sink()).ok()?;
            return None;
        }
        let mut bytes = Vec::new();
        (&mut self.answers)
            .take(size + 1)
            .read_to_end(&mut bytes)
            .ok()?;
        bytes.pop();
        String::from_utf8(bytes).ok()
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        // It ends by itself when nobody can ask any more; whoever does not wait for it leaves a zombie.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_git_log_are_read() {
        let (before, after) = ("1".repeat(40), "a".repeat(40));
        let line =
            format!(":100644 100644 {before} {after} M\tcontainer_definitions/amd64/x/spack.lock");
        assert_eq!(pair(&line), Some((before.clone(), after)));
        let zero = "0".repeat(40);
        assert_eq!(pair(&format!(":000000 100644 {zero} {before} A\tx")), None);
        assert_eq!(pair("what is this"), None);
        assert_eq!(pair(":1 2 --upload-pack=x y M\tz"), None);
    }

    #[test]
    fn where_there_is_no_repository_there_is_no_history() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = LocalCache::open(folder.path().join("cache")).expect("a cache");
        let read = read(folder.path(), &[folder.path().join("spack.lock")], &cache);
        assert_eq!(read, LockHistory::default());
    }

    /// A lock of an application above a library.
    fn lock(app: &str, library: &str) -> String {
        let node = |name: &str, hash: &str, below: &str| {
            format!(
                r#""{hash}": {{"name": "{name}", "version": "1", "arch": {{"platform": "linux", "platform_os": "debian12", "target": "x86_64"}}, "compiler": {{"name": "gcc", "version": "12"}}, "namespace": "builtin", "parameters": {{}}, "package_hash": "x", {below} "hash": "{hash}"}}"#
            )
        };
        let (app, library) = (app.repeat(32), library.repeat(32));
        let edge = format!(
            r#""dependencies": [{{"name": "library", "hash": "{library}", "parameters": {{"deptypes": ["link"], "virtuals": []}}}}],"#
        );
        format!(
            r#"{{"_meta": {{"file-type": "spack-lockfile", "lockfile-version": 5, "specfile-version": 4}}, "roots": [{{"hash": "{app}", "spec": "app"}}], "concrete_specs": {{{}, {}}}}}"#,
            node("app", &app, &edge),
            node("library", &library, "")
        )
    }

    #[test]
    fn what_changed_by_itself_is_told_from_what_was_rebuilt() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("spack.lock");
        let run = |arguments: &[&str]| {
            let mut command = git(folder.path());
            let names = ["-c", "user.name=n", "-c", "user.email=e@example.org"];
            let status = command
                .args(names)
                .args(arguments)
                .stdout(Stdio::null())
                .status();
            status.map(|it| it.success())
        };
        if run(&["init", "-q"]).is_err() {
            crate::test_support::skipped("no git");
            return;
        }
        // The application is rebuilt, then both are, then nothing but the application is again.
        for (app, library) in [("a", "b"), ("c", "b"), ("d", "e"), ("f", "e")] {
            std::fs::write(&file, lock(app, library)).expect("writes");
            assert_eq!(run(&["add", "spack.lock"]).ok(), Some(true));
            assert_eq!(run(&["commit", "-q", "-m", "a lock"]).ok(), Some(true));
        }
        let cache = LocalCache::open(folder.path().join("cache")).expect("a cache");
        // The second time from what is remembered.
        for _ in 0..2 {
            let history = read(folder.path(), std::slice::from_ref(&file), &cache);
            assert_eq!(history.changes, 3);
            let seen = |times, changed| Some(Observed { times, changed });
            assert_eq!(history.observed.get("app").copied(), seen(3, 2));
            assert_eq!(history.observed.get("library").copied(), seen(3, 1));
        }
    }
}
