//! Three thousand packages as text for each system: no limit is passed, and the order is the plan's.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use spack_format::yaml::Node;

use super::super::*;
use super::made::work;
use crate::base::BaseArchitecture;
use crate::project::{PublishSettings, Settings};

fn settings() -> Settings {
    let mut settings = Settings::default();
    let targets = PublishSettings::default();
    settings.publish.insert("production".to_owned(), targets);
    settings
}

const PRODUCTION: Publishing<'_> = Publishing {
    environment: Some("production"),
    updates_base: false,
    sandbox: false,
};

fn read(text: &str) -> Node {
    spack_format::yaml::parse_strict(text).expect("YAML")
}

/// Each hash of the commands, and the job that builds it; each container, and the job that publishes it.
fn done_by<'a>(jobs: impl Iterator<Item = (&'a str, &'a str)>) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for (job, command) in jobs {
        let words: Vec<&str> = command
            .split(' ')
            .filter(|word| !word.starts_with("--"))
            .collect();
        let what: &[&str] = match words.as_slice() {
            ["spacktainers", "ci", "build", _, hashes @ ..] => hashes,
            ["spacktainers", "publish", _, _, names @ ..] => names,
            _ => continue,
        };
        for it in what {
            let before = found.insert((*it).to_owned(), job.to_owned());
            assert_eq!(before, None, "{it} is done twice");
        }
    }
    found
}

/// Whether all that is done is done behind what it needs.
fn check_order(
    work: &Work,
    done_by: &HashMap<String, String>,
    needs: &HashMap<String, Vec<String>>,
) {
    let mut known: HashMap<&str, HashSet<&str>> = HashMap::new();
    fn all<'a>(
        job: &'a str,
        needs: &'a HashMap<String, Vec<String>>,
        known: &mut HashMap<&'a str, HashSet<&'a str>>,
    ) -> HashSet<&'a str> {
        if let Some(found) = known.get(job) {
            return found.clone();
        }
        let mut found = HashSet::new();
        for other in &needs[job] {
            found.insert(&**other);
            found.extend(all(other, needs, known));
        }
        known.insert(job, found.clone());
        found
    }
    let packages = work
        .packages
        .iter()
        .map(|it| (it.hash.to_string(), &it.after));
    let containers = work
        .containers
        .iter()
        .map(|it| (it.name.clone(), &it.after));
    for (what, after) in packages.chain(containers) {
        let job = &done_by[&what];
        for other in after {
            let before = &done_by[work.packages[*other].hash.as_str()];
            let is_before = before == job || all(job, needs, &mut known).contains(&**before);
            assert!(is_before, "{what} does not wait for what it needs");
        }
    }
}

