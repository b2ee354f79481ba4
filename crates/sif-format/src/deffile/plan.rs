//! What is to be built: a definition file whose templates are replaced and whose values are understood.

use indexmap::IndexMap;

use super::files::{FileTransfer, Files};
use super::{Script, SectionKind, Source, Span};

/// All that a definition file asks for, in a form that leaves nothing to be looked up in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlan {
    /// The stages in order, at least one. The last one becomes the image.
    pub stages: Vec<Stage>,
    /// The text that Apptainer keeps in the image: see [`BuildPlan::definition`].
    pub(super) definition: String,
}

/// One stage.
///
/// Apptainer works through it in this order: `pre`, source, apps' files, files from other stages, `setup`, files from
/// the host, `post` with the apps' `install`, then help, labels, environment, startscript, runscript and test are
/// written, and `test` runs. [Apptainer: `internal/pkg/build/build.go`, `Full`]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The `Stage:`.
    pub name: Option<String>,
    /// What it begins with.
    pub source: Source,
    /// The header: keys in lower case, and the value that counts.
    pub header: IndexMap<String, String>,
    /// `%help`.
    pub help: Script,
    /// `%pre`.
    pub pre: Script,
    /// `%setup`.
    pub setup: Script,
    /// `%post`.
    pub post: Script,
    /// `%environment`.
    pub environment: Script,
    /// `%runscript`.
    pub runscript: Script,
    /// `%startscript`.
    pub startscript: Script,
    /// `%test`.
    pub test: Script,
    /// `%files`: those from other stages first, as they are copied first.
    pub files: Vec<Files>,
    /// `%labels`.
    pub labels: IndexMap<String, String>,
    /// The apps in the order in which they are first named.
    pub apps: Vec<App>,
    /// Where it was written.
    pub span: Span,
}

/// An app of the Scientific Filesystem, below `/scif/apps/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct App {
    /// The name.
    pub name: String,
    /// `%appinstall`.
    pub install: Script,
    /// `%apprun`.
    pub run: Script,
    /// `%appstart`.
    pub start: Script,
    /// `%apptest`.
    pub test: Script,
    /// `%apphelp`.
    pub help: Script,
    /// `%appenv`.
    pub environment: Script,
    /// `%appfiles`, from the host into the app's folder; a destination is always given.
    pub files: Vec<FileTransfer>,
    /// `%applabels`.
    pub labels: IndexMap<String, String>,
}

/// Where a section runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExecutionPlace {
    /// On the machine that builds, with all that whoever builds may do.
    Host,
    /// In the container.
    Container,
}

/// A section that asks to be run while the image is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution<'a> {
    /// The place of its stage.
    pub stage: usize,
    /// The section.
    pub section: SectionKind,
    /// The app, for `%appinstall`.
    pub app: Option<&'a str>,
    /// Where it runs.
    pub place: ExecutionPlace,
    /// What runs.
    pub script: &'a Script,
}

impl BuildPlan {
    /// The stage that becomes the image.
    #[must_use]
    pub fn last(&self) -> Option<&Stage> {
        self.stages.last()
    }

    /// The version of the container: the tag of the last stage's `From:`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.last()?.source.tag()
    }

    /// The text that Apptainer keeps, as the first object of the SIF file and as `/.singularity.d/Singularity`: all
    /// stages as they were written, with comments and line ends, but with the templates replaced and without what
    /// stands before the first stage. [Apptainer: `internal/pkg/build/build.go`, `MakeAllDefs`; `FullRaw`]
    #[must_use]
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// The sections that ask to be run, in the order in which they would. If there are none, the image can be made
    /// without running anything and without privileges.
    #[must_use]
    pub fn executions(&self) -> Vec<Execution<'_>> {
        self.stages
            .iter()
            .enumerate()
            .flat_map(|(place, stage)| stage.executions(place))
            .collect()
    }
}

impl Stage {
    fn executions(&self, stage: usize) -> Vec<Execution<'_>> {
        use ExecutionPlace::{Container, Host};
        let own = |section, place, script| Execution {
            stage,
            section,
            app: None,
            place,
            script,
        };
        let mut all = vec![
            own(SectionKind::Pre, Host, &self.pre),
            own(SectionKind::Setup, Host, &self.setup),
            own(SectionKind::Post, Container, &self.post),
        ];
        all.extend(self.apps.iter().map(|app| Execution {
            app: Some(&app.name),
            ..own(SectionKind::AppInstall, Container, &app.install)
        }));
        all.push(own(SectionKind::Test, Container, &self.test));
        all.retain(|execution| execution.script.has_commands());
        all
    }

    /// The script that a section of the stage itself goes to.
    pub(super) fn script_mut(&mut self, kind: SectionKind) -> Option<&mut Script> {
        Some(match kind {
            SectionKind::Help => &mut self.help,
            SectionKind::Pre => &mut self.pre,
            SectionKind::Setup => &mut self.setup,
            SectionKind::Post => &mut self.post,
            SectionKind::Environment => &mut self.environment,
            SectionKind::Runscript => &mut self.runscript,
            SectionKind::Startscript => &mut self.startscript,
            SectionKind::Test => &mut self.test,
            _ => return None,
        })
    }
}

impl App {
    /// The script that a section of the app goes to.
    pub(super) fn script_mut(&mut self, kind: SectionKind) -> Option<&mut Script> {
        Some(match kind {
            SectionKind::AppInstall => &mut self.install,
            SectionKind::AppRun => &mut self.run,
            SectionKind::AppStart => &mut self.start,
            SectionKind::AppTest => &mut self.test,
            SectionKind::AppHelp => &mut self.help,
            SectionKind::AppEnv => &mut self.environment,
            _ => return None,
        })
    }
}

/// The definition that Apptainer makes up for an image that is built without one, `apptainer build x.sif AGENT://FROM`.
/// [Apptainer: `pkg/build/types/definition.go`, `NewDefinitionFromURI`]
#[must_use]
pub fn definition_of(agent: &str, from: &str) -> String {
    format!("bootstrap: {agent}\nfrom: {from}\n\n")
}
