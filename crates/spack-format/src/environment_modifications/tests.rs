//! Made-up packages, loaded and activated.

use std::collections::BTreeMap;

use super::modification::normalized;
use super::*;
use crate::concrete::{ConcreteSpec, ConcreteSpecs, test_specs};

fn prefix(spec: &ConcreteSpec) -> Option<String> {
    match &spec.external {
        Some(external) => external.path.clone(),
        None => Some(format!("/s/{}", spec.name)),
    }
}

fn values(
    specs: &ConcreteSpecs,
    root: &str,
    directories: &[&str],
    env_vars: &Modifications,
    view: Option<&str>,
) -> BTreeMap<String, String> {
    let request = EnvironmentRequest {
        specs,
        roots: &[test_specs::named(specs, root).hash],
        prefix: &prefix,
        is_directory: &|path| directories.contains(&path),
        inspections: &PrefixInspections::default(),
        env_vars,
        recipes: &|_| None,
    };
    let modifications = match view {
        Some(root) => for_view(
            &request,
            &ViewPlaces {
                root,
                place: &|_| root.to_owned(),
            },
        ),
        None => for_prefixes(&request),
    };
    modifications.apply(&BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]))
}

fn shown(values: &BTreeMap<String, String>) -> Vec<String> {
    values
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn a_view_is_named_whole_and_prefixes_as_far_as_they_are_there() {
    let specs = test_specs::small();
    let directories = [
        "/s/app/bin",
        "/s/lib/bin",
        "/s/tool/bin",
        "/s/app",
        "/usr",
        "/usr/bin",
        "/usr/share/man",
    ];
    let none = Modifications::new();
    let view = values(&specs, "app", &directories, &none, Some("/v"));
    assert_eq!(
        shown(&view),
        [
            "ACLOCAL_PATH=/v/share/aclocal",
            "CMAKE_PREFIX_PATH=/v",
            "MANPATH=/usr/share/man:/v/share/man:/v/man:",
            "PATH=/v/bin:/bin",
            "PKG_CONFIG_PATH=/v/share/pkgconfig:/v/lib64/pkgconfig:/v/lib/pkgconfig",
        ]
    );
    // Inspections name the programs of `lib` too, which is only linked, but after those of
    // packages that are run.
    let prefixes = values(&specs, "app", &directories, &none, None);
    assert_eq!(
        shown(&prefixes),
        [
            "CMAKE_PREFIX_PATH=/s/app",
            "MANPATH=/usr/share/man:",
            "PATH=/s/app/bin:/s/tool/bin:/s/lib/bin:/bin",
        ]
    );
}

#[test]
fn env_vars_come_first() {
    let specs = test_specs::small();
    let section = serde_json::json!({
        "set": {"A": "x", "PATH": "/only", "N": 1},
        "unset": ["B"],
        "append_path": {"C": "/c/./d/.."},
    });
    let env_vars =
        Modifications::from_json(section.as_object().expect("an object")).expect("known");
    let view = values(&specs, "app", &[], &env_vars, Some("/v"));
    assert_eq!(view.get("A").map(String::as_str), Some("x"));
    assert_eq!(view.get("C").map(String::as_str), Some("/c"));
    assert_eq!(view.get("N").map(String::as_str), Some("1"));
    assert_eq!(view.get("PATH").map(String::as_str), Some("/v/bin:/only"));
    assert!(!view.contains_key("B"));
    let unknown = serde_json::json!({"sett": {"A": "x"}});
    assert_eq!(
        Modifications::from_json(unknown.as_object().expect("an object")),
        Err(ModificationError::Command("sett".to_owned()))
    );
}

fn node(name: &str, letter: &str, parameters: &str, edges: &[(&str, &str, &str)]) -> ConcreteSpec {
    let edges: Vec<String> = edges
        .iter()
        .map(|(name, letter, deptype)| {
            format!(
                r#"{{"name":"{name}","hash":"{}","parameters":{{"deptypes":["{deptype}"],"virtuals":[]}}}}"#,
                letter.repeat(32)
            )
        })
        .collect();
    test_specs::node(&format!(
        r#"{{"name":"{name}","version":"3.11.2","arch":{{"platform":"linux","platform_os":"debian12","target":"x86_64"}},"parameters":{{{parameters}}},"dependencies":[{}],"hash":"{}"}}"#,
        edges.join(","),
        letter.repeat(32)
    ))
}

#[test]
fn python_extensions_are_found_in_prefixes_and_in_views() {
    let pip = r#""build_system":"python_pip""#;
    let specs = ConcreteSpecs::new([
        node(
            "py-app",
            "a",
            pip,
            &[
                ("py-lib", "l", "run"),
                ("python-venv", "v", "run"),
                ("python", "p", "run"),
            ],
        ),
        node(
            "py-lib",
            "l",
            pip,
            &[("python-venv", "v", "run"), ("python", "p", "run")],
        ),
        node("python-venv", "v", "", &[("python", "p", "run")]),
        node("python", "p", "", &[]),
    ])
    .expect("a graph");
    let directories = [
        "/s/py-app/lib/python3.11/site-packages",
        "/s/py-lib/lib/python3.11/site-packages",
        "/s/py-app/bin",
        "/s/python/bin",
    ];
    let none = Modifications::new();
    let prefixes = values(&specs, "py-app", &directories, &none, None);
    assert_eq!(
        shown(&prefixes),
        [
            "PATH=/s/py-app/bin:/s/python/bin:/bin",
            "PYTHONPATH=/s/py-lib/lib/python3.11/site-packages:/s/py-app/lib/python3.11/site-packages",
        ]
    );
    let view = values(&specs, "py-app", &directories, &none, Some("/v"));
    assert_eq!(view["PYTHONPATH"], "/v/lib/python3.11/site-packages");
    assert_eq!(view["PATH"], "/v/bin:/bin");
}

#[test]
fn the_table_looks_at_variants_and_at_what_is_there() {
    let specs = ConcreteSpecs::new([
        node(
            "app",
            "a",
            "",
            &[
                ("gcc", "g", "run"),
                ("tcl", "t", "link"),
                ("lua", "l", "link"),
            ],
        ),
        node("gcc", "g", r#""languages":["c","fortran"]"#, &[]),
        node("tcl", "t", "", &[]),
        node("lua", "l", "", &[]),
    ])
    .expect("a graph");
    let found = values(
        &specs,
        "app",
        &["/s/tcl/lib/tcl3.11"],
        &Modifications::new(),
        None,
    );
    assert_eq!(found["CC"], "/s/gcc/bin/gcc");
    assert!(!found.contains_key("CXX"));
    assert_eq!(found["TCL_LIBRARY"], "/s/tcl/lib/tcl3.11");
    assert_eq!(found["LUA_CPATH"], "/s/lua/lib/lua/3.11/?.so");
    assert!(
        found["LUA_PATH"].starts_with("/s/lua/lib/lua/3.11/?/init.lua;/s/lua/lib/lua/3.11/?.lua;")
    );
    assert!(is_in_table("gcc") && !is_in_table("zlib"));
    assert!(recipe_sets_variables(
        "class A:\n    def setup_run_environment(self, env):"
    ));
    assert!(!recipe_sets_variables(
        "class A:\n    def setup_build_environment(self, env):"
    ));
}

#[test]
fn an_external_may_say_what_it_needs() {
    let specs = test_specs::LOCK.replace(
        r#""external":{"path":"/usr","module":null,"extra_attributes":{}},"annotations":{"original_specfile_version":5},"hash":"cccc"#,
        r#""external":{"path":"/usr","module":null,"extra_attributes":{"environment":{"set":{"LIBC":"yes"}}}},"annotations":{"original_specfile_version":5},"hash":"cccc"#,
    );
    let specs = crate::lockfile::SpackLockfile::parse(&specs)
        .expect("a lock")
        .specs;
    let found = values(&specs, "app", &[], &Modifications::new(), None);
    assert_eq!(found["LIBC"], "yes");
}

#[test]
fn paths_are_normalized_as_python_does_it() {
    let cases = [
        ("", "."),
        ("/", "/"),
        ("//a", "//a"),
        ("///a", "/a"),
        ("/a/../..", "/"),
        ("a/..", "."),
        ("../a/./b//", "../a/b"),
        ("/v/", "/v"),
    ];
    for (path, expected) in cases {
        assert_eq!(normalized(path), expected, "{path}");
    }
}

#[test]
fn removing_and_pruning_keep_the_order_of_what_stays() {
    let modifications = Modifications::from_iter([
        Modification::set("A", "/x:/y:/x/:/z"),
        Modification::PruneDuplicatePaths {
            name: "A".to_owned(),
        },
        Modification::from_command("remove_path", "A", "/z/").expect("known"),
        Modification::from_command("append_flags", "F", "-a").expect("known"),
        Modification::from_command("append_flags", "F", "-b").expect("known"),
        Modification::set("U", "u"),
        Modification::from_command("unset", "U", "").expect("known"),
    ]);
    let out = modifications.apply(&BTreeMap::new());
    assert_eq!(shown(&out), ["A=/x:/y", "F=-a -b"]);
}
