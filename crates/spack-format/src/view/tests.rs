//! Made-up prefixes, merged.

use super::*;
use crate::concrete::test_specs;
use crate::dag_hash::DagHash;

const PREFIX: [(&str, &str); 3] = [("app", "/s/app"), ("lib", "/s/lib"), ("tool", "/s/tool")];

/// `d/` a directory, `a -> b` a link, `a => b` a hard link, `*a` executable, `!a` a script.
fn entries(texts: &[&str]) -> Vec<PrefixEntry> {
    let entry = |text: &&str| {
        let (path, kind) = if let Some((path, target)) = text.split_once(" -> ") {
            (path, PrefixEntryKind::Symlink(target.as_bytes().to_vec()))
        } else if let Some((path, target)) = text.split_once(" => ") {
            (path, PrefixEntryKind::HardLink(target.as_bytes().to_vec()))
        } else if let Some(path) = text.strip_suffix('/') {
            (path, PrefixEntryKind::Directory)
        } else {
            let path = text.trim_start_matches(['*', '!']);
            let kind = PrefixEntryKind::File {
                executable: text.starts_with(['*', '!']),
                shebang: text.starts_with('!'),
            };
            (path, kind)
        };
        PrefixEntry {
            path: path.as_bytes().to_vec(),
            kind,
        }
    };
    texts.iter().map(entry).collect()
}

fn planned(
    specs: &ConcreteSpecs,
    descriptor: &ViewDescriptor,
    packages: &[(&str, &[&str])],
) -> Result<ViewPlan, ViewError> {
    let lists: Vec<_> = packages.iter().map(|(_, texts)| entries(texts)).collect();
    let packages: Vec<ViewPackage<'_>> = packages
        .iter()
        .zip(&lists)
        .map(|((name, _), entries)| ViewPackage {
            spec: test_specs::named(specs, name),
            prefix: PREFIX
                .iter()
                .find(|it| it.0 == *name)
                .map_or("/s/python", |it| it.1),
            entries,
        })
        .collect();
    plan(&ViewRequest {
        descriptor,
        real_root: "/v",
        store_root: "/s",
        specs,
        packages: &packages,
        neighbours: &[],
        satisfies: &|spec, constraint| spec.name == constraint,
    })
}

fn shown(plan: &ViewPlan) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let show = |it: &Operation| {
        let path = text(&it.path);
        match &it.kind {
            OperationKind::Directory => format!("{path}/"),
            OperationKind::Symlink(target) => format!("{path} -> {}", text(target)),
            OperationKind::HardLink { source, .. } => format!("{path} => {}", text(source)),
            OperationKind::Write(content) => format!("{path} = {:?}", text(content)),
            OperationKind::Copy {
                source, rewrite, ..
            } => {
                format!("{path} : {} {rewrite:?}", text(source))
            }
        }
    };
    plan.operations.iter().map(show).collect()
}

fn view(packages: &[(&str, &[&str])]) -> Vec<String> {
    let specs = test_specs::small();
    shown(&planned(&specs, &ViewDescriptor::at("/v"), packages).expect("a plan"))
}

#[test]
fn the_earlier_package_wins_and_directories_merge() {
    let specs = test_specs::small();
    let descriptor = ViewDescriptor::at("/v");
    let packages: [(&str, &[&str]); 2] = [
        (
            "app",
            &["bin/x", "share/doc/LICENSE", ".spack/spec.json", "empty/"],
        ),
        (
            "lib",
            &[
                "lib/l",
                "share/doc/LICENSE",
                ".spack/spec.json",
                "share/.spack",
            ],
        ),
    ];
    let plan = planned(&specs, &descriptor, &packages).expect("a plan");
    assert_eq!(
        shown(&plan),
        [
            ".spack/",
            ".spack/app/",
            ".spack/app/spec.json -> /s/app/.spack/spec.json",
            ".spack/lib/",
            ".spack/lib/spec.json -> /s/lib/.spack/spec.json",
            "bin/",
            "bin/x -> /s/app/bin/x",
            "empty/",
            "lib/",
            "lib/l -> /s/lib/lib/l",
            "share/",
            "share/doc/",
            "share/doc/LICENSE -> /s/app/share/doc/LICENSE",
        ]
    );
    assert!(matches!(
        plan.warnings.as_slice(),
        [ViewWarning::Shadowed { .. }]
    ));
}

