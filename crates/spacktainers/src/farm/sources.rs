//! Sources fetched ahead: before anything is built, what all packages are built from is brought into Spack's source cache
//! and checked, so that builds need no network, and what cannot be had is known at once.
//!
//! ```text
//! Plan ──► several Spacks side by side, each with its share ──► source cache: _source-cache/archive/ab/<sha256>.tar.gz
//!           source mirrors first, then the sources' own sites        │
//! Plan without what cannot be had and what needs that  ◄─────────────┘
//! ```
//!
//! Spack itself fetches: recipes are programs, and only they know what belongs to a package. What it has fetched once is
//! not fetched again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use futures::future;
use serde::Deserialize;
use serde_json::json;
use spack_format::concrete::{ConcreteSpec, VariantValue};
use spack_format::dag_hash::DagHash;

use super::package::Yard;
use super::plan::{Build, Plan};
use super::{Failed, Report};
use crate::event::Event;
use crate::spack::{Run, SpackError, Trusted};

/// Our question to Spack.
const SCRIPT: &str = include_str!("sources.py");

/// Spacks that fetch side by side, at least: they wait for others more than they compute.
const LEAST_AT_ONCE: usize = 4;

/// Packages that it takes for one Spack more: starting one takes a second.
const PACKAGES_OF_ONE: usize = 4;

/// Build systems whose builds fetch what they need themselves.
const FETCHING: &[&str] = &["go", "cargo"];

/// A source that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MissingSource {
    /// Its address, as the recipe has it.
    pub source: String,
    /// Its checksum; empty if there is none.
    pub checksum: String,
    /// Why it cannot be had.
    pub reason: String,
}

impl fmt::Display for MissingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.source)?;
        if !self.checksum.is_empty() {
            write!(f, " ({})", self.checksum)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What is known of sources.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// What cannot be had, by package.
    pub(super) missing: HashMap<DagHash, Vec<MissingSource>>,
    /// Packages whose builds need the network, and why.
    pub(super) fetching: BTreeMap<DagHash, String>,
}

#[derive(Deserialize)]
struct Answer {
    packages: Vec<Answered>,
}

#[derive(Deserialize)]
struct Answered {
    hash: DagHash,
    faults: Vec<MissingSource>,
    moving: Vec<String>,
}

/// Fetches the sources of all of `plan`.
pub(super) async fn fetch_ahead(plan: &Plan, yard: &Yard<'_>) -> Result<Sources, SpackError> {
    let mut by_order: BTreeMap<usize, Vec<&Build>> = BTreeMap::new();
    for build in &plan.builds {
        by_order.entry(build.order).or_default().push(build);
    }
    let at_once = yard.spack().context().jobs.get().max(LEAST_AT_ONCE);
    let mut shares: Vec<(usize, Vec<DagHash>)> = Vec::new();
    for (order, mut builds) in by_order {
        // Versions of one package share sources, and are best fetched one after the other.
        builds.sort_by(|a, b| (&a.title, a.hash).cmp(&(&b.title, b.hash)));
        let count = builds.len().div_ceil(PACKAGES_OF_ONE).clamp(1, at_once);
        for share in builds.chunks(builds.len().div_ceil(count).max(1)) {
            shares.push((order, share.iter().map(|build| build.hash).collect()));
        }
    }
    let all = shares.iter().enumerate();
    let all = all.map(|(index, (order, hashes))| fetch(yard, index, *order, hashes));
    let mut sources = Sources::default();
    for answer in future::try_join_all(all).await? {
        for package in answer.packages {
            if !package.moving.is_empty() {
                let why = format!("`{}` cannot be kept", package.moving.join("`, `"));
                sources.fetching.insert(package.hash, why);
            }
            if !package.faults.is_empty() {
                sources.missing.insert(package.hash, package.faults);
            }
        }
    }
    for build in &plan.builds {
        let spec = yard.spec(build);
        if let Some(system) = spec.and_then(fetching_system) {
            let why = format!("its build system, {system}, fetches what it needs");
            sources.fetching.entry(build.hash).or_insert(why);
        } else if spec.is_some_and(|spec| yard.may_fetch(&spec.name)) {
            let why = "the settings say so".to_owned();
            sources.fetching.entry(build.hash).or_insert(why);
        }
    }
    Ok(sources)
}

/// The build system of a package, if its builds fetch things.
fn fetching_system(spec: &ConcreteSpec) -> Option<&'static str> {
    let value = spec.variants.get("build_system")?;
    let is = |system: &str| match value {
        VariantValue::Single(text) => text == system,
        VariantValue::Multi(texts) => texts.iter().any(|text| text == system),
        VariantValue::Bool(_) => false,
    };
    FETCHING.iter().copied().find(|system| is(system))
}

