//! What Apptainer's own parser makes of definition files, and what ours does.
//!
//! `deffile/apptainer-1.4.5.json` was made by running the parser and the template reader of Apptainer 1.4.5 over
//! `deffile/cases/*.def`, with the build arguments of the `.args` file beside each.

use std::path::Path;

use serde_json::{Map, Value, json};
use sif_format::deffile::{
    App, BuildArguments, BuildPlan, Deffile, FilesFrom, Script, SectionKind, Stage,
};

const ANSWERS: &str = include_str!("deffile/apptainer-1.4.5.json");

#[test]
fn plans_are_what_apptainer_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deffile/cases");
    let answers: Map<String, Value> = serde_json::from_str(ANSWERS).expect("valid");
    assert!(answers.len() >= 15, "{} answers", answers.len());
    for (name, answer) in &answers {
        let text = std::fs::read_to_string(folder.join(name)).expect("a case");
        let mut arguments = BuildArguments::new();
        if let Ok(lines) = std::fs::read_to_string(folder.join(format!("{name}.args"))) {
            assert_eq!(arguments.insert_lines(&lines), Vec::<&str>::new());
        }
        let resolution = Deffile::parse(&text).resolve(&arguments);
        match (&resolution.plan, answer.get("error")) {
            (Some(plan), None) => assert_eq!(&describe(plan), answer, "{name}"),
            (None, Some(_)) => assert!(resolution.faults.iter().any(|fault| fault.is_error())),
            (None, None) => panic!("{name} is refused: {:#?}", resolution.faults),
            (Some(_), Some(error)) => panic!("{name} is accepted; Apptainer says {error}"),
        }
    }
}

/// A plan in the form of the answers.
fn describe(plan: &BuildPlan) -> Value {
    let stages: Vec<Value> = plan
        .stages
        .iter()
        .map(|stage| describe_stage(stage, plan))
        .collect();
    json!({ "definition": plan.definition(), "stages": stages })
}

fn describe_stage(stage: &Stage, plan: &BuildPlan) -> Value {
    let scripts: Map<String, Value> = [
        ("help", &stage.help),
        ("environment", &stage.environment),
        ("runscript", &stage.runscript),
        ("test", &stage.test),
        ("startscript", &stage.startscript),
        ("pre", &stage.pre),
        ("setup", &stage.setup),
        ("post", &stage.post),
    ]
    .into_iter()
    .filter(|(_, script)| **script != Script::default())
    .map(|(name, script)| (name.to_owned(), json!([script.arguments, script.text])))
    .collect();
    let files: Vec<Value> = stage
        .files
        .iter()
        .map(|files| {
            let from = match files.from {
                FilesFrom::Host => None,
                FilesFrom::Stage(place) => plan.stages[place].name.clone(),
            };
            let transfers: Vec<Value> = files
                .transfers
                .iter()
                .map(|file| json!([file.source, file.destination.as_deref().unwrap_or_default()]))
                .collect();
            json!([from, transfers])
        })
        .collect();
    let apps: Vec<&str> = stage.apps.iter().map(|app| app.name.as_str()).collect();
    let app_scripts: Map<String, Value> = stage.apps.iter().flat_map(describe_app).collect();
    json!({
        "header": stage.header,
        "scripts": scripts,
        "files": files,
        "labels": stage.labels,
        "apps": apps,
        "app_scripts": app_scripts,
    })
}

fn describe_app(app: &App) -> Vec<(String, Value)> {
    [
        (SectionKind::AppInstall, &app.install),
        (SectionKind::AppRun, &app.run),
        (SectionKind::AppStart, &app.start),
        (SectionKind::AppTest, &app.test),
        (SectionKind::AppHelp, &app.help),
        (SectionKind::AppEnv, &app.environment),
    ]
    .into_iter()
    .filter(|(_, script)| !script.is_empty())
    .map(|(kind, script)| {
        (
            format!("{} {}", kind.name(), app.name),
            script.text.clone().into(),
        )
    })
    .collect()
}
