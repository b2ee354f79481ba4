//! What can be wrong with a definition file.

use thiserror::Error;

use super::{Span, reference::ReferenceFault};

/// Faults of one file that are kept; who has more of them mends these first.
const MOST: usize = 200;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can be built from the file until it is mended.
    Error,
    /// Allowed, and most likely not what was meant.
    Warning,
}

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What.
    pub error: DeffileError,
}

/// What is wrong. Said with what Apptainer 1.4 makes of it, where that is no refusal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeffileError {
    /// Beyond the size limit.
    #[error("the definition file is {size} bytes long, and at most {limit} are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// Bytes that are read.
        limit: usize,
    },
    /// Templates that blow the text up.
    #[error("with its templates replaced the text is longer than {limit} bytes")]
    ExpandsTooFar {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// Bytes that are no text.
    #[error("the definition file is not UTF-8 text")]
    NotUtf8,
    /// A byte order mark, which would become a part of the first key.
    #[error("the definition file begins with a byte order mark")]
    ByteOrderMark,
    /// Lines that end as on Windows.
    #[error("the lines end in carriage return and line feed, as on Windows")]
    CarriageReturns,
    /// No header and no section.
    #[error("the definition file says nothing")]
    Empty,
    /// A stage without `Bootstrap:`.
    #[error("the stage has no `Bootstrap:`")]
    MissingBootstrap {
        /// Whether the header has other keys, and a stage with `Bootstrap:` follows.
        before_first: bool,
    },
    /// A key that the bootstrap agent needs.
    #[error("`Bootstrap: {agent}` needs `{key}:`")]
    MissingKey {
        /// The agent.
        agent: String,
        /// The key, as people write it.
        key: &'static str,
    },
    /// A line of the header without a colon.
    #[error("a line of the header must be `Key: value`")]
    HeaderWithoutColon,
    /// A key that is none.
    #[error("`{key}` is not a key of a header")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The nearest key, as people write it.
        nearest: Option<&'static str>,
    },
    /// A key given twice in one header.
    #[error("`{key}:` is given twice, and only the last one counts")]
    DuplicateKey {
        /// The key as written.
        key: String,
    },
    /// A `\` at the end of a header's line with nothing to continue with, or nothing to be continued.
    #[error("the value is to be continued on the next line, and is not")]
    BrokenContinuation,
    /// A `#` within a header's value.
    #[error("a `#` ends the value, even within a word")]
    CommentInValue,
    /// A bootstrap agent that Apptainer does not have.
    #[error("`{agent}` is not a bootstrap agent")]
    UnknownAgent {
        /// As written.
        agent: String,
        /// The nearest one.
        nearest: Option<&'static str>,
    },
    /// A `From:` that is no reference.
    #[error("{}", .0)]
    Reference(ReferenceFault),
    /// A `From:` without the path that the agent wants.
    #[error("`From:` must begin with a path")]
    MissingPath,
    /// A `From:` that repeats the agent.
    #[error("`From:` is given without a scheme")]
    SchemeInFrom {
        /// What to write instead.
        instead: String,
    },
    /// A section that is none.
    #[error("`%{name}` is not a section")]
    UnknownSection {
        /// The name as written.
        name: String,
        /// The nearest one.
        nearest: Option<&'static str>,
    },
    /// A line that begins with blanks and `%`.
    #[error(
        "a line whose first character is `%` begins a section, and a section begins at the left margin"
    )]
    IndentedSection,
    /// `%AppRun`.
    #[error("the sections of apps are written in lower case")]
    UpperCaseAppSection {
        /// As it must be written, without the `%`.
        lower: String,
    },
    /// `%apprun` without the app.
    #[error("`%{section}` needs the name of an app")]
    MissingAppName {
        /// The section.
        section: &'static str,
    },
    /// A section that comes twice.
    #[error("`%{section}` comes twice in this stage: the second is appended to the first")]
    RepeatedSection {
        /// The section, with its app.
        section: String,
    },
    /// `-c` without a command.
    #[error("`-c` needs a command")]
    MissingCommand,
    /// A script whose `#!` is not at its first line.
    #[error("`#!` is not on the first line of the script, and the kernel will not see it")]
    LateInterpreter,
    /// `%files` with something after it that is not `from STAGE`.
    #[error("`%files` takes nothing or `from STAGE`, and Apptainer copies nothing here")]
    BadFilesFrom,
    /// `%files from` a stage that is not.
    #[error("there is no stage `{stage}`")]
    UnknownStage {
        /// As written.
        stage: String,
        /// The nearest one.
        nearest: Option<String>,
    },
    /// `%files from` the stage itself or a later one.
    #[error("the stage `{stage}` is not built yet at this point")]
    StageNotBuilt {
        /// The stage.
        stage: String,
    },
    /// A name for two stages.
    #[error("two stages are named `{stage}`, and only the first one can be referred to")]
    DuplicateStage {
        /// The name.
        stage: String,
    },
    /// A quote in a line of `%files` that is not closed.
    #[error("the quote is not closed")]
    OpenQuote,
    /// A `'` in a line of `%files`.
    #[error("only double quotes keep a path together: `'` becomes a part of it")]
    SingleQuote,
    /// More than two paths.
    #[error(
        "a line of `%files` is a source and perhaps a destination, and what follows is ignored"
    )]
    TooManyPaths,
    /// A comment after a path.
    #[error("a `#` after a path begins no comment, but is taken as the destination")]
    CommentAsPath,
    /// `KEY=value` in `%labels`.
    #[error("the label has no value: a blank must stand between name and value")]
    LabelWithoutValue,
    /// A line of `%arguments` that is not `KEY=value`.
    #[error("a line of `%arguments` must be `KEY=value`, and this one is ignored")]
    BadArgument,
    /// A key in `%arguments` that no template can name.
    #[error("no template can refer to `{key}`")]
    BadArgumentName {
        /// The key.
        key: String,
    },
    /// A template that nothing defines.
    #[error("`{name}` has no value")]
    UndefinedArgument {
        /// The name.
        name: String,
        /// The nearest name that has one.
        nearest: Option<String>,
    },
    /// `{{ NAME` without its end.
    #[error("the template is not closed")]
    OpenTemplate {
        /// Whether it is in a header, where nothing else can be meant.
        in_header: bool,
    },
    /// A template after a `#` that is no comment to the shell.
    #[error("the template stays as it is: Apptainer takes the `#` before it for a comment")]
    TemplateAfterHash,
    /// A default that nothing refers to.
    #[error("the argument `{name}` is not used")]
    UnusedDefault {
        /// The name.
        name: String,
    },
    /// A build argument that nothing refers to.
    #[error("the build argument `{name}` is not used by the definition file")]
    UnusedBuildArgument {
        /// The name.
        name: String,
        /// The nearest name that the file uses.
        nearest: Option<String>,
    },
}

