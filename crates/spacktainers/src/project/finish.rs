//! What finishes a container's image: `container.toml` and `Dockerfile.epilogue` beside its `spack.yaml`.
//!
//! Both become instructions; those of `container.toml` come first.

use std::path::{Path, PathBuf};

use oci_format::Digest;
use spack_format::yaml::shape::{
    KeyShape, MapShape, Others, STRINGS, Shape, TextFault, TextShape, check, key, required,
};
use spack_format::yaml::{Node, SourceId, Span};

use super::slim_settings::{self, LIMITS, SLIM};
use super::toml_tree;
use super::trust_settings::TESTS;
use crate::build::Limits;
use crate::diagnostic::Diagnostic;
use crate::epilogue::{Command, CopyFlags, Epilogue, Instruction, Step, files_digest};
use crate::layer::slim::SlimRules;

/// The file's name, beside a container's `spack.yaml`.
pub const CONTAINER_FILE: &str = "container.toml";

/// Instructions of one file.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The file's text among the project's sources.
    pub source: SourceId,
    /// What to do.
    pub epilogue: Epilogue,
    /// Where files that are copied into the image lie.
    pub folder: PathBuf,
    /// Digest of these files.
    pub files: Option<Digest>,
}

/// What `container.toml` says.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    /// Debian packages that the base has besides those of the settings, and where they were written.
    pub(super) packages: Vec<(String, Span)>,
    pub(super) epilogue: Epilogue,
    /// What of packages the image has, besides what the settings say.
    pub(super) slim: SlimRules,
    /// How large the image may be, instead of what the settings say.
    pub(super) limits: Limits,
    /// Commands that the image is tried with before it is published.
    pub(super) tests: Vec<String>,
}

/// Finds out what is copied, which has to be there.
pub(super) fn of_epilogue(
    epilogue: Epilogue,
    source: SourceId,
    folder: &Path,
    faults: &mut Vec<Diagnostic>,
) -> Finish {
    let files = files_digest(&epilogue, folder).unwrap_or_else(|error| {
        let place = error.place().cloned().unwrap_or_default();
        let place = Span::from_range(source, place);
        let told = Diagnostic::error(place, error.to_string()).label("copied here");
        faults.push(match error.hint() {
            Some(hint) => told.hint(hint),
            None => told,
        });
        None
    });
    Finish {
        source,
        epilogue,
        folder: folder.to_owned(),
        files,
    }
}

/// Reads a `Dockerfile.epilogue`.
pub(super) fn read_epilogue(
    text: &str,
    source: SourceId,
    faults: &mut Vec<Diagnostic>,
) -> Epilogue {
    Epilogue::parse(text).unwrap_or_else(|found| {
        faults.extend(found.into_iter().map(|fault| {
            let place = Span::from_range(source, fault.place);
            let told = Diagnostic::error(place, fault.message).label("here");
            match fault.hint {
                Some(hint) => told.hint(hint),
                None => told,
            }
        }));
        Epilogue::default()
    })
}

const fn closed(name: &'static str, keys: &'static [KeyShape]) -> MapShape {
    MapShape {
        name,
        keys,
        others: Others::Refused,
    }
}

static CONTAINER: MapShape = closed(
    "`container.toml`",
    &[
        key("packages", STRINGS),
        key("files", Shape::List(&Shape::Map(&FILE))),
        key("env", Shape::Map(&TEXTS)),
        key("labels", Shape::Map(&TEXTS)),
        key("entrypoint", STRINGS),
        key("cmd", STRINGS),
        key("user", Shape::String),
        key("workdir", Shape::String),
        key("slim", Shape::Map(&SLIM)),
        key("limits", Shape::Map(&LIMITS)),
        key("tests", TESTS),
    ],
);

static FILE: MapShape = closed(
    "`[[files]]`",
    &[
        required("source", Shape::String),
        required("destination", Shape::String),
        key("mode", Shape::Text(&MODE)),
        key("owner", Shape::String),
    ],
);

static TEXTS: MapShape = MapShape {
    name: "names and texts",
    keys: &[],
    others: Others::Named(Shape::String),
};

