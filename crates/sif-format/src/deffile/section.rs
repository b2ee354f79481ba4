//! Sections: which there are, and the line that begins one.

use std::fmt;

use super::fault::Faults;
use super::lines::{Line, lines};
use super::span::Origin;
use super::suggest::nearest;
use super::{DeffileError, Span};

/// What a section is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SectionKind {
    /// `%help`: text for `run-help`.
    Help,
    /// `%setup`: runs on the host, with the privileges of the build, after the base is there.
    Setup,
    /// `%files`: what is copied into the container.
    Files,
    /// `%labels`: names and values.
    Labels,
    /// `%environment`: shell text that every start of the container reads.
    Environment,
    /// `%pre`: runs on the host before anything else.
    Pre,
    /// `%post`: runs in the container while it is built.
    Post,
    /// `%runscript`: what `run` does.
    Runscript,
    /// `%test`: what `test` does; also runs at the end of the build.
    Test,
    /// `%startscript`: what an instance does.
    Startscript,
    /// `%arguments`: defaults of templates.
    Arguments,
    /// `%appinstall`: an app's part of `%post`.
    AppInstall,
    /// `%applabels`.
    AppLabels,
    /// `%appfiles`: copied from the host into the app's folder.
    AppFiles,
    /// `%appenv`.
    AppEnv,
    /// `%apptest`.
    AppTest,
    /// `%apphelp`.
    AppHelp,
    /// `%apprun`.
    AppRun,
    /// `%appstart`.
    AppStart,
}

const KINDS: [(&str, SectionKind); 19] = [
    ("help", SectionKind::Help),
    ("setup", SectionKind::Setup),
    ("files", SectionKind::Files),
    ("labels", SectionKind::Labels),
    ("environment", SectionKind::Environment),
    ("pre", SectionKind::Pre),
    ("post", SectionKind::Post),
    ("runscript", SectionKind::Runscript),
    ("test", SectionKind::Test),
    ("startscript", SectionKind::Startscript),
    ("arguments", SectionKind::Arguments),
    ("appinstall", SectionKind::AppInstall),
    ("applabels", SectionKind::AppLabels),
    ("appfiles", SectionKind::AppFiles),
    ("appenv", SectionKind::AppEnv),
    ("apptest", SectionKind::AppTest),
    ("apphelp", SectionKind::AppHelp),
    ("apprun", SectionKind::AppRun),
    ("appstart", SectionKind::AppStart),
];

impl SectionKind {
    /// The name without `%`, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether it belongs to an app.
    #[must_use]
    pub fn is_of_app(self) -> bool {
        self >= Self::AppInstall
    }

    fn from_name(name: &str) -> Option<Self> {
        KINDS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    }

    /// Whether two of them in one stage are worth a word: not where lists just become longer.
    fn warns_when_repeated(self) -> bool {
        !matches!(
            self,
            Self::Files | Self::Labels | Self::Arguments | Self::AppLabels | Self::AppFiles
        )
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.name())
    }
}

/// A section as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it is for.
    pub kind: SectionKind,
    /// The app it belongs to.
    pub app: Option<String>,
    /// What follows the name and one blank on its line, comments and all; nothing if there is no blank.
    /// For the section of an app, the app's name is left out.
    pub arguments: Option<String>,
    /// The text of its lines, each ended by a line feed.
    pub text: String,
    /// From `%` to the end of its last line.
    pub span: Span,
    /// The name with its `%`.
    pub name_span: Span,
    /// The arguments; empty where there are none.
    pub arguments_span: Span,
    /// Each of its lines, without line ends.
    pub lines: Vec<Span>,
}

impl Section {
    /// The lines with their places.
    pub fn lines(&self) -> impl Iterator<Item = (Span, &str)> {
        self.lines.iter().copied().zip(self.text.split('\n'))
    }

    /// The lines that are neither blank nor a comment, without the blanks at their ends.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Span, &str)> {
        self.lines().filter_map(|(span, line)| {
            let text = line.trim();
            let start = span.start + (line.len() - line.trim_start().len());
            // Where a template was replaced, the line's span need not be as long as its text.
            let exact = span.end - span.start == line.len();
            let place = if exact {
                Span::new(start, start + text.len())
            } else {
                span
            };
            (!text.is_empty() && !text.starts_with('#')).then_some((place, text))
        })
    }

    /// The name, with the app.
    pub(super) fn title(&self) -> String {
        match &self.app {
            Some(app) => format!("{} {app}", self.kind.name()),
            None => self.kind.name().to_owned(),
        }
    }
}

