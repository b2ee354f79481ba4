//! Instructions of an epilogue, and how they are read.

use std::ops::Range;

use super::EpilogueFault;
use super::lines::{Line, lines};
use super::words;

/// A whole epilogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Epilogue {
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One instruction with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub instruction: Instruction,
    /// As written, without comments and continuation marks: what `podman history` shows.
    pub text: String,
    /// Where it was written: bytes of the epilogue.
    pub place: Range<usize>,
}

/// What to do. Values are as written: variables are filled in when the instruction is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `RUN`
    Run(Command),
    /// `COPY`, and `ADD` of files: sources relative to the definition's folder, and where they go.
    Copy {
        /// What is copied: patterns.
        sources: Vec<String>,
        /// What is copied and written here: here-documents.
        documents: Vec<CopiedText>,
        /// Where to.
        destination: String,
        /// Owner and mode.
        flags: CopyFlags,
        /// Whether archives are unpacked: `ADD`.
        unpacks: bool,
    },
    /// `ENV`: names and values.
    Env(Vec<(String, String)>),
    /// `LABEL`: names and values.
    Label(Vec<(String, String)>),
    /// `ARG`: a name, and what it stands for.
    Arg(Vec<(String, Option<String>)>),
    /// `WORKDIR`
    Workdir(String),
    /// `USER`
    User(String),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `CMD`
    Cmd(Command),
    /// `EXPOSE`
    Expose(Vec<String>),
    /// `VOLUME`
    Volume(Vec<String>),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    StopSignal(String),
}

/// A command, in one of the two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `["program", "argument"]`: started as it is.
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

/// A here-document that becomes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedText {
    /// The file's name where the destination is a folder: what the document ends with.
    pub name: String,
    /// What the file holds, as written.
    pub text: String,
    /// Whether variables are filled in: they are unless the name was written in quotes.
    pub expands: bool,
}

/// `--chown` and `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyFlags {
    /// `user[:group]`, by name or number.
    pub owner: Option<String>,
    /// Permissions of files and folders, octal.
    pub mode: Option<u32>,
}

impl Epilogue {
    /// Reads the text; all faults are told at once.
    ///
    /// # Errors
    /// The faults, in order.
    pub fn parse(text: &str) -> Result<Self, Vec<EpilogueFault>> {
        let (lines, mut faults) = lines(text);
        let mut steps = Vec::new();
        for line in &lines {
            match step(line) {
                Ok(Some(step)) => steps.push(step),
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            return Ok(Self { steps });
        }
        faults.sort_by_key(|fault| fault.place.start);
        Err(faults)
    }

    /// Whether something has to run.
    #[must_use]
    pub fn runs(&self) -> bool {
        let is_run = |step: &Step| matches!(step.instruction, Instruction::Run(_));
        self.steps.iter().any(is_run)
    }

    /// The patterns of files that are copied into the image, as written, and the places of their instructions.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.steps.iter().flat_map(|step| {
            let sources: &[String] = match &step.instruction {
                Instruction::Copy { sources, .. } => sources,
                _ => &[],
            };
            sources.iter().map(|it| (&**it, &step.place))
        })
    }
}

/// An instruction's arguments: the line, and where they begin on it.
struct Arguments<'l> {
    line: &'l Line,
    at: usize,
}

