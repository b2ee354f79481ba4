//! The parts of a stage that end up in the container.

use indexmap::IndexMap;
use sif_format::deffile::{self, Stage};
use sif_format::singularity::{AppParts, DefinitionParts, Script};

pub(super) fn of(stage: &Stage, text: &str) -> DefinitionParts {
    DefinitionParts {
        text: text.to_owned(),
        header: stage.header.clone(),
        help: plain(&stage.help),
        environment: plain(&stage.environment),
        runscript: script(&stage.runscript),
        startscript: script(&stage.startscript),
        test: script(&stage.test),
        labels: stage.labels.clone(),
        added_labels: IndexMap::new(),
        apps: stage
            .apps
            .iter()
            .map(|app| (app.name.clone(), self::app(app)))
            .collect::<IndexMap<_, _>>(),
    }
}

fn app(app: &deffile::App) -> AppParts {
    AppParts {
        help: plain(&app.help),
        environment: plain(&app.environment),
        runscript: plain(&app.run),
        startscript: plain(&app.start),
        test: plain(&app.test),
        labels: app.labels.clone(),
    }
}

fn plain(script: &deffile::Script) -> Option<String> {
    (!script.is_empty()).then(|| script.text.clone())
}

fn script(script: &deffile::Script) -> Option<Script> {
    (!script.is_empty()).then(|| Script {
        text: script.text.clone(),
        arguments: Some(script.arguments.clone()).filter(|it| !it.is_empty()),
    })
}