fn texts(node: &Node) -> Vec<String> {
    let items = node.as_sequence().expect("a list").iter();
    items
        .map(|it| it.as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn gitlab_takes_three_thousand_packages() {
    let settings = settings();
    let work = work(3000, 100, 11);
    let start = Instant::now();
    let pipeline = Pipeline::of(&work, System::Gitlab, &settings.ci);
    let children = [BaseArchitecture::Amd64, BaseArchitecture::Arm64]
        .map(|it| gitlab::child(&settings, it, &work, &pipeline, &PRODUCTION).expect("it fits"));
    fast(start);
    let (mut commands, mut needs) = (Vec::new(), HashMap::new());
    for child in &children {
        assert!(child.len() <= GITLAB_ARTIFACT);
        let root = read(child);
        for entry in root.as_mapping().expect("jobs").iter() {
            let name = entry.key.text.as_str();
            let Some(script) = entry.value.get("script") else {
                continue;
            };
            assert!(name.chars().count() <= GITLAB_NAME);
            let waits_for = texts(entry.value.get("needs").expect("needs"));
            assert!(
                waits_for.len() <= GITLAB_NEEDS,
                "{name}: {}",
                waits_for.len()
            );
            commands.extend(texts(script).into_iter().map(|it| (name.to_owned(), it)));
            assert!(
                needs.insert(name.to_owned(), waits_for).is_none(),
                "two jobs {name}"
            );
        }
    }
    let commands = commands.iter().map(|(name, command)| (&**name, &**command));
    check_order(&work, &done_by(commands), &needs);
}

#[test]
fn github_takes_three_thousand_packages() {
    let settings = settings();
    let mut all = work(3000, 100, 12);
    // Containers that nobody has solved: more than one matrix holds.
    for index in 0..300 {
        all.containers.push(ContainerWork {
            name: format!("unsolved-{index}"),
            is_solved: false,
            after: Vec::new(),
            ..all.containers[0].clone()
        });
    }
    let start = Instant::now();
    let files = github::committed(&settings, &all).expect("it fits");
    let outputs = github::outputs(&settings, &all, &all).expect("it fits");
    fast(start);
    assert!(files.iter().all(|(_, text)| text.len() <= GITHUB_FILE));
    let run = &files.last().expect("files").1;
    let root = read(run);
    let (mut commands, mut needs) = (Vec::new(), HashMap::new());
    for entry in root
        .get("jobs")
        .and_then(Node::as_mapping)
        .expect("jobs")
        .iter()
    {
        let name = entry.key.text.as_str();
        let waits_for = entry.value.get("needs").map(texts).unwrap_or_default();
        needs.insert(name.to_owned(), waits_for);
        let steps = entry
            .value
            .get("steps")
            .and_then(Node::as_sequence)
            .expect("steps");
        let run = steps
            .iter()
            .filter_map(|it| it.get("run").and_then(Node::as_str));
        commands.extend(run.map(|it| (name, it.replace("\"$ENVIRONMENT\"", "production"))));
    }
    // What is published by legs of matrices is told by them.
    commands.retain(|(_, command)| !command.contains("$NAME"));
    let commands = commands.iter().map(|(name, command)| (*name, &**command));
    let explicit = Work {
        containers: all.containers[..100].to_vec(),
        packages: all.packages.clone(),
    };
    check_order(&explicit, &done_by(commands), &needs);
    for line in outputs.lines().filter(|it| it.starts_with("matrix_")) {
        let (_, legs) = line.split_once('=').expect("a value");
        let legs: Vec<serde_json::Value> = serde_json::from_str(legs).expect("JSON");
        assert!(!legs.is_empty() && legs.len() <= GITHUB_MATRIX);
    }
    assert_eq!(outputs.lines().count(), 3, "jobs and two matrices");
    let nothing = github::outputs(&settings, &all, &Work::default()).expect("it fits");
    assert_eq!(nothing, "jobs=[]\nmatrix_1=[]\nmatrix_2=[]\n");
}

#[test]
fn slurm_takes_three_thousand_packages() {
    let settings = settings();
    let work = work(3000, 100, 13);
    let start = Instant::now();
    let script = slurm::script(&settings, &work, &PRODUCTION);
    fast(start);
    // Jobs stand behind all that they depend on, as they name the numbers of these.
    let mut submitted = HashSet::new();
    for line in script.lines().filter(|it| it.starts_with("ids[")) {
        let (name, rest) = line[4..].split_once("]=").expect("a job");
        for other in rest.split("${ids[").skip(1) {
            let other = other.split(']').next().expect("a name");
            assert!(
                submitted.contains(other),
                "{name} depends on {other}, which comes later"
            );
        }
        assert!(
            submitted.insert(name.to_owned()),
            "{name} is submitted twice"
        );
    }
    assert!(submitted.len() <= 1000);
    let hashes = work
        .packages
        .iter()
        .filter(|it| script.matches(it.hash.as_str()).count() != 1);
    assert_eq!(hashes.count(), 0, "each package is built once");
}

/// The time that there is. Without optimization everything takes many times as long.
fn fast(start: Instant) {
    let most = if cfg!(debug_assertions) { 30.0 } else { 2.0 };
    let took = start.elapsed().as_secs_f64();
    assert!(took < most, "{took} s");
}
