//! A small interpreter of GitHub workflows: events, called workflows, `needs`, `if`, matrices, outputs, and `run` steps.
//!
//! Enough to run what we generate, by the rules of GitHub's documentation: a job runs if all that it needs has succeeded,
//! unless its `if` has a status function; one that is skipped is neither a failure nor a success; the legs of a matrix
//! run one after the other here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Command;

use serde_json::{Map, Value, json};
use spack_format::yaml::{Node, ScalarKind, Value as Yaml, parse_strict};

use super::super::support::Stage;
use expression::{evaluate, fill};

#[path = "expression.rs"]
mod expression;

/// What starts a workflow.
pub(super) struct Event {
    name: &'static str,
    github: Value,
    inputs: Value,
}

impl Event {
    pub(super) fn push(branch: &str) -> Self {
        Self {
            name: "push",
            github: json!({"event_name": "push", "ref_name": branch, "event": {}}),
            inputs: json!({}),
        }
    }

    pub(super) fn pull_request(labels: &[&str]) -> Self {
        let labels: Vec<Value> = labels.iter().map(|it| json!({"name": it})).collect();
        let event = json!({"pull_request": {"labels": labels, "base": {"sha": "HEAD"}}});
        Self {
            name: "pull_request",
            github: json!({"event_name": "pull_request", "ref_name": "1/merge", "event": event}),
            inputs: json!({}),
        }
    }

    pub(super) fn dispatch(inputs: Value) -> Self {
        Self {
            name: "workflow_dispatch",
            github: json!({"event_name": "workflow_dispatch", "ref_name": "main", "event": {}}),
            inputs,
        }
    }
}

/// What became of each job: `job`, or `caller/job`.
#[derive(Debug, Default)]
pub(super) struct Report {
    results: BTreeMap<String, String>,
}

impl Report {
    #[track_caller]
    pub(super) fn of(&self, job: &str) -> &str {
        let result = self.results.get(job);
        result.unwrap_or_else(|| panic!("no job {job} in {:?}", self.results))
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.results
            .iter()
            .map(|(name, result)| (&**name, &**result))
    }
}

/// Runs a workflow of the project.
pub(super) fn run(stage: &Stage, workflow: &str, event: &Event) -> Report {
    let mut report = Report::default();
    let root = load(stage, &format!(".github/workflows/{workflow}"));
    let on = root.get("on").and_then(|it| it.get(event.name));
    let Some(on) = on else {
        return report;
    };
    let branches = on.get("branches").and_then(Value::as_array);
    let wanted = branches.is_none_or(|all| all.contains(&event.github["ref_name"]));
    if !wanted {
        let jobs = root["jobs"].as_object().expect("jobs");
        report
            .results
            .extend(jobs.keys().map(|it| (it.clone(), "skipped".to_owned())));
        return report;
    }
    let mut contexts = Map::new();
    contexts.insert("github".to_owned(), event.github.clone());
    contexts.insert("inputs".to_owned(), event.inputs.clone());
    contexts.insert(
        "secrets".to_owned(),
        json!({"GHCR_TOKEN": "canary-1", "ECR_KEY": "canary-2"}),
    );
    jobs(stage, &root, &contexts, "", &mut report);
    report
}

fn load(stage: &Stage, path: &str) -> Value {
    plain(&parse_strict(&stage.read(path)).expect("YAML"))
}

