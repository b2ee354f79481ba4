//! One file, and what holds after merging several.

use super::expand::{self, Expansion};
use super::schema::{CONFIGURATION_FILE, MANIFEST};
use super::sections::{self, Include};
use super::{Machine, ManifestError, ManifestFault, colons, merge};
use crate::yaml::shape::{self, MapShape, Shape};
use crate::yaml::{Entry, Mapping, Node, SourceId, Span, Value, YamlError, parse};

/// Sections that belong to one environment and are not merged into others. [Spack: `schema/env.py`]
const OWN_SECTIONS: [&str; 2] = ["specs", "include_concrete"];

/// One `spack.yaml`, or one file of configuration that such a file includes.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What is below `spack:`; for a file of configuration, the whole. Always a mapping.
    pub sections: Node,
    /// Everything wrong with this file by itself, in the order of the text.
    pub faults: Vec<ManifestFault>,
}

impl Manifest {
    /// Reads a `spack.yaml`. Whatever is wrong with it is in [`Manifest::faults`].
    #[must_use]
    pub fn parse(text: &str, source: SourceId) -> Self {
        let (root, faults) = read(text, source, &MANIFEST);
        let sections = root.get("spack").cloned().unwrap_or(root);
        Self::of(sections, faults, source)
    }

    /// Reads a file of configuration: sections without `spack:` above them.
    #[must_use]
    pub fn parse_configuration(text: &str, source: SourceId) -> Self {
        let (root, faults) = read(text, source, &CONFIGURATION_FILE);
        Self::of(root, faults, source)
    }

    fn of(sections: Node, mut faults: Vec<ManifestFault>, source: SourceId) -> Self {
        let mut sections = match sections.value {
            Value::Mapping(_) => sections,
            _ => Node::new(Span::new(source, 0, 0), Value::Mapping(Mapping::default())),
        };
        colons::strip(&mut sections, &mut faults);
        mirrors_without_address(&sections, &mut faults);
        faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
        Self { sections, faults }
    }

    /// Whether reading stopped before the end of the text, so that sections may be missing.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.faults.iter().any(|fault| match &fault.error {
            ManifestError::Yaml(error) => !matches!(error, YamlError::DuplicateKey { .. }),
            _ => false,
        })
    }

    /// The `include` of this file, highest scope first.
    #[must_use]
    pub fn includes(&self) -> Vec<Include> {
        sections::includes(&self.sections)
    }

    /// The place of a section's key, for faults about a whole section.
    #[must_use]
    pub fn section_span(&self, section: &str) -> Option<Span> {
        Some(self.sections.as_mapping()?.entry(section)?.key.span)
    }
}

fn read(text: &str, source: SourceId, map: &'static MapShape) -> (Node, Vec<ManifestFault>) {
    let parsed = parse(text, source);
    let mut found = shape::check(&parsed.root, &Shape::Map(map), parsed.complete);
    if !parsed.complete {
        // What stands on or after the line where reading stopped may be half of something.
        let stopped = parsed
            .faults
            .iter()
            .map(|fault| fault.span.start)
            .min()
            .unwrap_or_default() as usize;
        let line = text[..stopped.min(text.len())]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        found.retain(|fault| (fault.span.end as usize) < line);
    }
    let faults = parsed
        .faults
        .into_iter()
        .map(ManifestFault::from)
        .chain(found.into_iter().map(ManifestFault::from));
    (parsed.root, faults.collect())
}

fn mirrors_without_address(sections: &Node, faults: &mut Vec<ManifestFault>) {
    let Some(mirrors) = sections.get("mirrors").and_then(Node::as_mapping) else {
        return;
    };
    for entry in mirrors.iter() {
        let Some(mirror) = entry.value.as_mapping() else {
            continue;
        };
        if ["url", "fetch", "push", "pull"]
            .iter()
            .all(|key| mirror.get(key).is_none())
        {
            faults.push(ManifestFault {
                span: entry.key.span,
                error: ManifestError::MirrorWithoutUrl,
            });
        }
    }
}

/// What holds for one environment: its own sections over those of lower scopes.
#[derive(Debug, Clone)]
pub struct Environment {
    pub(super) sections: Node,
}

impl Environment {
    /// Merges `own` over `lower` scopes, of which the first is the highest.
    #[must_use]
    pub fn new<'a>(own: &Manifest, lower: impl IntoIterator<Item = &'a Manifest>) -> Self {
        let mut sections = own.sections.clone();
        for scope in lower {
            sections = merge(&configuration(&scope.sections), &sections);
        }
        Self { sections }
    }

    /// A section as it stands after merging.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Node> {
        self.sections.get(name).filter(|node| !node.is_null())
    }

    /// All sections after merging: a mapping.
    #[must_use]
    pub fn sections(&self) -> &Node {
        &self.sections
    }

    /// The specs that are asked for, in order, with definitions and matrices expanded.
    /// What cannot be expanded is left out and among the faults.
    #[must_use]
    pub fn user_specs(&self, machine: &Machine) -> Expansion {
        expand::user_specs(&self.sections, machine)
    }

    /// What every node of `package` must satisfy: `packages:PACKAGE:require`, or that of `all` when the package has none, as
    /// written. [Spack: `solver/requirements.py`]
    #[must_use]
    pub fn requirement(&self, package: &str) -> Option<&Node> {
        let packages = self.section("packages")?;
        [package, "all"]
            .iter()
            .find_map(|name| packages.at(&[name, "require"]))
            .filter(|node| !node.is_null())
    }
}

/// A lower scope without what belongs to it alone.
fn configuration(sections: &Node) -> Node {
    let entries: Vec<Entry> = sections
        .as_mapping()
        .into_iter()
        .flat_map(Mapping::iter)
        .filter(|entry| !OWN_SECTIONS.contains(&entry.key.text.as_str()))
        .cloned()
        .collect();
    Node::new(sections.span, Value::Mapping(Mapping { entries }))
}
