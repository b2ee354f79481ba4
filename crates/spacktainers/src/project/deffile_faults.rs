//! What a definition file says that matters when a project is read, and what is wrong with it.

use sif_format::deffile::{self, BuildArguments, Deffile, Severity};
use spack_format::yaml::{SourceId, Span};

use super::DeffileDefinition;
use crate::diagnostic::Diagnostic;

/// Reads the text of a `.def` file.
pub(super) fn read(text: &str, source: SourceId) -> (DeffileDefinition, Vec<Diagnostic>) {
    let resolution = Deffile::parse(text).resolve(&BuildArguments::new());
    let version = resolution
        .plan
        .as_ref()
        .and_then(|plan| plan.version())
        .map(str::to_owned);
    let faults = resolution
        .faults
        .iter()
        .map(|fault| diagnostic(fault, source))
        .collect();
    (DeffileDefinition { version }, faults)
}

/// A fault of a definition file as all others are told.
#[must_use]
pub fn diagnostic(fault: &deffile::Fault, source: SourceId) -> Diagnostic {
    let told = Diagnostic::error(
        Span::from_range(source, fault.span.range()),
        fault.error.to_string(),
    )
    .label(fault.error.label());
    let told = match fault.error.hint() {
        Some(hint) => told.hint(hint),
        None => told,
    };
    match fault.severity() {
        Severity::Error => told,
        Severity::Warning => told.as_warning(),
    }
}
