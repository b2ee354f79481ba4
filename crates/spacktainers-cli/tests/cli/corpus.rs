//! Specs drawn from real locks: what we choose for them, beside what real Spack chooses from the same build cache.
//!
//! `SPACKTAINERS_TEST_SPACK` and `SPACKTAINERS_TEST_RECIPES` as in [`crate::spack`]; `SPACKTAINERS_CORPUS` is how many specs
//! are drawn, 8 unless it is set. Solving takes Spack minutes, so specs are drawn and solved a dozen at a time, as one
//! environment: from one lock, so that they go together, while the cache has the packages of all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_format::Digest;
use serde_json::{Value as Json, json};
use spack_format::concrete::{ConcreteSpec, DepTypes, VariantValue};
use spack_format::lockfile::SpackLockfile;

use crate::support::{Stage, fixtures, skipped};

/// Specs per environment.
const TOGETHER: usize = 12;

/// What Spack says of our locks, and of the same environments without a lock.
const SCRIPT: &str = r#"
import json, os, shutil, sys
import spack.environment as ev

answers = []
for folder in json.load(open(sys.argv[1])):
    ours = ev.Environment(folder)
    with ours:
        news = [str(it[0]) for it in ours.concretize()]
    alone = folder + "-alone"
    os.makedirs(alone)
    shutil.copy(os.path.join(folder, "spack.yaml"), alone)
    theirs = ev.Environment(alone)
    error, roots = None, {}
    try:
        with theirs:
            for asked, found in theirs.concretize():
                roots[str(asked)] = {"version": str(found.version), "hash": found.dag_hash()}
    except Exception as e:
        error = str(e)
    answers.append({"news": news, "roots": roots, "error": error})
json.dump(answers, open(sys.argv[2], "w"))
"#;

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        // Knuth's generator, of which the upper bits are good.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

fn is_package(spec: &ConcreteSpec) -> bool {
    !spec.is_external() && !["compiler-wrapper", "gcc-runtime"].contains(&&*spec.name)
}

/// A constraint that the spec satisfies.
fn constraint(spec: &ConcreteSpec, dice: &mut Dice) -> String {
    let version = &spec.version;
    let (first, _) = version.split_once('.').unwrap_or((version, ""));
    let target = &spec.arch.target;
    match dice.below(7) {
        0 => format!("@{version}"),
        1 => format!("@={version}"),
        2 => format!("@{first}:"),
        3 => format!(" target={target}:"),
        4 => String::new(),
        _ => {
            let variants: Vec<_> = spec
                .variants
                .iter()
                .filter(|it| it.0 != "patches")
                .collect();
            let Some((name, value)) = (!variants.is_empty()).then(|| *dice.one(&variants)) else {
                return String::new();
            };
            match value {
                VariantValue::Bool(true) => format!("+{name}"),
                VariantValue::Bool(false) => format!("~{name}"),
                VariantValue::Single(value) => format!(" {name}={value}"),
                VariantValue::Multi(values) => format!(" {name}={}", dice.one(values)),
            }
        }
    }
}

/// A root that the spec of this lock satisfies.
fn root(spec: &ConcreteSpec, lock: &SpackLockfile, dice: &mut Dice) -> String {
    if dice.below(20) == 0 {
        return format!("/{}", spec.hash.short());
    }
    let mut text = format!("{}{}", spec.name, constraint(spec, dice));
    let compiles = |it: &spack_format::concrete::Edge| it.virtuals.iter().any(|it| it == "c");
    if dice.below(3) == 0 && spec.edges.iter().any(compiles) {
        text.push_str([" %gcc", " %gcc@12", " %c=gcc", " %[virtuals=c] gcc"][dice.below(4)]);
    }
    let below: Vec<_> = spec
        .edges
        .iter()
        .filter(|it| it.deptypes.contains(DepTypes::LINK))
        .filter_map(|edge| {
            Some((
                edge,
                lock.specs.get(&edge.hash).filter(|it| is_package(it))?,
            ))
        })
        .collect();
    if dice.below(2) == 0 && !below.is_empty() {
        let (edge, child) = dice.one(&below);
        match edge.virtuals.first() {
            Some(name) if dice.below(2) == 0 => text.push_str(&format!(" ^{name}={}", child.name)),
            _ => {
                let sigil = ["^", "^", "%"][dice.below(3)];
                text.push_str(&format!(
                    " {sigil}{}{}",
                    child.name,
                    constraint(child, dice)
                ));
            }
        }
    }
    text
}