/// Reads the section whose name is on `first` and that ends at byte `end`.
pub(super) fn parse(
    text: &str,
    first: &Line<'_>,
    end: usize,
    origin: &Origin,
    faults: &mut Faults,
) -> Option<Section> {
    if !first.text.starts_with('%') {
        faults.push(
            origin.span(first.range_of(first.text.trim_end())),
            DeffileError::IndentedSection,
        );
        return None;
    }
    let title = first.text.trim_start_matches('%');
    let (name, mut arguments) = match title.split_once(' ') {
        Some((name, arguments)) => (name, Some(arguments)),
        None => (title, None),
    };
    let name_range = first.start..first.range_of(name).end;
    let name_span = origin.span(name_range);
    let Some(kind) = SectionKind::from_name(&name.to_lowercase()) else {
        faults.push(
            name_span,
            DeffileError::UnknownSection {
                name: name.to_owned(),
                nearest: nearest(name, KINDS.iter().map(|(name, _)| *name)),
            },
        );
        return None;
    };
    let mut app = None;
    if kind.is_of_app() {
        if name != kind.name() {
            faults.push(
                name_span,
                DeffileError::UpperCaseAppSection {
                    lower: kind.name().to_owned(),
                },
            );
        }
        let (word, rest) = match arguments.unwrap_or_default().split_once(' ') {
            Some((word, rest)) => (word, Some(rest)),
            None => (arguments.unwrap_or_default(), None),
        };
        if word.trim().is_empty() {
            faults.push(
                name_span,
                DeffileError::MissingAppName {
                    section: kind.name(),
                },
            );
            return None;
        }
        app = Some(word.to_owned());
        arguments = rest;
    }
    let arguments_span = match arguments {
        Some(arguments) => origin.span(first.range_of(arguments.trim())),
        None => Span::new(name_span.end, name_span.end),
    };
    let mut section = Section {
        kind,
        app,
        arguments: arguments.map(str::to_owned),
        text: String::new(),
        span: origin.span(first.start..end),
        name_span,
        arguments_span,
        lines: Vec::new(),
    };
    for line in lines(text, first.next..end) {
        section.text.push_str(line.text);
        section.text.push('\n');
        section.lines.push(origin.span(line.range_of(line.text)));
    }
    check(&section, faults);
    Some(section)
}

/// What can be said of a section by itself.
fn check(section: &Section, faults: &mut Faults) {
    let arguments = section.arguments.as_deref().unwrap_or_default();
    let words = || {
        arguments
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace()
    };
    match section.kind {
        SectionKind::Pre | SectionKind::Setup | SectionKind::Post
            if words().last() == Some("-c")
                && words().filter(|word| *word == "-c").count() == 1 =>
        {
            faults.push(section.arguments_span, DeffileError::MissingCommand);
        }
        SectionKind::Runscript | SectionKind::Startscript | SectionKind::Test
            if section.text.trim_start().starts_with("#!") =>
        {
            let first = section.lines().next();
            if first.is_some_and(|(_, line)| line.trim().is_empty())
                && let Some((span, _)) = section.lines().find(|(_, line)| !line.trim().is_empty())
            {
                faults.push(span, DeffileError::LateInterpreter);
            }
        }
        SectionKind::Labels | SectionKind::AppLabels => {
            for (span, line) in section.entries() {
                if !line.contains(' ') {
                    faults.push(span, DeffileError::LabelWithoutValue);
                }
            }
        }
        _ => {}
    }
}

/// Says which sections come more than once.
pub(super) fn check_repeated(sections: &[Section], faults: &mut Faults) {
    let mut seen = std::collections::HashSet::new();
    for section in sections {
        if section.kind.warns_when_repeated()
            && !seen.insert((section.kind, section.app.as_deref()))
        {
            faults.push(
                section.name_span,
                DeffileError::RepeatedSection {
                    section: section.title(),
                },
            );
        }
    }
}
