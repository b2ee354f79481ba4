//! GitHub Actions: three workflows that are committed.
//!
//! ```text
//! spacktainers.yml         pushes to branches, pull requests with a label ──┐
//! spacktainers-manual.yml  one container, by hand ──────────────────────────┼─► spacktainers-run.yml
//!                                                                           │    plan ─► outputs: which jobs have work
//!                                                                           └──  p1 p2 … publish-…  (all there may be)
//! ```
//!
//! A workflow cannot make jobs while it runs, except by a matrix, whose legs cannot wait for each other. So the jobs of
//! all packages of all locks are committed, in their order, and a run skips those that have nothing to do. Containers
//! that nobody has solved have no packages to wait for: they are legs of matrices that the plan fills.
//!
//! Sources: GitHub's documentation, "Workflow syntax for GitHub Actions", "Actions limits", "Contexts reference".

use serde_json::json;

use super::system::{
    GITHUB_FILE, GITHUB_MATRIX, GITHUB_OUTPUT, Pipeline, Publishing, System, container_commands,
};
use super::work::Work;
use super::yaml::{Map, Yaml};
use super::{
    CACHE_FOLDER, CAPSULES, EVERY_BRANCH, Environment, RECORDS, TooBig, environments, head,
};
use crate::base::BaseArchitecture;
use crate::project::Settings;

/// Minutes after which GitHub stops a job that says nothing. Source: "Workflow syntax", `timeout-minutes`.
const GITHUB_TIMEOUT: u64 = 360;

/// Where workflows lie.
pub const FOLDER: &str = ".github/workflows";

/// A file to be committed: its path below the project's folder, and its text.
pub type Committed = (String, String);

/// The committed workflows. `all` is everything that could have to be done: no package in a mirror, nothing published.
///
/// # Errors
/// When there is more than a workflow file holds.
pub fn committed(settings: &Settings, all: &Work) -> Result<Vec<Committed>, TooBig> {
    let environments = environments(settings);
    let files = [
        ("spacktainers.yml", events(&environments)),
        ("spacktainers-manual.yml", manual(&environments)),
        (
            "spacktainers-run.yml",
            run(settings, all, !environments.is_empty()),
        ),
    ];
    let mut committed = Vec::new();
    for (name, file) in files {
        let (path, text) = (format!("{FOLDER}/{name}"), file.file(&head(System::Github)));
        if text.len() > GITHUB_FILE {
            return Err(TooBig {
                what: path,
                size: text.len(),
                limit: GITHUB_FILE,
            });
        }
        committed.push((path, text));
    }
    Ok(committed)
}

/// What a run finds out, as lines `name=value` for `$GITHUB_OUTPUT`: which of the committed jobs have something to do,
/// and the legs of the matrices.
///
/// # Errors
/// When it is more than the outputs of a job hold.
pub fn outputs(settings: &Settings, all: &Work, work: &Work) -> Result<String, TooBig> {
    let is_built = |hash| work.packages.iter().any(|it| it.hash == hash);
    let is_published = |it: &super::ContainerWork| {
        work.containers
            .iter()
            .any(|other| other.name == it.name && other.architecture == it.architecture)
    };
    let (explicit, _) = split(all);
    let pipeline = Pipeline::of(&explicit, System::Github, &settings.ci);
    let has_work = pipeline.jobs.iter().filter(|job| {
        let packages = job
            .packages
            .iter()
            .filter_map(|it| explicit.packages.get(*it));
        let containers = job
            .containers
            .iter()
            .filter_map(|it| explicit.containers.get(*it));
        packages.map(|it| it.hash).any(is_built) || containers.into_iter().any(is_published)
    });
    let ids: Vec<&str> = has_work.map(|it| &*it.id).collect();
    let mut text = format!("jobs={}\n", json!(ids));
    for (index, legs) in matrices(all).into_iter().enumerate() {
        let legs = legs.into_iter().filter(|it| is_published(it));
        let legs: Vec<_> = legs
            .map(|it| {
                json!({
                    "name": it.name,
                    "arch": it.architecture.as_str(),
                    "runner": runner(settings, it.architecture),
                    "image": image(settings, it.architecture).unwrap_or_default(),
                })
            })
            .collect();
        text.push_str(&format!("matrix_{}={}\n", index + 1, json!(legs)));
    }
    match text.encode_utf16().count() {
        size if size > GITHUB_OUTPUT => Err(TooBig {
            what: "the outputs of the plan".to_owned(),
            size,
            limit: GITHUB_OUTPUT,
        }),
        _ => Ok(text),
    }
}

