//! `why`: what made a container another one since it was published, or since it was locked.
//!
//! ```text
//! labels of the image, or container.lock ──► digest of the definition then
//!   └─► the newest commit with that digest ──► the project then │ the project now ──► differences, the first one first
//!                                                               └─► file, line and commit of each
//! ```

use std::collections::BTreeSet;

use oci_format::{Digest, annotation};
use serde_json::{Value, json};
use spack_format::lockfile::SpackLockfile;
use spacktainers::affected::affected;
use spacktainers::build::{Container, staleness};
use spacktainers::git::{Commit, Repository};
use spacktainers::lock::{Lock, parse};
use spacktainers::project::{Definition, Project, SETTINGS_FILE};
use spacktainers::publish::existing;
use spacktainers::publish::release::Branch;
use spacktainers::why::{self, Difference};

use super::affected::{Checkout, git_failure, load};
use super::release::all_places;
use super::session::{Session, container_failure};
use super::{architecture, block_on, publish, sound_project};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

#[derive(Debug, clap::Args)]
pub(crate) struct WhyArgs {
    /// The container
    pub(crate) name: String,
    /// Compare with what is published in this `[publish.ENVIRONMENT]`; by default with `container.lock`
    #[arg(long)]
    pub(crate) environment: Option<String>,
}

/// How many commits are looked through for the state that was published.
const MOST_COMMITS: usize = 200;

/// What a container was made from, as far as that was stored.
struct Stored {
    /// Where it was stored, for people.
    place: String,
    definition: Digest,
    spack_lock: Option<Digest>,
}