/// The locks that specs are drawn from.
fn locks(fixtures: &Path) -> Vec<SpackLockfile> {
    let read = |name: &str| {
        let text = fs::read_to_string(fixtures.join(name).join("spack.lock")).expect("a lock");
        SpackLockfile::parse(&text).expect("a lock")
    };
    ["locks/hpc", "locks/hpc-next", "envs/small"]
        .map(read)
        .into()
}

/// A build cache that says it has all of them.
fn write_cache(stage: &Stage, locks: &[SpackLockfile]) {
    let mut seen = BTreeSet::new();
    let specs = locks.iter().flat_map(|it| it.specs.iter());
    let records: Vec<String> = specs
        .filter(|spec| seen.insert(spec.hash))
        .map(|spec| {
            let has_binary = !spec.is_external() && spec.name != "compiler-wrapper";
            format!(
                r#""{}":{{"spec":{},"ref_count":1,"in_buildcache":{has_binary}}}"#,
                spec.hash, spec.raw
            )
        })
        .collect();
    let index = format!(
        r#"{{"database":{{"version":"8","installs":{{{}}}}}}}"#,
        records.join(",")
    );
    let digest = Digest::of(index.as_bytes()).hex();
    let manifest = json!({"version": 3, "data": [{
        "contentLength": index.len(),
        "mediaType": "application/vnd.spack.db.v8+json",
        "compression": "none",
        "checksumAlgorithm": "sha256",
        "checksum": digest,
    }]});
    stage.write(
        &format!("mirror/blobs/sha256/{}/{digest}", &digest[..2]),
        &index,
    );
    stage.write("mirror/v3/layout.json", "{\"signing\": \"gpg\"}");
    stage.write(
        "mirror/v3/manifests/index/index.manifest.json",
        &manifest.to_string(),
    );
}

/// Recipes of a namespace that only the locks know: those of `builtin` under another name.
fn write_recipes(stage: &Stage, locks: &[SpackLockfile]) {
    let specs = locks.iter().flat_map(|it| it.specs.iter());
    let own = specs.filter(|it| it.namespace.as_deref() == Some("lab"));
    let names: BTreeSet<&str> = own.map(|it| &*it.name).collect();
    stage.write(
        "recipes/spack_repo/lab/repo.yaml",
        "repo:\n  namespace: lab\n  api: v2.2\n",
    );
    for name in names {
        let module = name.replace('-', "_");
        let class: String = name
            .split('-')
            .map(|part| format!("{}{}", part[..1].to_uppercase(), &part[1..]))
            .collect();
        let text = format!(
            "import spack_repo.builtin.packages.{module}.package as base\n\
             from spack_repo.builtin.packages.{module}.package import *  # noqa\n\n\n\
             class {class}(base.{class}):\n    pass\n"
        );
        stage.write(
            &format!("recipes/spack_repo/lab/packages/{module}/package.py"),
            &text,
        );
    }
}

/// What the machine has that the locks count on.
fn packages(locks: &[SpackLockfile]) -> Json {
    let mut packages = BTreeMap::new();
    packages.insert(
        "all",
        json!({"require": "target=x86_64_v3", "providers": {"mpi": ["mpich"]}}),
    );
    for spec in locks.iter().flat_map(|it| it.specs.iter()) {
        let Some(external) = spec.external.as_ref().filter(|_| spec.name != "glibc") else {
            continue;
        };
        let mut text = format!("{}@{}", spec.name, spec.version);
        for (name, value) in &spec.variants {
            match value {
                VariantValue::Bool(true) => text.push_str(&format!("+{name}")),
                VariantValue::Bool(false) => text.push_str(&format!("~{name}")),
                VariantValue::Multi(values) => {
                    text.push_str(&format!(" {name}:='{}'", values.join(",")))
                }
                VariantValue::Single(_) => {}
            }
        }
        let mut entry = json!({"spec": text, "prefix": external.path});
        if spec.name == "gcc" {
            entry["extra_attributes"] =
                json!({"compilers": {"c": "/usr/bin/gcc", "cxx": "/usr/bin/g++"}});
        }
        packages.insert(&spec.name, json!({"externals": [entry]}));
    }
    json!(packages)
}

struct Drawn {
    folder: PathBuf,
    name: String,
    roots: usize,
}

fn draw(stage: &Stage, locks: &[SpackLockfile], count: usize) -> Vec<Drawn> {
    let mut dice = Dice(20_261_126);
    let packages = packages(locks);
    let mut out: Vec<Drawn> = Vec::new();
    let mut left = count;
    while left > 0 {
        let lock = dice.one(locks);
        let mut specs: Vec<&ConcreteSpec> = lock.specs.iter().filter(|it| is_package(it)).collect();
        let mut roots = BTreeSet::new();
        while roots.len() < left.min(TOGETHER) && !specs.is_empty() {
            let spec = specs.swap_remove(dice.below(specs.len()));
            roots.insert(root(spec, lock, &mut dice));
        }
        left -= roots.len();
        let name = format!("corpus-{}", out.len());
        let file = format!("container_definitions/amd64/{name}/spack.yaml");
        let text = json!({"spack": {"specs": roots, "packages": packages, "concretizer": {"unify": true, "reuse": true}}});
        stage.write(&file, &text.to_string());
        let folder = stage.path(&file).parent().expect("a folder").to_owned();
        let roots = roots.len();
        out.push(Drawn {
            folder,
            name,
            roots,
        });
    }
    out
}

