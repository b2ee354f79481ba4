//! Resolving against made-up and real indices.

use std::fs;
use std::path::Path;

use spack_format::environment::{Environment, Machine, Manifest};
use spack_format::lockfile::SpackLockfile;
use spack_format::spec::SatisfiesIn;
use spack_format::yaml::SourceId;
use tempfile::TempDir;

use super::*;
use crate::diagnostic::Sources;
use crate::index::test_index::{Node, index_text, known_from};
use crate::resolve::{Wanted, decide};
use crate::test_support::fixtures;

/// What an environment resolves to, from these nodes.
struct World {
    known: KnownSpecs,
    _home: TempDir,
}

impl World {
    fn new(nodes: &[Node]) -> Self {
        Self::from_text(&index_text(nodes))
    }

    fn from_text(text: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let known = known_from(text, home.path());
        Self { known, _home: home }
    }

    fn resolve(&self, yaml: &str) -> Result<Resolution, (ResolveError, Sources)> {
        self.resolve_for(yaml, None, None)
    }

    fn resolve_for(
        &self,
        yaml: &str,
        target: Option<&str>,
        libc: Option<&BaseLibc>,
    ) -> Result<Resolution, (ResolveError, Sources)> {
        self.resolve_beside(yaml, target, libc, &[])
    }

