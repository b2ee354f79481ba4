//! What is being built: the branch and the commit, as the CI system says, else git.
//!
//! | | GitLab | GitHub | git |
//! |---|---|---|---|
//! | branch | `CI_COMMIT_BRANCH` | `GITHUB_REF_NAME` of `GITHUB_REF_TYPE` `branch` | `git symbolic-ref` |
//! | main branch | `CI_DEFAULT_BRANCH` | `repository.default_branch` of `GITHUB_EVENT_PATH` | `main`, `master` |
//! | request to merge | `CI_MERGE_REQUEST_SOURCE_BRANCH_NAME` | `GITHUB_HEAD_REF` | |
//! | commit | `CI_COMMIT_SHA` | `GITHUB_SHA` | `git rev-parse` |
//!
//! Sources: GitLab's "Predefined CI/CD variables reference", GitHub's "Variables reference".

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use spacktainers::publish::release::Branch;

/// The most bytes of GitHub's description of an event.
const MAX_EVENT: u64 = 16 << 20;

/// What is being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkout {
    pub(super) branch: Branch,
    pub(super) commit: Option<String>,
}

/// What is being built in `folder`. `told` is the branch of the command line, `main` the main one of the settings.
pub(super) fn checkout(folder: &Path, told: Option<&str>, main: Option<&str>) -> Checkout {
    let variable = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    let commit = variable("CI_COMMIT_SHA")
        .or_else(|| variable("GITHUB_SHA"))
        .or_else(|| git(folder, &["rev-parse", "HEAD"]));
    let mains = match main
        .map(str::to_owned)
        .or_else(|| variable("CI_DEFAULT_BRANCH"))
        .or_else(|| default_branch(variable("GITHUB_EVENT_PATH")?.as_ref()))
    {
        Some(main) => vec![main],
        None => vec!["main".to_owned(), "master".to_owned()],
    };
    let branch = match told {
        Some(told) => named(told.to_owned(), &mains),
        None => found(&variable, &mains).unwrap_or_else(|| {
            let in_git = git(folder, &["symbolic-ref", "--quiet", "--short", "HEAD"]);
            in_git.map_or(Branch::None, |name| named(name, &mains))
        }),
    };
    Checkout { branch, commit }
}

/// What the CI system says; nothing outside of one.
fn found(variable: &dyn Fn(&str) -> Option<String>, mains: &[String]) -> Option<Branch> {
    let request =
        variable("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME").or_else(|| variable("GITHUB_HEAD_REF"));
    if let Some(name) = request {
        // Never the main branch, whatever it is called: a fork's `main` is somebody else's.
        return Some(Branch::Other(name));
    }
    if let Some(name) = variable("CI_COMMIT_BRANCH") {
        return Some(named(name, mains));
    }
    match (variable("GITHUB_REF_TYPE"), variable("GITHUB_REF_NAME")) {
        (Some(kind), Some(name)) if kind == "branch" => Some(named(name, mains)),
        (Some(_), _) => Some(Branch::None),
        // A GitLab pipeline for a tag.
        _ => variable("CI_COMMIT_TAG").map(|_| Branch::None),
    }
}

fn named(name: String, mains: &[String]) -> Branch {
    if mains.contains(&name) {
        Branch::Main
    } else {
        Branch::Other(name)
    }
}

fn default_branch(event: &Path) -> Option<String> {
    let size = std::fs::metadata(event).ok()?.len();
    if size > MAX_EVENT {
        return None;
    }
    let event: Value = serde_json::from_slice(&std::fs::read(event).ok()?).ok()?;
    let name = event.get("repository")?.get("default_branch")?.as_str()?;
    Some(name.to_owned())
}

/// The first line that git prints; nothing where there is no git, or no repository.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Branch> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        found(&variable, &["main".to_owned()])
    }

    #[test]
    fn ci_systems_say_what_is_built() {
        let other = |name: &str| Some(Branch::Other(name.to_owned()));
        assert_eq!(of(&[("CI_COMMIT_BRANCH", "main")]), Some(Branch::Main));
        assert_eq!(of(&[("CI_COMMIT_BRANCH", "x")]), other("x"));
        assert_eq!(of(&[("CI_COMMIT_TAG", "v1")]), Some(Branch::None));
        let github = |kind, name| of(&[("GITHUB_REF_TYPE", kind), ("GITHUB_REF_NAME", name)]);
        assert_eq!(github("branch", "main"), Some(Branch::Main));
        assert_eq!(github("branch", "x"), other("x"));
        assert_eq!(github("tag", "main"), Some(Branch::None));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_request_to_merge_is_never_the_main_branch() {
        let github = of(&[
            ("GITHUB_HEAD_REF", "main"),
            ("GITHUB_REF_TYPE", "branch"),
            ("GITHUB_REF_NAME", "7/merge"),
        ]);
        assert_eq!(github, Some(Branch::Other("main".to_owned())));
        let gitlab = of(&[("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "main")]);
        assert_eq!(gitlab, Some(Branch::Other("main".to_owned())));
    }
}
