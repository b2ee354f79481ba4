//! Which containers a change touches, and by what. Pure.
//!
//! Two states of a project are compared, not the texts of a difference: what decides about an image is in its
//! definition's digest, so a setting counts by its value, a file wherever it is included from, and a comment in the
//! settings not at all. Beside the digests count `spack.lock` and `container.lock`, files that definition files copy, and
//! recipes that lie in the project. The names of changed files only tell people why.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use sif_format::deffile::{BuildArguments, Deffile};

use crate::base::BaseArchitecture;
use crate::git::Change;
use crate::project::{CheckoutSource, Definition, DefinitionKind, Project, SETTINGS_FILE};
use crate::why::{self, Difference};

/// A container that is another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: BaseArchitecture,
    /// Whether it is not there any more.
    pub is_gone: bool,
    /// What has changed about it.
    pub reasons: Vec<Reason>,
    /// Changed files that bear on it, below the project's folder.
    pub files: Vec<String>,
}

/// What has changed about a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It was not there before, or was switched off.
    New,
    /// It is not there any more, or is switched off.
    Gone,
    /// Its definition, what that includes, or what is beside it.
    Definition,
    /// The project's own `spack.yaml`.
    Template,
    /// What the settings say of its base.
    Base,
    /// Other settings.
    Settings,
    /// Its `spack.lock` or `container.lock`.
    Lock,
    /// Recipes of packages in it.
    Recipes,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "it is new",
            Self::Gone => "it is gone",
            Self::Definition => "its definition has changed",
            Self::Template => "the project's spack.yaml has changed",
            Self::Base => "its base has changed",
            Self::Settings => "settings have changed",
            Self::Lock => "its lock has changed",
            Self::Recipes => "recipes of its packages have changed",
        })
    }
}

/// Names of the packages in a container's `spack.lock`; none where nobody has solved it.
pub type Packages<'a> = dyn Fn(&Definition) -> Option<BTreeSet<String>> + 'a;

/// The containers of `now` that are other than in `before`, with those that are gone. `changes` are the files that differ.
#[must_use]
pub fn affected(
    now: &Project,
    before: Option<&Project>,
    changes: &[Change],
    packages: &Packages<'_>,
) -> Vec<Affected> {
    let old: Vec<&Definition> = before.into_iter().flat_map(enabled).collect();
    let find = |it: &Definition| old.iter().find(|other| is_same(other, it)).copied();
    let mut found = Vec::new();
    for definition in enabled(now) {
        let (reasons, files) = match (find(definition), before) {
            (Some(old), Some(before)) => compare(now, definition, before, old, changes, packages),
            _ => (
                BTreeSet::from([Reason::New]),
                own_files(now, definition, changes),
            ),
        };
        if !reasons.is_empty() {
            found.push(Affected {
                name: definition.name.clone(),
                architecture: definition.architecture,
                is_gone: false,
                reasons: reasons.into_iter().collect(),
                files,
            });
        }
    }
    let gone = old
        .iter()
        .filter(|it| !enabled(now).any(|other| is_same(it, other)));
    found.extend(gone.map(|it| Affected {
        name: it.name.clone(),
        architecture: it.architecture,
        is_gone: true,
        reasons: vec![Reason::Gone],
        files: before.map_or_else(Vec::new, |before| own_files(before, it, changes)),
    }));
    found
}

fn enabled(project: &Project) -> impl Iterator<Item = &Definition> {
    project.definitions.iter().filter(|it| it.enabled)
}

fn is_same(a: &Definition, b: &Definition) -> bool {
    a.name == b.name && a.architecture == b.architecture
}

fn compare(
    now: &Project,
    definition: &Definition,
    before: &Project,
    old: &Definition,
    changes: &[Change],
    packages: &Packages<'_>,
) -> (BTreeSet<Reason>, Vec<String>) {
    let mut reasons = BTreeSet::new();
    let own = own_files(now, definition, changes);
    let mut files: BTreeSet<String> = BTreeSet::new();
    let changed = |path: &str| changes.iter().any(|it| it.path == path);
    match (&definition.kind, &old.kind) {
        (DefinitionKind::Spack(spack), DefinitionKind::Spack(was)) => {
            if spack.digest != was.digest {
                let settings =
                    why::settings(&before.settings, &now.settings, definition.architecture);
                digests(&settings, &own, &changed, &mut reasons, &mut files);
            }
            for lock in [definition.spack_lock(), definition.container_lock()] {
                let path = below(now, &lock);
                if changed(&path) {
                    reasons.insert(Reason::Lock);
                    files.insert(path);
                }
            }
            let recipes = recipes(now, before, changes);
            if !recipes.is_empty() {
                let held = packages(definition);
                let is_held = |it: &Recipe| match (&held, &it.package) {
                    (Some(held), Some(package)) => held.contains(package),
                    // Nobody knows what it will hold.
                    _ => true,
                };
                let ours: Vec<Recipe> = recipes.into_iter().filter(is_held).collect();
                if !ours.is_empty() {
                    reasons.insert(Reason::Recipes);
                    files.extend(ours.into_iter().map(|it| it.file));
                }
            }
        }
        (DefinitionKind::Deffile(_), DefinitionKind::Deffile(_)) => {
            let copied = copied(now, definition, changes);
            if text(now, definition) != text(before, old) || !copied.is_empty() {
                reasons.insert(Reason::Definition);
                files.extend(own);
                files.extend(copied);
            }
        }
        _ => {
            reasons.insert(Reason::Definition);
            files.extend(own);
        }
    }
    (reasons, files.into_iter().collect())
}

