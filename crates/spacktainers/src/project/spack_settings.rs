//! `[spack]` and `[[spack.repo]]`: which Spack solves and builds, with which recipes.

use std::path::{Path, PathBuf};

use spack_format::yaml::{Node, Span};

use crate::diagnostic::Diagnostic;
use crate::openpgp::KeySource;

/// What the settings say of Spack.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpackSettings {
    /// Where Spack comes from; none: from `SPACK_ROOT`, if that is set.
    pub source: Option<CheckoutSource>,
    /// The Python that runs it; none: the one that Spack chooses.
    pub python: Option<PathBuf>,
    /// The secret key that signs what we build: a file, or `gpg:FINGERPRINT`.
    pub signing_key: Option<KeySource>,
    /// Repositories of recipes, in the order in which Spack searches them.
    pub repositories: Vec<RecipeRepository>,
}

/// Where a checkout comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckoutSource {
    /// A folder that is there; it is used as it is.
    Folder(PathBuf),
    /// One commit of a git repository, cloned into the local cache.
    Git {
        /// The repository, as `git fetch` takes it.
        url: String,
        /// The commit: 40 hex digits.
        commit: String,
    },
}

/// One `[[spack.repo]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeRepository {
    /// Its namespace, such as `builtin`.
    pub name: String,
    /// Where it comes from.
    pub source: CheckoutSource,
    /// The folder with `repo.yaml` in it, below the source.
    pub folder: PathBuf,
}

impl SpackSettings {
    /// Reads the section; what cannot be used is left out and among the faults.
    pub(super) fn read(root: &Node, folder: &Path, faults: &mut Vec<Diagnostic>) -> Self {
        let Some(section) = root.get("spack") else {
            return Self::default();
        };
        let file = |key: &str| {
            let path = section.get(key).and_then(Node::as_str)?;
            Some(folder.join(path))
        };
        let place = key_place(root, "spack").unwrap_or(section.span);
        Self {
            source: source(section, "root", place, folder, faults),
            python: file("python"),
            signing_key: section
                .get("signing_key")
                .and_then(Node::as_str)
                .map(|text| KeySource::new(text, folder)),
            repositories: repositories(section, folder, faults),
        }
    }

    /// Whether the project itself names a Spack: then locks may count on it.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.source.is_some()
    }
}

fn key_place(root: &Node, key: &str) -> Option<Span> {
    Some(root.as_mapping()?.entry(key)?.key.span)
}

/// A folder under `path_key`, or `url` and `commit`.
fn source(
    node: &Node,
    path_key: &str,
    place: Span,
    folder: &Path,
    faults: &mut Vec<Diagnostic>,
) -> Option<CheckoutSource> {
    let text = |key: &str| node.get(key).and_then(Node::as_str).map(str::to_owned);
    match (text(path_key), text("url"), text("commit")) {
        (Some(_), Some(_), _) => {
            faults.push(
                Diagnostic::error(place, format!("`{path_key}` and `url` contradict each other"))
                    .label("two places")
                    .hint(format!("keep `{path_key}` for a checkout that is there, or `url` and `commit` for one that is cloned")),
            );
            None
        }
        (Some(path), None, None) => Some(CheckoutSource::Folder(folder.join(path))),
        (Some(_), None, Some(_)) => {
            faults.push(
                Diagnostic::error(
                    place,
                    format!(
                        "`commit` belongs to `url`: what lies at `{path_key}` is used as it is"
                    ),
                )
                .label("a commit of what?"),
            );
            None
        }
        (None, Some(url), Some(commit)) => Some(CheckoutSource::Git { url, commit }),
        (None, Some(_), None) => {
            faults.push(
                Diagnostic::error(
                    place,
                    "`url` without `commit` would be another checkout each day",
                )
                .label("no commit")
                .hint("add `commit = \"…\"` with the 40 digits that `git rev-parse HEAD` prints"),
            );
            None
        }
        (None, None, Some(_)) => {
            faults.push(
                Diagnostic::error(place, "`commit` without `url`").label("a commit of what?"),
            );
            None
        }
        (None, None, None) => None,
    }
}