#[test]
fn a_link_to_a_directory_below_merges_only_near_the_top() {
    let made = view(&[(
        "app",
        &[
            "lib/a",
            "lib64 -> lib",
            "x/y/z -> w",
            "x/y/w/f",
            "x/q -> y/w",
        ],
    )]);
    assert!(
        made.contains(&"lib64/".to_owned())
            && made.contains(&"lib64/a -> /s/app/lib64/a".to_owned())
    );
    assert!(
        made.contains(&"x/q/f -> /s/app/x/q/f".to_owned()),
        "{made:?}"
    );
    assert!(
        made.contains(&"x/y/z -> /s/app/x/y/z".to_owned()),
        "{made:?}"
    );
    // Elsewhere, in circles, or nowhere: linked as it is.
    let made = view(&[
        ("app", &["a -> /s/lib", "b -> b", "c -> none", "d -> ."]),
        ("lib", &["f"]),
    ]);
    for link in [
        "a -> /s/app/a",
        "b -> /s/app/b",
        "c -> /s/app/c",
        "d/d/d -> /s/app/d/d/d",
    ] {
        assert!(made.contains(&link.to_owned()), "{link}: {made:?}");
    }
}

#[test]
fn a_file_against_a_directory_is_fatal_unless_it_links_there() {
    let specs = test_specs::small();
    let descriptor = ViewDescriptor::at("/v");
    let clash = planned(
        &specs,
        &descriptor,
        &[("app", &["etc"]), ("lib", &["etc/x"])],
    );
    let Err(ViewError::Clashes { clashes, .. }) = clash else {
        panic!("{clash:?}")
    };
    assert_eq!(clashes.len(), 1);
    assert!(clashes[0].ends_with("both go to `etc`"), "{clashes:?}");
    let made = view(&[("app", &["etc -> /s/lib/etc"]), ("lib", &["etc/x"])]);
    assert!(
        made.contains(&"etc/x -> /s/lib/etc/x".to_owned()),
        "{made:?}"
    );
    // The other way round, the directory stays.
    let made = view(&[("lib", &["etc/x"]), ("app", &["etc -> /s/lib/etc"])]);
    assert!(made.contains(&"etc/".to_owned()), "{made:?}");
}

#[test]
fn paths_that_lead_out_of_a_prefix_are_refused() {
    let specs = test_specs::small();
    let descriptor = ViewDescriptor::at("/v");
    for path in ["../x", "a/../../x", "a//b", "./a", ""] {
        let plan = planned(&specs, &descriptor, &[("app", &[path])]);
        assert!(
            matches!(plan, Err(ViewError::UnsafePath { .. })),
            "{path}: {plan:?}"
        );
    }
    let plan = planned(&specs, &descriptor, &[("app", &["a", "b => c"])]);
    assert!(
        matches!(plan, Err(ViewError::UnsafePath { .. })),
        "{plan:?}"
    );
}

#[test]
fn the_same_package_twice_in_one_place_is_refused_unless_projections_tell_them_apart() {
    let specs = test_specs::small();
    let mut descriptor = ViewDescriptor::at("/v");
    let packages: [(&str, &[&str]); 2] = [("app", &["x"]), ("app", &["x"])];
    assert!(matches!(
        planned(&specs, &descriptor, &packages),
        Err(ViewError::SamePlace { .. })
    ));
    let entries = [("lib", "libs/{name}-{version}"), ("all", "{name}")];
    let entries = entries.map(|(key, it)| (key.to_owned(), it.to_owned()));
    descriptor.projections = Projections::new(entries).expect("projections");
    let packages: [(&str, &[&str]); 2] = [("app", &["x"]), ("lib", &["x", ".spack/spec.json"])];
    let plan = planned(&specs, &descriptor, &packages).expect("a plan");
    assert_eq!(
        shown(&plan),
        [
            "app/",
            "app/.spack/",
            "app/.spack/app/",
            "app/x -> /s/app/x",
            "libs/",
            "libs/lib-1.5/",
            "libs/lib-1.5/.spack/",
            "libs/lib-1.5/.spack/lib/",
            "libs/lib-1.5/.spack/lib/spec.json -> /s/lib/.spack/spec.json",
            "libs/lib-1.5/x -> /s/lib/x",
        ]
    );
}