fn step(line: &Line) -> Result<Option<Step>, EpilogueFault> {
    let start = line.text.len() - line.text.trim_start().len();
    let rest = &line.text[start..];
    let keyword_end = start + rest.find(char::is_whitespace).unwrap_or(rest.len());
    let keyword = line.text[start..keyword_end].to_ascii_uppercase();
    let keyword_place = line.place(start..keyword_end);
    let after = &line.text[keyword_end..];
    let arguments = Arguments {
        line,
        at: keyword_end + (after.len() - after.trim_start().len()),
    };
    if arguments.text().is_empty() && known(&keyword) {
        return Err(EpilogueFault::new(
            keyword_place,
            format!("{keyword} needs an argument"),
        ));
    }
    let instruction = match keyword.as_str() {
        "RUN" => Instruction::Run(arguments.run()?),
        "COPY" => arguments.copy(false)?,
        "ADD" => arguments.copy(true)?,
        "ENV" => Instruction::Env(arguments.pairs("ENV")?),
        "LABEL" => Instruction::Label(arguments.pairs("LABEL")?),
        "ARG" => Instruction::Arg(arguments.args()?),
        "WORKDIR" => Instruction::Workdir(arguments.text().to_owned()),
        "USER" => Instruction::User(arguments.text().to_owned()),
        "ENTRYPOINT" => Instruction::Entrypoint(arguments.command()),
        "CMD" => Instruction::Cmd(arguments.command()),
        "EXPOSE" => Instruction::Expose(arguments.words()?),
        "VOLUME" => Instruction::Volume(match arguments.json() {
            Some(paths) => paths,
            None => arguments.words()?,
        }),
        "SHELL" => Instruction::Shell(arguments.json().filter(|it| !it.is_empty()).ok_or_else(
            || {
                EpilogueFault::new(arguments.place(), "SHELL takes the JSON form alone")
                    .hint("write `SHELL [\"/bin/bash\", \"-c\"]`")
            },
        )?),
        "STOPSIGNAL" => Instruction::StopSignal(arguments.text().to_owned()),
        // The author is in the image's labels, where somebody wants that.
        "MAINTAINER" => {
            Instruction::Label(vec![("maintainer".to_owned(), arguments.text().to_owned())])
        }
        "FROM" => {
            return Err(EpilogueFault::new(
                keyword_place,
                "an epilogue has no FROM: it goes on where the packages end",
            )
            .hint("take the line out; the base image is chosen by `[arch.…] base` in spacktainers.toml"));
        }
        "HEALTHCHECK" | "ONBUILD" => {
            return Err(EpilogueFault::new(
                keyword_place,
                format!("{keyword} is Docker's alone: OCI images have no place for it"),
            )
            .hint("take the line out"));
        }
        other => {
            let near = spack_format::yaml::nearest(other, KEYWORDS.iter().copied());
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("instructions are {}", KEYWORDS.join(", ")),
            };
            return Err(EpilogueFault::new(
                keyword_place,
                format!("there is no instruction `{other}`"),
            )
            .hint(hint));
        }
    };
    Ok(Some(Step {
        instruction,
        text: line.text.trim().to_owned(),
        place: line.place(start..line.text.trim_end().len()),
    }))
}

const KEYWORDS: [&str; 14] = [
    "RUN",
    "COPY",
    "ADD",
    "ENV",
    "LABEL",
    "ARG",
    "WORKDIR",
    "USER",
    "ENTRYPOINT",
    "CMD",
    "EXPOSE",
    "VOLUME",
    "SHELL",
    "STOPSIGNAL",
];

fn known(keyword: &str) -> bool {
    KEYWORDS.contains(&keyword)
}

