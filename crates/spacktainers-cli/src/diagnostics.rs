//! Faults in files, shown with the place: for people with a caret under it, for programs as JSON.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};
use spack_format::yaml::shape::Severity;
use spacktainers::diagnostic::{Diagnostic, Sources};

/// A fault as people read it.
pub(crate) fn render(fault: &Diagnostic, sources: &Sources, colours: bool) -> String {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(fault.message.as_str());
    let placed = fault
        .place
        .and_then(|place| Some((sources.get(place.source)?, sources.range(place)?)));
    let path = placed
        .as_ref()
        .map(|(file, _)| file.path.display().to_string());
    let group = match &placed {
        Some((file, range)) => {
            let mark = AnnotationKind::Primary.span(visible(&file.text, range.clone()));
            let mark = if fault.label.is_empty() {
                mark
            } else {
                mark.label(fault.label.as_str())
            };
            let snippet = Snippet::source(file.text.as_str()).annotation(mark);
            title.element(match &path {
                Some(path) => snippet.path(path.as_str()),
                None => snippet,
            })
        }
        None => Group::with_title(title),
    };
    let mut report = vec![group];
    if let Some(hint) = &fault.hint {
        report.push(Group::with_title(
            Level::HELP.secondary_title(hint.as_str()),
        ));
    }
    let renderer = if colours {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.render(&report)
}

/// Something to put a caret under, and no more than the first line: a fault about a whole section need not show it all.
fn visible(text: &str, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let end = text[range.clone()]
        .find('\n')
        .map_or(range.end, |newline| range.start + newline);
    if end > range.start {
        return range.start..end;
    }
    let next = text[range.start..].chars().next().filter(|c| *c != '\n');
    range.start..range.start + next.map_or(0, char::len_utf8)
}

/// A fault as programs read it. Lines and columns are counted from 1, columns in characters.
pub(crate) fn to_json(fault: &Diagnostic, sources: &Sources) -> Value {
    let at = fault.place.and_then(|place| sources.locate(place));
    json!({
        "severity": match fault.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": fault.message,
        "file": at.map(|at| at.path.display().to_string()),
        "line": at.map(|at| at.line),
        "column": at.map(|at| at.column),
        "label": (!fault.label.is_empty()).then_some(&fault.label),
        "hint": fault.hint,
    })
}