/// What has jobs of its own, and the containers that are legs of matrices.
fn split(all: &Work) -> (Work, Vec<&super::ContainerWork>) {
    let (own, legs) = all
        .containers
        .iter()
        .partition::<Vec<_>, _>(|it| it.is_solved);
    let own = Work {
        packages: all.packages.clone(),
        containers: own.into_iter().cloned().collect(),
    };
    (own, legs)
}

fn matrices(all: &Work) -> Vec<Vec<&super::ContainerWork>> {
    let (_, legs) = split(all);
    legs.chunks(GITHUB_MATRIX).map(<[_]>::to_vec).collect()
}

const RUN: &str = "./.github/workflows/spacktainers-run.yml";

fn events(environments: &[Environment]) -> Map {
    let mut branches: Vec<String> = environments
        .iter()
        .flat_map(|it| {
            it.branches
                .iter()
                .map(|it| it.clone().unwrap_or_else(|| "main".to_owned()))
        })
        .collect();
    branches.dedup();
    if environments.is_empty() {
        branches.push("main".to_owned());
    }
    let mut on = Map::new();
    if !branches.is_empty() {
        on.put("push", Map::new().with("branches", branches));
    }
    let pull_requests = environments.is_empty() || environments.iter().any(|it| it.pull_requests);
    if pull_requests {
        let types = ["opened", "reopened", "labeled", "synchronize"];
        let types: Vec<String> = types.iter().map(|it| (*it).to_owned()).collect();
        on.put("pull_request", Map::new().with("types", types));
    }
    let mut jobs = Map::new();
    for it in environments {
        let branches: Vec<&str> = it
            .branches
            .iter()
            .map(|it| it.as_deref().unwrap_or("main"))
            .collect();
        if !branches.is_empty() {
            let among = match branches.contains(&EVERY_BRANCH) {
                true => String::new(),
                false => format!(
                    " && contains(fromJSON('{}'), github.ref_name)",
                    json!(branches)
                ),
            };
            let condition = format!("github.event_name == 'push'{among}");
            jobs.put(
                &*it.publish,
                call(&it.publish, &it.name, condition, Map::new()),
            );
        }
        if it.pull_requests {
            let label =
                |name: &str| format!("contains(github.event.pull_request.labels.*.name, '{name}')");
            let condition = format!(
                "github.event_name == 'pull_request' && ({} || {})",
                label("build"),
                label("build-with-base")
            );
            let with = Map::new()
                .with("affected-by", "${{ github.event.pull_request.base.sha }}")
                .with(
                    "update-base",
                    format!("${{{{ {} }}}}", label("build-with-base")),
                );
            let id = match branches.is_empty() {
                true => it.publish.clone(),
                false => format!("{}-pull-request", it.publish),
            };
            jobs.put(id, call(&it.publish, &it.name, condition, with));
        }
    }
    if environments.is_empty() {
        let with = Map::new().with("affected-by", "${{ github.event.pull_request.base.sha }}");
        jobs.put("build", call("", "", "true".to_owned(), with));
    }
    Map::new()
        .with("name", "Spacktainers")
        .with("on", on)
        .with(
            "permissions",
            Map::new()
                .with("contents", "read")
                .with("packages", "write"),
        )
        .with("concurrency", concurrency())
        .comment("A run that publishes is never cancelled half way; the next one waits.")
        .with("jobs", jobs)
}

