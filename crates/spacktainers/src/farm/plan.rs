//! What is built, in which order, and what lies there before. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use spack_format::build_cache::mutable_source;
use spack_format::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use spack_format::dag_hash::DagHash;

use super::survey::{Survey, needed};
use super::{FarmError, Order};

/// What has to be done.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// What is built, dependencies before dependents.
    pub(super) builds: Vec<Build>,
    /// What is laid down before anything is built: what needs nothing that has yet to be built.
    pub(super) laid_down_first: Vec<LaidDown>,
}

/// A package that is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build {
    /// Which.
    pub(super) hash: DagHash,
    /// For people.
    pub(super) title: String,
    pub(super) name: String,
    pub(super) version: String,
    /// In whose environment.
    pub(super) order: usize,
    /// Places in [`Plan::builds`] of what has to be built before.
    pub(super) after: Vec<usize>,
    /// What is laid down once those are built: packages of mirrors that need them.
    pub(super) laid_down: Vec<LaidDown>,
}

/// A package of a mirror that a build needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaidDown {
    /// In whose environment.
    pub(super) order: usize,
    /// Which.
    pub(super) hash: DagHash,
}

impl Plan {
    /// The rest, without builds that others do and what needs these; and what needs them.
    pub(super) fn without(self, others: &HashSet<DagHash>) -> (Self, Vec<Build>) {
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut held_up = Vec::new();
        let mut rest = Self {
            builds: Vec::new(),
            laid_down_first: self.laid_down_first,
        };
        for (index, mut build) in self.builds.into_iter().enumerate() {
            if others.contains(&build.hash) {
                continue;
            }
            let after: Option<Vec<usize>> = build
                .after
                .iter()
                .map(|it| places.get(it).copied())
                .collect();
            match after {
                Some(after) => {
                    build.after = after;
                    places.insert(index, rest.builds.len());
                    rest.builds.push(build);
                }
                None => held_up.push(build),
            }
        }
        (rest, held_up)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (builds, laid_down) = (self.builds.len(), self.laid_down_first.len());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(f, "{builds} package{} to build", plural(builds))?;
        if laid_down > 0 {
            write!(
                f,
                ", with {laid_down} package{} of mirrors",
                plural(laid_down)
            )?;
        }
        Ok(())
    }
}

/// The plan for what `survey` found missing.
///
/// # Errors
/// When something that has to be built must not be pushed.
pub(super) fn plan(orders: &[Order<'_>], survey: &Survey) -> Result<Plan, FarmError> {
    let mut plan = Plan::default();
    let mut places: HashMap<DagHash, usize> = HashMap::new();
    let mut first: BTreeSet<LaidDown> = BTreeSet::new();
    let mut mutable = Vec::new();
    for (index, order) in orders.iter().enumerate() {
        let specs = &order.lock.specs;
        for spec in missing(order, survey) {
            if places.contains_key(&spec.hash) {
                continue;
            }
            let title = format!("{}@{} /{}", spec.name, spec.version, spec.hash.short());
            if let Some(source) = mutable_source(spec) {
                mutable.push(format!("{title}: {source}"));
            }
            let needs = needs(spec, specs);
            let mut build = Build {
                hash: spec.hash,
                title,
                name: spec.name.clone(),
                version: spec.version.clone(),
                order: index,
                after: needs
                    .iter()
                    .filter_map(|it| places.get(&it.hash).copied())
                    .collect(),
                laid_down: Vec::new(),
            };
            for dependency in needs
                .iter()
                .filter(|it| survey.get(&it.hash) == Some(&true))
            {
                let laid_down = LaidDown {
                    order: index,
                    hash: dependency.hash,
                };
                let is_whole = runtime(dependency, specs)
                    .iter()
                    .all(|below| survey.get(&below.hash) != Some(&false));
                if is_whole {
                    first.insert(laid_down);
                } else {
                    build.laid_down.push(laid_down);
                }
            }
            build.after.sort_unstable();
            places.insert(spec.hash, plan.builds.len());
            plan.builds.push(build);
        }
    }
    if !mutable.is_empty() {
        return Err(FarmError::Mutable(mutable));
    }
    plan.laid_down_first = first.into_iter().collect();
    Ok(plan)
}

/// What is missing of one order, dependencies first.
fn missing<'a>(order: &Order<'a>, survey: &Survey) -> Vec<&'a ConcreteSpec> {
    let specs = &order.lock.specs;
    let is_missing = |hash: &DagHash| survey.get(hash) == Some(&false);
    // Only what a missing package is reached by counts: build dependencies of what mirrors have do not.
    let mut reached = HashSet::new();
    let mut open: Vec<DagHash> = order.wanted.clone();
    while let Some(hash) = open.pop() {
        if let Some(spec) = specs.get(&hash).filter(|it| !it.is_external())
            && reached.insert(hash)
        {
            open.extend(
                spec.edges_of(needed(!is_missing(&hash)))
                    .map(|edge| edge.hash),
            );
        }
    }
    specs
        .closure(order.wanted.iter().copied(), DepTypes::ALL)
        .into_iter()
        .filter(|spec| reached.contains(&spec.hash) && is_missing(&spec.hash))
        .collect()
}