/// Asks Spack; nothing where there is none.
fn ask(stage: &Stage, drawn: &[Drawn]) -> Option<Vec<Json>> {
    let variable = |name: &str| {
        let found = std::env::var_os(name).map(PathBuf::from);
        if found.is_none() {
            skipped(&format!("{name} names no Spack"));
        }
        found
    };
    let spack = variable("SPACKTAINERS_TEST_SPACK")?;
    let recipes = variable("SPACKTAINERS_TEST_RECIPES")?;
    let mirror = format!("file://{}", stage.path("mirror").display());
    for (section, content) in [
        (
            "mirrors",
            json!({"mirrors:": {"corpus": {"url": mirror, "signed": false}}}),
        ),
        (
            "repos",
            json!({"repos:": {"lab": stage.path("recipes/spack_repo/lab"), "builtin": recipes}}),
        ),
    ] {
        stage.write(&format!("scope/{section}.yaml"), &content.to_string());
    }
    let folders: Vec<&Path> = drawn.iter().map(|it| &*it.folder).collect();
    stage.write("script.py", SCRIPT);
    stage.write("questions.json", &json!(folders).to_string());
    let status = Command::new(spack.join("bin/spack"))
        .arg("-C")
        .arg(stage.path("scope"))
        .args(["python"])
        .args(["script.py", "questions.json", "answers.json"].map(|it| stage.path(it)))
        .env("SPACK_DISABLE_LOCAL_CONFIG", "1")
        .env(
            "SPACK_USER_CACHE_PATH",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("spack-corpus"),
        )
        .env_remove("SPACK_ENV")
        .status()
        .expect("Spack runs");
    assert!(status.success(), "{status}");
    Some(serde_json::from_str(&stage.read("answers.json")).expect("JSON"))
}

#[test]
fn specs_from_real_locks_become_what_spack_makes_of_them() {
    let Some(fixtures) = fixtures() else { return };
    let count = std::env::var("SPACKTAINERS_CORPUS").ok();
    let count = count.map_or(8, |it| it.parse().expect("a number"));
    let locks = locks(&fixtures);
    let stage = Stage::empty();
    write_cache(&stage, &locks);
    write_recipes(&stage, &locks);
    stage.write(
        "spacktainers.toml",
        "[[mirror]]\nname = \"corpus\"\nurl = \"mirror\"\nsigned = false\n[arch.amd64]\nbase = \"scratch\"\ntarget = \"x86_64_v3\"\n",
    );
    let drawn = draw(&stage, &locks, count);
    // All of them are there, so that all are found, with or without Spack.
    stage.run(&["lock", "--solve-only"]).ends(0);
    let Some(answers) = ask(&stage, &drawn) else {
        return;
    };
    let (mut same, mut equal, mut all) = (0, 0, 0);
    let mut differences = String::new();
    for (it, answer) in drawn.iter().zip(&answers) {
        let text = fs::read_to_string(it.folder.join("spack.lock")).expect("a lock");
        let lock = SpackLockfile::parse(&text).expect("a lock");
        assert_eq!(lock.roots.len(), it.roots, "{}", it.name);
        assert_eq!(
            answer["news"],
            json!([]),
            "{}: our lock was not taken",
            it.name
        );
        assert_eq!(answer["error"], Json::Null, "{}", it.name);
        // A hash leaves no choice.
        for root in lock.roots.iter().filter(|it| !it.spec.starts_with('/')) {
            let spec = lock.specs.get(&root.hash).expect("it is there");
            let theirs = &answer["roots"][&root.spec];
            all += 1;
            same += usize::from(theirs["version"] == json!(spec.version));
            equal += usize::from(theirs["hash"] == json!(spec.hash));
            if theirs["version"] != json!(spec.version) {
                differences.push_str(&format!(
                    "\n{}: `{}` is {} here, {theirs} there",
                    it.name, root.spec, spec.version
                ));
            }
        }
    }
    let told = format!("{all} specs: {same} versions and {equal} hashes are the same{differences}");
    let _ = writeln!(std::io::stderr(), "{told}");
    assert!(same * 100 >= all * 95, "{told}");
}
