//! Checkouts of Spack and of recipes: folders that are there, or commits that are cloned once; and which ones they are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_format::Digest;

use super::command::{Ended, execute_quietly};
use super::{SpackContext, SpackError, absolute};
use crate::event::{Event, Outcome, TaskId, TaskKind};
use crate::project::CheckoutSource;

/// How deep folders of recipes are looked into.
const DEEPEST: usize = 16;

/// The folder of a checkout. A commit is fetched without its history, the first time that it is asked for.
pub(super) async fn checkout(
    source: &CheckoutSource,
    context: &SpackContext,
) -> Result<PathBuf, SpackError> {
    let (url, commit) = match source {
        CheckoutSource::Folder(folder) => return Ok(folder.clone()),
        CheckoutSource::Git { url, commit } => (url, commit),
    };
    let checkouts = absolute(context.cache.root())?.join("spack/checkouts");
    fs::create_dir_all(&checkouts).map_err(SpackError::io("make the folder", &checkouts))?;
    let folder = checkouts.join(commit);
    if folder.is_dir() {
        return Ok(folder);
    }
    if context.is_offline && url.contains("://") && !url.starts_with("file://") {
        return Err(SpackError::Offline {
            url: url.clone(),
            commit: commit.clone(),
        });
    }
    let task = TaskId::next();
    context.reporter.event(Event::Started {
        task,
        kind: TaskKind::Fetch,
        label: format!("{url} at {commit}"),
        total: None,
    });
    let cloned = clone(url, commit, &checkouts, &folder, context).await;
    let outcome = match &cloned {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    context.reporter.event(Event::Finished { task, outcome });
    cloned.map(|()| folder)
}

async fn clone(
    url: &str,
    commit: &str,
    checkouts: &Path,
    folder: &Path,
    context: &SpackContext,
) -> Result<(), SpackError> {
    // Removed if we fail, and by its name known as nothing that anybody uses if we are killed.
    let partial = tempfile::Builder::new()
        .prefix(".cloning-")
        .tempdir_in(checkouts)
        .map_err(SpackError::io("make a folder in", checkouts))?;
    let steps: [&[&str]; 3] = [
        &["init", "--quiet"],
        &["fetch", "--quiet", "--depth", "1", url, commit],
        &[
            "-c",
            "advice.detachedHead=false",
            "checkout",
            "--quiet",
            "FETCH_HEAD",
        ],
    ];
    for step in steps {
        let ended = git(partial.path(), step, context).await?;
        if !ended.is_success {
            return Err(SpackError::Clone {
                url: url.to_owned(),
                commit: commit.to_owned(),
                message: ended.message(),
            });
        }
    }
    let partial = partial.keep();
    match fs::rename(&partial, folder) {
        Ok(()) => Ok(()),
        // Somebody else was faster, with the same commit.
        Err(_) if folder.is_dir() => {
            let _ = fs::remove_dir_all(&partial);
            Ok(())
        }
        Err(error) => Err(SpackError::io("rename the clone to", folder)(error)),
    }
}

async fn git(
    folder: &Path,
    arguments: &[&str],
    context: &SpackContext,
) -> Result<Ended, SpackError> {
    let mut line: Vec<OsString> = vec!["git".into(), "-C".into(), folder.into()];
    line.extend(arguments.iter().map(OsString::from));
    let mut variables: BTreeMap<String, String> = context
        .environment
        .iter()
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "GIT_DIR" | "GIT_WORK_TREE" | "GIT_INDEX_FILE"
            )
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Nobody is there to answer.
    variables.insert("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned());
    execute_quietly(&line, &variables).await
}

/// What git says, if it says something.
async fn git_says(folder: &Path, arguments: &[&str], context: &SpackContext) -> Option<String> {
    let ended = git(folder, arguments, context).await.ok()?;
    ended.is_success.then(|| ended.stdout().trim().to_owned())
}

/// Which Spack a checkout is, and its commit: the commit, local changes, and the configuration that belongs to the
/// checkout.
pub(super) async fn spack_identity(
    root: &Path,
    context: &SpackContext,
) -> Result<(String, Option<String>), SpackError> {
    let commit = git_says(root, &["rev-parse", "--verify", "HEAD"], context).await;
    let mut text = match &commit {
        Some(commit) => {
            format!("{commit} {}\n", changes(root, context).await)
        }
        None => {
            let file = root.join("lib/spack/spack/__init__.py");
            let code = fs::read_to_string(&file).map_err(SpackError::io("read", &file))?;
            code.lines()
                .filter(|line| line.contains("version"))
                .collect::<Vec<_>>()
                .join("\n")
        }
    };
    for folder in ["etc/spack", "etc/spack/site"] {
        for file in yaml_files(&root.join(folder)) {
            text.push_str(&fs::read_to_string(&file).map_err(SpackError::io("read", &file))?);
        }
    }
    Ok((Digest::of(text.as_bytes()).to_string(), commit))
}

/// A name of what is changed since the last commit: what is printed of a run is bounded, and a difference is not.
async fn changes(folder: &Path, context: &SpackContext) -> String {
    let script = "git -C \"$1\" diff HEAD | git hash-object --stdin";
    let mut line = ["sh", "-c", script, "sh"].map(OsString::from).to_vec();
    line.push(folder.into());
    let ended = execute_quietly(&line, &context.environment).await;
    ended.map_or_else(|_| String::new(), |ended| ended.stdout())
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|it| it == "yaml"))
        .collect();
    files.sort();
    files
}

/// Which recipes a folder holds: git's name of the folder's content where it is unchanged, else a digest of all its
/// files.
pub(super) async fn recipes_identity(
    folder: &Path,
    context: &SpackContext,
) -> Result<String, SpackError> {
    if let (Some(tree), Some(changes)) = (
        git_says(folder, &["rev-parse", "--verify", "HEAD:./"], context).await,
        git_says(folder, &["status", "--porcelain", "--", "."], context).await,
    ) && changes.is_empty()
    {
        return Ok(format!("git {tree}"));
    }
    let mut files = Vec::new();
    walk(folder, 0, &mut files).map_err(SpackError::io("read", folder))?;
    files.sort();
    let mut listing = String::new();
    for file in files {
        let bytes = fs::read(&file).map_err(SpackError::io("read", &file))?;
        let name = file.strip_prefix(folder).unwrap_or(&file);
        listing.push_str(&format!("{} {}\n", Digest::of(&bytes), name.display()));
    }
    Ok(Digest::of(listing.as_bytes()).to_string())
}

/// Every file that Spack may read there; what Python leaves behind is none.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if depth > DEEPEST {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name();
        if kind.is_dir() && name != "__pycache__" && name != ".git" {
            walk(&entry.path(), depth + 1, files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}
