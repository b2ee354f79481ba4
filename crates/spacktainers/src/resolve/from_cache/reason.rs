//! Why a spec of the cache was not chosen, in words.

use std::fmt;

use spack_format::concrete::VariantValue;
use spack_format::spec::{Spec, VariantSet};
use spack_format::yaml::Span;

use super::nodes::Nodes;
use crate::diagnostic::Sources;
use crate::index::SpecId;

/// Why a spec cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The package below the candidate that it is about, as `zlib@1.3.1 /v2xkvre`; none for the candidate itself.
    pub dependency: Option<String>,
    /// What is so: `has ~mpi`.
    pub is: String,
    /// Who asks for something else: `packages:hdf5:require`; empty where nobody does.
    pub rule: String,
    /// Where that is written.
    pub place: Option<Span>,
    /// What is asked: `+mpi`; empty where it needs no words.
    pub asked: String,
}

impl Reason {
    pub(super) fn fact(is: impl Into<String>) -> Self {
        Self {
            dependency: None,
            is: is.into(),
            rule: String::new(),
            place: None,
            asked: String::new(),
        }
    }

    pub(super) fn asked(mut self, rule: &str, place: Option<Span>, asked: &str) -> Self {
        (self.rule, self.place, self.asked) = (rule.to_owned(), place, asked.to_owned());
        self
    }

    /// The reason with its place as file and line.
    #[must_use]
    pub fn describe(&self, sources: &Sources) -> String {
        let at = self.place.and_then(|place| sources.locate(place));
        let at = at.map_or_else(String::new, |at| {
            format!(" at {}:{}", at.path.display(), at.line)
        });
        self.sentence(&at)
    }

    fn sentence(&self, at: &str) -> String {
        let mut text = match &self.dependency {
            Some(dependency) => format!("needs {dependency}, which {}", self.is),
            None => self.is.clone(),
        };
        if !self.rule.is_empty() {
            text.push_str(&format!("; {}{at}", self.rule));
            if !self.asked.is_empty() {
                text.push_str(&format!(" asks {}", self.asked));
            }
        }
        text
    }
}

/// Without the place.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(""))
    }
}

/// What of a node is not as `wanted` asks; each with what is asked. Empty if it is only the whole that does not fit.
pub(super) fn differences(nodes: &Nodes<'_>, id: SpecId, wanted: &Spec) -> Vec<(String, String)> {
    let spec = nodes.known.get(id);
    let mut out = Vec::new();
    let alone = |change: &dyn Fn(&mut Spec)| {
        let mut part = Spec::default();
        change(&mut part);
        part
    };
    let mut compare = |part: Spec, is: String| {
        if !nodes.satisfies(id, &part) {
            out.push((is, part.to_string().trim().to_owned()));
        }
    };
    if let Some(hash) = &wanted.hash {
        let part = alone(&|it| it.hash = Some(hash.clone()));
        compare(part, format!("has the hash /{}", spec.hash));
    }
    let part = alone(&|it| it.versions = wanted.versions.clone());
    compare(part, format!("has the version {}", nodes.version_text(id)));
    if let Some(namespace) = &wanted.namespace {
        let part = alone(&|it| it.namespace = Some(namespace.clone()));
        let own = nodes.known.text(spec.namespace);
        compare(part, format!("is of the namespace {own}"));
    }
    for (name, variant) in &wanted.variants {
        let part = alone(&|it| {
            it.variants.insert(name.clone(), variant.clone());
        });
        let own = nodes.variants_of(spec.variants).get(name);
        let is = match own {
            Some(value) => format!("has {}", shown(name, value)),
            None => format!("has no variant `{name}`"),
        };
        compare(part, is);
    }
    if !wanted.architecture.is_any() {
        let part = alone(&|it| it.architecture = wanted.architecture.clone());
        let system = nodes.system_of(id);
        let (platform, os, target) = (&system.platform, &system.os, &system.target);
        compare(part, format!("is built for {platform}-{os}-{target}"));
    }
    if !wanted.flags.is_empty() {
        let part = alone(&|it| it.flags = wanted.flags.clone());
        compare(part, "is built with other compiler flags".to_owned());
    }
    for dependency in &wanted.dependencies {
        // The name stays, as a direct dependency is asked of the package of that name.
        let part = Spec {
            name: wanted.name.clone().filter(|it| it == nodes.name_of(id)),
            dependencies: vec![dependency.clone()],
            ..Spec::default()
        };
        if !nodes.satisfies(id, &part) {
            let shown = Spec {
                name: None,
                ..part.clone()
            };
            let name = dependency.spec.name.as_deref().unwrap_or("it");
            let edges = nodes.known.edges(id).iter();
            let own = edges
                .map(|it| it.child)
                .find(|child| nodes.name_of(*child) == name)
                .map(|child| nodes.title(child));
            let is = match own {
                Some(own) => format!("is built with {own}"),
                None => format!("has no such {name} below it"),
            };
            out.push((is, shown.to_string().trim().to_owned()));
        }
    }
    out
}

fn shown(name: &str, value: &VariantValue) -> String {
    match value {
        VariantValue::Bool(true) => format!("+{name}"),
        VariantValue::Bool(false) => format!("~{name}"),
        other => format!("{name}={other}"),
    }
}

/// Whether a recorded value is one that is asked for.
pub(super) fn is_value(wanted: &VariantSet, value: &VariantValue) -> bool {
    let own: &[String] = match (wanted, value) {
        (VariantSet::Bool(wanted), VariantValue::Bool(value)) => return wanted == value,
        (_, VariantValue::Bool(_)) | (VariantSet::Bool(_), _) => return false,
        (_, VariantValue::Single(value)) => std::slice::from_ref(value),
        (_, VariantValue::Multi(values)) => values,
    };
    match wanted {
        VariantSet::Bool(_) => false,
        VariantSet::Contains(values) => values.iter().all(|it| own.contains(it)),
        VariantSet::Exactly(values) => {
            values.len() == own.len() && values.iter().all(|it| own.contains(it))
        }
    }
}
