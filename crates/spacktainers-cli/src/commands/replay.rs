//! `replay`: what a failed build left, shown or run again.

use std::process::Command;

use spacktainers::farm::Capsule;

use crate::args::ReplayArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

/// What is opened in a sandbox.
const SHELL: &str = "/bin/bash";

/// Lines of the log that are shown.
const SHOWN_LINES: usize = 40;

pub(super) fn run(args: &ReplayArgs, context: &Context) -> Result<Exit, Failure> {
    let capsule = Capsule::open(&args.capsule).map_err(|error| Failure::new(Exit::Usage, error))?;
    if args.shell && !capsule.summary.is_sandboxed {
        let why =
            anyhow::anyhow!("it was built on this machine as it is: there is no sandbox to open");
        return Err(Failure::new(Exit::Usage, why).hint("build it again with --run"));
    }
    if args.run || args.shell {
        return again(&capsule, args.shell.then_some(SHELL));
    }
    let log = capsule
        .log()
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let script = capsule.script();
    if context.json {
        let document = serde_json::json!({
            "event": "result",
            "capsule": capsule.summary,
            "log": log,
            "script": script.display().to_string(),
        });
        printer::out(&document.to_string());
        return Ok(Exit::Done);
    }
    let summary = &capsule.summary;
    printer::out(&format!("{} /{}", summary.package, summary.hash));
    printer::out(&format!("for {}", summary.container));
    if let Some(commit) = &summary.spack {
        printer::out(&format!("by Spack {commit}"));
    }
    printer::out(&format!("\n{}", summary.message));
    if let Some(first) = &summary.first_error {
        printer::out(&format!("\nline {} of the log: {}", first.line, first.text));
    }
    let lines: Vec<&str> = log.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..);
    for line in shown.unwrap_or_default() {
        printer::out(&format!("  {line}"));
    }
    printer::out(&format!("\nto repeat it: sh {}", script.display()));
    if summary.is_sandboxed {
        printer::out(&format!(
            "to look around where it was built: sh {} {SHELL}",
            script.display()
        ));
    }
    Ok(Exit::Done)
}

/// Runs the build once more, in the open, or `program` where it was built.
fn again(capsule: &Capsule, program: Option<&str>) -> Result<Exit, Failure> {
    let mut command = Command::new("/bin/sh");
    command.arg(capsule.script()).args(program);
    let status = command.status();
    match status {
        Ok(status) if status.success() => Ok(Exit::Done),
        Ok(_) => Ok(Exit::Missing),
        Err(error) => Err(Failure::new(Exit::Fault, error)),
    }
}
