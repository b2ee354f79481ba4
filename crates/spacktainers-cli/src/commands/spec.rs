//! `spec replay`: our reading of specs against what real Spack said of them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spack_format::lockfile::SpackLockfile;
use spack_format::spec::replay::{Difference, Replay};

use crate::args::SpecCommand;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) fn run(command: &SpecCommand, context: &Context) -> Result<Exit, Failure> {
    match command {
        SpecCommand::Replay { locks, files } => replay(locks, files, context),
    }
}

fn replay(locks: &Path, files: &[PathBuf], context: &Context) -> Result<Exit, Failure> {
    let (mut agree, mut total) = (0, 0);
    let mut differences = Vec::new();
    let mut known = HashMap::new();
    for file in files {
        let text = read(file)?;
        for name in lock_names(&text) {
            if let Entry::Vacant(place) = known.entry(name) {
                let path = locks.join(place.key()).join("spack.lock");
                let lock = SpackLockfile::parse(&read(&path)?).map_err(|error| {
                    let why = anyhow::Error::new(error).context(path.display().to_string());
                    Failure::new(Exit::Usage, why)
                })?;
                place.insert(lock.specs);
            }
        }
        let (abstracts, concretes) = split(&text);
        let mut replay = Replay::new();
        replay
            .abstract_rows(&abstracts)
            .and_then(|()| replay.concrete_rows(&concretes, &known))
            .map_err(|error| {
                let why = anyhow::Error::new(error).context(file.display().to_string());
                Failure::new(Exit::Usage, why).hint(
                    "rows are JSON objects, one a line: of abstract specs with `kind`, of concrete ones with `lock`, `hash` and `constraint`",
                )
            })?;
        let sum = replay.total();
        (agree, total) = (agree + sum.agree, total + sum.total);
        replay.differences.sort_by_key(|it| it.line);
        for it in &replay.differences {
            if !context.json {
                printer::out(&line(file, it));
            }
            differences.push(document(file, it));
        }
    }
    if context.json {
        let document = json!({"agree": agree, "total": total, "differences": differences});
        printer::out(&document.to_string());
    } else {
        printer::out(&format!("{agree} of {total} answers are Spack's"));
    }
    Ok(Exit::Done)
}

fn line(file: &Path, it: &Difference) -> String {
    format!(
        "{}:{}: {}: {}\n  Spack: {}\n  here:  {}",
        file.display(),
        it.line,
        it.kind,
        it.question,
        it.expected,
        it.found
    )
}

fn document(file: &Path, it: &Difference) -> Value {
    json!({
        "file": file.display().to_string(),
        "line": it.line,
        "kind": it.kind,
        "question": it.question,
        "expected": it.expected,
        "found": it.found,
    })
}

fn is_concrete(row: &str) -> Option<String> {
    let row: Value = serde_json::from_str(row).ok()?;
    row.get("lock")?.as_str().map(str::to_owned)
}

fn lock_names(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(is_concrete).collect()
}

/// Rows about abstract specs, and those about concrete ones; each on the line where it was.
fn split(text: &str) -> (String, String) {
    let (mut abstracts, mut concretes) = (String::new(), String::new());
    for row in text.lines() {
        match is_concrete(row) {
            Some(_) => concretes.push_str(row),
            None => abstracts.push_str(row),
        }
        abstracts.push('\n');
        concretes.push('\n');
    }
    (abstracts, concretes)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        let why = anyhow::Error::new(error).context(format!("cannot read `{}`", path.display()));
        Failure::new(Exit::Usage, why)
    })
}
