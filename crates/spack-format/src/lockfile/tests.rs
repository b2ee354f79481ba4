//! Locks of every version, made up.

use super::*;
use crate::concrete::test_specs::LOCK;
use crate::dag_hash::{HashVerdict, NotVerifiable, verify};

const FORMAT_3: &str = include_str!("../../tests/data/lock-format3.json");
const FORMAT_4: &str = include_str!("../../tests/data/lock-format4.json");
const REWRITTEN_3: &str = include_str!("../../tests/data/lock-rewritten3.json");
const REWRITTEN_4: &str = include_str!("../../tests/data/lock-rewritten4.json");
const VERSION_7: &str = include_str!("../../tests/data/lock-v7.json");

fn parse(text: &str) -> SpackLockfile {
    SpackLockfile::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn names(lock: &SpackLockfile) -> Vec<&str> {
    lock.specs.iter().map(|spec| spec.name.as_str()).collect()
}

fn verdicts(lock: &SpackLockfile) -> Vec<HashVerdict> {
    lock.specs.iter().map(verify).collect()
}

#[test]
fn every_version_from_4_on_is_read_and_its_hashes_verify() {
    for (text, version, format) in [(FORMAT_3, 4, 3), (FORMAT_4, 5, 4), (VERSION_7, 7, 5)] {
        let lock = parse(text);
        assert_eq!((lock.version, lock.format.number()), (version, format));
        assert!(
            verdicts(&lock)
                .iter()
                .all(|it| *it == HashVerdict::Verified),
            "version {version}"
        );
    }
    let lock = parse(FORMAT_3);
    assert_eq!(names(&lock), ["app", "lib"]);
    let edge = lock
        .specs
        .iter()
        .next()
        .and_then(|app| app.edges.first())
        .cloned();
    let edge = edge.expect("an edge");
    assert!(edge.direct && edge.virtuals.is_empty());
    assert!(edge.deptypes.contains(crate::concrete::DepTypes::BUILD));
    let lock = parse(VERSION_7);
    assert_eq!(lock.roots[0].group.as_deref(), Some("apps"));
    assert_eq!(
        lock.spack.map(|it| it.kind.unwrap_or_default()),
        Some("release".to_owned())
    );
}

#[test]
fn nodes_that_a_newer_spack_wrote_again_verify_if_that_can_be_undone() {
    for text in [REWRITTEN_3, REWRITTEN_4] {
        let lock = parse(text);
        assert!(
            verdicts(&lock)
                .iter()
                .all(|it| *it == HashVerdict::Verified),
            "{text}"
        );
        // With another description of the processor, nothing can be said.
        let changed = text.replace(r#""target":"x86_64""#, r#""target":{"name":"x86_64"}"#);
        for verdict in verdicts(&parse(&changed)) {
            let again = NotVerifiable::WrittenAgain {
                original: if text == REWRITTEN_3 { 3 } else { 4 },
            };
            assert_eq!(verdict, HashVerdict::NotVerifiable(again));
        }
    }
}

#[test]
fn a_changed_node_is_found_and_the_others_verify() {
    let lock = parse(&FORMAT_4.replace("\"version\":\"1.5\"", "\"version\":\"1.6\""));
    let [
        HashVerdict::Verified,
        HashVerdict::Mismatch {
            computed,
            has_target_object: false,
        },
    ] = verdicts(&lock)[..]
    else {
        panic!("{:?}", verdicts(&lock));
    };
    assert!(lock.specs.get(&computed).is_none());
}

#[test]
fn versions_that_cannot_be_assembled_from_are_named() {
    let of = |version: &str| {
        LOCK.replace(
            "\"lockfile-version\": 6",
            &format!("\"lockfile-version\": {version}"),
        )
    };
    assert_eq!(
        SpackLockfile::parse(&of("1")),
        Err(LockfileError::TooOld(1))
    );
    assert_eq!(
        SpackLockfile::parse(&of("2")),
        Err(LockfileError::TooOld(2))
    );
    assert_eq!(
        SpackLockfile::parse(&of("8")),
        Err(LockfileError::TooNew(8))
    );
    let other = LOCK.replace("spack-lockfile", "spack-manifest");
    assert!(matches!(
        SpackLockfile::parse(&other),
        Err(LockfileError::FileType { .. })
    ));
}

#[test]
fn faults_have_a_place() {
    let faults = [
        ("{\n  \"_meta\": 1}", 2, 12, "invalid type"),
        ("{\n", 2, 0, "EOF"),
        (
            &LOCK.replace("\"deptypes\":[\"build\"]", "\"deptypes\":[\"bild\"]"),
            5,
            37,
            "`bild`",
        ),
        (
            &LOCK.replace("\"platform\":\"linux\"", "\"platform\":7"),
            5,
            86,
            "expected a string",
        ),
        (
            &LOCK.replace("\"tttttttttttttttttttttttttttttttt\": {", "\"t\": {"),
            7,
            6,
            "`t` is not",
        ),
        (
            &LOCK.replace(
                "\"name\":\"lib\",\"version\"",
                "\"name\":\"../lib\",\"version\"",
            ),
            6,
            37,
            "name of a package",
        ),
    ];
    for (text, line, column, message) in faults {
        let error = SpackLockfile::parse(text).expect_err(message);
        let fault = match &error {
            LockfileError::Json(fault) => fault,
            LockfileError::Node {
                source: NodeError::Json(fault),
                ..
            } => fault,
            other => panic!("{other}"),
        };
        assert_eq!((fault.line, fault.column), (line, column), "{fault}");
        assert!(fault.message.contains(message), "{fault}");
    }
}

#[test]
fn edges_that_lead_nowhere_or_in_circles_are_named() {
    let z = "z".repeat(32);
    let dangling = LOCK.replace(
        r#""name":"tool","hash":"tttt"#,
        r#""name":"tool","hash":"zzzz"#,
    );
    let error = SpackLockfile::parse(&dangling)
        .expect_err("dangling")
        .to_string();
    assert!(
        error.contains("`app`/aaaa") && error.contains("`tool`/zzzz"),
        "{error}"
    );
    let circle = LOCK.replace(
        r#"{"name":"libc","hash":"cccccccccccccccccccccccccccccccc","parameters":{"deptypes":["link"],"virtuals":["libc"]}}],"annotations":{"original_specfile_version":5},"hash":"llll"#,
        r#"{"name":"tool","hash":"tttttttttttttttttttttttttttttttt","parameters":{"deptypes":["link"],"virtuals":[]}}],"annotations":{"original_specfile_version":5},"hash":"llll"#,
    );
    let error = SpackLockfile::parse(&circle).expect_err("a circle");
    assert!(
        matches!(&error, LockfileError::Graph(GraphError::Cycle { name, .. }) if name == "lib" || name == "tool"),
        "{error}"
    );
    let root = LOCK.replace(r#"{"hash": "aaaa"#, r#"{"hash": "zzzz"#);
    let error = SpackLockfile::parse(&root).expect_err("no root");
    assert!(
        matches!(error, LockfileError::MissingRoot { .. }),
        "{error}"
    );
    let moved = LOCK.replace(
        &format!("\"{}\": {{", "a".repeat(32)),
        &format!("\"{z}\": {{"),
    );
    let error = SpackLockfile::parse(&moved).expect_err("a wrong key");
    assert!(
        matches!(error, LockfileError::KeyMismatch { .. }),
        "{error}"
    );
}

#[test]
fn a_node_without_a_hash_has_that_of_its_key() {
    let text = LOCK.replace(r#","hash":"tttttttttttttttttttttttttttttttt"}"#, "}");
    assert_ne!(text, LOCK);
    assert_eq!(parse(&text).specs.len(), 5);
}

#[test]
fn version_3_is_named_by_dag_hash_once_it_is_read() {
    let letters = |letter: &str| letter.repeat(32);
    let node = |name: &str, key: &str, hash: &str, edges: &str| {
        format!(
            r#""{}":{{"name":"{name}","version":"1","arch":{{"platform":"linux","platform_os":"debian11","target":"x86_64"}},"parameters":{{}},"dependencies":[{edges}],"hash":"{}","build_hash":"{}"}}"#,
            letters(key),
            letters(hash),
            letters(key)
        )
    };
    let edge = |key: &str| {
        format!(
            r#"{{"name":"lib","build_hash":"{}","type":["link"]}}"#,
            letters(key)
        )
    };
    let nodes = [
        node("app", "a", "x", &edge("b")),
        node("tool", "t", "u", &edge("c")),
        node("lib", "c", "y", ""),
        node("lib", "b", "y", ""),
    ];
    let text = format!(
        r#"{{"_meta":{{"file-type":"spack-lockfile","lockfile-version":3,"specfile-version":2}},"roots":[{{"hash":"{}","spec":"app"}},{{"hash":"{}","spec":"tool"}}],"concrete_specs":{{{}}}}}"#,
        letters("a"),
        letters("t"),
        nodes.join(",")
    );
    let lock = parse(&text);
    assert_eq!(
        lock.root_hashes()
            .map(|it| it.to_string())
            .collect::<Vec<_>>(),
        [letters("x"), letters("u")]
    );
    assert_eq!(names(&lock), ["app", "tool", "lib"]);
    assert!(
        verdicts(&lock)
            .iter()
            .all(|it| *it == HashVerdict::NotVerifiable(NotVerifiable::OldFormat))
    );
    let closure = lock.runtime_closure();
    assert_eq!(
        closure
            .packages
            .iter()
            .map(|it| it.name.as_str())
            .collect::<Vec<_>>(),
        ["lib", "app", "tool"]
    );
}

#[test]
fn included_environments_share_their_nodes() {
    let tail = LOCK
        .find("\"llllllllllllllllllllllllllllllll\": {")
        .expect("lib");
    let (own, shared) = LOCK.split_at(tail);
    let own = own.trim_end().trim_end_matches(',');
    let shared = shared.trim_end().trim_end_matches("}}").trim_end();
    let root =
        |letter: &str, spec: &str| format!(r#"{{"hash":"{}","spec":"{spec}"}}"#, letter.repeat(32));
    // The roots of the first are nodes of the second, which is nested.
    let text = format!(
        r#"{own}}},"include_concrete":{{"/env/one":{{"roots":[{}],"concrete_specs":{{}},"include_concrete":{{"/env/two":{{"roots":[{},{}],"concrete_specs":{{{shared}}}}}}}}}}}}}"#,
        root("l", "lib"),
        root("t", "tool"),
        root("a", "app"),
    );
    let lock = parse(&text);
    assert_eq!(lock.specs.len(), 5);
    assert_eq!(
        lock.included
            .iter()
            .map(|it| it.path.as_str())
            .collect::<Vec<_>>(),
        ["/env/one", "/env/two"]
    );
    let roots: Vec<String> = lock
        .all_root_hashes()
        .iter()
        .map(|hash| hash.short()[..1].to_owned())
        .collect();
    assert_eq!(roots, ["a", "l", "t"]);
}

#[test]
fn orders_are_those_of_spack() {
    use crate::concrete::DepTypes;
    let lock = parse(LOCK);
    let order = |specs: Vec<&crate::concrete::ConcreteSpec>| -> Vec<String> {
        specs.iter().map(|spec| spec.name.clone()).collect()
    };
    let roots = || lock.root_hashes();
    assert_eq!(
        order(lock.specs.topological(roots(), DepTypes::RUNTIME)),
        ["app", "tool", "lib", "libc"]
    );
    assert_eq!(
        order(lock.specs.topological(roots(), DepTypes::ALL)),
        ["app", "gcc", "tool", "lib", "libc"]
    );
    assert_eq!(
        order(lock.specs.closure(roots(), DepTypes::RUNTIME)),
        ["libc", "lib", "tool", "app"]
    );
    let closure = lock.runtime_closure();
    assert_eq!(order(closure.packages), ["lib", "tool", "app"]);
    assert_eq!(order(closure.externals), ["libc"]);
}