pub(super) fn run(args: &WhyArgs, context: &Context) -> Result<Exit, Failure> {
    let project = sound_project(context)?;
    let names = [args.name.clone()];
    let selected = project
        .select(&names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    for definition in selected {
        let container = Container::load(&project, definition).map_err(container_failure)?;
        let answer = match stored(&project, &container, args, context)? {
            Answer::Is(text) => Told {
                text,
                ..Told::default()
            },
            Answer::Stale { why, stored } => explain(&project, &container, &why, stored, context)?,
        };
        answer.tell(definition, context);
    }
    Ok(Exit::Done)
}

enum Answer {
    /// Nothing to explain.
    Is(String),
    /// It is stale; with what is stored of its inputs, if anything is.
    Stale { why: String, stored: Option<Stored> },
}

/// What is stored of the inputs of the image that is published, or of the lock.
fn stored(
    project: &Project,
    container: &Container<'_>,
    args: &WhyArgs,
    context: &Context,
) -> Result<Answer, Failure> {
    let Some(environment) = &args.environment else {
        return Ok(match container.lock_state.lock() {
            None => Answer::Is(format!(
                "{}; there is nothing to compare with",
                container.lock_state
            )),
            Some(_) if container.lock_state.current().is_some() => {
                Answer::Is("up to date with its container.lock".to_owned())
            }
            Some(lock) => Answer::Stale {
                why: container.lock_state.to_string(),
                stored: Some(Stored {
                    place: "its container.lock".to_owned(),
                    definition: lock.container.definition,
                    spack_lock: Some(lock.spack.lock),
                }),
            },
        });
    };
    let (_, settings) = publish::environment(project, Some(environment))?;
    // Whoever asks means what users get, whatever branch this folder is at.
    let version = container.version().unwrap_or_default();
    let definition = container.definition;
    let places = all_places(project, settings, definition, &version, &Branch::Main)?;
    let targets = places.into_iter().map(|it| it.target);
    block_on(async {
        let session = Session::new(&project.settings, &[], context).await?;
        let publish = session.publishing(project, definition, context);
        for target in targets {
            let found = existing(&target, &publish)
                .await
                .map_err(|error| Failure::new(Exit::Refused, error))?;
            let labels = found.map(|found| found.config.config.labels);
            let lock = container.lock_state.current();
            let Some(why) = staleness(labels.as_ref(), &container.spack.digest, lock.as_ref())
            else {
                continue;
            };
            let says = |key: &str| labels.as_ref()?.get(key)?.parse::<Digest>().ok();
            let stored = says(annotation::DEFINITION_DIGEST).map(|definition| Stored {
                place: target.to_string(),
                definition,
                spack_lock: says(annotation::SPACK_LOCK_DIGEST),
            });
            return Ok(Answer::Stale {
                why: format!("{target}: {why}"),
                stored,
            });
        }
        Ok(Answer::Is(format!("up to date in {environment}")))
    })
}

/// A difference, and who made it.
struct Cause {
    difference: String,
    place: Option<(String, usize)>,
    commit: Option<Commit>,
}

/// What is told of a container.
#[derive(Default)]
struct Told {
    text: String,
    is_stale: bool,
    /// The commit that is compared with, and what was stored of it.
    compared: Option<(Commit, String)>,
    causes: Vec<Cause>,
}

fn explain(
    project: &Project,
    container: &Container<'_>,
    why: &str,
    stored: Option<Stored>,
    context: &Context,
) -> Result<Told, Failure> {
    let mut told = Told {
        text: why.to_owned(),
        is_stale: true,
        ..Told::default()
    };
    let Some(stored) = stored else {
        return Ok(told);
    };
    let repository = Repository::open(&context.project).map_err(git_failure)?;
    let Some(found) = reference(&repository, container, &stored)? else {
        told.text.push_str(&format!(
            "; {} was made from a state that is in none of the last {MOST_COMMITS} commits",
            stored.place
        ));
        return Ok(told);
    };
    let changes = repository
        .changes(&found.commit.id, None)
        .map_err(git_failure)?;
    let packages = |_: &Definition| {
        Some(
            container
                .spack_lock
                .specs
                .iter()
                .map(|it| it.name.clone())
                .collect(),
        )
    };
    let definition = container.definition;
    let affected = affected(project, Some(&found.project), &changes, &packages);
    let files = affected
        .into_iter()
        .find(|it| it.name == definition.name && it.architecture == definition.architecture);
    let files = files.map(|it| it.files).unwrap_or_default();
    let differences = differences(project, container, &found);
    let finder = Finder {
        repository: &repository,
        from: &found.commit.id,
        folder: project,
    };
    let mut explained = BTreeSet::new();
    for difference in &differences {
        let cause = finder.cause(difference, &files)?;
        if let Some((file, _)) = &cause.place {
            explained.insert(file.clone());
        }
        told.causes.push(cause);
    }
    // What a person wrote and what no difference above is about; locks are written by programs.
    for file in files
        .iter()
        .filter(|it| !it.ends_with(".lock") && !explained.contains(*it))
    {
        told.causes.push(finder.changed(file)?);
    }
    let is_lock = |cause: &Cause| {
        cause
            .place
            .as_ref()
            .is_none_or(|(file, _)| file.ends_with(".lock"))
    };
    told.causes.sort_by_key(is_lock);
    told.compared = Some((found.commit, stored.place));
    Ok(told)
}

/// The state that was stored.
struct Reference {
    commit: Commit,
    project: Project,
    spack_lock: Option<SpackLockfile>,
    container_lock: Option<Lock>,
    _checkout: Checkout,
}

/// The newest commit whose definition, and if possible whose lock, are the stored ones.
fn reference(
    repository: &Repository,
    container: &Container<'_>,
    stored: &Stored,
) -> Result<Option<Reference>, Failure> {
    let definition = container.definition;
    let mut second = None;
    for commit in repository
        .commits("HEAD", &[], MOST_COMMITS)
        .map_err(git_failure)?
    {
        let checkout = Checkout::of(repository, &commit.id)?;
        let Some(then) = load(checkout.folder())? else {
            continue;
        };
        let same = then.definitions.iter().find(|it| {
            it.name == definition.name && it.architecture == definition.architecture && it.enabled
        });
        let Some(same) = same else { continue };
        if same
            .as_spack()
            .is_none_or(|it| it.digest != stored.definition)
        {
            continue;
        }
        let text = std::fs::read_to_string(same.spack_lock()).ok();
        let has_lock = stored.spack_lock.is_none_or(|digest| {
            text.as_ref()
                .is_some_and(|it| Digest::of(it.as_bytes()) == digest)
        });
        let container_lock = std::fs::read_to_string(same.container_lock()).ok();
        let found = Reference {
            commit,
            spack_lock: text.and_then(|it| SpackLockfile::parse(&it).ok()),
            container_lock: container_lock.and_then(|it| parse(&it).ok()),
            project: then,
            _checkout: checkout,
        };
        if has_lock {
            return Ok(Some(found));
        }
        second = second.or(Some(found));
    }
    Ok(second)
}

fn differences(project: &Project, container: &Container<'_>, found: &Reference) -> Vec<Difference> {
    let mut all = Vec::new();
    if let Some(lock) = &found.spack_lock {
        all.extend(why::packages(&lock.specs, &container.spack_lock.specs));
    }
    let architecture = container.definition.architecture;
    all.extend(why::settings(
        &found.project.settings,
        &project.settings,
        architecture,
    ));
    if let (Some(was), Some(is)) = (&found.container_lock, container.lock_state.lock()) {
        all.extend(why::base(&was.base, &is.base));
    }
    all
}

/// Finds out who made a difference.
struct Finder<'a> {
    repository: &'a Repository,
    from: &'a str,
    folder: &'a Project,
}

