//! A lock into its text.
//!
//! Nodes go in as they were read, to the byte: their hashes are of that text. Only two things are ever changed. An edge to
//! what was needed for building alone is left out where that node is not given (caches may have been pruned), which Spack
//! accepts. And where nodes of several formats come together, old ones are written as Spack 1.0 and later write them when
//! they read and save an old lock.

use std::borrow::Cow;
use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::{Root, SpackLockfile};
use crate::concrete::{ConcreteSpec, DepTypes, Edge, GraphError, NodeFormat};
use crate::dag_hash::{DagHash, write_list, write_string};

/// Why nodes cannot be written as a lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockfileWriteError {
    /// Nodes from before Spack 0.18, which name each other by other hashes.
    #[error("`{0}` is of a Spack before 0.18 and cannot be written into a lock")]
    TooOld(String),
    /// Something that is needed is not given.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A root is not among the nodes.
    #[error("the root `{spec}`/{hash} is not among the concrete specs")]
    MissingRoot {
        /// What was asked for.
        spec: String,
        /// What it is to be.
        hash: DagHash,
    },
    /// The lock of an included environment.
    #[error("the lock of the included environment `{path}` {what}")]
    Included {
        /// The environment.
        path: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A solved environment that is taken over into the lock of another.
#[derive(Debug, Clone, Copy)]
pub struct IncludedLock<'a> {
    /// Its folder.
    pub path: &'a str,
    /// The text of its `spack.lock`.
    pub text: &'a str,
}

/// The text of a `spack.lock` with these roots and nodes, on one line as Spack writes it.
///
/// The lock version follows from the nodes: 6 for those of Spack 1.0 and later, 5 and 4 where all are older. Roots are
/// written in the order given; `group` is left out, as only version 7 has it.
///
/// # Errors
/// When a root, or a node that is linked or run, is not given, or a node is too old.
pub fn to_text<'a>(
    roots: &[Root],
    nodes: impl IntoIterator<Item = &'a ConcreteSpec>,
) -> Result<String, LockfileWriteError> {
    to_text_including(roots, nodes, &[])
}

