//! Generated files: written whole, or compared with what lies there.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use similar::TextDiff;

use crate::commands::lock::write_whole;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

/// Writes files below `folder` that differ from what lies there; says of each what it did.
pub(in crate::commands) fn put(
    folder: &Path,
    files: &[(String, String)],
) -> Result<Vec<Value>, Failure> {
    let mut told = Vec::new();
    for (path, text) in files {
        let file = folder.join(path);
        let is_same = fs::read_to_string(&file).is_ok_and(|before| before == *text);
        if !is_same {
            let parent = file.parent().unwrap_or(folder);
            let written = fs::create_dir_all(parent).and_then(|()| write_whole(&file, text));
            written.map_err(|error| {
                let why =
                    anyhow::Error::new(error).context(format!("cannot write `{}`", file.display()));
                Failure::new(Exit::Fault, why)
            })?;
        }
        let state = if is_same { "unchanged" } else { "written" };
        told.push(json!({"path": path, "state": state}));
    }
    Ok(told)
}

/// The same, telling which.
pub(super) fn write(
    folder: &Path,
    files: &[(String, String)],
    context: &Context,
) -> Result<(), Failure> {
    let told = put(folder, files)?;
    if context.verbosity > Verbosity::Quiet {
        for it in &told {
            let (path, state) = (it["path"].as_str(), it["state"].as_str());
            let path = folder.join(path.unwrap_or_default());
            printer::err(&format!(
                "{}: {}",
                path.display(),
                state.unwrap_or_default()
            ));
        }
    }
    if context.json {
        printer::out(&json!({"event": "result", "files": told}).to_string());
    }
    Ok(())
}

/// Compares files below `folder` with what they should be, and shows every difference.
pub(super) fn check(
    folder: &Path,
    files: &[(String, String)],
    again: &str,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let mut told = Vec::new();
    for (path, text) in files {
        let before = match fs::read_to_string(folder.join(path)) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let why = anyhow::Error::new(error).context(format!("cannot read `{path}`"));
                return Err(Failure::new(Exit::Usage, why));
            }
        };
        let state = match &before {
            Some(before) if before == text => "up to date",
            Some(_) => "out of date",
            None => "missing",
        };
        let mut diff = None;
        if state != "up to date" {
            exit = Exit::Usage;
            let before = before.unwrap_or_default();
            let lines = TextDiff::from_lines(&before, text);
            let unified = lines
                .unified_diff()
                .header(&format!("a/{path}"), &format!("b/{path}"))
                .to_string();
            if !context.json {
                printer::out(unified.trim_end());
            }
            diff = Some(unified);
        }
        if context.verbosity > Verbosity::Quiet || state != "up to date" {
            printer::err(&format!("{path}: {state}"));
        }
        told.push(json!({"path": path, "state": state, "diff": diff}));
    }
    if context.json {
        printer::out(&json!({"event": "result", "files": told}).to_string());
    }
    if exit != Exit::Done {
        printer::err(&format!("  help: run `{again}` and commit what it writes"));
    }
    Ok(exit)
}