impl Finder<'_> {
    /// The line of one of the changed files that has a word of the difference in it.
    fn cause(&self, difference: &Difference, files: &[String]) -> Result<Cause, Failure> {
        let words = difference.words();
        let mut cause = Cause {
            difference: difference.to_string(),
            place: None,
            commit: None,
        };
        let is_wanted = |file: &&String| match difference {
            Difference::Setting { .. } => *file == SETTINGS_FILE,
            _ => true,
        };
        // What people write comes before what programs write.
        let mut ordered: Vec<&String> = files.iter().filter(is_wanted).collect();
        ordered.sort_by_key(|it| it.ends_with(".lock"));
        for file in ordered {
            let Ok(text) = std::fs::read_to_string(self.folder.folder.join(file)) else {
                continue;
            };
            let lines: Vec<&str> = text.lines().collect();
            for hunk in self
                .repository
                .hunks(self.from, file)
                .map_err(git_failure)?
            {
                let numbers = hunk.line..hunk.line.saturating_add(hunk.count);
                let mut numbers = numbers.filter(|it| {
                    let line = it
                        .checked_sub(1)
                        .and_then(|it| lines.get(it))
                        .copied()
                        .unwrap_or_default();
                    words.iter().any(|word| has_word(line, word))
                });
                if let Some(line) = numbers.next() {
                    cause.commit = self.commit(file, line)?;
                    cause.place = Some((file.clone(), line));
                    return Ok(cause);
                }
            }
        }
        Ok(cause)
    }

    /// The first changed line of a file.
    fn changed(&self, file: &str) -> Result<Cause, Failure> {
        let hunks = self
            .repository
            .hunks(self.from, file)
            .map_err(git_failure)?;
        let is_there = self.folder.folder.join(file).is_file();
        let line = hunks.first().map_or(1, |it| it.line.max(1));
        let what = match (is_there, hunks.first()) {
            (false, _) => "is gone",
            (true, Some(hunk)) if hunk.count == 0 => "lost lines",
            (true, None) => "is new",
            (true, Some(_)) => "changed",
        };
        let lost = hunks.first().is_none_or(|it| it.count == 0);
        let commit = match lost {
            // Nobody wrote a line that is not there: who changed the file last took it out.
            true => self
                .repository
                .commits("HEAD", &[file.to_owned()], 1)
                .map_err(git_failure)?
                .into_iter()
                .next(),
            false => self.commit(file, line)?,
        };
        Ok(Cause {
            difference: format!("{file} {what}"),
            place: Some((file.to_owned(), line)),
            commit,
        })
    }

    fn commit(&self, file: &str, line: usize) -> Result<Option<Commit>, Failure> {
        self.repository.last_change(file, line).map_err(git_failure)
    }
}

/// Whether a line has a word in it that is no part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let after = line[at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

impl Told {
    fn tell(&self, definition: &Definition, context: &Context) {
        if context.json {
            printer::out(&self.document(definition).to_string());
            return;
        }
        let title = definition.title();
        let Some(first) = self.causes.first() else {
            let is = if self.is_stale { "is stale: " } else { "is " };
            printer::out(&format!("{title} {is}{}", self.text));
            return;
        };
        printer::out(&format!("{title} is stale: {}", first.line()));
        for cause in self.causes.iter().skip(1) {
            printer::out(&format!("  also: {}", cause.line()));
        }
        if let Some((commit, place)) = &self.compared {
            printer::out(&format!(
                "  since commit {} ({}), which {place} was made from",
                commit.short(),
                commit.day
            ));
        }
    }

    fn document(&self, definition: &Definition) -> Value {
        let commit = |it: &Commit| json!({"id": it.id, "author": it.author, "day": it.day, "subject": it.subject});
        let causes = self.causes.iter().map(|it| {
            json!({
                "difference": it.difference,
                "file": it.place.as_ref().map(|it| &it.0),
                "line": it.place.as_ref().map(|it| it.1),
                "commit": it.commit.as_ref().map(commit),
            })
        });
        let causes: Vec<Value> = causes.collect();
        json!({
            "event": "result",
            "container": definition.name,
            "arch": definition.architecture.as_str(),
            "stale": self.is_stale,
            "because": self.text,
            "since": self.compared.as_ref().map(|(it, _)| commit(it)),
            "stored": self.compared.as_ref().map(|(_, place)| place),
            "first": causes.first(),
            "causes": causes,
        })
    }
}

impl Cause {
    fn line(&self) -> String {
        let mut line = self.difference.clone();
        let Some((file, number)) = &self.place else {
            return line;
        };
        line.push_str(&format!(": {file}:{number}"));
        match &self.commit {
            Some(commit) => line.push_str(&format!(
                ", commit {} ({}, {}): {}",
                commit.short(),
                commit.day,
                commit.author,
                commit.subject
            )),
            None => line.push_str(", not committed"),
        }
        line
    }
}
