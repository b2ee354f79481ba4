//! `doctor`: what this machine has of what is wanted, and what to do about the rest.
//!
//! Nothing is needed for the main job but the network; each finding says what a thing would be for.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spacktainers::mirror::Location;
use spacktainers::project::Project;

use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

/// One thing that was looked at.
struct Finding {
    /// What.
    subject: String,
    state: State,
    /// What was found.
    text: String,
    /// What to do, where something is missing.
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// As it should be.
    Good,
    /// Not there, and something cannot be done without it.
    Missing,
    /// Something is wrong.
    Wrong,
}

impl Finding {
    fn new(subject: impl Into<String>, state: State, text: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            state,
            text: text.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

pub(super) fn run(context: &Context) -> Result<Exit, Failure> {
    let mut findings = vec![local_cache(context)];
    findings.extend(project(context));
    findings.extend(PROGRAMS.iter().map(program));
    findings.push(user_namespaces());
    findings.push(spack());
    findings.push(registries());
    findings.push(aws());
    let is_wrong = findings.iter().any(|it| it.state == State::Wrong);
    if context.json {
        let all: Vec<Value> = findings.iter().map(document).collect();
        let version = env!("CARGO_PKG_VERSION");
        let document = json!({"event": "result", "version": version, "findings": all});
        printer::out(&document.to_string());
    } else {
        printer::out(&format!("spacktainers {}", env!("CARGO_PKG_VERSION")));
        for it in &findings {
            let mark = match it.state {
                State::Good => "ok     ",
                State::Missing => "missing",
                State::Wrong => "wrong  ",
            };
            printer::out(&format!("{mark}  {}: {}", it.subject, it.text));
            if let Some(hint) = &it.hint {
                printer::out(&format!("         {hint}"));
            }
        }
    }
    Ok(if is_wrong { Exit::Usage } else { Exit::Done })
}

fn document(it: &Finding) -> Value {
    let state = match it.state {
        State::Good => "ok",
        State::Missing => "missing",
        State::Wrong => "wrong",
    };
    json!({"subject": it.subject, "state": state, "text": it.text, "hint": it.hint})
}

fn local_cache(context: &Context) -> Finding {
    let shown = context.cache.display().to_string();
    match context.local_cache() {
        Ok(_) => Finding::new("local cache", State::Good, shown),
        Err(failure) => Finding::new(
            "local cache",
            State::Wrong,
            format!("{shown}: {}", failure.error),
        )
        .hint("choose another folder by --cache or SPACKTAINERS_CACHE"),
    }
}

fn project(context: &Context) -> Vec<Finding> {
    let project = match Project::load(&context.project) {
        Ok(project) => project,
        Err(error) => {
            let text = error.to_string();
            return vec![
                Finding::new("project", State::Missing, text)
                    .hint("say where it is by --project DIR"),
            ];
        }
    };
    let faults = project
        .diagnostics
        .iter()
        .filter(|it| it.is_error())
        .count();
    let containers = project.definitions.iter().filter(|it| it.enabled).count();
    let mut findings = vec![match faults {
        0 => Finding::new("project", State::Good, format!("{containers} containers")),
        _ => Finding::new("project", State::Wrong, format!("{faults} faults"))
            .hint("`spacktainers check` shows them"),
    }];
    for mirror in &project.settings.mirrors {
        let subject = format!("mirror {}", mirror.name);
        let keys = mirror.keys.iter().find(|(file, _)| !file.is_file());
        findings.push(match (&mirror.location, keys) {
            (_, Some((file, _))) => Finding::new(
                subject,
                State::Wrong,
                format!("the key `{}` is not there", file.display()),
            ),
            (Location::Folder(folder), _) if !folder.is_dir() => Finding::new(
                subject,
                State::Wrong,
                format!("the folder `{}` is not there", folder.display()),
            ),
            (location, _) => Finding::new(subject, State::Good, location.to_string()),
        });
    }
    if project.settings.mirrors.is_empty() {
        findings.push(
            Finding::new("mirrors", State::Missing, "the settings name none")
                .hint("add a `[[mirror]]` to spacktainers.toml: packages are taken from there"),
        );
    }
    findings
}

/// Programs that do what we do not, with what they are for.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "bwrap",
        "`run`, `shell`, and sections of definition files that execute something; the package is called bubblewrap",
    ),
    ("git", "cloning the Spack that the settings name"),
    (
        "sbatch",
        "building packages by jobs of Slurm, `build --build --on slurm`",
    ),
    ("apptainer", "running SIF files"),
    ("podman", "running images of registries and layouts"),
];

