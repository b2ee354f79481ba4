//! `[ci]`: on what, where and for whom generated pipelines run.
//!
//! ```toml
//! [ci]
//! image = "registry.example/spacktainers:1"  # jobs run in it; without it they run on what the runner has
//! secrets = ["GHCR_TOKEN", "AWS_ACCESS_KEY_ID=ECR_KEY"] # names only, `VARIABLE` or `VARIABLE=SECRET`
//! variables = { HTTPS_PROXY = "http://proxy:3128" }
//! minutes = { llvm = 90 }                    # what packages take; others are guessed
//!
//! [ci.arch.arm64]
//! runner = ["aws_graviton"]                  # tags of GitLab, labels of GitHub
//! options = ["--partition=arm"]              # of sbatch
//!
//! [ci.environment.production]                # of the same name as a [publish.…]
//! branches = ["main"]                        # a push to one of these publishes here
//! ```

use std::collections::BTreeMap;

use spack_format::yaml::shape::{
    KeyShape, MapShape, Others, POSITIVE, STRINGS, Shape, TextFault, TextShape, key,
};
use spack_format::yaml::{Node, Span};

use crate::base::BaseArchitecture;
use crate::diagnostic::Diagnostic;

/// Minutes that a job may take unless somebody says otherwise: what GitHub's own runners allow.
///
/// Source: GitHub's documentation, "Actions limits", job execution time.
const DEFAULT_TIMEOUT_MINUTES: u64 = 360;

/// Seconds that a job takes before its first command unless somebody says otherwise: a runner has to be found, and the
/// project fetched.
const DEFAULT_OVERHEAD_SECONDS: u64 = 60;

/// `[ci]`, with every default applied.
#[derive(Debug, Clone, PartialEq)]
pub struct CiSettings {
    /// The container image that jobs run in; it has `spacktainers` and what building needs.
    pub image: Option<String>,
    /// Minutes after which a job is stopped.
    pub timeout_minutes: u64,
    /// Seconds that each job costs besides its work.
    pub overhead_seconds: u64,
    /// Runners that there are for one architecture; none: as many as there are jobs.
    pub runners: Option<usize>,
    /// The most jobs of a pipeline; none: what the system takes.
    pub max_jobs: Option<usize>,
    /// `sandbox`: whether packages are built in a sandbox of their own. Jobs run in a container that is thrown away, so
    /// they need none.
    pub sandbox: bool,
    /// Containers that pipelines leave out, unless somebody asks for one by name.
    pub skip: Vec<String>,
    /// Variables of all jobs, with their values: proxies, caches.
    pub variables: BTreeMap<String, String>,
    /// Names of secrets that jobs are given, `VARIABLE` or `VARIABLE=SECRET`. Their values are never written anywhere.
    pub secrets: Vec<String>,
    /// Minutes that packages take to build, by name.
    pub minutes: BTreeMap<String, u64>,
    /// Per architecture.
    pub architectures: BTreeMap<BaseArchitecture, CiArchitecture>,
    /// Per environment of `[publish.…]`.
    pub environments: BTreeMap<String, CiEnvironment>,
}

/// `[ci.arch.…]`: the runners of one architecture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CiArchitecture {
    /// Tags (GitLab) or labels (GitHub) that a runner must have.
    pub runner: Vec<String>,
    /// The same for jobs that only read and decide.
    pub small_runner: Vec<String>,
    /// Another image than that of all jobs.
    pub image: Option<String>,
    /// More variables.
    pub variables: BTreeMap<String, String>,
    /// Arguments of `sbatch`: partition, processors, memory.
    pub options: Vec<String>,
}

/// `[ci.environment.…]`: when what is published there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CiEnvironment {
    /// Branches whose pushes publish there; `**` stands for all.
    pub branches: Vec<String>,
    /// Whether pull and merge requests with the label `build` publish there.
    pub pull_requests: bool,
    /// Its name in the CI system, with the secrets of it; none: the same.
    pub name: Option<String>,
}

