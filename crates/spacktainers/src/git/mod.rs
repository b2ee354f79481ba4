//! What git knows of a project: what changed, who changed it, and what the project was before.
//!
//! ```text
//! Repository::open(project) ──► changes(from, to)   files that differ
//!                           ├─► tree(commit, dir)   the project as it was, in a folder
//!                           ├─► commits(paths)      who changed files, newest first
//!                           └─► last_change(…)      who wrote a line
//! ```
//!
//! An edge: it runs the `git` program. All paths are relative to the project's folder, which may be a part of the
//! repository. Sources: the manual pages of git-diff (`--name-status`, `-z`), git-blame (`--porcelain`), git-read-tree,
//! git-checkout-index.

mod read;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use read::{Change, Commit, Hunk};

/// Bytes of a file that is shown; what is longer is no definition and no lock.
const LONGEST_FILE: usize = 512 << 20;

/// A project in a git repository.
#[derive(Debug, Clone)]
pub struct Repository {
    folder: PathBuf,
    /// The project's folder below the top of the repository; empty, or with a slash at the end.
    prefix: String,
}

/// Why git could not answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no such program.
    #[error("the program `git` is not there, and what has changed is known to it alone")]
    NoProgram,
    /// The program could not be run.
    #[error("cannot run `git`")]
    Run(#[source] io::Error),
    /// The project's history is nowhere.
    #[error("`{}` is not in a git repository", .0.display())]
    NoRepository(PathBuf),
    /// Nothing has this name.
    #[error("there is no commit `{0}` in this repository")]
    NoCommit(String),
    /// It failed.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// What was asked.
        command: String,
        /// What it said.
        message: String,
    },
    /// A file or folder that cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl GitError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoProgram => "install git",
            Self::NoRepository(_) => {
                "say where the project is with --project DIR; `git init` begins a history"
            }
            Self::NoCommit(_) => {
                "a shallow clone does not have all commits: fetch with `git fetch --unshallow` or depth 0"
            }
            Self::Run(_) | Self::Failed { .. } | Self::Write { .. } => return None,
        })
    }
}

impl Repository {
    /// The repository that `folder` is in.
    ///
    /// # Errors
    /// When there is none, or no git.
    pub fn open(folder: &Path) -> Result<Self, GitError> {
        let mut repository = Self {
            folder: folder.to_owned(),
            prefix: String::new(),
        };
        match repository.text(["rev-parse", "--show-prefix"]) {
            Ok(prefix) => repository.prefix = prefix.trim_end_matches('\n').to_owned(),
            Err(GitError::Failed { .. }) => return Err(GitError::NoRepository(folder.to_owned())),
            Err(error) => return Err(error),
        }
        Ok(repository)
    }