impl Arguments<'_> {
    fn text(&self) -> &str {
        self.line.text[self.at..].trim_end()
    }

    fn place(&self) -> Range<usize> {
        self.line.place(self.at..self.at + self.text().len())
    }

    /// `["a", "b"]`. What is no such list is a text for the shell, as Docker has it.
    fn json(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.text()).ok()
    }

    fn command(&self) -> Command {
        match self.json() {
            Some(words) => Command::Exec(words),
            None => Command::Shell(self.text().to_owned()),
        }
    }

    fn run(&self) -> Result<Command, EpilogueFault> {
        if let Some(flag) = self.text().split_whitespace().next()
            && flag.starts_with("--")
        {
            let place = self.line.place(self.at..self.at + flag.len());
            return Err(EpilogueFault::new(
                place,
                format!("`{flag}` is BuildKit's, and cannot be used here"),
            )
            .hint("take it out: commands see the image and the network, and nothing else"));
        }
        let [first, ..] = self.line.documents.as_slice() else {
            return Ok(self.command());
        };
        // A document alone is the script; otherwise the shell gives documents to the commands.
        let is_alone = self.text().starts_with("<<")
            && !self.text()[2..].contains(char::is_whitespace)
            && self.line.documents.len() == 1;
        if is_alone {
            if first.body.starts_with("#!") {
                return Err(EpilogueFault::new(
                    self.place(),
                    "a script with `#!` cannot be a here-document",
                )
                .hint("give it to its interpreter: `RUN python3 <<EOF`"));
            }
            return Ok(Command::Shell(first.body.clone()));
        }
        let mut text = format!("{}\n", self.text());
        for document in &self.line.documents {
            text.push_str(&document.body);
            text.push_str(&document.name);
            text.push('\n');
        }
        Ok(Command::Shell(text))
    }

    fn split(&self) -> Result<Vec<(Range<usize>, &str)>, EpilogueFault> {
        words::split(&self.line.text, self.at).map_err(|fault| words::fault(self.line, 0, fault))
    }

    fn words(&self) -> Result<Vec<String>, EpilogueFault> {
        let words = self.split()?;
        Ok(words.into_iter().map(|(_, word)| word.to_owned()).collect())
    }

    /// `NAME=value …`, or `NAME` and the rest of the line.
    fn pairs(&self, keyword: &str) -> Result<Vec<(String, String)>, EpilogueFault> {
        let words = self.split()?;
        let is_old = words.first().is_some_and(|(_, word)| !word.contains('='));
        if is_old {
            let (name, value) = self.text().split_once(char::is_whitespace).ok_or_else(|| {
                EpilogueFault::new(self.place(), format!("{keyword} needs a value"))
                    .hint(format!("write `{keyword} NAME=value`"))
            })?;
            return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
        }
        let pair = |(range, word): (Range<usize>, &str)| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(EpilogueFault::new(
                self.line.place(range),
                format!("`{word}` is not NAME=value"),
            )
            .hint("put quotes around values with blanks")),
        };
        words.into_iter().map(pair).collect()
    }

    fn args(&self) -> Result<Vec<(String, Option<String>)>, EpilogueFault> {
        let words = self.split()?;
        let pair = |(_, word): (_, &str)| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        };
        Ok(words.into_iter().map(pair).collect())
    }

    fn copy(&self, unpacks: bool) -> Result<Instruction, EpilogueFault> {
        let keyword = if unpacks { "ADD" } else { "COPY" };
        let mut flags = CopyFlags::default();
        let mut words = self.split()?;
        while let Some((range, word)) = words.first().cloned()
            && word.starts_with("--")
        {
            words.remove(0);
            let place = self.line.place(range);
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "--chown" if !value.is_empty() => flags.owner = Some(value.to_owned()),
                "--chmod" => {
                    let mode = u32::from_str_radix(value, 8)
                        .ok()
                        .filter(|it| *it <= 0o7777);
                    flags.mode = Some(mode.ok_or_else(|| {
                        EpilogueFault::new(place, "the mode is not octal")
                            .hint("write `--chmod=755`")
                    })?);
                }
                // Each of our layers is independent of those below it.
                "--link" => {}
                "--from" => {
                    return Err(EpilogueFault::new(
                        place,
                        "there is one stage: nothing can be copied from another image",
                    )
                    .hint("put the files beside the definition"));
                }
                _ => {
                    return Err(EpilogueFault::new(
                        place,
                        format!("{keyword} has no `{word}` here"),
                    )
                    .hint("--chown, --chmod and --link can be used"));
                }
            }
        }
        let rest_at = words.first().map_or(self.at, |(range, _)| range.start);
        let listed = Arguments {
            line: self.line,
            at: rest_at,
        };
        let mut all: Vec<String> = match listed.json() {
            Some(all) => all,
            None => {
                let is_document = |range: &Range<usize>| {
                    let documents = &self.line.documents;
                    documents.iter().any(|it| it.announced.start == range.start)
                };
                let files = words.iter().filter(|(range, _)| !is_document(range));
                files.map(|(_, word)| (*word).to_owned()).collect()
            }
        };
        let documents = self.line.documents.iter().map(|it| CopiedText {
            name: it.name.clone(),
            text: it.body.clone(),
            expands: !it.is_quoted,
        });
        let documents: Vec<CopiedText> = documents.collect();
        let has_source = |all: &[String]| !all.is_empty() || !documents.is_empty();
        let destination = all.pop().filter(|_| has_source(&all)).ok_or_else(|| {
            EpilogueFault::new(
                self.place(),
                format!("{keyword} needs a source and a destination"),
            )
        })?;
        if let Some(url) = all
            .iter()
            .find(|it| it.contains("://") || it.starts_with("git@"))
        {
            return Err(EpilogueFault::new(
                self.place(),
                format!("`{url}` is not fetched: it could be another file tomorrow"),
            )
            .hint("put the file beside the definition, or fetch it by RUN"));
        }
        Ok(Instruction::Copy {
            sources: all,
            documents,
            destination,
            flags,
            unpacks,
        })
    }
}