fn concurrency() -> Map {
    Map::new()
        .with("group", "${{ github.workflow }}-${{ github.ref }}")
        .with("cancel-in-progress", false)
}

/// A job that runs the workflow of all runs.
fn call(environment: &str, name: &str, condition: String, more: Map) -> Map {
    let mut with = more;
    if !environment.is_empty() {
        with.put("environment", environment);
        with.put("environment-name", name);
    }
    Map::new()
        .with("if", format!("${{{{ {condition} }}}}"))
        .with("uses", RUN)
        .with("secrets", "inherit")
        .with("with", with)
}

fn manual(environments: &[Environment]) -> Map {
    let mut inputs = Map::new().with(
        "containers",
        Map::new()
            .with(
                "description",
                "Containers to look at, separated by blanks. None: all.",
            )
            .with("type", "string")
            .with("default", ""),
    );
    if let Some(first) = environments.first() {
        let names: Vec<String> = environments.iter().map(|it| it.publish.clone()).collect();
        let input = Map::new()
            .with("description", "Where to publish.")
            .with("type", "choice")
            .with("default", &*first.publish)
            .with("options", names);
        inputs.put("environment", input);
    }
    inputs.put(
        "update-base",
        Map::new()
            .with("description", "Take the newest base first.")
            .with("type", "boolean")
            .with("default", false),
    );
    let with = || {
        Map::new()
            .with("containers", "${{ inputs.containers }}")
            .with("update-base", "${{ inputs.update-base }}")
    };
    let mut jobs = Map::new();
    for it in environments {
        let condition = format!("inputs.environment == '{}'", it.publish);
        jobs.put(&*it.publish, call(&it.publish, &it.name, condition, with()));
    }
    if environments.is_empty() {
        jobs.put("build", call("", "", "true".to_owned(), with()));
    }
    let dispatch = Map::new().with("inputs", inputs);
    Map::new()
        .with("name", "Spacktainers by hand")
        .with("on", Map::new().with("workflow_dispatch", dispatch))
        .with(
            "permissions",
            Map::new()
                .with("contents", "read")
                .with("packages", "write"),
        )
        .with("concurrency", concurrency())
        .with("jobs", jobs)
}

