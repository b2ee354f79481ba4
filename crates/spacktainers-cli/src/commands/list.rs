//! `list`: the containers of the project.

use serde_json::json;
use spacktainers::build::{Container, ContainerError};
use spacktainers::project::{Definition, DefinitionKind, Project};

use super::{affected, architecture, project, show_diagnostics};
use crate::args::ListArgs;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(range) = &args.affected_by {
        return affected::list(range, &args.names, architecture(context)?, context);
    }
    let project = project(context)?;
    let architecture = architecture(context)?;
    let mut rows: Vec<Row> = Vec::new();
    for definition in project
        .select(&args.names, architecture)
        .map_err(|error| Failure::new(Exit::Usage, error))?
    {
        rows.push(row(&project, definition));
    }
    if args.names.is_empty() {
        let off = project.definitions.iter().filter(|it| !it.enabled);
        rows.extend(
            off.filter(|it| architecture.is_none_or(|wanted| it.architecture == wanted))
                .map(switched_off),
        );
    }
    show_diagnostics(&project, context);
    if context.json {
        let containers: Vec<_> = rows
            .iter()
            .map(|row| json!({"name": row.name, "arch": row.arch, "kind": row.kind, "version": row.version, "state": row.state}))
            .collect();
        printer::out(&json!({"event": "result", "containers": containers}).to_string());
    } else {
        table(&rows);
    }
    Ok(if project.has_errors() {
        Exit::Usage
    } else {
        Exit::Done
    })
}

struct Row {
    name: String,
    arch: &'static str,
    kind: &'static str,
    version: Option<String>,
    state: String,
}

fn row(project: &Project, definition: &Definition) -> Row {
    let (kind, version, state) = match &definition.kind {
        DefinitionKind::Deffile(deffile) => {
            ("deffile", deffile.version.clone(), "defined".to_owned())
        }
        DefinitionKind::Spack(_) => {
            let (version, state) = match Container::load(project, definition) {
                Ok(container) => (container.version(), container.lock_state.to_string()),
                Err(ContainerError::NotSolved { .. }) => {
                    (None, "not solved: no spack.lock".to_owned())
                }
                Err(ContainerError::SpackLock { source, .. }) => {
                    (None, format!("spack.lock cannot be used: {source}"))
                }
                Err(error) => (None, error.to_string()),
            };
            ("spack", version, state)
        }
    };
    Row {
        name: definition.name.clone(),
        arch: definition.architecture.as_str(),
        kind,
        version,
        state,
    }
}

fn switched_off(definition: &Definition) -> Row {
    Row {
        name: definition.name.clone(),
        arch: definition.architecture.as_str(),
        kind: match definition.kind {
            DefinitionKind::Spack(_) => "spack",
            DefinitionKind::Deffile(_) => "deffile",
        },
        version: None,
        state: "switched off".to_owned(),
    }
}

fn table(rows: &[Row]) {
    let width = |of: fn(&Row) -> usize, title: &str| {
        rows.iter().map(of).max().unwrap_or(0).max(title.len())
    };
    let name = width(|row| row.name.len(), "NAME");
    let version = width(|row| row.version.as_ref().map_or(1, String::len), "VERSION");
    printer::out(&format!(
        "{:name$}  {:5}  {:7}  {:version$}  STATE",
        "NAME", "ARCH", "KIND", "VERSION"
    ));
    for row in rows {
        let shown = row.version.as_deref().unwrap_or("-");
        printer::out(&format!(
            "{:name$}  {:5}  {:7}  {shown:version$}  {}",
            row.name, row.arch, row.kind, row.state
        ));
    }
}