    /// The full name of the commit that `name` (a branch, a tag, `HEAD~3`) stands for.
    ///
    /// # Errors
    /// When there is none.
    pub fn commit(&self, name: &str) -> Result<String, GitError> {
        let unknown = || GitError::NoCommit(name.to_owned());
        if name.starts_with('-') || name.is_empty() {
            return Err(unknown());
        }
        let asked = format!("{name}^{{commit}}");
        match self.text([
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &asked,
        ]) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(GitError::Failed { .. }) => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    /// Files of the project that differ between two commits; without a second one, from the files as they are, with those
    /// that nobody has added yet.
    ///
    /// # Errors
    /// When git fails.
    pub fn changes(&self, from: &str, to: Option<&str>) -> Result<Vec<Change>, GitError> {
        let mut args = vec![
            "diff",
            "--name-status",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--relative",
            from,
        ];
        args.extend(to);
        args.push("--");
        let mut changes = read::changes(&self.run(args)?);
        if to.is_none() {
            let others = self.run(["ls-files", "-z", "--others", "--exclude-standard"])?;
            changes.extend(read::paths(&others).map(|path| Change {
                path,
                is_gone: false,
            }));
            changes.sort();
            changes.dedup();
        }
        Ok(changes)
    }

    /// Writes the project as it was into an empty folder.
    ///
    /// # Errors
    /// When git fails, or the folder cannot be written.
    pub fn tree(&self, commit: &str, into: &Path) -> Result<(), GitError> {
        let unwritable = |source| GitError::Write {
            path: into.to_owned(),
            source,
        };
        let history = self.text(["rev-parse", "--absolute-git-dir"])?;
        // An index of its own: that of the repository is not touched.
        let index = tempfile::tempdir().map_err(unwritable)?;
        let tree = format!("{commit}:{}", self.prefix.trim_end_matches('/'));
        for args in [
            &["read-tree", &tree][..],
            &["checkout-index", "--all", "--quiet"],
        ] {
            let mut command = self.command(args);
            command
                .current_dir(into)
                .env("GIT_DIR", history.trim_end_matches('\n'))
                .env("GIT_WORK_TREE", into)
                .env("GIT_INDEX_FILE", index.path().join("index"));
            finish(&mut command, args)?;
        }
        Ok(())
    }

    /// The content of a file of the project at a commit; none where it was not there.
    ///
    /// # Errors
    /// When git cannot be run.
    pub fn file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let name = format!("{commit}:{}{path}", self.prefix);
        match self.run(["cat-file", "blob", &name]) {
            Ok(bytes) => Ok((bytes.len() <= LONGEST_FILE).then_some(bytes)),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The commits up to `until` that changed one of these files or folders, newest first, at most `most`.
    ///
    /// # Errors
    /// When git fails.
    pub fn commits(
        &self,
        until: &str,
        paths: &[String],
        most: usize,
    ) -> Result<Vec<Commit>, GitError> {
        let count = format!("--max-count={most}");
        let mut args = vec!["log", read::COMMIT_FORMAT, &count, until, "--"];
        args.extend(paths.iter().map(String::as_str));
        Ok(read::commits(&self.run(args)?))
    }

    /// Where the lines of a file differ from those at a commit, counted in the file as it is.
    ///
    /// # Errors
    /// When git fails.
    pub fn hunks(&self, from: &str, path: &str) -> Result<Vec<Hunk>, GitError> {
        let args = [
            "diff",
            "--unified=0",
            "--no-color",
            "--no-ext-diff",
            from,
            "--",
            path,
        ];
        Ok(read::hunks(&self.run(args)?))
    }

    /// Who wrote a line (counted from 1) of a file as it is; none: nobody has committed it.
    ///
    /// # Errors
    /// When git fails.
    pub fn last_change(&self, path: &str, line: usize) -> Result<Option<Commit>, GitError> {
        let lines = format!("{line},{line}");
        let text = self.run(["blame", "--porcelain", "-L", &lines, "--", path])?;
        Ok(read::blamed(&text))
    }

    fn text<const N: usize>(&self, args: [&str; N]) -> Result<String, GitError> {
        let bytes = self.run(args)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn run<'a>(&self, args: impl AsRef<[&'a str]>) -> Result<Vec<u8>, GitError> {
        let args = args.as_ref();
        finish(&mut self.command(args), args)
    }

    /// Git in the project's folder, whatever the person's settings and variables say of other repositories.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .arg("--no-pager")
            .args(["-c", "core.quotePath=off", "-c", "core.fsmonitor=false"])
            .args(["-c", "diff.external="])
            .args(args.iter().map(OsStr::new))
            .current_dir(&self.folder)
            .stdin(std::process::Stdio::null())
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0");
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
            command.env_remove(name);
        }
        command
    }
}

fn finish(command: &mut Command, args: &[&str]) -> Result<Vec<u8>, GitError> {
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => GitError::NoProgram,
        _ => GitError::Run(error),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(GitError::Failed {
        command: args.first().copied().unwrap_or_default().to_owned(),
        message: message.trim().to_owned(),
    })
}