static MODE: TextShape = TextShape {
    noun: "a mode",
    check: |text| match mode(text) {
        Some(_) => Ok(()),
        None => Err(TextFault {
            range: 0..text.len(),
            message: "this is not a mode".to_owned(),
            label: "not octal".to_owned(),
            hint: Some("write permissions as chmod takes them: `mode = \"755\"`".to_owned()),
        }),
    },
};

fn mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|it| *it <= 0o7777)
}

/// Reads a `container.toml`.
pub(super) fn read_container(
    text: &str,
    source: SourceId,
    faults: &mut Vec<Diagnostic>,
) -> Declared {
    let root = match toml_tree::parse(text, source) {
        Ok(root) => root,
        Err(fault) => {
            faults.push(fault);
            return Declared::default();
        }
    };
    let found = check(&root, &Shape::Map(&CONTAINER), true);
    faults.extend(found.into_iter().map(Diagnostic::from));
    let mut steps = Vec::new();
    let mut push = |node: &Node, instruction: Instruction, shown: String| {
        let range = node.span.start as usize..node.span.end as usize;
        steps.push(Step {
            instruction,
            text: shown,
            place: range,
        });
    };
    for node in root
        .get("files")
        .and_then(Node::as_sequence)
        .unwrap_or_default()
    {
        let text = |name: &str| node.get(name).and_then(Node::as_str).map(str::to_owned);
        let (Some(from), Some(to)) = (text("source"), text("destination")) else {
            continue;
        };
        let shown = format!("COPY {from} {to}");
        let place = node.get("source").unwrap_or(node);
        let copy = Instruction::Copy {
            sources: vec![from],
            documents: Vec::new(),
            destination: to,
            flags: CopyFlags {
                owner: text("owner"),
                mode: text("mode").and_then(|it| mode(&it)),
            },
            unpacks: false,
        };
        push(place, copy, shown);
    }
    for (name, of, keyword) in [
        ("env", Instruction::Env as fn(_) -> _, "ENV"),
        ("labels", Instruction::Label as fn(_) -> _, "LABEL"),
    ] {
        let entries = root.get(name).and_then(Node::as_mapping);
        for entry in entries.into_iter().flat_map(|it| it.iter()) {
            let Some(value) = entry.value.as_str() else {
                continue;
            };
            let shown = format!("{keyword} {}={value}", entry.key.text);
            let pair = (entry.key.text.clone(), quoted(value));
            push(&entry.value, of(vec![pair]), shown);
        }
    }
    for (name, of, keyword) in [
        ("workdir", Instruction::Workdir as fn(_) -> _, "WORKDIR"),
        ("user", Instruction::User as fn(_) -> _, "USER"),
    ] {
        if let Some(node) = root.get(name)
            && let Some(value) = node.as_str()
        {
            push(node, of(quoted(value)), format!("{keyword} {value}"));
        }
    }
    for (name, of, keyword) in [
        (
            "entrypoint",
            Instruction::Entrypoint as fn(_) -> _,
            "ENTRYPOINT",
        ),
        ("cmd", Instruction::Cmd as fn(_) -> _, "CMD"),
    ] {
        let node = root.get(name);
        if let Some(words) = node.and_then(Node::as_sequence) {
            let words: Vec<String> = words
                .iter()
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect();
            let shown = format!("{keyword} {words:?}");
            push(node.unwrap_or(&root), of(Command::Exec(words)), shown);
        }
    }
    let packages = root.get("packages").and_then(Node::as_sequence);
    let packages = packages
        .unwrap_or_default()
        .iter()
        .filter_map(|node| Some((node.as_str()?.to_owned(), node.span)));
    let tests = root.get("tests").and_then(Node::as_sequence);
    let tests = tests.unwrap_or_default().iter();
    Declared {
        tests: tests
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect(),
        packages: packages.collect(),
        epilogue: Epilogue { steps },
        slim: slim_settings::slim(&root),
        limits: slim_settings::limits(&root),
    }
}

/// A value in quotes, in which variables are filled in and nothing else means anything.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