/// The same with the environments of `include_concrete`, whose roots and nodes are taken over as they are.
///
/// # Errors
/// As [`to_text`]; and when the lock of an included environment is none, or has nodes of another format.
pub fn to_text_including<'a>(
    roots: &[Root],
    nodes: impl IntoIterator<Item = &'a ConcreteSpec>,
    included: &[IncludedLock<'_>],
) -> Result<String, LockfileWriteError> {
    let nodes: IndexMap<DagHash, &ConcreteSpec> =
        nodes.into_iter().map(|it| (it.hash, it)).collect();
    for root in roots {
        if !nodes.contains_key(&root.hash) {
            return Err(LockfileWriteError::MissingRoot {
                spec: root.spec.clone(),
                hash: root.hash,
            });
        }
    }
    let formats: HashSet<NodeFormat> = nodes.values().map(|it| it.format).collect();
    let format = match formats.iter().next() {
        Some(one) if formats.len() == 1 => *one,
        _ => NodeFormat::V5,
    };
    let version = match format {
        NodeFormat::V2 | NodeFormat::V3 => 4,
        NodeFormat::V4 => 5,
        NodeFormat::V5 => 6,
    };
    let mut out = format!(
        r#"{{"_meta":{{"file-type":"spack-lockfile","lockfile-version":{version},"specfile-version":{}}},"roots":["#,
        format.number()
    );
    for (index, root) in roots.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        out.push_str(&format!(r#"{comma}{{"hash":"{}","spec":"#, root.hash));
        write_string(&mut out, &root.spec);
        out.push('}');
    }
    out.push_str(r#"],"concrete_specs":{"#);
    for (index, node) in nodes.values().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&format!(r#""{}":"#, node.hash));
        write_node(&mut out, node, format, &nodes)?;
    }
    out.push('}');
    for (index, environment) in included.iter().enumerate() {
        let begin = if index == 0 {
            r#","include_concrete":{"#
        } else {
            ","
        };
        out.push_str(begin);
        write_string(&mut out, environment.path);
        out.push(':');
        write_included(&mut out, environment, format)?;
    }
    out.push_str(if included.is_empty() { "}" } else { "}}" });
    Ok(out)
}

/// Roots and nodes of an included environment, and of those that it includes, to the byte.
fn write_included(
    out: &mut String,
    environment: &IncludedLock<'_>,
    format: NodeFormat,
) -> Result<(), LockfileWriteError> {
    let fault = |what: String| LockfileWriteError::Included {
        path: environment.path.to_owned(),
        what,
    };
    let lock =
        SpackLockfile::parse(environment.text).map_err(|it| fault(format!("is none: {it}")))?;
    if lock.format != format {
        return Err(fault(format!(
            "has nodes of format {}, and those that were chosen have format {}: solve it again",
            lock.format.number(),
            format.number()
        )));
    }
    let members: Members<'_> =
        serde_json::from_str(environment.text).map_err(|it| fault(format!("is none: {it}")))?;
    let mut begun = Begun { out, empty: true };
    for key in ["roots", "concrete_specs", "include_concrete"] {
        if let Some(value) = members.get(key) {
            begun.member(key, value.get());
        }
    }
    out.push('}');
    Ok(())
}

type Members<'a> = IndexMap<Cow<'a, str>, &'a RawValue>;

fn write_node(
    out: &mut String,
    node: &ConcreteSpec,
    format: NodeFormat,
    nodes: &IndexMap<DagHash, &ConcreteSpec>,
) -> Result<(), LockfileWriteError> {
    if node.format == NodeFormat::V2 {
        return Err(LockfileWriteError::TooOld(node.name.clone()));
    }
    let mut edges = Vec::new();
    for edge in &node.edges {
        if nodes.contains_key(&edge.hash) {
            edges.push(edge);
        } else if edge.deptypes.intersects(DepTypes::RUNTIME) {
            return Err(LockfileWriteError::Graph(GraphError::Dangling {
                from: node.name.clone(),
                from_hash: node.hash,
                to: edge.name.clone(),
                to_hash: edge.hash,
            }));
        }
    }
    // A node that was read from its own text has members.
    let members: Members<'_> = serde_json::from_str(&node.raw).unwrap_or_default();
    let is_whole = edges.len() == node.edges.len() && members.contains_key("hash");
    if is_whole && node.format == format {
        out.push_str(&node.raw);
        return Ok(());
    }
    let mut begun = Begun { out, empty: true };
    for (key, value) in &members {
        match key.as_ref() {
            "hash" | "annotations" => {}
            "compiler" if node.format != format => {}
            "dependencies" if edges.is_empty() => {}
            "dependencies" => begun.member(key, &edges_text(&edges, node.format, format)),
            _ => begun.member(key, value.get()),
        }
    }
    match members.get("annotations") {
        Some(annotations) => begun.member("annotations", annotations.get()),
        None if node.format != format => begun.member("annotations", &annotations_of(node)),
        None => {}
    }
    begun.member("hash", &format!("\"{}\"", node.hash));
    out.push('}');
    Ok(())
}

struct Begun<'o> {
    out: &'o mut String,
    empty: bool,
}

impl Begun<'_> {
    fn member(&mut self, key: &str, value: &str) {
        self.out.push(if self.empty { '{' } else { ',' });
        self.empty = false;
        write_string(self.out, key);
        self.out.push(':');
        self.out.push_str(value);
    }
}

