//! `check`: every fault in every file at once.

use serde_json::json;

use super::{architecture, project, show_diagnostics};
use crate::args::NamesArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::{diagnostics, printer};

pub(super) fn run(args: &NamesArgs, context: &Context) -> Result<Exit, Failure> {
    let project = project(context)?;
    let selected = project
        .select(&args.names, architecture(context)?)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let errors = project
        .diagnostics
        .iter()
        .filter(|fault| fault.is_error())
        .count();
    let warnings = project.diagnostics.len() - errors;
    show_diagnostics(&project, context);
    if context.json {
        let faults: Vec<_> = project
            .diagnostics
            .iter()
            .map(|fault| diagnostics::to_json(fault, &project.sources))
            .collect();
        let document = json!({
            "event": "result",
            "containers": selected.len(),
            "errors": errors,
            "warnings": warnings,
            "faults": faults,
        });
        printer::out(&document.to_string());
    }
    if context.verbosity > printer::Verbosity::Quiet {
        let count = |number: usize, what: &str| {
            format!("{number} {what}{}", if number == 1 { "" } else { "s" })
        };
        printer::err(&format!(
            "checked {}: {}, {}",
            count(selected.len(), "container"),
            count(errors, "error"),
            count(warnings, "warning")
        ));
    }
    Ok(if errors == 0 { Exit::Done } else { Exit::Usage })
}