#[test]
fn hard_links_and_copies_are_planned_when_asked_for() {
    let specs = test_specs::small();
    let mut descriptor = ViewDescriptor::at("/v");
    descriptor.link_type = LinkType::Hardlink;
    let packages: [(&str, &[&str]); 1] = [("lib", &["f", "l -> /s/lib/f", ".spack/m"])];
    let plan = planned(&specs, &descriptor, &packages).expect("a plan");
    assert!(shown(&plan).contains(&"l => l".to_owned()));
    descriptor.link_type = LinkType::Copy;
    let made = shown(&planned(&specs, &descriptor, &packages).expect("a plan"));
    assert!(made.contains(&"l -> /v/f".to_owned()), "{made:?}");
    assert!(
        made.contains(&".spack/lib/m : .spack/m Nothing".to_owned()),
        "{made:?}"
    );
    let relocate = r#"f : f Relocate { prefixes: [("/s/lib", "/v")], root: ("/s", "/v") }"#;
    assert!(made.contains(&relocate.to_owned()), "{made:?}");
}

/// `py-x` extends `python` by way of `python-venv`.
fn python_specs() -> ConcreteSpecs {
    let node = |name: &str, letter: &str, version: &str, system: &str, edges: &[(&str, &str)]| {
        let edges: Vec<String> = edges
            .iter()
            .map(|(name, letter)| {
                format!(
                    r#"{{"name":"{name}","hash":"{}","parameters":{{"deptypes":["build","run"],"virtuals":[]}}}}"#,
                    letter.repeat(32)
                )
            })
            .collect();
        test_specs::node(&format!(
            r#"{{"name":"{name}","version":"{version}","arch":{{"platform":"linux","platform_os":"debian12","target":"x86_64"}},"parameters":{{"build_system":"{system}"}},"dependencies":[{}],"hash":"{}"}}"#,
            edges.join(","),
            letter.repeat(32)
        ))
    };
    let python = node("python", "p", "3.11.2", "generic", &[]);
    let venv = node("python-venv", "v", "1.0", "generic", &[("python", "p")]);
    let edges = [("python", "p"), ("python-venv", "v")];
    ConcreteSpecs::new([python, venv, node("py-x", "x", "1", "python_pip", &edges)])
        .expect("a graph")
}

