//! Whether a node has the hash that it states.
//!
//! Spack itself never asks. The hashed text is the node without `hash`, in the order and layout
//! of the Spack that wrote it first, so a node that was written again by a newer Spack can be
//! checked only as far as the rewriting can be undone.
//!
//! Source: `Spec.spec_hash`, `Spec.node_dict_with_hashes` in `lib/spack/spack/spec.py` of Spack
//! 0.20, 0.23 and 1.1.

use std::borrow::Cow;

use data_encoding::BASE32_NOPAD;
use indexmap::IndexMap;
use serde_json::value::RawValue;
use sha1::{Digest as _, Sha1};

use super::DagHash;
use super::json_text::{Layout, ObjectWriter, write_list, write_string};
use crate::concrete::{ConcreteSpec, NodeFormat};

/// What comes of checking a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashVerdict {
    /// The node has the hash that it states.
    Verified,
    /// The text that was hashed cannot be had again from this file. No sign of a fault.
    NotVerifiable(NotVerifiable),
    /// The node hashes to something else: it was changed after it was hashed.
    Mismatch {
        /// What it hashes to.
        computed: DagHash,
        /// Whether the node describes its target by an object with features. Spack rebuilds that
        /// object when it reads and saves a file, so a newer Spack's knowledge of processors may
        /// have changed it in good faith.
        has_target_object: bool,
    },
}

/// Why a hash cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotVerifiable {
    /// Before Spack 0.18 hashes were made of something else.
    OldFormat,
    /// A newer Spack has written the node again, and undoing that does not give the old text.
    WrittenAgain {
        /// The format in which it was hashed.
        original: u32,
    },
    /// The node was hashed in a format that is newer than its file's.
    NewerFormat {
        /// The format in which it was hashed.
        original: u32,
    },
}

/// Checks the hash that `node` states against its text.
///
/// The edges' hashes are part of the text, so if all nodes of a closure verify, the closure is
/// what the root's hash names.
#[must_use]
pub fn verify(node: &ConcreteSpec) -> HashVerdict {
    let own = node.format.number();
    let original = node
        .annotations
        .as_ref()
        .map_or(own, |it| it.original_specfile_version);
    if node.format == NodeFormat::V2 {
        return HashVerdict::NotVerifiable(NotVerifiable::OldFormat);
    }
    // A node that was read from its own text has members.
    let members: Members<'_> = serde_json::from_str(&node.raw).unwrap_or_default();
    let rewind = match original {
        _ if original == own => None,
        3 | 4 if node.format == NodeFormat::V5 => Some(original),
        0..=2 => return HashVerdict::NotVerifiable(NotVerifiable::OldFormat),
        _ if original > own => {
            return HashVerdict::NotVerifiable(NotVerifiable::NewerFormat { original });
        }
        _ => return HashVerdict::NotVerifiable(NotVerifiable::WrittenAgain { original }),
    };
    let layout = if original == 3 {
        Layout::Indented
    } else {
        Layout::Compact
    };
    let hash = |namespace: bool| {
        let text = match rewind {
            None => as_written(&members, layout, namespace),
            Some(original) => rewound(node, &members, original, layout, namespace),
        };
        finish(node, &text)
    };

    let computed = hash(true);
    // Spack 1.1 hashes externals before it knows their namespace, and writes it nevertheless.
    let verified =
        computed == Some(node.hash) || (node.is_external() && hash(false) == Some(node.hash));
    match (verified, rewind, computed) {
        (true, _, _) => HashVerdict::Verified,
        (false, None, Some(computed)) => {
            let target = members
                .get("arch")
                .is_some_and(|arch| has_target_object(arch));
            HashVerdict::Mismatch {
                computed,
                has_target_object: target,
            }
        }
        (false, _, _) => HashVerdict::NotVerifiable(NotVerifiable::WrittenAgain { original }),
    }
}

type Members<'a> = IndexMap<Cow<'a, str>, &'a RawValue>;

fn has_target_object(arch: &RawValue) -> bool {
    serde_json::from_str::<serde_json::Value>(arch.get())
        .is_ok_and(|arch| arch.get("target").is_some_and(serde_json::Value::is_object))
}

/// The node's own members without `hash`.
fn as_written(members: &Members<'_>, layout: Layout, namespace: bool) -> String {
    let mut writer = ObjectWriter::new(layout);
    for (key, value) in members {
        if key != "hash" && (namespace || key != "namespace") {
            writer.member(key, value.get());
        }
    }
    writer.finish()
}

/// The node as a Spack of format 3 or 4 would have written it: the compiler is an attribute
/// again, edges carry what they carried then, and there are no annotations.
fn rewound(
    node: &ConcreteSpec,
    members: &Members<'_>,
    original: u32,
    layout: Layout,
    namespace: bool,
) -> String {
    let mut writer = ObjectWriter::new(layout);
    for (key, value) in members {
        match key.as_ref() {
            "hash" | "annotations" => {}
            "namespace" if !namespace => {}
            "dependencies" => writer.member(key, &old_edges(node, original)),
            _ => writer.member(key, value.get()),
        }
        if key == "arch"
            && let Some(compiler) = node
                .annotations
                .as_ref()
                .and_then(|it| it.compiler.as_deref())
        {
            writer.member("compiler", &old_compiler(compiler));
        }
    }
    writer.finish()
}

/// `gcc@=12.2.0` as the object that it was.
fn old_compiler(text: &str) -> String {
    let (name, version) = text.split_once('@').unwrap_or((text, ""));
    let mut out = "{\"name\":".to_owned();
    write_string(&mut out, name);
    out.push_str(",\"version\":");
    write_string(&mut out, version.trim_start_matches('='));
    out.push('}');
    out
}

fn old_edges(node: &ConcreteSpec, original: u32) -> String {
    let mut out = "[".to_owned();
    for (index, edge) in node.edges.iter().enumerate() {
        out.push_str(if index == 0 {
            "{\"name\":"
        } else {
            ",{\"name\":"
        });
        write_string(&mut out, &edge.name);
        out.push_str(",\"hash\":");
        write_string(&mut out, edge.hash.as_str());
        if original == 3 {
            // Sorted by name, which is the order of `names()`.
            out.push_str(",\"type\":");
            write_list(&mut out, edge.deptypes.names());
        } else {
            out.push_str(",\"parameters\":{\"deptypes\":");
            write_list(&mut out, edge.deptypes.names());
            out.push_str(",\"virtuals\":");
            write_list(&mut out, edge.virtuals.iter().map(String::as_str));
            out.push('}');
        }
        out.push('}');
    }
    out.push(']');
    out
}

/// SHA-1 in lower-case base 32; a spliced node ends like the spec that it was built as.
fn finish(node: &ConcreteSpec, text: &str) -> Option<DagHash> {
    /// The characters of its own that a spliced node's hash keeps.
    const OWN_CHARACTERS: usize = 25;
    let mut hash = BASE32_NOPAD
        .encode(&Sha1::digest(text.as_bytes()))
        .to_ascii_lowercase();
    if let Some(build_spec) = &node.build_spec {
        hash.truncate(OWN_CHARACTERS);
        hash.push_str(
            build_spec
                .hash
                .as_str()
                .get(OWN_CHARACTERS..)
                .unwrap_or_default(),
        );
    }
    hash.parse().ok()
}