/// Why two digests differ: by the parts that are known apart, and else by a file that the definition includes.
fn digests(
    settings: &[Difference],
    own: &[String],
    changed: &impl Fn(&str) -> bool,
    reasons: &mut BTreeSet<Reason>,
    files: &mut BTreeSet<String>,
) {
    let is_lock = |path: &&String| path.ends_with("spack.lock") || path.ends_with("container.lock");
    let own: Vec<&String> = own.iter().filter(|it| !is_lock(it)).collect();
    if !own.is_empty() {
        reasons.insert(Reason::Definition);
        files.extend(own.into_iter().cloned());
    }
    if changed("spack.yaml") {
        reasons.insert(Reason::Template);
        files.insert("spack.yaml".to_owned());
    }
    for setting in settings {
        let is_base = matches!(setting, Difference::Setting { key, .. } if key.starts_with("base.") || key.ends_with(".base"));
        reasons.insert(if is_base {
            Reason::Base
        } else {
            Reason::Settings
        });
        files.insert(SETTINGS_FILE.to_owned());
    }
    if reasons.is_empty() {
        reasons.insert(Reason::Definition);
    }
}

/// Changed files that lie with a definition: its own, and all in its folder.
fn own_files(project: &Project, definition: &Definition, changes: &[Change]) -> Vec<String> {
    let file = below(project, &definition.file);
    let folder = match definition.file.file_name().and_then(|it| it.to_str()) {
        // Others lie in the folder of a flat definition.
        Some("spack.yaml") => file.strip_suffix("spack.yaml").map(str::to_owned),
        _ => None,
    };
    let beside = [
        below(project, &definition.spack_lock()),
        below(project, &definition.container_lock()),
    ];
    let is_own = |path: &str| {
        path == file
            || beside.iter().any(|it| it == path)
            || folder
                .as_ref()
                .is_some_and(|folder| path.starts_with(&**folder))
    };
    let own = changes.iter().filter(|it| is_own(&it.path));
    own.map(|it| it.path.clone()).collect()
}

fn below(project: &Project, path: &Path) -> String {
    let path = path.strip_prefix(&project.folder).unwrap_or(path);
    path.to_string_lossy().into_owned()
}

fn text<'a>(project: &'a Project, definition: &Definition) -> Option<&'a str> {
    Some(project.sources.get(definition.source)?.text.as_str())
}

/// Changed files that a definition file copies into its image. A pattern stands for all below its last plain folder.
fn copied(project: &Project, definition: &Definition, changes: &[Change]) -> Vec<String> {
    let resolution =
        text(project, definition).map(|it| Deffile::parse(it).resolve(&BuildArguments::new()));
    let Some(plan) = resolution.and_then(|it| it.plan) else {
        return Vec::new();
    };
    let folder = below(project, definition.file.parent().unwrap_or(&project.folder));
    let transfers = plan
        .stages
        .iter()
        .flat_map(|it| &it.files)
        .flat_map(|it| &it.transfers);
    let sources: Vec<String> = transfers
        .map(|it| {
            let plain = it.source.split(['*', '?', '[']).next().unwrap_or_default();
            let plain = match plain.len() == it.source.len() {
                true => plain,
                false => plain.rsplit_once('/').map_or("", |it| it.0),
            };
            plain
                .trim_start_matches("./")
                .trim_end_matches('/')
                .to_owned()
        })
        .collect();
    let is_below = |path: &str, folder: &str| {
        folder.is_empty() || path == folder || path.starts_with(&format!("{folder}/"))
    };
    // Relative paths begin in the project's folder or in that of the definition.
    let is_copied = |path: &str| {
        sources.iter().any(|source| {
            is_below(path, source)
                || is_below(path, format!("{folder}/{source}").trim_end_matches('/'))
        })
    };
    let copied = changes.iter().filter(|it| is_copied(&it.path));
    copied.map(|it| it.path.clone()).collect()
}

/// A recipe that differs; without a package, all of its repository.
struct Recipe {
    package: Option<String>,
    file: String,
}

/// Recipes that differ: files of repositories in the project, and repositories that are another commit now.
fn recipes(now: &Project, before: &Project, changes: &[Change]) -> Vec<Recipe> {
    let mut found = Vec::new();
    let spack = &now.settings.spack;
    let was = &before.settings.spack;
    for repository in &spack.repositories {
        let old = was
            .repositories
            .iter()
            .find(|it| it.name == repository.name);
        match &repository.source {
            CheckoutSource::Folder(folder) => {
                let root = below(now, &folder.join(&repository.folder));
                let root = root.trim_start_matches("./").trim_end_matches('/');
                for change in changes {
                    let Some(rest) = change
                        .path
                        .strip_prefix(root)
                        .and_then(|it| it.strip_prefix('/'))
                    else {
                        continue;
                    };
                    let mut parts = rest
                        .split('/')
                        .skip_while(|part| *part != "packages")
                        .skip(1);
                    // Directories of packages have `_` where names have `-`, since Spack 1.0's package API 2.0.
                    let package = parts
                        .next()
                        .map(|it| it.trim_start_matches('_').replace('_', "-"));
                    found.push(Recipe {
                        package,
                        file: change.path.clone(),
                    });
                }
            }
            CheckoutSource::Git { .. } if old.is_none_or(|old| old.source != repository.source) => {
                found.push(Recipe {
                    package: None,
                    file: SETTINGS_FILE.to_owned(),
                });
            }
            CheckoutSource::Git { .. } => {}
        }
    }
    let other_spack =
        matches!(&spack.source, Some(CheckoutSource::Git { .. })) && spack.source != was.source;
    if other_spack || was.repositories.len() > spack.repositories.len() {
        found.push(Recipe {
            package: None,
            file: SETTINGS_FILE.to_owned(),
        });
    }
    found
}