    fn resolve_beside(
        &self,
        yaml: &str,
        target: Option<&str>,
        libc: Option<&BaseLibc>,
        included: &[Included<'_>],
    ) -> Result<Resolution, (ResolveError, Sources)> {
        let mut sources = Sources::default();
        let id = sources.add("spack.yaml", yaml);
        assert_eq!(id, SourceId(0));
        let manifest = Manifest::parse(yaml, id);
        assert_eq!(manifest.faults, [], "{yaml}");
        let environment = Environment::new(&manifest, []);
        let expansion = environment.user_specs(&Machine::default());
        let request = Request {
            environment: &environment,
            specs: &expansion.specs,
            family: "x86_64",
            target,
            libc,
            included,
            explains: true,
        };
        let first = resolve(&request, &self.known);
        if let (Ok(first), Ok(second)) = (&first, resolve(&request, &self.known)) {
            assert_eq!(first.lock, second.lock, "the same each time");
        }
        first.map_err(|error| (error, sources))
    }

    /// `name@version` of each root.
    fn titles(&self, yaml: &str) -> Vec<String> {
        match self.resolve(yaml) {
            Ok(resolution) => titles(&resolution),
            Err((error, sources)) => panic!("{error}\n{}", error.details(&sources).join("\n")),
        }
    }

    fn refusal(&self, yaml: &str) -> String {
        let (error, sources) = self.resolve(yaml).expect_err("no solution");
        format!("{error}\n{}", error.details(&sources).join("\n"))
    }
}

fn titles(resolution: &Resolution) -> Vec<String> {
    let title = |it: &ChosenRoot| it.title.split(' ').next().unwrap_or_default().to_owned();
    resolution.roots.iter().map(title).collect()
}

fn yaml(specs: &[&str], rest: &str) -> String {
    let specs: Vec<String> = specs.iter().map(|it| format!("  - '{it}'\n")).collect();
    format!("spack:\n  specs:\n{}{rest}", specs.concat())
}

/// Two versions of `app` with and without `mpi`, on two versions of `lib`.
fn sample() -> World {
    let lib1 = Node::new("lib", "1.0");
    let lib2 = Node::new("lib", "2.0");
    let app = |version: &str, mpi: bool, lib: &Node| {
        Node::new("app", version).flag("mpi", mpi).links(lib, "")
    };
    World::new(&[
        app("1.0", true, &lib1),
        app("2.0", false, &lib1),
        app("2.0", false, &lib2),
        app("develop", false, &lib2),
        Node::new("tool", "3").links(&lib1, ""),
        lib1,
        lib2,
    ])
}

#[test]
fn the_newest_that_fits_is_chosen_and_develop_is_newer_than_numbers() {
    let world = sample();
    assert_eq!(world.titles(&yaml(&["app"], "")), ["app@develop"]);
    assert_eq!(world.titles(&yaml(&["app@1:2"], "")), ["app@2.0"]);
    assert_eq!(world.titles(&yaml(&["app+mpi"], "")), ["app@1.0"]);
    assert_eq!(world.titles(&yaml(&["app ^lib@1"], "")), ["app@2.0"]);
    assert_eq!(world.titles(&yaml(&["app", "app"], "")), ["app@develop"]);
    let resolution = world
        .resolve(&yaml(&["app@2 ^lib@2"], ""))
        .expect("a solution");
    let root = &resolution.roots[0];
    assert_eq!((root.considered, root.fitting), (4, 1));
    let excluded = root.excluded.iter().flat_map(|it| &it.reasons);
    let excluded: Vec<&str> = excluded.map(|it| it.is.as_str()).collect();
    assert!(
        excluded.iter().any(|it| it.contains("built with lib@1.0")),
        "{excluded:?}"
    );
    let resolution = world
        .resolve(&yaml(&["builtin.app@2"], ""))
        .expect("a solution");
    assert!(resolution.lock.contains(r#""spec":"builtin.app@2"}"#));
}

#[test]
fn roots_share_their_dependencies_if_they_are_to() {
    let world = sample();
    let roots = ["app", "tool"];
    assert_eq!(world.titles(&yaml(&roots, "")), ["app@2.0", "tool@3"]);
    let apart = "  concretizer:\n    unify: false\n";
    assert_eq!(
        world.titles(&yaml(&roots, apart)),
        ["app@develop", "tool@3"]
    );
    let refusal = world.refusal(&yaml(&["app@develop", "tool"], ""));
    assert!(refusal.contains("go together"), "{refusal}");
    assert!(refusal.contains("needs lib@"), "{refusal}");
    let possible = "  concretizer:\n    unify: when_possible\n";
    assert_eq!(
        world.titles(&yaml(&["app@develop", "tool"], possible)),
        ["app@develop", "tool@3"]
    );
}

#[test]
fn requirements_hold_and_preferences_order() {
    let world = sample();
    let packages = |text: &str| yaml(&["app"], &format!("  packages:\n    {text}\n"));
    for (rule, chosen) in [
        ("app: {require: '@1'}", "app@1.0"),
        ("app: {require: [{any_of: ['@2', '@1']}]}", "app@2.0"),
        ("app: {require: [{one_of: ['@3', '+mpi']}]}", "app@1.0"),
        ("all: {require: '+mpi'}", "app@1.0"),
        ("app: {prefer: ['@1']}", "app@1.0"),
        ("app: {conflict: ['@develop']}", "app@2.0"),
        ("lib: {require: '@1'}", "app@2.0"),
        ("lib: {conflict: [{spec: '@2', when: '@2'}]}", "app@2.0"),
        (
            "app: {require: [{spec: '+mpi', when: '@develop'}]}",
            "app@2.0",
        ),
    ] {
        assert_eq!(world.titles(&packages(rule)), [chosen], "{rule}");
    }
}

#[test]
fn what_excluded_the_nearest_is_said_with_its_place() {
    let world = sample();
    let refusal = world.refusal(&yaml(
        &["app@2"],
        "  packages:\n    app:\n      require: +mpi\n",
    ));
    let first = "`app@2` (spack.yaml:3): none of 4 fits; the nearest:";
    assert!(refusal.contains(first), "{refusal}");
    assert!(
        refusal.contains("has ~mpi; packages:app:require at spack.yaml:6 asks +mpi"),
        "{refusal}"
    );
    assert!(refusal.contains("has the version 1.0"), "{refusal}");
    let refusal = world.refusal(&yaml(&["ap"], ""));
    assert!(refusal.contains("did you mean `app`?"), "{refusal}");
    let refusal = world.refusal(&yaml(
        &["tool"],
        "  packages:\n    lib:\n      require: '@9'\n",
    ));
    assert!(
        refusal.contains("needs lib@1.0 /") && refusal.contains("which has the version 1.0"),
        "{refusal}"
    );
}

#[test]
fn what_is_not_all_in_the_caches_is_not_chosen() {
    let absent = Node::new("lib", "1.0").without_binary();
    let world = World::new(&[Node::new("app", "1.0").links(&absent, ""), absent.clone()]);
    let refusal = world.refusal(&yaml(&["app"], ""));
    assert!(refusal.contains("which is in no build cache"), "{refusal}");
    let world = World::new(&[Node::new("app", "1.0").links(&absent, "")]);
    let refusal = world.refusal(&yaml(&["app"], ""));
    assert!(refusal.contains("no index has a record"), "{refusal}");
    // What is for building alone need not be there at all.
    let world = World::new(&[Node::new("app", "1.0").builds_with(&absent)]);
    let resolution = world.resolve(&yaml(&["app"], "")).expect("a solution");
    assert!(!resolution.lock.contains("\"lib\""));
    SpackLockfile::parse(&resolution.lock).expect("a lock");
}

#[test]
fn targets_and_c_libraries_are_those_of_the_image() {
    let libc = Node::new("glibc", "2.36").external("/usr");
    let app = |target: &str| {
        let node = Node::new("app", "1.0").target(target);
        node.links(&libc, "libc")
    };
    let world = World::new(&[
        app("x86_64_v3"),
        app("skylake_avx512"),
        app("aarch64"),
        libc.clone(),
    ]);
    let asked = yaml(&["app"], "");
    let image = |version: &str| glibc(Some(version));
    for (target, libc, chosen) in [
        (None, None, Some("skylake_avx512")),
        (Some("x86_64_v3"), None, Some("x86_64_v3")),
        (Some("x86_64"), None, None),
        (Some("x86_64_v3"), Some(image("2.36")), Some("x86_64_v3")),
        (Some("x86_64_v3"), Some(image("2.31")), None),
        (None, Some(glibc(None)), Some("skylake_avx512")),
    ] {
        let found = world.resolve_for(&asked, target, libc.as_ref());
        let found = found.ok().map(|it| {
            let lock = SpackLockfile::parse(&it.lock).expect("a lock");
            lock.specs
                .get(&it.roots[0].hash)
                .expect("the root")
                .arch
                .target
                .clone()
        });
        assert_eq!(found.as_deref(), chosen, "{target:?} {libc:?}");
    }
}

#[test]
fn externals_are_those_that_are_configured_or_the_last_resort() {
    let ssl = Node::new("openssl", "3.0").external("/usr");
    let curl = Node::new("curl", "8").links(&ssl, "");
    let world = World::new(&[Node::new("curl", "7"), curl.clone(), ssl.clone()]);
    assert_eq!(world.titles(&yaml(&["curl"], "")), ["curl@7"]);
    let world = World::new(&[curl, ssl]);
    assert_eq!(world.titles(&yaml(&["curl"], "")), ["curl@8"]);
    let other = "  packages:\n    openssl:\n      externals:\n      - {spec: 'openssl@3.0', prefix: /opt/ssl}\n";
    let refusal = world.refusal(&yaml(&["curl"], other));
    assert!(refusal.contains("packages:openssl:externals"), "{refusal}");
    let configured = "  packages:\n    openssl:\n      externals:\n      - {spec: 'openssl@3.0', prefix: /usr}\n";
    assert_eq!(world.titles(&yaml(&["curl"], configured)), ["curl@8"]);
}

#[test]
fn virtual_packages_are_provided_as_configured() {
    let (mpich, openmpi) = (Node::new("mpich", "4"), Node::new("openmpi", "5"));
    let world = World::new(&[
        Node::new("app", "1").links(&mpich, "mpi"),
        Node::new("app", "1").links(&openmpi, "mpi"),
        Node::new("other", "1").links(&openmpi, "mpi"),
        mpich,
        openmpi,
    ]);
    let providers =
        |list: &str| format!("  packages:\n    all:\n      providers:\n        mpi: [{list}]\n");
    for (list, root) in [("openmpi", "openmpi@5"), ("mpich, openmpi", "mpich@4")] {
        let titles = world.titles(&yaml(&["app", "mpi"], &providers(list)));
        assert_eq!(titles, ["app@1", root]);
    }
    let required = "  packages:\n    mpi:\n      require: [openmpi]\n";
    let titles = world.titles(&yaml(&["app", "mpi"], required));
    assert_eq!(titles, ["app@1", "openmpi@5"]);
    let refusal = world.refusal(&yaml(&["app ^mpich", "other"], ""));
    assert!(refusal.contains("go together"), "{refusal}");
}

#[test]
fn reuse_may_be_narrowed() {
    let world = sample();
    let reuse = |text: &str| {
        yaml(
            &["app"],
            &format!("  concretizer:\n    reuse:\n      {text}\n"),
        )
    };
    assert_eq!(
        world.titles(&reuse("exclude: ['app@develop']")),
        ["app@2.0"]
    );
    let from = "from: [{type: buildcache, include: ['@1']}]";
    assert_eq!(world.titles(&reuse(from)), ["app@1.0"]);
}

#[test]
fn forged_specs_are_not_chosen() {
    let good = Node::new("app", "1.0");
    let forged = Node::new("app", "2.0").hash("f2345672345672345672345672345672");
    let world = World::new(&[good, forged]);
    assert_eq!(world.titles(&yaml(&["app"], "")), ["app@1.0"]);
    let refusal = world.refusal(&yaml(&["app@2"], ""));
    assert!(refusal.contains("tampered"), "{refusal}");
}

/// Roots of every kind about every package of a real cache: what comes out satisfies what was asked, and is a lock.
#[test]
fn whatever_is_asked_of_real_caches_is_what_comes_out() {
    let Some(fixtures) = fixtures() else { return };
    let mut asked = 0;
    for name in ["small-v3", "tiny-v2"] {
        let world = World::from_text(&real_index(&fixtures.join("caches").join(name)));
        let mut roots = Vec::new();
        for (id, spec) in world.known.iter() {
            if !spec.in_build_cache || spec.is_external {
                continue;
            }
            let node = world.known.read(id).expect("a node");
            roots.extend([
                node.name.clone(),
                format!("{}@{}", node.name, node.version),
                format!("{}@={}", node.name, node.version),
                format!("{} target={}", node.name, node.arch.target),
                format!("/{}", node.hash),
                format!("{} os={}", node.name, node.arch.os),
            ]);
            for (variant, value) in &node.variants {
                use spack_format::concrete::VariantValue;
                roots.push(match value {
                    VariantValue::Bool(true) => format!("{}+{variant}", node.name),
                    VariantValue::Bool(false) => format!("{}~{variant}", node.name),
                    other => format!("{} {variant}={other}", node.name),
                });
            }
            for edge in node.edges_of(spack_format::concrete::DepTypes::RUNTIME) {
                roots.push(format!("{} ^{}", node.name, edge.name));
            }
        }
        for root in &roots {
            let resolution = world.resolve(&yaml(&[root], ""));
            let resolution = resolution.unwrap_or_else(|(error, sources)| {
                panic!("{root}: {error}\n{}", error.details(&sources).join("\n"))
            });
            let lock = SpackLockfile::parse(&resolution.lock).expect("a lock");
            let satisfies = SatisfiesIn::new(&lock.specs);
            let wanted = [Wanted {
                text: root.clone(),
                canonical: spack_format::spec::canonical(root).expect("a spec"),
            }];
            let decided = decide(&wanted, &lock, None, &|spec, text| {
                satisfies.satisfies(spec, text)
            });
            assert!(decided.is_ok(), "{root}: {decided:?}");
        }
        asked += roots.len();
    }
    assert!(asked > 150, "{asked} roots");
}

fn real_index(folder: &Path) -> String {
    use spack_format::build_cache::v3;
    let path = folder.join(v3::index_manifest_path(None));
    let path = match fs::read_to_string(path) {
        Ok(manifest) => {
            let manifest = v3::Manifest::parse(&manifest).expect("a manifest");
            folder.join(v3::blob_path(&manifest.index().expect("an index").checksum))
        }
        Err(_) => folder.join("build_cache/index.json"),
    };
    fs::read_to_string(path).expect("an index")
}

/// The environment of the fixtures comes out as real Spack had it.
#[test]
fn the_small_environment_is_the_one_that_spack_made() {
    let Some(fixtures) = fixtures() else { return };
    let world = World::from_text(&real_index(&fixtures.join("caches/small-v3")));
    let yaml = fs::read_to_string(fixtures.join("envs/small/spack.yaml")).expect("a file");
    let resolution = world.resolve(&yaml).expect("a solution");
    let ours = SpackLockfile::parse(&resolution.lock).expect("a lock");
    let real = fs::read_to_string(fixtures.join("envs/small/spack.lock")).expect("a file");
    let real = SpackLockfile::parse(&real).expect("a lock");
    let roots = |lock: &SpackLockfile| {
        let mut roots: Vec<_> = lock
            .roots
            .iter()
            .map(|it| (it.spec.clone(), it.hash))
            .collect();
        roots.sort();
        roots
    };
    assert_eq!(roots(&ours), roots(&real));
    let packages = |lock: &SpackLockfile| {
        let closure = lock.runtime_closure();
        let mut hashes: Vec<_> = closure.packages.iter().map(|it| it.hash).collect();
        hashes.sort();
        hashes
    };
    assert_eq!(packages(&ours), packages(&real));
}

fn glibc(version: Option<&str>) -> BaseLibc {
    BaseLibc {
        libc: Libc {
            name: "glibc".to_owned(),
            version: version.map(str::to_owned),
        },
        base: "debian bookworm".to_owned(),
    }
}

#[test]
fn what_needs_a_newer_c_library_than_the_base_has_is_left_out_and_told_of() {
    let on = |version: &str, prefix: &str, app: &str| {
        let libc = Node::new("glibc", version).external(prefix);
        [Node::new("app", app).links(&libc, "libc"), libc]
    };
    let musl = Node::new("musl", "1.2").external("/usr");
    let nodes = [
        on("2.36", "/usr", "1.0").to_vec(),
        on("2.39", "/usr", "2.0").to_vec(),
        on("2.31", "/opt/glibc", "3.0").to_vec(),
        vec![Node::new("app", "4.0").links(&musl, "libc"), musl],
    ];
    let world = World::new(&nodes.concat());
    let base = glibc(Some("2.36"));
    let chosen = world.resolve_for(&yaml(&["app"], ""), None, Some(&base));
    assert_eq!(titles(&chosen.expect("one fits")), ["app@1.0"]);
    assert_eq!(world.titles(&yaml(&["app"], "")), ["app@4.0"]);
    let refused = world.resolve_for(&yaml(&["app@2:"], ""), None, Some(&base));
    let (error, sources) = refused.expect_err("all of them are newer");
    let told = error.details(&sources).join("\n");
    for text in [
        "which is glibc 2.39; the base image debian bookworm asks for glibc 2.36 or older, which is its own",
        "which is a glibc in `/opt/glibc`; the base image",
        "which is musl 1.2; the base image",
    ] {
        assert!(told.contains(text), "`{text}` is not in\n{told}");
    }
}

#[test]
fn included_environments_have_chosen_already_and_are_taken_over() {
    let world = sample();
    let first = world.resolve(&yaml(&["tool"], "")).expect("a solution");
    let lock = SpackLockfile::parse(&first.lock).expect("a lock");
    let included = Included {
        path: "/env/tools",
        text: &first.lock,
        lock: &lock,
    };
    // The tool is linked to the older `lib`, so that `app` must be as well.
    let beside = |specs: &[&str], rest: &str| {
        world.resolve_beside(&yaml(specs, rest), None, None, &[included])
    };
    let found = beside(&["app"], "").expect("a solution");
    assert_eq!(titles(&found), ["app@2.0"]);
    let read = SpackLockfile::parse(&found.lock).expect("a lock");
    assert_eq!(read.included[0].path, "/env/tools");
    assert_eq!(read.included[0].roots, lock.roots);
    assert_eq!(read.all_root_hashes().len(), 2);
    let apart = "  concretizer:\n    unify: false\n";
    let found = beside(&["app"], apart).expect("a solution");
    assert_eq!(titles(&found), ["app@develop"]);
    let (error, _) = beside(&["app@develop"], "").expect_err("another `lib`");
    assert!(matches!(error, ResolveError::Clash { .. }), "{error}");
    // What no index has is in the way all the same.
    let other = World::new(&[
        Node::new("app", "1.0").links(&Node::new("lib", "3.0"), ""),
        Node::new("lib", "3.0"),
    ]);
    let asked = yaml(&["app"], "");
    let refused = other.resolve_beside(&asked, None, None, &[included]);
    let (error, _) = refused.expect_err("another `lib`");
    assert!(
        error.to_string().contains("of an included environment"),
        "{error}"
    );
}

#[test]
fn splices_are_left_to_spack() {
    let world = sample();
    for splice in [
        "explicit: [{target: lib, replacement: lib@2, transitive: false}]",
        "automatic: true",
    ] {
        let rest = format!("  concretizer:\n    splice:\n      {splice}\n");
        let (error, sources) = world.resolve(&yaml(&["app"], &rest)).expect_err(splice);
        assert!(matches!(error, ResolveError::Splices { .. }), "{error}");
        assert!(error.is_missing(), "Spack is asked, where there is one");
        assert!(error.details(&sources)[0].contains("spack.yaml:"));
    }
    let none = "  concretizer:\n    splice: {explicit: [], automatic: false}\n";
    assert_eq!(world.titles(&yaml(&["app"], none)), ["app@develop"]);
}
