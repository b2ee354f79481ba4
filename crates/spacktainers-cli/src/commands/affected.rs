//! Which containers a change touches: `list --affected-by`, `build --affected`, and the plans of pull requests.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use spacktainers::affected::{Affected, affected};
use spacktainers::base::BaseArchitecture;
use spacktainers::build::Container;
use spacktainers::git::{GitError, Repository};
use spacktainers::project::{Definition, Project};

use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

/// The containers of `project` that are other than at a commit. `range` is `BASE` or `BASE..HEAD`.
pub(super) fn find(range: &str, context: &Context) -> Result<Vec<Affected>, Failure> {
    let (from, to) = match range.split_once("..") {
        Some((from, "")) => (from, Some("HEAD")),
        Some((from, to)) => (from, Some(to.trim_start_matches('.'))),
        None => (range, None),
    };
    let repository = Repository::open(&context.project).map_err(git_failure)?;
    let from = repository.commit(from).map_err(git_failure)?;
    let to = to
        .map(|to| repository.commit(to))
        .transpose()
        .map_err(git_failure)?;
    let changes = repository
        .changes(&from, to.as_deref())
        .map_err(git_failure)?;
    let before = Checkout::of(&repository, &from)?;
    let after = to.map(|to| Checkout::of(&repository, &to)).transpose()?;
    let now = after.as_ref().map_or(&*context.project, Checkout::folder);
    let before = load(before.folder())?;
    let now = load(now)?.ok_or_else(|| {
        let why = anyhow::anyhow!("there is no project in `{}`", now.display());
        Failure::new(Exit::Usage, why)
    })?;
    let packages = |definition: &Definition| {
        let container = Container::load(&now, definition).ok()?;
        Some(
            container
                .spack_lock
                .specs
                .iter()
                .map(|it| it.name.clone())
                .collect(),
        )
    };
    Ok(affected(&now, before.as_ref(), &changes, &packages))
}

/// The same as names.
fn names(
    project: &Project,
    range: &str,
    context: &Context,
) -> Result<BTreeSet<(BaseArchitecture, String)>, Failure> {
    let known = |it: &Affected| {
        project
            .definitions
            .iter()
            .any(|other| other.name == it.name && other.architecture == it.architecture)
    };
    let found = find(range, context)?.into_iter();
    Ok(found
        .filter(|it| !it.is_gone && known(it))
        .map(|it| (it.architecture, it.name))
        .collect())
}

/// Keeps those of `selected` that are other than at a commit.
pub(super) fn keep(
    selected: &mut Vec<&Definition>,
    project: &Project,
    range: &str,
    context: &Context,
) -> Result<(), Failure> {
    let names = names(project, range, context)?;
    selected.retain(|it| names.contains(&(it.architecture, it.name.clone())));
    Ok(())
}

/// Tells which containers are affected, and by what.
pub(super) fn list(
    range: &str,
    wanted: &[String],
    arch: Option<BaseArchitecture>,
    context: &Context,
) -> Result<Exit, Failure> {
    let found = find(range, context)?.into_iter();
    let found = found.filter(|it| arch.is_none_or(|arch| it.architecture == arch));
    let found: Vec<Affected> = found
        .filter(|it| wanted.is_empty() || wanted.contains(&it.name))
        .collect();
    if context.json {
        let containers = found.iter().map(|it| {
            json!({
                "name": it.name,
                "arch": it.architecture.as_str(),
                "gone": it.is_gone,
                "because": it.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "files": it.files,
            })
        });
        let containers: Vec<_> = containers.collect();
        printer::out(&json!({"event": "result", "affected": containers}).to_string());
        return Ok(Exit::Done);
    }
    for it in &found {
        let reasons: Vec<String> = it.reasons.iter().map(ToString::to_string).collect();
        printer::out(&format!(
            "{} ({}): {}",
            it.name,
            it.architecture,
            reasons.join("; ")
        ));
    }
    Ok(Exit::Done)
}

/// A project as it was, in a folder that goes away.
pub(super) struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    /// The project at a commit.
    pub(super) fn of(repository: &Repository, commit: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| Failure::new(Exit::Fault, error))?;
        match repository.tree(commit, folder.path()) {
            Ok(()) => Ok(Self { folder }),
            // The project's folder was not there yet.
            Err(GitError::Failed { command, .. }) if command == "read-tree" => Ok(Self { folder }),
            Err(error) => Err(git_failure(error)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The project in a folder, if there is one.
pub(super) fn load(folder: &Path) -> Result<Option<Project>, Failure> {
    match Project::load(folder) {
        Ok(project) => Ok(Some(project)),
        Err(spacktainers::project::ProjectError::NoDefinitions { .. }) => Ok(None),
        Err(error) => Err(Failure::new(Exit::Usage, error)),
    }
}

pub(super) fn git_failure(error: GitError) -> Failure {
    let hint = error.hint();
    let failure = Failure::new(Exit::Usage, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