/// What a node of an old format says of its past in a new one.
fn annotations_of(node: &ConcreteSpec) -> String {
    let mut out = format!(r#"{{"original_specfile_version":{}"#, node.format.number());
    if let Some(compiler) = &node.compiler {
        out.push_str(r#","compiler":"#);
        write_string(
            &mut out,
            &format!("{}@={}", compiler.name, compiler.version),
        );
    }
    out.push('}');
    out
}

fn edges_text(edges: &[&Edge], own: NodeFormat, format: NodeFormat) -> String {
    let mut out = String::new();
    for edge in edges {
        out.push(if out.is_empty() { '[' } else { ',' });
        out.push_str(r#"{"name":"#);
        write_string(&mut out, &edge.name);
        out.push_str(&format!(r#","hash":"{}","#, edge.hash));
        let types = |out: &mut String| write_list(out, edge.deptypes.names());
        if format <= NodeFormat::V3 {
            out.push_str(r#""type":"#);
            types(&mut out);
            out.push('}');
            continue;
        }
        out.push_str(r#""parameters":{"deptypes":"#);
        types(&mut out);
        out.push_str(r#","virtuals":"#);
        write_list(&mut out, edge.virtuals.iter().map(String::as_str));
        // Older formats do not have the word, and mean it of every edge.
        if edge.direct && (own >= NodeFormat::V5 || own != format) {
            out.push_str(r#","direct":true"#);
        }
        out.push_str("}}");
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;

    fn roots() -> Vec<Root> {
        SpackLockfile::parse(test_specs::LOCK)
            .expect("a lock")
            .roots
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let specs = test_specs::small();
        let text = to_text(&roots(), specs.iter()).expect("a text");
        let read = SpackLockfile::parse(&text).expect("a lock");
        assert_eq!((read.version, &read.roots), (6, &roots()));
        assert_eq!(read.specs, specs);
    }

    #[test]
    fn included_environments_are_taken_over() {
        let specs = test_specs::small();
        let included = IncludedLock {
            path: "/env/one",
            text: test_specs::LOCK,
        };
        let text = to_text_including(&roots(), specs.iter(), &[included]).expect("a text");
        let read = SpackLockfile::parse(&text).expect("a lock");
        assert_eq!(read.included[0].path, "/env/one");
        assert_eq!(read.included[0].roots, roots());
        // What is included may include others.
        let nested = IncludedLock {
            path: "/env/two",
            text: &text,
        };
        let text = to_text_including(&[], [], &[included, nested]);
        let read = SpackLockfile::parse(&text.expect("a text")).expect("a lock");
        let paths: Vec<&str> = read.included.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["/env/one", "/env/two", "/env/one"]);
        let broken = IncludedLock {
            text: "{}",
            ..included
        };
        assert!(matches!(
            to_text_including(&roots(), specs.iter(), &[broken]),
            Err(LockfileWriteError::Included { .. })
        ));
    }

    #[test]
    fn only_edges_for_building_may_lead_nowhere() {
        let specs = test_specs::small();
        let without = |name: &'static str| specs.iter().filter(move |it| it.name != name);
        let text = to_text(&roots(), without("gcc")).expect("a text");
        let read = SpackLockfile::parse(&text).expect("a lock");
        let app = test_specs::named(&read.specs, "app");
        let names: Vec<&str> = app.edges.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["lib", "libc", "tool"]);
        assert_eq!(app.variants, test_specs::named(&specs, "app").variants);
        assert!(
            app.raw
                .ends_with(r#""hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#)
        );
        assert!(matches!(
            to_text(&roots(), without("tool")),
            Err(LockfileWriteError::Graph(_))
        ));
        assert!(matches!(
            to_text(&roots(), without("app")),
            Err(LockfileWriteError::MissingRoot { .. })
        ));
    }

    #[test]
    fn old_nodes_beside_new_ones_are_written_as_new_ones() {
        let old = r#"{"name":"old","version":"1","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64_v3"},"compiler":{"name":"gcc","version":"12.2.0"},"namespace":"builtin","parameters":{"build_system":"generic"},"dependencies":[{"name":"lib","hash":"llllllllllllllllllllllllllllllll","parameters":{"deptypes":["link"],"virtuals":[]}}],"hash":"oooooooooooooooooooooooooooooooo"}"#;
        let old = ConcreteSpec::from_json(old, NodeFormat::V4, None).expect("a node");
        let specs = test_specs::small();
        let text = to_text(&roots(), specs.iter().chain([&old])).expect("a text");
        let read = SpackLockfile::parse(&text).expect("a lock");
        let node = test_specs::named(&read.specs, "old");
        let annotations = node.annotations.as_ref().expect("annotations");
        assert_eq!(annotations.original_specfile_version, 4);
        assert_eq!(annotations.compiler.as_deref(), Some("gcc@=12.2.0"));
        assert!(node.edges.iter().all(|it| it.direct));
        let alone: Vec<ConcreteSpec> = vec![old];
        let root = Root {
            hash: alone[0].hash,
            spec: "old".to_owned(),
            group: None,
        };
        let error = to_text(&[root], &alone);
        assert!(matches!(error, Err(LockfileWriteError::Graph(_))));
    }
}