fn run(settings: &Settings, all: &Work, publishes: bool) -> Map {
    let text = |default: &str| Map::new().with("type", "string").with("default", default);
    let mut inputs = Map::new();
    for name in [
        "environment",
        "environment-name",
        "containers",
        "affected-by",
    ] {
        inputs.put(name, text(""));
    }
    inputs.put(
        "update-base",
        Map::new().with("type", "boolean").with("default", false),
    );
    let call = Map::new().with("inputs", inputs);
    let (explicit, _) = split(all);
    let pipeline = Pipeline::of(&explicit, System::Github, &settings.ci);
    let matrices = matrices(all).len();
    let mut jobs = Map::new().with("plan", plan(settings, all, matrices, publishes));
    let publishing = Publishing {
        environment: publishes.then_some("\"$ENVIRONMENT\""),
        updates_base: false,
        sandbox: settings.ci.sandbox,
    };
    for job in &pipeline.jobs {
        let needs = job
            .after
            .iter()
            .filter_map(|it| pipeline.jobs.get(*it))
            .map(|it| it.id.clone());
        let needs: Vec<String> = std::iter::once("plan".to_owned()).chain(needs).collect();
        // A job that was skipped had nothing to do: only failures hold others up.
        let condition = format!(
            "${{{{ !cancelled() && !contains(needs.*.result, 'failure') && contains(needs.plan.outputs.jobs, '\"{}\"') }}}}",
            job.id
        );
        let mut commands = job.commands(&explicit, &publishing);
        if !job.containers.is_empty() {
            commands.insert(0, lock(&commands));
        }
        let mut it = Map::new()
            .with("name", &*job.title)
            .with("needs", needs)
            .with("if", condition);
        machine(
            &mut it,
            settings,
            job.architecture,
            publishes && !job.containers.is_empty(),
        );
        let after = match job.containers.is_empty() {
            true => After::KeepsCapsules,
            false => After::Remembers,
        };
        it.put("steps", steps(commands, None, after));
        jobs.put(&*job.id, it);
    }
    for index in 1..=matrices {
        let output = format!("needs.plan.outputs.matrix_{index}");
        let matrix = Map::new().with("include", format!("${{{{ fromJSON({output}) }}}}"));
        let strategy = Map::new().with("fail-fast", false).with("matrix", matrix);
        let mut commands = container_commands("\"$NAME\"", "\"$ARCH\"", false, &publishing);
        commands.insert(0, lock(&commands));
        let mut it = Map::new()
            .with("name", "publish ${{ matrix.name }}")
            .with("needs", vec!["plan".to_owned()])
            .with(
                "if",
                format!(
                    "${{{{ !cancelled() && needs.plan.result == 'success' && {output} != '[]' }}}}"
                ),
            )
            .with("strategy", strategy)
            .comment("A leg that fails stops no other one.")
            .with("runs-on", "${{ matrix.runner }}");
        if image(settings, BaseArchitecture::Amd64).is_some()
            || image(settings, BaseArchitecture::Arm64).is_some()
        {
            it.put("container", "${{ matrix.image }}");
        }
        it.put("timeout-minutes", settings.ci.timeout_minutes);
        if publishes {
            it.put("environment", "${{ inputs.environment-name }}");
        }
        let env = Map::new()
            .with("NAME", "${{ matrix.name }}")
            .with("ARCH", "${{ matrix.arch }}");
        it.put("steps", steps(commands, Some(env), After::Remembers));
        jobs.put(format!("publish_{index}"), it);
    }
    Map::new()
        .with("name", "Spacktainers: one run")
        .with("on", Map::new().with("workflow_call", call))
        .with("env", variables(settings))
        .with("jobs", jobs)
}

/// The command that takes the newest base, where that is asked for; it is about what `commands` are about.
fn lock(commands: &[String]) -> String {
    let names = commands.last().and_then(|it| it.split_once("--arch "));
    let names = names
        .map_or("", |it| it.1)
        .split(' ')
        .filter(|it| !it.starts_with("--"));
    format!(
        "spacktainers lock $UPDATE_BASE --arch {}",
        names.collect::<Vec<_>>().join(" ")
    )
}

fn plan(settings: &Settings, all: &Work, matrices: usize, publishes: bool) -> Map {
    let architecture = all
        .containers
        .first()
        .map_or(BaseArchitecture::Amd64, |it| it.architecture);
    let mut outputs = Map::new().with("jobs", "${{ steps.plan.outputs.jobs }}");
    for index in 1..=matrices {
        let name = format!("matrix_{index}");
        let value = format!("${{{{ steps.plan.outputs.{name} }}}}");
        outputs.put(name, value);
    }
    let mut job = Map::new().with("name", "plan");
    machine(&mut job, settings, architecture, publishes);
    let small = settings.ci.architecture(architecture).small_runner;
    if !small.is_empty() {
        job.replace("runs-on", small);
    }
    job.put("outputs", outputs);
    let environment = if publishes {
        " --environment \"$ENVIRONMENT\""
    } else {
        ""
    };
    let command = format!(
        "spacktainers ci generate --for github --dynamic{environment} ${{AFFECTED_BY:+--affected-by \"$AFFECTED_BY\"}} $CONTAINERS >> \"$GITHUB_OUTPUT\""
    );
    // All of the history: what is affected is found by a difference.
    let checkout = Map::new()
        .with("uses", "actions/checkout@v4")
        .with("with", Map::new().with("fetch-depth", 0u64));
    let check = Map::new().with("run", "spacktainers ci generate --for github --check");
    let find = Map::new().with("id", "plan").with("run", command);
    job.with(
        "steps",
        vec![
            Yaml::from(checkout),
            remembered(),
            Yaml::from(check),
            Yaml::from(find),
        ],
    )
}

