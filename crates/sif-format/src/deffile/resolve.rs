//! From what was written to what is to be built.

use std::collections::HashSet;

use super::arguments::{self, BuildArguments};
use super::fault::Faults;
use super::files::{self, FileTransfer, Files, FilesFrom, Named};
use super::header::{self, HeaderEntry};
use super::parse::{WrittenStage, parse_stage};
use super::plan::{App, BuildPlan, Stage};
use super::section::Section;
use super::source;
use super::suggest::nearest;
use super::template::{MOST_EXPANDED, Values, expand};
use super::{Deffile, DeffileError, Fault, Script, SectionKind, Source, Span};

/// What a definition file comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The plan, if no fault is an error.
    pub plan: Option<BuildPlan>,
    /// All that is wrong: what [`Deffile::faults`] has, and what shows only once templates are replaced. In the order
    /// of the text; unused build arguments come first, as they have no place in it.
    pub faults: Vec<Fault>,
}

/// A stage whose templates are replaced.
struct Replaced {
    header: Vec<HeaderEntry>,
    sections: Vec<Section>,
    text: String,
}

impl Deffile {
    /// Replaces the templates and makes sense of the values.
    #[must_use]
    pub fn resolve(&self, arguments: &BuildArguments) -> Resolution {
        let mut faults = Faults::default();
        faults.extend(self.faults.clone());
        let mut room = MOST_EXPANDED;
        let mut replaced = Vec::new();
        for written in &self.stages {
            let stage = self.replace(written, arguments, room, &mut faults);
            room = room.saturating_sub(stage.text.len());
            replaced.push(stage);
        }
        self.check_unused(arguments, &mut faults);

        let names = stage_names(&replaced, &mut faults);
        let mut stages = Vec::new();
        for (place, (written, stage)) in self.stages.iter().zip(&replaced).enumerate() {
            let source = source(&stage.header, &mut faults);
            let files = stage_files(&stage.sections, place, &names, &mut faults);
            if let Some(source) = source {
                stages.push(build_stage(written, stage, source, files));
            }
        }
        let definition = replaced.iter().map(|stage| stage.text.as_str()).collect();
        let whole = !faults.error && !stages.is_empty();
        Resolution {
            plan: whole.then_some(BuildPlan { stages, definition }),
            faults: faults.finish(&self.text),
        }
    }

    fn replace(
        &self,
        written: &WrittenStage,
        arguments: &BuildArguments,
        room: usize,
        faults: &mut Faults,
    ) -> Replaced {
        let text = self.text.get(written.span.range()).unwrap_or_default();
        let defaults = arguments::defaults(&written.sections, &written.templates, faults);
        if written.templates.iter().all(|template| template.in_comment) {
            return Replaced {
                header: written.header.clone(),
                sections: written.sections.clone(),
                text: text.to_owned(),
            };
        }
        let mut values = Values::new(arguments, &defaults);
        let expanded = expand(
            text,
            written.span.start,
            &written.templates,
            &mut values,
            room,
            faults,
        );
        let (header, sections, _) = parse_stage(&expanded.text, &expanded.origin, faults);
        Replaced {
            header,
            sections,
            text: expanded.text,
        }
    }

    fn check_unused(&self, arguments: &BuildArguments, faults: &mut Faults) {
        let used: HashSet<&str> = self
            .stages
            .iter()
            .flat_map(|stage| &stage.templates)
            .filter(|template| !template.in_comment)
            .map(|template| template.name.as_str())
            .collect();
        for name in arguments.names().filter(|name| !used.contains(name)) {
            let free = used
                .iter()
                .copied()
                .filter(|used| arguments.get(used).is_none());
            faults.push(
                Span::default(),
                DeffileError::UnusedBuildArgument {
                    name: name.to_owned(),
                    nearest: nearest(name, free).map(str::to_owned),
                },
            );
        }
    }
}

/// The source of a stage; says nothing of values whose templates have no value, as that is said already.
fn source(header: &[HeaderEntry], faults: &mut Faults) -> Option<Source> {
    let is_open = header.iter().any(|entry| entry.value.contains("{{"));
    if is_open && faults.error {
        return None;
    }
    source::parse(header, faults)
}