impl Fault {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.error.severity()
    }

    /// Whether nothing can be built until it is mended.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

impl DeffileError {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::CarriageReturns
            | Self::DuplicateKey { .. }
            | Self::CommentInValue
            | Self::RepeatedSection { .. }
            | Self::LateInterpreter
            | Self::DuplicateStage { .. }
            | Self::SingleQuote
            | Self::TooManyPaths
            | Self::CommentAsPath
            | Self::LabelWithoutValue
            | Self::BadArgument
            | Self::BadArgumentName { .. }
            | Self::OpenTemplate { in_header: false }
            | Self::TemplateAfterHash
            | Self::UnusedDefault { .. }
            | Self::UnusedBuildArgument { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// A few words for the place itself.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too large",
            Self::ExpandsTooFar { .. } => "this template",
            Self::NotUtf8 => "not UTF-8",
            Self::ByteOrderMark => "byte order mark",
            Self::CarriageReturns => "the first one",
            Self::Empty => "empty",
            Self::MissingBootstrap { .. } => "no `Bootstrap:`",
            Self::MissingKey { .. } => "incomplete",
            Self::HeaderWithoutColon => "no colon",
            Self::UnknownKey { .. } => "unknown key",
            Self::DuplicateKey { .. } | Self::DuplicateStage { .. } => "given again",
            Self::BrokenContinuation => "ends with `\\`",
            Self::CommentInValue => "not read from here on",
            Self::UnknownAgent { .. } => "unknown agent",
            Self::Reference(fault) => fault.label(),
            Self::MissingPath => "no path",
            Self::SchemeInFrom { .. } => "scheme",
            Self::UnknownSection { .. } => "unknown section",
            Self::IndentedSection => "indented",
            Self::UpperCaseAppSection { .. } => "upper case",
            Self::MissingAppName { .. } => "which app?",
            Self::RepeatedSection { .. } => "comes again",
            Self::MissingCommand => "no command",
            Self::LateInterpreter => "too late",
            Self::BadFilesFrom => "not `from STAGE`",
            Self::UnknownStage { .. } => "unknown stage",
            Self::StageNotBuilt { .. } => "not an earlier stage",
            Self::OpenQuote => "opened here",
            Self::SingleQuote => "single quote",
            Self::TooManyPaths => "ignored",
            Self::CommentAsPath => "taken as a path",
            Self::LabelWithoutValue => "no value",
            Self::BadArgument => "ignored",
            Self::BadArgumentName { .. } => "not a name",
            Self::UndefinedArgument { .. } => "no value",
            Self::OpenTemplate { .. } => "opened here",
            Self::TemplateAfterHash => "not replaced",
            Self::UnusedDefault { .. } | Self::UnusedBuildArgument { .. } => "not used",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotUtf8 => "save the file as UTF-8",
            Self::ByteOrderMark => "save the file as UTF-8 without a byte order mark",
            Self::CarriageReturns => "save the file with line feeds only",
            Self::Empty => "a definition file begins with `Bootstrap:` and `From:`",
            Self::MissingBootstrap { before_first: true } => {
                "a stage begins with its `Bootstrap:`: move this below it"
            }
            Self::MissingBootstrap { .. } => "begin with `Bootstrap: docker`, for example",
            Self::HeaderWithoutColon => "sections begin with `%`, comments with `#`",
            Self::UnknownKey { nearest, .. } => return did_you_mean(*nearest, "", ":"),
            Self::BrokenContinuation => {
                "remove the `\\`, or put the rest of the value on the next line"
            }
            Self::CommentInValue => "put a blank before the `#` if a comment is meant",
            Self::UnknownAgent { nearest, .. } => {
                return did_you_mean(*nearest, "", "").or_else(|| {
                    Some("agents are docker, docker-archive, oci, oci-archive, localimage, oras, scratch, debootstrap, …".to_owned())
                });
            }
            Self::Reference(fault) => return fault.hint(),
            Self::SchemeInFrom { instead } => return Some(format!("write `From: {instead}`")),
            Self::UnknownSection { nearest, .. } => return did_you_mean(*nearest, "%", ""),
            Self::IndentedSection => {
                "remove the blanks; text that is no section cannot begin a line with `%`"
            }
            Self::UpperCaseAppSection { lower } => return Some(format!("write `%{lower}`")),
            Self::MissingAppName { section } => {
                return Some(format!("write `%{section} NAME`, with one blank between"));
            }
            Self::MissingCommand => "write `-c /bin/bash`, for example",
            Self::LateInterpreter => "put it on the line after the section's name",
            Self::BadFilesFrom => "write `%files` alone, or `%files from STAGE`",
            Self::UnknownStage { nearest, .. } => {
                return did_you_mean(nearest.as_deref(), "", "")
                    .or_else(|| Some("name the stage with `Stage:` in its header".to_owned()));
            }
            Self::StageNotBuilt { .. } => "copy from a stage that stands before this one",
            Self::SingleQuote => "use double quotes",
            Self::TooManyPaths => "put paths with blanks into double quotes",
            Self::CommentAsPath => "put the comment on a line of its own",
            Self::LabelWithoutValue => "write `NAME value`",
            Self::BadArgumentName { .. } => "names are made of letters, digits and `_`",
            Self::UndefinedArgument { name, nearest } => {
                return did_you_mean(nearest.as_deref(), "", "").or_else(|| {
                    Some(format!("give a build argument, or a default: `{name}=…` in the `%arguments` of this stage"))
                });
            }
            Self::OpenTemplate { .. } => "write `{{ NAME }}`",
            Self::UnusedBuildArgument { nearest, .. } => {
                return did_you_mean(nearest.as_deref(), "", "");
            }
            Self::TooLarge { .. }
            | Self::ExpandsTooFar { .. }
            | Self::MissingKey { .. }
            | Self::DuplicateKey { .. }
            | Self::MissingPath
            | Self::RepeatedSection { .. }
            | Self::DuplicateStage { .. }
            | Self::OpenQuote
            | Self::BadArgument
            | Self::TemplateAfterHash
            | Self::UnusedDefault { .. } => return None,
        };
        Some(text.to_owned())
    }
}

fn did_you_mean(nearest: Option<&str>, before: &str, after: &str) -> Option<String> {
    nearest.map(|nearest| format!("did you mean `{before}{nearest}{after}`?"))
}

/// Collects faults, up to a limit, each one once.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    /// Whether an error was among those, kept or not.
    pub(super) error: bool,
}

impl Faults {
    pub(super) fn push(&mut self, span: Span, error: DeffileError) {
        self.error |= error.severity() == Severity::Error;
        let fault = Fault { span, error };
        if self.list.len() < MOST && !self.list.contains(&fault) {
            self.list.push(fault);
        }
    }

    pub(super) fn extend(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            self.push(fault.span, fault.error);
        }
    }

    /// In the order of the file, whose text is given so that no span ends within a character: places within values
    /// that templates have changed are estimates.
    pub(super) fn finish(mut self, text: &str) -> Vec<Fault> {
        for fault in &mut self.list {
            fault.span = Span::new(
                text.floor_char_boundary(fault.span.start),
                text.ceil_char_boundary(fault.span.end),
            );
        }
        self.list.sort_by_key(|fault| fault.span);
        self.list
    }
}