fn repositories(
    section: &Node,
    folder: &Path,
    faults: &mut Vec<Diagnostic>,
) -> Vec<RecipeRepository> {
    let mut repositories: Vec<RecipeRepository> = Vec::new();
    let nodes = section.get("repo").and_then(Node::as_sequence);
    for node in nodes.unwrap_or_default() {
        let Some(name) = node.get("name") else {
            continue;
        };
        let Some(text) = name.as_str() else {
            continue;
        };
        if repositories.iter().any(|it| it.name == text) {
            faults.push(
                Diagnostic::error(
                    name.span,
                    format!("there are two repositories called `{text}`"),
                )
                .label("second one"),
            );
            continue;
        }
        let before = faults.len();
        let Some(source) = source(node, "path", name.span, folder, faults) else {
            if faults.len() == before {
                faults.push(
                    Diagnostic::error(name.span, format!("the repository `{text}` is nowhere"))
                        .label("neither `path` nor `url`")
                        .hint("add `path = \"FOLDER\"`, or `url` and `commit`"),
                );
            }
            continue;
        };
        repositories.push(RecipeRepository {
            name: text.to_owned(),
            source,
            folder: node
                .get("folder")
                .and_then(Node::as_str)
                .map(PathBuf::from)
                .unwrap_or_default(),
        });
    }
    repositories
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Settings;
    use spack_format::yaml::SourceId;

    const COMMIT: &str = "2e907202bcc8209a6a62243aab50c179b524cc3b";

    fn parse(text: &str) -> (SpackSettings, Vec<String>) {
        let (settings, faults) = Settings::parse(text, SourceId(0), Path::new("/project"));
        let faults = faults.into_iter().map(|fault| fault.message).collect();
        (settings.spack, faults)
    }

    #[test]
    fn a_checkout_is_a_folder_or_a_commit() {
        let (spack, faults) = parse(&format!(
            r#"
            [spack]
            url = "https://example.invalid/spack.git"
            commit = "{COMMIT}"
            signing_key = "keys/secret.asc"
            [[spack.repo]]
            name = "ours"
            path = "recipes"
            [[spack.repo]]
            name = "builtin"
            url = "https://example.invalid/packages.git"
            commit = "{COMMIT}"
            folder = "repos/spack_repo/builtin"
            "#
        ));
        assert_eq!(faults, Vec::<String>::new());
        assert!(
            matches!(&spack.source, Some(CheckoutSource::Git { commit, .. }) if commit == COMMIT)
        );
        assert_eq!(
            spack.signing_key,
            Some(KeySource::File("/project/keys/secret.asc".into()))
        );
        assert_eq!(
            spack.repositories[0].source,
            CheckoutSource::Folder("/project/recipes".into())
        );
        assert_eq!(
            spack.repositories[1].folder,
            Path::new("repos/spack_repo/builtin")
        );
        let (spack, faults) = parse("[spack]\nroot = \"/opt/spack\"\n");
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(
            spack.source,
            Some(CheckoutSource::Folder("/opt/spack".into()))
        );
        assert!(!parse("").0.is_set());
    }

    #[test]
    fn half_a_source_is_a_fault() {
        for (text, words) in [
            ("[spack]\nroot = \"a\"\nurl = \"b\"\n", "contradict"),
            ("[spack]\nurl = \"b\"\n", "each day"),
            ("[spack]\nurl = \"b\"\ncommit = \"main\"\n", "not a commit"),
            (
                "[spack]\nroot = \"a\"\n[[spack.repo]]\nname = \"x\"\n",
                "is nowhere",
            ),
            (
                "[spack]\n[[spack.repo]]\nname = \"x\"\npath = \"a\"\n[[spack.repo]]\nname = \"x\"\npath = \"b\"\n",
                "two repositories",
            ),
        ] {
            let (_, faults) = parse(text);
            assert!(
                faults.len() == 1 && faults[0].contains(words),
                "{text:?} gives {faults:?}"
            );
        }
    }
}
