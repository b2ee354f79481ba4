//! GitLab CI: a committed `.gitlab-ci.yml` that never changes by itself, and child pipelines that each run makes.
//!
//! ```text
//! .gitlab-ci.yml      plan ──► .spacktainers/amd64.yml, .spacktainers/arm64.yml (an artifact)
//!                       └──► trigger amd64 ──► child: p1 p2 … publish-…       one level below, of two that there may be
//!                       └──► trigger arm64 ──► child
//! ```
//!
//! Sources: GitLab's documentation, "CI/CD YAML syntax reference", "Downstream pipelines", "Instance limits", and its
//! published JSON schema.

use super::system::{GITLAB_ARTIFACT, GITLAB_NAME, Pipeline, Publishing, System};
use super::work::Work;
use super::yaml::{Map, Yaml};
use super::{
    CACHE_FOLDER, CAPSULES, EVERY_BRANCH, PLAN_FOLDER, RECORDS, TooBig, environments, head,
};
use crate::base::BaseArchitecture;
use crate::project::Settings;

/// The committed file.
pub const FILE: &str = ".gitlab-ci.yml";

/// Where a run's pipeline for an architecture lies, below the project's folder.
#[must_use]
pub fn child_file(architecture: BaseArchitecture) -> String {
    format!("{PLAN_FOLDER}/{architecture}.yml")
}

/// The text of the committed file for a project with containers of these architectures.
#[must_use]
pub fn committed(settings: &Settings, architectures: &[BaseArchitecture]) -> String {
    let environments = environments(settings);
    let mut file = Map::new()
        .with("workflow", workflow(&environments))
        .comment("When there is something to do, and where it is published.")
        .with("stages", vec!["plan".to_owned(), "build".to_owned()])
        .with("variables", manual(&environments));
    file.put(
        "plan",
        plan(settings, architectures, !environments.is_empty()),
    );
    for architecture in architectures {
        let include = Map::new()
            .with("artifact", child_file(*architecture))
            .with("job", "plan");
        let trigger = Map::new()
            .with("include", vec![Yaml::from(include)])
            .with("strategy", "depend");
        let job = Map::new()
            .with("stage", "build")
            .with("needs", vec!["plan".to_owned()])
            .with("trigger", trigger);
        file.put(architecture.as_str(), job);
    }
    file.file(&head(System::Gitlab))
}

fn workflow(environments: &[super::Environment]) -> Map {
    let mut rules: Vec<Yaml> = Vec::new();
    let mut rule = |condition: String, variables: Map| {
        let mut rule = Map::new().with("if", condition);
        if !variables.is_empty() {
            rule.put("variables", variables);
        }
        rules.push(rule.into());
    };
    let to = |name: &str| Map::new().with("SPACKTAINERS_ENVIRONMENT", name);
    // A run that somebody starts by hand chooses by itself.
    rule("$CI_PIPELINE_SOURCE == \"web\"".to_owned(), Map::new());
    for environment in environments {
        for branch in &environment.branches {
            let branch = match branch.as_deref() {
                Some(EVERY_BRANCH) => String::new(),
                Some(branch) => format!(" == \"{branch}\""),
                None => " == $CI_DEFAULT_BRANCH".to_owned(),
            };
            let condition = format!("$CI_PIPELINE_SOURCE == \"push\" && $CI_COMMIT_BRANCH{branch}");
            rule(condition, to(&environment.publish));
        }
        if environment.pull_requests {
            for (label, options) in [("build-with-base", " --update-base"), ("build", "")] {
                let condition = format!(
                    "$CI_PIPELINE_SOURCE == \"merge_request_event\" && $CI_MERGE_REQUEST_LABELS =~ /(^|,){label}(,|$)/"
                );
                let options = format!("--affected-by $CI_MERGE_REQUEST_DIFF_BASE_SHA{options}");
                rule(
                    condition,
                    to(&environment.publish).with("SPACKTAINERS_OPTIONS", options),
                );
            }
        }
    }
    if environments.is_empty() {
        rule(
            "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH".to_owned(),
            Map::new(),
        );
        rule(
            "$CI_PIPELINE_SOURCE == \"merge_request_event\"".to_owned(),
            Map::new(),
        );
    }
    Map::new().with("rules", rules)
}

/// What a person may fill in who starts a run.
fn manual(environments: &[super::Environment]) -> Map {
    let mut variables = Map::new().with(
        "SPACKTAINERS_CONTAINERS",
        Map::new().with("value", "").with(
            "description",
            "Containers to look at, separated by blanks. None: all.",
        ),
    );
    if let Some(first) = environments.first() {
        let names: Vec<String> = environments.iter().map(|it| it.publish.clone()).collect();
        let mut variable = Map::new()
            .with("value", &*first.publish)
            .with("description", "Where to publish.");
        variable.put("options", names);
        variables.put("SPACKTAINERS_ENVIRONMENT", variable);
    }
    variables.with(
        "SPACKTAINERS_OPTIONS",
        Map::new().with("value", "").with(
            "description",
            "More options of `spacktainers ci generate`, such as --update-base.",
        ),
    )
}