impl Default for CiSettings {
    fn default() -> Self {
        Self {
            image: None,
            timeout_minutes: DEFAULT_TIMEOUT_MINUTES,
            overhead_seconds: DEFAULT_OVERHEAD_SECONDS,
            runners: None,
            max_jobs: None,
            sandbox: false,
            skip: Vec::new(),
            variables: BTreeMap::new(),
            secrets: Vec::new(),
            minutes: BTreeMap::new(),
            architectures: BTreeMap::new(),
            environments: BTreeMap::new(),
        }
    }
}

impl CiSettings {
    /// What holds for an architecture.
    #[must_use]
    pub fn architecture(&self, architecture: BaseArchitecture) -> CiArchitecture {
        self.architectures
            .get(&architecture)
            .cloned()
            .unwrap_or_default()
    }

    /// Reads the section. `published` are the environments of `[publish.…]`.
    pub(super) fn read<'a>(
        root: &Node,
        published: impl Iterator<Item = &'a String>,
        faults: &mut Vec<Diagnostic>,
    ) -> Self {
        let defaults = Self::default();
        let Some(ci) = root.get("ci") else {
            return defaults;
        };
        let number = |name: &str| {
            let value = ci.get(name).and_then(Node::as_integer)?;
            u64::try_from(value).ok()
        };
        let count = |name: &str| number(name).and_then(|it| usize::try_from(it).ok());
        secret_values(ci, faults);
        let published: Vec<&String> = published.collect();
        let environments = named(ci.get("environment"), |entry, name, place| {
            if !published.contains(&name) {
                let fault = Diagnostic::error(
                    place,
                    format!("there is no environment `{name}` to publish to"),
                )
                .label("not among `[publish.…]`")
                .hint(format!("add `[publish.{name}]` with its targets"));
                faults.push(fault);
            }
            CiEnvironment {
                branches: texts(entry, "branches"),
                pull_requests: entry
                    .get("pull_requests")
                    .and_then(Node::as_bool)
                    .unwrap_or(false),
                name: text(entry, "name"),
            }
        });
        Self {
            image: text(ci, "image"),
            timeout_minutes: number("timeout").unwrap_or(defaults.timeout_minutes),
            overhead_seconds: number("overhead").unwrap_or(defaults.overhead_seconds),
            runners: count("runners"),
            max_jobs: count("max_jobs"),
            sandbox: ci.get("sandbox").and_then(Node::as_bool).unwrap_or(false),
            skip: texts(ci, "skip"),
            variables: variables(ci),
            secrets: texts(ci, "secrets"),
            minutes: named(ci.get("minutes"), |entry, _, _| {
                entry
                    .as_integer()
                    .and_then(|it| u64::try_from(it).ok())
                    .unwrap_or(1)
            }),
            architectures: named(ci.get("arch"), |entry, _, _| CiArchitecture {
                runner: texts(entry, "runner"),
                small_runner: texts(entry, "small_runner"),
                image: text(entry, "image"),
                variables: variables(entry),
                options: texts(entry, "options"),
            })
            .into_iter()
            .filter_map(|(name, it)| Some((BaseArchitecture::parse(&name)?, it)))
            .collect(),
            environments,
        }
    }
}

/// A value under a name that asks for a secret would be committed for everybody to read.
fn secret_values(ci: &Node, faults: &mut Vec<Diagnostic>) {
    let secrets = texts(ci, "secrets");
    let everywhere = [
        ci.get("variables"),
        ci.at(&["arch", "amd64", "variables"]),
        ci.at(&["arch", "arm64", "variables"]),
    ];
    for entry in everywhere
        .into_iter()
        .flatten()
        .filter_map(Node::as_mapping)
        .flat_map(|it| it.iter())
    {
        let name = &entry.key.text;
        let upper = name.to_ascii_uppercase();
        let tells = ["PASSWORD", "SECRET", "TOKEN", "PRIVATE", "CREDENTIAL"]
            .iter()
            .any(|word| upper.contains(word));
        if tells || secrets.iter().any(|it| it.split('=').next() == Some(name)) {
            faults.push(
                Diagnostic::error(
                    entry.key.span,
                    format!("`{name}` is the name of a secret, and its value stands here"),
                )
                .label("a secret")
                .hint("list its name under `secrets` and keep its value in the CI system"),
            );
        }
    }
}