/// Where a job runs.
fn machine(
    job: &mut Map,
    settings: &Settings,
    architecture: BaseArchitecture,
    sees_environment: bool,
) {
    job.put("runs-on", runner(settings, architecture));
    if let Some(image) = image(settings, architecture) {
        job.put("container", image);
    }
    // Otherwise it is GitHub's own.
    if settings.ci.timeout_minutes != GITHUB_TIMEOUT {
        job.put("timeout-minutes", settings.ci.timeout_minutes);
    }
    if sees_environment {
        job.put("environment", "${{ inputs.environment-name }}");
    }
}

fn runner(settings: &Settings, architecture: BaseArchitecture) -> Vec<String> {
    let labels = settings.ci.architecture(architecture).runner;
    if !labels.is_empty() {
        return labels;
    }
    // GitHub's own runners.
    vec![match architecture {
        BaseArchitecture::Amd64 => "ubuntu-24.04".to_owned(),
        BaseArchitecture::Arm64 => "ubuntu-24.04-arm".to_owned(),
    }]
}

fn image(settings: &Settings, architecture: BaseArchitecture) -> Option<String> {
    let here = settings.ci.architecture(architecture).image;
    here.or_else(|| settings.ci.image.clone())
}

fn steps(commands: Vec<String>, env: Option<Map>, after: After) -> Vec<Yaml> {
    let checkout = Map::new().with("uses", "actions/checkout@v4");
    let mut steps = vec![Yaml::from(checkout)];
    if after == After::Remembers {
        steps.push(remembered());
    }
    for command in commands {
        let mut step = Map::new().with("run", command);
        if let Some(env) = &env {
            step.put("env", env.clone());
        }
        steps.push(step.into());
    }
    if after == After::KeepsCapsules {
        let with = Map::new()
            .with("name", "capsules-${{ github.job }}")
            .with("path", CAPSULES);
        let upload = Map::new()
            .with("if", "failure()")
            .with("uses", "actions/upload-artifact@v4")
            .with("with", with);
        steps.push(upload.into());
    }
    steps
}

/// What a job leaves besides what its commands do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// What was found out about blobs is there for the next run.
    Remembers,
    /// What a failed build leaves can be downloaded.
    KeepsCapsules,
}

/// The step that brings back what earlier runs found out about blobs, and saves what this one does.
fn remembered() -> Yaml {
    let with = Map::new()
        .with("path", RECORDS)
        .with(
            "key",
            "spacktainers-${{ runner.arch }}-${{ github.run_id }}",
        )
        .with("restore-keys", "spacktainers-${{ runner.arch }}-");
    let cache = Map::new()
        .with("uses", "actions/cache@v4")
        .with("with", with);
    cache.into()
}

/// What all jobs know: settings, secrets by name, and what the run was asked for. Commands take it from here, never from
/// expressions in their text, where a name of a branch could become a command.
fn variables(settings: &Settings) -> Map {
    let ci = &settings.ci;
    let mut env = Map::new()
        .with("ENVIRONMENT", "${{ inputs.environment }}")
        .with("CONTAINERS", "${{ inputs.containers }}")
        .with("AFFECTED_BY", "${{ inputs.affected-by }}")
        .with(
            "UPDATE_BASE",
            "${{ inputs.update-base && '--update-base' || '' }}",
        );
    // Relative: jobs begin in the project's folder, which in a container has another name than outside.
    env.put("SPACKTAINERS_CACHE", CACHE_FOLDER);
    let here = ci.architectures.values().flat_map(|it| &it.variables);
    for (name, value) in ci.variables.iter().chain(here) {
        env.put(&**name, &**value);
    }
    for secret in &ci.secrets {
        let (name, from) = secret.split_once('=').unwrap_or((secret, secret));
        env.put(name, format!("${{{{ secrets.{from} }}}}"));
    }
    env
}
