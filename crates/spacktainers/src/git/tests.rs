//! Real repositories, where there is a git.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::test_support::skipped;

fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.args([
        "-c",
        "user.name=N",
        "-c",
        "user.email=n@example.org",
        "-c",
        "commit.gpgsign=false",
    ]);
    let output = command
        .args(args)
        .current_dir(folder)
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

#[test]
fn a_project_that_is_part_of_a_repository_is_asked_about_itself_alone() {
    if Command::new("git").arg("--version").output().is_err() {
        return skipped("there is no git");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let project = folder.path().join("below");
    write(folder.path(), "other", "1\n");
    write(&project, "a", "one\ntwo\n");
    write(&project, "sub/gone", "x\n");
    git(folder.path(), &["init", "-q"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-q", "-m", "first"]);
    write(folder.path(), "other", "2\n");
    write(&project, "a", "one\nnew\n");
    git(folder.path(), &["rm", "-q", "below/sub/gone"]);
    git(folder.path(), &["commit", "-q", "-a", "-m", "second"]);
    write(&project, "ü b", "");

    let repository = Repository::open(&project).expect("a repository");
    let first = repository.commit("HEAD~1").expect("a commit");
    let shown = |to: Option<&str>| -> Vec<String> {
        let changes = repository.changes(&first, to).expect("changes");
        changes
            .into_iter()
            .map(|it| format!("{}{}", it.path, if it.is_gone { " gone" } else { "" }))
            .collect()
    };
    assert_eq!(shown(Some("HEAD")), ["a", "sub/gone gone"]);
    assert_eq!(shown(None), ["a", "sub/gone gone", "ü b"]);

    let before = tempfile::tempdir().expect("a folder");
    repository.tree(&first, before.path()).expect("a tree");
    assert_eq!(
        fs::read_to_string(before.path().join("sub/gone")).expect("a file"),
        "x\n"
    );
    let count = fs::read_dir(before.path()).expect("a folder").count();
    assert_eq!(count, 2, "the project and nothing else");

    assert_eq!(
        repository.file(&first, "a").expect("asked").as_deref(),
        Some(&b"one\ntwo\n"[..])
    );
    assert_eq!(repository.file("HEAD", "sub/gone").expect("asked"), None);
    assert_eq!(
        repository.hunks(&first, "a").expect("hunks"),
        [Hunk { line: 2, count: 1 }]
    );
    let blamed = repository
        .last_change("a", 2)
        .expect("asked")
        .expect("a commit");
    assert_eq!(blamed.subject, "second");
    let commits = repository
        .commits("HEAD", &["a".to_owned()], 9)
        .expect("commits");
    assert_eq!(
        commits.iter().map(|it| &*it.subject).collect::<Vec<_>>(),
        ["second", "first"]
    );

    assert!(matches!(
        repository.commit("nothing"),
        Err(GitError::NoCommit(_))
    ));
    assert!(matches!(
        repository.commit("--output=x"),
        Err(GitError::NoCommit(_))
    ));
    let nowhere = tempfile::tempdir().expect("a folder");
    assert!(matches!(
        Repository::open(nowhere.path()),
        Err(GitError::NoRepository(_))
    ));
}