/// All that must be in the store before `spec` is built: its dependencies, and what these run with.
fn needs<'a>(spec: &ConcreteSpec, specs: &'a ConcreteSpecs) -> Vec<&'a ConcreteSpec> {
    let direct = spec.edges_of(needed(false)).map(|edge| edge.hash);
    without_externals(specs.closure(direct, DepTypes::RUNTIME))
}

/// What `spec` runs with, itself included.
fn runtime<'a>(spec: &ConcreteSpec, specs: &'a ConcreteSpecs) -> Vec<&'a ConcreteSpec> {
    without_externals(specs.closure([spec.hash], DepTypes::RUNTIME))
}

fn without_externals(specs: Vec<&ConcreteSpec>) -> Vec<&ConcreteSpec> {
    specs.into_iter().filter(|it| !it.is_external()).collect()
}

/// A plan of packages with these names, each after those at these places.
#[cfg(test)]
pub(super) fn test_plan(builds: &[(&str, &[usize])]) -> Plan {
    let hash = |index: usize| {
        let letter = char::from(b'a' + u8::try_from(index).unwrap_or_default());
        letter.to_string().repeat(32).parse().expect("a DAG hash")
    };
    let builds = builds
        .iter()
        .enumerate()
        .map(|(index, (name, after))| Build {
            hash: hash(index),
            title: format!("{name}@1.{index}"),
            name: (*name).to_owned(),
            version: format!("1.{index}"),
            order: 0,
            after: after.to_vec(),
            laid_down: Vec::new(),
        });
    Plan {
        builds: builds.collect(),
        laid_down_first: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};
    use spack_format::lockfile::SpackLockfile;

    fn letter(letter: char) -> DagHash {
        letter.to_string().repeat(32).parse().expect("a DAG hash")
    }

    /// One line per package: name, version, edges such as `b:build,link`.
    fn lock(nodes: &[(char, &str, &[&str])]) -> SpackLockfile {
        let mut specs = serde_json::Map::new();
        for (name, version, edges) in nodes {
            let edges: Vec<Json> = edges
                .iter()
                .map(|edge| {
                    let (to, types) = edge.split_once(':').expect("an edge");
                    let types: Vec<&str> = types.split(',').collect();
                    json!({"name": to, "hash": to.repeat(32), "parameters": {"deptypes": types, "virtuals": []}})
                })
                .collect();
            let hash = name.to_string().repeat(32);
            let node = json!({
                "name": name.to_string(), "version": version,
                "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64_v3"},
                "namespace": "builtin", "parameters": {}, "dependencies": edges, "hash": hash,
            });
            specs.insert(hash, node);
        }
        let root = nodes.first().expect("a node").0.to_string();
        let text = json!({
            "_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
            "roots": [{"hash": root.repeat(32), "spec": root}],
            "concrete_specs": specs,
        });
        SpackLockfile::parse(&text.to_string()).expect("a lock")
    }

    fn planned(locks: &[&SpackLockfile], here: &str, gone: &str) -> Result<Plan, FarmError> {
        let manifest = json!({});
        let orders: Vec<Order<'_>> = locks
            .iter()
            .map(|lock| Order {
                title: "x".to_owned(),
                manifest: &manifest,
                lock_text: "",
                lock,
                wanted: lock
                    .runtime_closure()
                    .packages
                    .iter()
                    .map(|it| it.hash)
                    .collect(),
            })
            .collect();
        let mut survey = Survey::new();
        survey.extend(here.chars().map(|it| (letter(it), true)));
        survey.extend(gone.chars().map(|it| (letter(it), false)));
        plan(&orders, &survey)
    }

    fn names(plan: &Plan) -> String {
        plan.builds.iter().map(|it| &it.title[..1]).collect()
    }

    #[test]
    fn each_package_is_built_once_after_what_it_needs() {
        let one = lock(&[
            ('a', "1", &["b:link", "c:build"]),
            ('b', "1", &["d:link"]),
            ('c', "1", &[]),
            ('d', "1", &[]),
        ]);
        let two = lock(&[
            ('e', "1", &["b:run"]),
            ('b', "1", &["d:link"]),
            ('d', "1", &[]),
        ]);
        let plan = planned(&[&one, &two], "", "abcde").expect("a plan");
        assert_eq!(names(&plan), "dbcae");
        assert_eq!(plan.builds[3].after, [0, 1, 2], "a after d, b and c");
        assert_eq!(
            (plan.builds[4].order, plan.builds[4].after.clone()),
            (1, vec![0, 1])
        );
        assert_eq!(plan.laid_down_first, []);
    }

    #[test]
    fn what_mirrors_have_is_laid_down_and_its_own_builders_are_not() {
        let lock = lock(&[
            ('a', "1", &["b:link"]),
            ('b', "1", &["c:build", "d:link"]),
            ('c', "1", &[]),
            ('d', "1", &[]),
        ]);
        let plan = planned(&[&lock], "bd", "a").expect("a plan");
        assert_eq!(names(&plan), "a");
        let laid_down: Vec<DagHash> = plan.laid_down_first.iter().map(|it| it.hash).collect();
        assert_eq!(laid_down, [letter('b'), letter('d')]);
        // Although nobody has `c`, which built `b`.
        let plan = planned(&[&lock], "bd", "ac").expect("a plan");
        assert_eq!(names(&plan), "a");
    }

    #[test]
    fn what_needs_a_build_is_laid_down_after_it() {
        let lock = lock(&[
            ('a', "1", &["b:build"]),
            ('b', "1", &["c:run"]),
            ('c', "1", &[]),
        ]);
        let plan = planned(&[&lock], "b", "ac").expect("a plan");
        assert_eq!(names(&plan), "ca");
        assert_eq!(plan.laid_down_first, []);
        assert_eq!(plan.builds[1].after, [0]);
        assert_eq!(plan.builds[1].laid_down[0].hash, letter('b'));
    }

    #[test]
    fn what_others_do_holds_up_what_needs_it() {
        let plan = test_plan(&[
            ("a", &[]),
            ("b", &[]),
            ("c", &[0]),
            ("d", &[1]),
            ("e", &[2]),
        ]);
        let others = HashSet::from([plan.builds[0].hash]);
        let (rest, held_up) = plan.without(&others);
        assert_eq!(names(&rest), "bd");
        assert_eq!(rest.builds[1].after, [0]);
        let titles: String = held_up.iter().map(|it| &it.title[..1]).collect();
        assert_eq!(titles, "ce");
    }

    #[test]
    fn what_moves_under_its_name_is_not_built_to_be_pushed() {
        let lock = lock(&[('a', "develop", &["b:link"]), ('b', "1", &[])]);
        let error = planned(&[&lock], "", "ab").expect_err("a moving version");
        assert!(
            matches!(&error, FarmError::Mutable(all) if all.len() == 1),
            "{error}"
        );
        assert!(
            planned(&[&lock], "a", "b").is_ok(),
            "what lies in a mirror is not built"
        );
    }
}