#[test]
fn scripts_of_python_extensions_run_the_interpreter_of_the_view() {
    let specs = python_specs();
    let mut venv_prefix = ViewDescriptor::at("/v");
    venv_prefix.projections =
        Projections::new([("python".to_owned(), "py/{version}".to_owned())]).expect("projections");
    let lists = [
        entries(&[
            "!bin/run",
            "bin/alias -> run",
            "bin/data",
            "*bin/elf",
            "lib/m.py",
        ]),
        entries(&[
            "bin/activate",
            "bin/Activate.ps1",
            "bin/python3 -> /s/python/bin/python3.11",
        ]),
        entries(&["*bin/python3.11", "bin/python3 -> python3.11"]),
    ];
    let names = ["py-x", "python-venv", "python"];
    let prefixes = ["/s/py-x", "/s/venv", "/s/python"];
    let packages: Vec<ViewPackage<'_>> = (0..3)
        .map(|index| ViewPackage {
            spec: test_specs::named(&specs, names[index]),
            prefix: prefixes[index],
            entries: &lists[index],
        })
        .collect();
    let request = ViewRequest {
        descriptor: &venv_prefix,
        real_root: "/v",
        store_root: "/s",
        specs: &specs,
        packages: &packages,
        neighbours: &[],
        satisfies: &|spec, constraint| spec.name == constraint,
    };
    let plan = plan(&request).expect("a plan");
    let replace = |from: &str| format!(r#"Replace {{ from: "{from}", to: "/v/py/3.11.2" }}"#);
    assert_eq!(
        shown(&plan),
        [
            "py/".to_owned(),
            "py/3.11.2/".to_owned(),
            "py/3.11.2/.spack/".to_owned(),
            "py/3.11.2/.spack/py-x/".to_owned(),
            "py/3.11.2/.spack/python/".to_owned(),
            "py/3.11.2/.spack/python-venv/".to_owned(),
            "py/3.11.2/bin/".to_owned(),
            format!("py/3.11.2/bin/Activate.ps1 : bin/Activate.ps1 {}", replace("/s/venv")),
            format!("py/3.11.2/bin/activate : bin/activate {}", replace("/s/venv")),
            "py/3.11.2/bin/alias -> run".to_owned(),
            "py/3.11.2/bin/data -> /s/py-x/bin/data".to_owned(),
            "py/3.11.2/bin/elf -> /s/py-x/bin/elf".to_owned(),
            "py/3.11.2/bin/python3 -> /s/venv/bin/python3".to_owned(),
            "py/3.11.2/bin/python3.11 -> /s/python/bin/python3.11".to_owned(),
            format!("py/3.11.2/bin/run : bin/run {}", replace("/s/venv")),
            "py/3.11.2/lib/".to_owned(),
            "py/3.11.2/lib/m.py -> /s/py-x/lib/m.py".to_owned(),
            "py/3.11.2/pyvenv.cfg = \"home = /s/python/bin\\ninclude-system-site-packages = false\\n\
             version = 3.11.2\\nexecutable = /s/python/bin/python3.11\\ncommand = \
             /s/python/bin/python3.11 -m venv --without-pip /v/py/3.11.2\\n\""
                .to_owned(),
        ]
    );
}

#[test]
fn only_the_newest_runtime_and_what_is_selected_goes_in() {
    let specs = test_specs::small();
    let app = [test_specs::named(&specs, "app").hash];
    let names = |descriptor: &ViewDescriptor| -> Vec<&str> {
        let satisfies = |spec: &ConcreteSpec, constraint: &str| spec.name == constraint;
        let selected = descriptor.select(&specs, &app, &|_| true, &satisfies);
        selected.iter().map(|spec| spec.name.as_str()).collect()
    };
    let mut descriptor = ViewDescriptor::at("/v");
    assert_eq!(names(&descriptor), ["app", "tool", "lib", "libc"]);
    descriptor.link = ViewLink::Run;
    assert_eq!(names(&descriptor), ["app", "tool"]);
    descriptor.link = ViewLink::Roots;
    assert_eq!(names(&descriptor), ["app"]);
    descriptor.link = ViewLink::All;
    descriptor.exclude = vec!["lib".to_owned()];
    assert_eq!(names(&descriptor), ["app", "tool", "libc"]);
    descriptor.select = vec!["lib".to_owned(), "tool".to_owned()];
    assert_eq!(names(&descriptor), ["tool"]);

    let runtime = |version: &str, letter: &str| {
        test_specs::node(&format!(
            r#"{{"name":"gcc-runtime","version":"{version}","arch":{{"platform":"linux","platform_os":"debian12","target":"x86_64"}},"parameters":{{}},"hash":"{}"}}"#,
            letter.repeat(32)
        ))
    };
    let runtimes =
        [("9.4.0", "a"), ("12.2.0", "b"), ("12.10.0", "c")].map(|it| runtime(it.0, it.1));
    let roots: Vec<DagHash> = runtimes.iter().map(|it| it.hash).collect();
    let specs = ConcreteSpecs::new(runtimes).expect("a graph");
    let selected = ViewDescriptor::at("/v").select(&specs, &roots, &|_| true, &|_, _| false);
    assert_eq!(
        selected
            .iter()
            .map(|it| it.version.as_str())
            .collect::<Vec<_>>(),
        ["12.10.0"]
    );
}