/// The name of each stage, empty for those without.
fn stage_names<'a>(stages: &'a [Replaced], faults: &mut Faults) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    let mut seen = HashSet::new();
    for stage in stages {
        let entry = header::entry(&stage.header, "stage").filter(|entry| !entry.value.is_empty());
        if let Some(entry) = entry
            && !seen.insert(&entry.value)
        {
            faults.push(
                entry.value_span,
                DeffileError::DuplicateStage {
                    stage: entry.value.clone(),
                },
            );
        }
        names.push(entry.map_or("", |entry| &entry.value));
    }
    names
}

/// The `%files` of the stage at `place`: from other stages in the order in which those are first named, then from the
/// host.
fn stage_files(
    sections: &[Section],
    place: usize,
    names: &[&str],
    faults: &mut Faults,
) -> Vec<Files> {
    let mut all: Vec<Files> = Vec::new();
    for section in sections
        .iter()
        .filter(|section| section.kind == SectionKind::Files)
    {
        let transfers = files::transfers(section, faults);
        let from = match files::named(section) {
            Named::Host => FilesFrom::Host,
            Named::Stage(name) => match names.iter().position(|known| *known == name) {
                Some(stage) if stage < place => FilesFrom::Stage(stage),
                found => {
                    let error = match found {
                        Some(_) => DeffileError::StageNotBuilt {
                            stage: name.to_owned(),
                        },
                        None => DeffileError::UnknownStage {
                            stage: name.to_owned(),
                            nearest: names
                                .get(..place)
                                .and_then(|earlier| nearest(name, earlier.iter().copied()))
                                .map(str::to_owned),
                        },
                    };
                    faults.push(section.arguments_span, error);
                    continue;
                }
            },
            Named::Bad => {
                let place = if section.arguments_span.is_empty() {
                    section.name_span
                } else {
                    section.arguments_span
                };
                faults.push(place, DeffileError::BadFilesFrom);
                continue;
            }
        };
        match all.iter_mut().find(|files| files.from == from) {
            Some(files) => files.transfers.extend(transfers),
            None => all.push(Files { from, transfers }),
        }
    }
    all.sort_by_key(|files| files.from == FilesFrom::Host);
    all
}

fn build_stage(
    written: &WrittenStage,
    replaced: &Replaced,
    source: Source,
    files: Vec<Files>,
) -> Stage {
    let header: indexmap::IndexMap<String, String> = replaced
        .header
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.clone()))
        .collect();
    let mut stage = Stage {
        name: header.get("stage").filter(|name| !name.is_empty()).cloned(),
        source,
        header,
        help: Script::default(),
        pre: Script::default(),
        setup: Script::default(),
        post: Script::default(),
        environment: Script::default(),
        runscript: Script::default(),
        startscript: Script::default(),
        test: Script::default(),
        files,
        labels: indexmap::IndexMap::new(),
        apps: Vec::new(),
        span: written.span,
    };
    let mut apps: indexmap::IndexMap<&str, App> = indexmap::IndexMap::new();
    for section in &replaced.sections {
        if let Some(name) = &section.app {
            let app = apps.entry(name).or_insert_with(|| App {
                name: name.clone(),
                ..App::default()
            });
            add_to_app(app, section);
        } else if let Some(script) = stage.script_mut(section.kind) {
            script.join(section.arguments.as_deref(), &section.text);
        } else if section.kind == SectionKind::Labels {
            stage.labels.extend(labels(section));
        }
    }
    stage.apps = apps.into_values().collect();
    stage
}

fn add_to_app(app: &mut App, section: &Section) {
    match section.kind {
        SectionKind::AppLabels => app.labels.extend(labels(section)),
        SectionKind::AppFiles => app.files.extend(app_files(section)),
        kind => {
            if let Some(script) = app.script_mut(kind) {
                script.join(None, &section.text);
            }
        }
    }
}

/// Name and value are separated by the first blank; a tab is none.
fn labels(section: &Section) -> impl Iterator<Item = (String, String)> {
    section.entries().map(|(_, line)| {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    })
}

/// Unlike `%files`, `%appfiles` knows comments at the end of a line, and no quotes.
/// [Apptainer: `internal/pkg/build/apps/apps.go`, `copyFiles`]
fn app_files(section: &Section) -> impl Iterator<Item = FileTransfer> {
    section.entries().map(|(span, line)| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (source, destination) = line.split_once(' ').unwrap_or((line, line));
        FileTransfer {
            source: source.to_owned(),
            destination: Some(destination.to_owned()),
            span,
        }
    })
}