fn plan(settings: &Settings, architectures: &[BaseArchitecture], publishes: bool) -> Map {
    let architecture = architectures
        .first()
        .copied()
        .unwrap_or(BaseArchitecture::Amd64);
    let mut generate = "spacktainers ci generate --for gitlab --dynamic".to_owned();
    if publishes {
        generate.push_str(" --environment \"$SPACKTAINERS_ENVIRONMENT\"");
    }
    generate.push_str(" $SPACKTAINERS_OPTIONS $SPACKTAINERS_CONTAINERS");
    let job = machine(settings, architecture, Size::Small).with("stage", "plan");
    let mut job = job.with(
        "script",
        vec![
            Yaml::from("spacktainers ci generate --for gitlab --check"),
            Yaml::from(generate),
        ],
    );
    let artifacts = Map::new()
        .with("paths", vec![format!("{PLAN_FOLDER}/")])
        .with("expire_in", "1 week");
    job.put("artifacts", artifacts);
    if publishes {
        job.put("environment", environment("$SPACKTAINERS_ENVIRONMENT"));
    }
    job
}

/// The job sees the secrets of the environment; it is no deployment of it.
fn environment(name: &str) -> Map {
    Map::new().with("name", name).with("action", "access")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

/// What a job runs on and with.
fn machine(settings: &Settings, architecture: BaseArchitecture, size: Size) -> Map {
    let ci = &settings.ci;
    let here = ci.architecture(architecture);
    let mut machine = Map::new();
    if let Some(image) = here.image.as_ref().or(ci.image.as_ref()) {
        // The image's own entrypoint may be the program.
        let image = Map::new()
            .with("name", &**image)
            .with("entrypoint", vec![String::new()]);
        machine.put("image", image);
    }
    let tags = match size {
        Size::Small if !here.small_runner.is_empty() => here.small_runner.clone(),
        _ => here.runner.clone(),
    };
    if !tags.is_empty() {
        machine.put("tags", tags);
    }
    machine.put("timeout", format!("{}m", ci.timeout_minutes));
    let mut variables = Map::new();
    for (name, value) in ci.variables.iter().chain(&here.variables) {
        variables.put(&**name, &**value);
    }
    for secret in &ci.secrets {
        // A variable of the same name is in every job anyway, masked.
        if let Some((name, from)) = secret.split_once('=') {
            variables.put(name, format!("${from}"));
        }
    }
    if size == Size::Small {
        variables.put("GIT_DEPTH", "0");
    }
    // What was fetched and scanned once is there for the next job.
    variables.put(
        "SPACKTAINERS_CACHE",
        format!("$CI_PROJECT_DIR/{CACHE_FOLDER}"),
    );
    machine.put("variables", variables);
    let cache = Map::new()
        .with("key", format!("spacktainers-{architecture}"))
        .with("paths", vec![RECORDS.to_owned()]);
    machine.with("cache", cache)
}

/// The pipeline of one run for one architecture.
///
/// # Errors
/// When it is larger than GitLab takes.
pub fn child(
    settings: &Settings,
    architecture: BaseArchitecture,
    work: &Work,
    pipeline: &Pipeline,
    publishing: &Publishing<'_>,
) -> Result<String, TooBig> {
    let mut file = Map::new().with(
        "stages",
        vec!["packages".to_owned(), "containers".to_owned()],
    );
    file.put(".machine", machine(settings, architecture, Size::Large));
    let artifacts = Map::new()
        .with("when", "on_failure")
        .with("paths", vec![CAPSULES.to_owned()])
        .with("expire_in", "1 week");
    let builds = Map::new()
        .with("extends", ".machine")
        .with("artifacts", artifacts);
    file = file.with(".builds", builds).comment(
        "What a failed build leaves can be downloaded, and looked at with `spacktainers replay`.",
    );
    let mut count = 0;
    for job in pipeline
        .jobs
        .iter()
        .filter(|it| it.architecture == architecture)
    {
        count += 1;
        let needs: Vec<String> = job
            .after
            .iter()
            .filter_map(|it| pipeline.jobs.get(*it))
            .map(|it| name(&it.id))
            .collect();
        let stage = if job.containers.is_empty() {
            "packages"
        } else {
            "containers"
        };
        let script = job.commands(work, publishing);
        let extends = if job.packages.is_empty() {
            ".machine"
        } else {
            ".builds"
        };
        let mut text = Map::new()
            .with("extends", extends)
            .with("stage", stage)
            .with("needs", needs)
            .with(
                "script",
                script.into_iter().map(Yaml::from).collect::<Vec<_>>(),
            );
        if let (false, Some(name)) = (job.containers.is_empty(), publishing.environment) {
            let shown = settings
                .ci
                .environments
                .get(name)
                .and_then(|it| it.name.as_deref());
            text.put("environment", environment(shown.unwrap_or(name)));
            // Two runs never publish the same container at once.
            text.put("resource_group", format!("{}-{name}", job.id));
        }
        file.put(name(&job.id), text);
        file = file.comment(&job.title);
    }
    if count == 0 {
        // A pipeline without jobs is refused.
        let job = Map::new()
            .with("extends", ".machine")
            .with("stage", "containers")
            .with("script", vec![Yaml::from("spacktainers --version")]);
        file.put("nothing to do", job);
    }
    let text = file.file(&format!(
        "What one run does on {architecture}, made by `spacktainers ci generate --for gitlab --dynamic`."
    ));
    match text.len() {
        size if size > GITLAB_ARTIFACT => Err(TooBig {
            what: child_file(architecture),
            size,
            limit: GITLAB_ARTIFACT,
        }),
        _ => Ok(text),
    }
}

/// Names may be 255 characters long; none of ours is a keyword of GitLab, as all have a `-` or a number.
fn name(id: &str) -> String {
    id.chars().take(GITLAB_NAME).collect()
}