/// Fetches one share with a Spack of its own.
async fn fetch(
    yard: &Yard<'_>,
    index: usize,
    order: usize,
    hashes: &[DagHash],
) -> Result<Answer, SpackError> {
    let folder = yard.work().join(format!("sources-{index}"));
    fs::create_dir_all(&folder).map_err(SpackError::io("make the folder", &folder))?;
    let spack = yard.spack();
    let mut scope = yard.scope()?;
    // What is being unpacked by a build is left alone.
    scope.section("config")["build_stage"] = json!([folder.join("stage")]);
    for (name, mirror) in spack.source_mirrors()? {
        scope.section("mirrors")[name] = mirror;
    }
    let scope_folder = folder.join("scope");
    scope.write(&scope_folder)?;
    let request = json!({"hashes": hashes, "offline": spack.context().is_offline}).to_string();
    let [script, request_file, result] =
        ["sources.py", "request.json", "result.json"].map(|name| folder.join(name));
    for (file, text) in [(&script, SCRIPT), (&request_file, request.as_str())] {
        fs::write(file, text).map_err(SpackError::io("write", file))?;
    }
    let files: [PathBuf; 4] = ["python".into(), script, request_file, result.clone()];
    let count = hashes.len();
    let plural = if count == 1 { "" } else { "s" };
    spack
        .run(&Run {
            doing: format!("fetching the sources of {count} package{plural}"),
            scope: scope_folder,
            environment: yard.environment(order),
            arguments: files.into_iter().map(Into::into).collect(),
            trusted: Trusted::Mirrors,
        })
        .await?;
    let failed = SpackError::io("read", &result);
    let text = fs::read_to_string(&result).map_err(failed)?;
    serde_json::from_str(&text)
        .map_err(|error| SpackError::io("read", &result)(io::Error::other(error)))
}

impl Sources {
    /// Tells whose builds use the network.
    pub(super) fn tell(&self, plan: &Plan, yard: &Yard<'_>) {
        for build in &plan.builds {
            if let Some(why) = self.fetching.get(&build.hash) {
                let text = format!("{} is built with the network: {why}", build.title);
                yard.spack().context().reporter.event(Event::Note(text));
            }
        }
    }

    /// The rest of `plan`, when what cannot be had, and what needs that, is taken out and told in `report`.
    pub(super) fn without_missing(&self, plan: Plan, report: &mut Report) -> Plan {
        if self.missing.is_empty() {
            return plan;
        }
        let mut lost: HashSet<usize> = HashSet::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut rest = Plan {
            builds: Vec::new(),
            laid_down_first: plan.laid_down_first,
        };
        for (index, mut build) in plan.builds.into_iter().enumerate() {
            if let Some(missing) = self.missing.get(&build.hash) {
                let sources: BTreeSet<String> = missing.iter().map(ToString::to_string).collect();
                let sources: Vec<String> = sources.into_iter().collect();
                lost.insert(index);
                report.failed.push(Failed {
                    package: build.title,
                    message: format!(
                        "what it is built from cannot be had: {}",
                        sources.join("; ")
                    ),
                    capsule: None,
                });
            } else if build.after.iter().any(|before| lost.contains(before)) {
                lost.insert(index);
                report.held_up.push(build.title);
            } else {
                let moved = build.after.iter().filter_map(|it| places.get(it).copied());
                build.after = moved.collect();
                places.insert(index, rest.builds.len());
                rest.builds.push(build);
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(letter: char, after: &[usize]) -> Build {
        Build {
            hash: letter.to_string().repeat(32).parse().expect("a DAG hash"),
            title: letter.to_string(),
            name: letter.to_string(),
            version: "1".to_owned(),
            order: 0,
            after: after.to_vec(),
            laid_down: Vec::new(),
        }
    }

    #[test]
    fn a_source_that_cannot_be_had_holds_up_only_what_needs_it() {
        let plan = Plan {
            builds: vec![
                build('a', &[]),
                build('b', &[]),
                build('c', &[0]),
                build('d', &[1]),
                build('e', &[1, 3]),
            ],
            laid_down_first: Vec::new(),
        };
        let mut sources = Sources::default();
        let missing = MissingSource {
            source: "https://example.invalid/a-1.tar.gz".to_owned(),
            checksum: "0".repeat(64),
            reason: "no such host".to_owned(),
        };
        sources.missing.insert(plan.builds[0].hash, vec![missing]);
        let mut report = Report::default();
        let rest = sources.without_missing(plan, &mut report);
        let titles: String = rest.builds.iter().map(|it| it.title.as_str()).collect();
        assert_eq!(titles, "bde");
        assert_eq!(rest.builds[1].after, [0]);
        assert_eq!(rest.builds[2].after, [0, 1]);
        assert_eq!(report.held_up, ["c"]);
        assert_eq!(report.failed.len(), 1);
        for words in ["https://example.invalid/a-1.tar.gz", "0000", "no such host"] {
            let message = &report.failed[0].message;
            assert!(message.contains(words), "{message}");
        }
    }
}