fn plain(node: &Node) -> Value {
    match &node.value {
        Yaml::Scalar(scalar) => match scalar.kind {
            ScalarKind::Null => Value::Null,
            ScalarKind::Boolean(value) => json!(value),
            ScalarKind::Integer(value) => json!(value),
            _ => json!(scalar.text),
        },
        Yaml::Sequence(items) => items.iter().map(plain).collect(),
        Yaml::Mapping(map) => map
            .iter()
            .map(|it| (it.key.text.clone(), plain(&it.value)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

/// Runs the jobs of one workflow file; says whether any failed.
fn jobs(
    stage: &Stage,
    root: &Value,
    contexts: &Map<String, Value>,
    caller: &str,
    report: &mut Report,
) -> bool {
    let jobs = root["jobs"].as_object().expect("jobs");
    let mut needs: Map<String, Value> = Map::new();
    let mut open: Vec<&String> = jobs.keys().collect();
    let mut has_failed = false;
    while !open.is_empty() {
        let is_ready = |name: &&String| {
            let before = jobs[*name].get("needs").and_then(Value::as_array);
            before.is_none_or(|all| {
                all.iter()
                    .all(|it| needs.contains_key(it.as_str().expect("a name")))
            })
        };
        let place = open
            .iter()
            .position(is_ready)
            .expect("jobs wait for each other in a circle");
        let name = open.remove(place);
        let job = &jobs[name];
        let before = job
            .get("needs")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let mine = before
            .iter()
            .filter_map(Value::as_str)
            .map(|it| (it.to_owned(), needs[it].clone()));
        let mut contexts = contexts.clone();
        contexts.insert("needs".to_owned(), Value::Object(mine.collect()));
        let title = format!("{caller}{name}");
        let (result, outputs) = match starts(job, &contexts) {
            true => one(stage, root, job, &contexts, &title, report),
            false => ("skipped", json!({})),
        };
        has_failed |= result == "failure";
        report.results.insert(title, result.to_owned());
        needs.insert(name.clone(), json!({"result": result, "outputs": outputs}));
    }
    has_failed
}

/// Whether a job starts.
fn starts(job: &Value, contexts: &Map<String, Value>) -> bool {
    let results = contexts["needs"]
        .as_object()
        .expect("needs")
        .values()
        .map(|it| &it["result"]);
    let all_well = results.into_iter().all(|it| it == "success");
    let Some(condition) = job.get("if").and_then(Value::as_str) else {
        return all_well;
    };
    let has_status = ["always()", "cancelled()", "failure()", "success()"]
        .iter()
        .any(|it| condition.contains(it));
    (has_status || all_well) && expression::is_true(&evaluate(condition, contexts))
}

fn one(
    stage: &Stage,
    root: &Value,
    job: &Value,
    contexts: &Map<String, Value>,
    title: &str,
    report: &mut Report,
) -> (&'static str, Value) {
    if let Some(path) = job.get("uses").and_then(Value::as_str) {
        let called = load(stage, path.trim_start_matches("./"));
        let declared = called["on"]["workflow_call"]["inputs"]
            .as_object()
            .expect("inputs");
        let mut inputs: Map<String, Value> = declared
            .iter()
            .map(|(name, it)| (name.clone(), it["default"].clone()))
            .collect();
        for (name, value) in job["with"].as_object().expect("inputs") {
            assert!(declared.contains_key(name), "there is no input {name}");
            let value = value
                .as_str()
                .map_or_else(|| value.clone(), |text| evaluate(text, contexts));
            inputs.insert(name.clone(), value);
        }
        let mut contexts = contexts.clone();
        contexts.insert("inputs".to_owned(), inputs.into());
        let has_failed = jobs(stage, &called, &contexts, &format!("{title}/"), report);
        return (if has_failed { "failure" } else { "success" }, json!({}));
    }
    let Some(strategy) = job.get("strategy") else {
        return steps(stage, root, job, contexts, title);
    };
    let legs = evaluate(
        strategy["matrix"]["include"].as_str().expect("legs"),
        contexts,
    );
    let legs = legs.as_array().expect("legs");
    assert!(
        !legs.is_empty() && legs.len() <= 256,
        "a matrix has 1 to 256 legs"
    );
    let mut result = "success";
    for leg in legs {
        let mut contexts = contexts.clone();
        contexts.insert("matrix".to_owned(), leg.clone());
        if steps(stage, root, job, &contexts, title).0 == "failure" {
            result = "failure";
        }
    }
    (result, json!({}))
}

/// The `run` steps of a job, in the shell that GitHub takes; one that fails ends it.
fn steps(
    stage: &Stage,
    root: &Value,
    job: &Value,
    contexts: &Map<String, Value>,
    title: &str,
) -> (&'static str, Value) {
    let mut contexts = contexts.clone();
    contexts.insert("steps".to_owned(), json!({}));
    let mut env = variables(root.get("env"), &contexts);
    env.extend(variables(job.get("env"), &contexts));
    for step in job["steps"].as_array().expect("steps") {
        let Some(command) = step.get("run").and_then(Value::as_str) else {
            continue;
        };
        let output = stage.path("local/github-output");
        fs::create_dir_all(stage.path("local")).expect("a folder");
        fs::write(&output, "").expect("a file");
        let function = format!(
            "spacktainers() {{ if [ \"$1\" = publish ]; then set -- \"$@\" --allow-missing-libraries; fi; command '{}' \"$@\"; }}\n",
            env!("CARGO_BIN_EXE_spacktainers")
        );
        let ran = Command::new("bash")
            .args([
                "-e",
                "-c",
                &format!("{function}{}", fill(command, &contexts)),
            ])
            .current_dir(stage.path(""))
            .env("SPACKTAINERS_CACHE", stage.path("local"))
            .env("GITHUB_OUTPUT", &output)
            .envs(&env)
            .envs(variables(step.get("env"), &contexts))
            .output()
            .expect("bash runs");
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(
            !told.contains("canary"),
            "a secret is in the log of {title}"
        );
        if !ran.status.success() {
            let _ = writeln!(std::io::stderr(), "{title}: {command}\n{told}");
            return ("failure", json!({}));
        }
        if let Some(id) = step.get("id").and_then(Value::as_str) {
            let text = fs::read_to_string(&output).expect("outputs");
            let lines = text
                .lines()
                .map(|it| it.split_once('=').expect("name=value"));
            let outputs: Map<String, Value> = lines
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .collect();
            contexts["steps"][id] = json!({"outputs": outputs});
        }
    }
    let outputs = variables(job.get("outputs"), &contexts);
    ("success", json!(outputs))
}

fn variables(values: Option<&Value>, contexts: &Map<String, Value>) -> BTreeMap<String, String> {
    let values = values.and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), |it| fill(it, contexts))
    };
    values
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}