fn program((name, purpose): &(&str, &str)) -> Finding {
    match find(name) {
        Some(path) => Finding::new(*name, State::Good, path.display().to_string()),
        None => Finding::new(*name, State::Missing, "not on the search path")
            .hint(format!("it is for {purpose}")),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether somebody without privileges may make user namespaces, as bubblewrap and Apptainer do.
fn user_namespaces() -> Finding {
    const SUBJECT: &str = "user namespaces";
    let number = |path: &str| -> Option<u64> { fs::read_to_string(path).ok()?.trim().parse().ok() };
    if number("/proc/sys/user/max_user_namespaces") == Some(0) {
        return Finding::new(SUBJECT, State::Missing, "none may be made")
            .hint("ask for `sysctl user.max_user_namespaces=15000`, or run as root");
    }
    if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return Finding::new(SUBJECT, State::Missing, "root alone may make some")
            .hint("ask for `sysctl kernel.unprivileged_userns_clone=1`");
    }
    if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Finding::new(SUBJECT, State::Missing, "AppArmor restricts them")
            .hint("ask for a profile for bwrap, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`");
    }
    Finding::new(SUBJECT, State::Good, "allowed")
}

fn spack() -> Finding {
    const SUBJECT: &str = "spack";
    let root = env::var_os("SPACK_ROOT").map(PathBuf::from);
    let program = root
        .map(|root| root.join("bin/spack"))
        .filter(|it| it.is_file())
        .or_else(|| find("spack"));
    match program {
        Some(path) => Finding::new(SUBJECT, State::Good, path.display().to_string()),
        None => Finding::new(SUBJECT, State::Missing, "neither SPACK_ROOT nor the search path has it")
            .hint("it is for solving definitions and building packages; what lies in a build cache needs none"),
    }
}

/// Where credentials of registries are; none of them is shown.
fn registries() -> Finding {
    const SUBJECT: &str = "registries";
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let named = |name: &str| env::var_os(name).map(PathBuf::from);
    let files = [
        named("REGISTRY_AUTH_FILE"),
        named("XDG_RUNTIME_DIR").map(|it| it.join("containers/auth.json")),
        Some(home.join(".config/containers/auth.json")),
        named("DOCKER_CONFIG").map(|it| it.join("config.json")),
        Some(home.join(".docker/config.json")),
    ];
    let found: Vec<String> = files
        .into_iter()
        .flatten()
        .filter(|file| file.is_file())
        .map(|file| file.display().to_string())
        .collect();
    match found.is_empty() {
        false => Finding::new(SUBJECT, State::Good, found.join(", ")),
        true => Finding::new(SUBJECT, State::Missing, "there are no credentials").hint(
            "registries that take everybody need none; for others log in by `podman login HOST`",
        ),
    }
}

fn aws() -> Finding {
    const SUBJECT: &str = "AWS";
    let is_set = |name: &str| env::var_os(name).is_some_and(|it| !it.is_empty());
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let sources = [
        ("the environment", is_set("AWS_ACCESS_KEY_ID")),
        ("a web identity", is_set("AWS_WEB_IDENTITY_TOKEN_FILE")),
        (
            "the container's role",
            is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        ),
        (
            "profiles",
            home.join(".aws/credentials").is_file() || config_of(&home).is_file(),
        ),
    ];
    let found: Vec<&str> = sources.iter().filter(|it| it.1).map(|it| it.0).collect();
    match found.is_empty() {
        false => Finding::new(SUBJECT, State::Good, format!("credentials from {}", found.join(", "))),
        true => Finding::new(SUBJECT, State::Missing, "there are no credentials but an instance's, if this is one")
            .hint("they are for s3:// mirrors and targets: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    }
}

fn config_of(home: &Path) -> PathBuf {
    env::var_os("AWS_CONFIG_FILE").map_or_else(|| home.join(".aws/config"), PathBuf::from)
}