fn text(node: &Node, name: &str) -> Option<String> {
    node.get(name).and_then(Node::as_str).map(str::to_owned)
}

fn texts(node: &Node, name: &str) -> Vec<String> {
    let list = node.get(name).and_then(Node::as_sequence);
    let list = list.unwrap_or_default().iter().filter_map(Node::as_str);
    list.map(str::to_owned).collect()
}

fn variables(node: &Node) -> BTreeMap<String, String> {
    named(node.get("variables"), |value, _, _| {
        value
            .scalar()
            .map_or_else(String::new, |it| it.text.clone())
    })
}

/// The entries of a table.
fn named<T>(
    table: Option<&Node>,
    mut read: impl FnMut(&Node, &String, Span) -> T,
) -> BTreeMap<String, T> {
    let entries = table.and_then(Node::as_mapping);
    let entries = entries.into_iter().flat_map(|it| it.iter());
    entries
        .map(|entry| {
            let name = &entry.key.text;
            (name.clone(), read(&entry.value, name, entry.key.span))
        })
        .collect()
}

const fn closed(name: &'static str, keys: &'static [KeyShape]) -> MapShape {
    MapShape {
        name,
        keys,
        others: Others::Refused,
    }
}

/// What `[ci]` may hold.
pub(super) static CI: MapShape = closed(
    "`[ci]`",
    &[
        key("image", Shape::String),
        key("timeout", POSITIVE),
        key("overhead", Shape::Integer(0, 86_400)),
        key("runners", POSITIVE),
        key("max_jobs", POSITIVE),
        key("sandbox", Shape::Boolean),
        key("skip", STRINGS),
        key("variables", Shape::Map(&VARIABLES)),
        key("secrets", Shape::List(&Shape::Text(&VARIABLE))),
        key("minutes", Shape::Map(&MINUTES)),
        key("arch", Shape::Map(&ARCHITECTURES)),
        key("environment", Shape::Map(&ENVIRONMENTS)),
    ],
);

static VARIABLES: MapShape = MapShape {
    name: "names and values",
    keys: &[],
    others: Others::Named(Shape::String),
};

static MINUTES: MapShape = MapShape {
    name: "packages and minutes",
    keys: &[],
    others: Others::Named(POSITIVE),
};

static ARCHITECTURES: MapShape = closed(
    "`[ci.arch]`",
    &[
        key("amd64", Shape::Map(&ARCHITECTURE)),
        key("arm64", Shape::Map(&ARCHITECTURE)),
    ],
);

static ARCHITECTURE: MapShape = closed(
    "`[ci.arch.…]`",
    &[
        key("runner", STRINGS),
        key("small_runner", STRINGS),
        key("image", Shape::String),
        key("variables", Shape::Map(&VARIABLES)),
        key("options", STRINGS),
    ],
);

static ENVIRONMENTS: MapShape = MapShape {
    name: "`[ci.environment]`",
    keys: &[],
    others: Others::Named(Shape::Map(&ENVIRONMENT)),
};

static ENVIRONMENT: MapShape = closed(
    "`[ci.environment.…]`",
    &[
        key("branches", STRINGS),
        key("pull_requests", Shape::Boolean),
        key("name", Shape::String),
    ],
);

static VARIABLE: TextShape = TextShape {
    noun: "the name of a variable",
    check: |text| {
        let is_name = |text: &str| {
            let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            starts && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match text.split('=').count() < 3 && text.split('=').all(is_name) {
            true => Ok(()),
            false => Err(TextFault {
                range: 0..text.len(),
                message: "this is not the name of a variable".to_owned(),
                label: "here".to_owned(),
                hint: Some("secrets are listed by name: letters, digits and `_`; `VARIABLE=SECRET` if the secret has another name".to_owned()),
            }),
        }
    },
};
