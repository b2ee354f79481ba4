//! Definitions and matrices into specs. [Spack: `environment/list.py`, `spec_list.py`]

use std::collections::HashMap;

use super::spec_text::{self, reference};
use super::{Condition, Machine, ManifestError, ManifestFault, Toolchains};
use crate::yaml::{Mapping, Node, Span, nearest};

/// The most specs that one environment is expanded to. Real stacks have some hundred.
const MOST_SPECS: usize = 20_000;

/// A spec that the environment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSpec {
    /// The spec, as Spack's grammar has it, with what toolchains stand for.
    pub text: String,
    /// Where it was written: the matrix, for a combination; the item of the definition, for a reference.
    pub span: Span,
    /// Its group, if it is in one (Spack 1.2).
    pub group: Option<String>,
}

/// What `specs` stands for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expansion {
    /// The specs that are asked for, in order.
    pub specs: Vec<UserSpec>,
    /// What could not be expanded.
    pub faults: Vec<ManifestFault>,
}

/// An item of a list whose references are resolved.
#[derive(Debug, Clone)]
enum Item {
    Spec(String, Span),
    Matrix {
        rows: Vec<Vec<Item>>,
        exclude: Vec<String>,
        sigil: Option<char>,
        span: Span,
    },
}

type Lists = HashMap<String, Vec<Item>>;

/// Expands `specs`.
pub(super) fn user_specs(sections: &Node, machine: &Machine) -> Expansion {
    let mut faults = Vec::new();
    let toolchains = Toolchains::read(sections, &mut faults);
    let mut expander = Expander {
        lists: Lists::new(),
        toolchains,
        faults,
        items: 0,
    };
    expander.definitions(sections, machine);
    let mut specs = Vec::new();
    let (groups, plain) = split_groups(sections.get("specs"));
    expander.collect(&plain, None, &mut specs);
    for group in &groups {
        expander.group(group, &groups, &mut specs);
    }
    Expansion {
        specs,
        faults: expander.faults,
    }
}

fn split_groups(list: Option<&Node>) -> (Vec<&Mapping>, Vec<&Node>) {
    let mut groups = Vec::new();
    let mut plain = Vec::new();
    for item in list.and_then(Node::as_sequence).unwrap_or_default() {
        match item
            .as_mapping()
            .filter(|mapping| mapping.get("group").is_some())
        {
            Some(group) => groups.push(group),
            None => plain.push(item),
        }
    }
    (groups, plain)
}

struct Expander {
    lists: Lists,
    toolchains: Toolchains,
    faults: Vec<ManifestFault>,
    /// Items made so far: references to references grow quickly.
    items: usize,
}

impl Expander {
    fn fault(&mut self, span: Span, error: ManifestError) {
        self.faults.push(ManifestFault { span, error });
    }

    /// Entries of the same name are joined, in the order in which the names come first.
    fn definitions(&mut self, sections: &Node, machine: &Machine) {
        let mut joined: Vec<(&str, Vec<&Node>)> = Vec::new();
        for item in sections
            .get("definitions")
            .and_then(Node::as_sequence)
            .unwrap_or_default()
        {
            let Some(mapping) = item.as_mapping() else {
                continue;
            };
            let names: Vec<_> = mapping
                .iter()
                .filter(|entry| entry.key.text != "when")
                .collect();
            let [entry] = names.as_slice() else {
                self.fault(
                    item.span,
                    ManifestError::DefinitionNames { found: names.len() },
                );
                continue;
            };
            if !self.applies(mapping.get("when"), machine) {
                // The name is defined all the same, if only as an empty list.
                if !joined.iter().any(|(name, _)| *name == entry.key.text) {
                    joined.push((&entry.key.text, Vec::new()));
                }
                continue;
            }
            let items = entry.value.as_sequence().unwrap_or_default().iter();
            match joined.iter_mut().find(|(name, _)| *name == entry.key.text) {
                Some((_, list)) => list.extend(items),
                None => joined.push((&entry.key.text, items.collect())),
            }
        }
        for (name, nodes) in joined {
            let list = self.list(&nodes);
            self.lists.insert(name.to_owned(), list);
        }
    }

    fn applies(&mut self, when: Option<&Node>, machine: &Machine) -> bool {
        let Some((node, text)) = when.and_then(|node| Some((node, node.as_str()?))) else {
            return true;
        };
        match Condition::parse(text).and_then(|condition| condition.holds(machine)) {
            Ok(holds) => holds,
            Err(error) => {
                self.fault(node.span, ManifestError::Condition(error));
                false
            }
        }
    }

    fn group(&mut self, group: &Mapping, all: &[&Mapping], specs: &mut Vec<UserSpec>) {
        let Some(name) = group.get("group") else {
            return;
        };
        let text = name.as_str().unwrap_or_default();
        for needed in group
            .get("needs")
            .and_then(Node::as_sequence)
            .unwrap_or_default()
        {
            let known = || all.iter().filter_map(|group| group.get("group")?.as_str());
            let Some(wanted) = needed.as_str() else {
                continue;
            };
            if wanted != "default" && !known().any(|name| name == wanted) {
                let nearest = nearest(wanted, known()).map(str::to_owned);
                self.fault(
                    needed.span,
                    ManifestError::UnknownGroup {
                        name: wanted.to_owned(),
                        nearest,
                    },
                );
            }
        }
        match (group.get("specs"), group.get("matrix")) {
            (Some(list), None) => {
                let items: Vec<_> = list.as_sequence().unwrap_or_default().iter().collect();
                self.collect(&items, Some(text), specs);
            }
            (None, Some(matrix)) => {
                if let Some(item) = self.matrix(group, matrix.span) {
                    self.flatten(&[item], Some(text), specs);
                }
            }
            _ => self.fault(name.span, ManifestError::GroupContent),
        }
    }

    fn collect(&mut self, nodes: &[&Node], group: Option<&str>, specs: &mut Vec<UserSpec>) {
        let items = self.list(nodes);
        self.flatten(&items, group, specs);
    }

    fn flatten(&mut self, items: &[Item], group: Option<&str>, specs: &mut Vec<UserSpec>) {
        let group = group.map(str::to_owned);
        for item in items {
            match item {
                Item::Spec(text, span) => {
                    let expanded = self.toolchains.expanded_text(text);
                    let expanded = expanded.unwrap_or_else(|contradiction| {
                        let message = format!("`{text}`: {contradiction}");
                        self.fault(*span, ManifestError::Toolchain { message });
                        None
                    });
                    specs.push(UserSpec {
                        text: expanded.unwrap_or_else(|| text.clone()),
                        span: *span,
                        group: group.clone(),
                    });
                }
                Item::Matrix { span, .. } => {
                    let texts = self.combinations(item);
                    specs.extend(texts.into_iter().map(|text| UserSpec {
                        text,
                        span: *span,
                        group: group.clone(),
                    }));
                }
            }
        }
    }

    fn list(&mut self, nodes: &[&Node]) -> Vec<Item> {
        let mut items = Vec::new();
        for node in nodes {
            if let Some(text) = node.as_str() {
                match reference(text) {
                    Some((sigil, name)) => items.extend(self.resolve(sigil, name, node.span)),
                    None => items.push(Item::Spec(text.to_owned(), node.span)),
                }
            } else if let Some(mapping) = node.as_mapping() {
                items.extend(self.matrix(mapping, node.span));
            }
        }
        items
    }

    fn resolve(&mut self, sigil: Option<char>, name: &str, span: Span) -> Vec<Item> {
        let Some(list) = self.lists.get(name) else {
            let nearest = nearest(name, self.lists.keys().map(String::as_str)).map(str::to_owned);
            self.fault(
                span,
                ManifestError::UnknownDefinition {
                    name: name.to_owned(),
                    nearest,
                },
            );
            return Vec::new();
        };
        self.items = self.items.saturating_add(list.len());
        if self.items > MOST_SPECS {
            self.fault(span, ManifestError::MatrixTooLarge { limit: MOST_SPECS });
            return Vec::new();
        }
        let list = list.clone();
        list.into_iter()
            .map(|item| with_sigil(item, sigil))
            .collect()
    }

    fn matrix(&mut self, mapping: &Mapping, span: Span) -> Option<Item> {
        let rows = mapping.get("matrix")?.as_sequence()?;
        let mut expanded = Vec::new();
        for row in rows {
            let nodes: Vec<&Node> = row.as_sequence().unwrap_or_default().iter().collect();
            let faults = self.faults.len();
            let items = self.list(&nodes);
            if items.is_empty() && self.faults.len() == faults {
                self.fault(
                    if row.span.is_empty() { span } else { row.span },
                    ManifestError::EmptyMatrix,
                );
            }
            expanded.push(items);
        }
        if rows.is_empty() {
            self.fault(span, ManifestError::EmptyMatrix);
        }
        let exclude = mapping
            .get("exclude")
            .map(super::views::texts)
            .unwrap_or_default();
        Some(Item::Matrix {
            rows: expanded,
            exclude,
            sigil: None,
            span,
        })
    }

    /// Every combination of one item per row that `exclude` leaves, the last row turning fastest.
    fn combinations(&mut self, item: &Item) -> Vec<String> {
        let Item::Matrix {
            rows,
            exclude,
            sigil,
            span,
        } = item
        else {
            return Vec::new();
        };
        let mut texts: Vec<Vec<String>> = vec![Vec::new()];
        for row in rows {
            let choices: Vec<String> = row
                .iter()
                .flat_map(|item| match item {
                    Item::Spec(text, _) => vec![text.clone()],
                    Item::Matrix { .. } => self.combinations(item),
                })
                .collect();
            self.items = self
                .items
                .saturating_add(texts.len().saturating_mul(choices.len()));
            if self.items > MOST_SPECS {
                self.fault(*span, ManifestError::MatrixTooLarge { limit: MOST_SPECS });
                return Vec::new();
            }
            texts = texts
                .iter()
                .flat_map(|front| {
                    choices.iter().map(move |choice| {
                        [front.as_slice(), std::slice::from_ref(choice)].concat()
                    })
                })
                .collect();
        }
        let mut specs = Vec::new();
        for parts in texts.into_iter().filter(|parts| !parts.is_empty()) {
            match spec_text::combine(&parts, exclude, *sigil, &self.toolchains) {
                Ok(Some(text)) => specs.push(text),
                Ok(None) => {}
                Err(message) => self.fault(*span, ManifestError::Contradiction { message }),
            }
        }
        specs
    }
}

fn with_sigil(item: Item, sigil: Option<char>) -> Item {
    match (item, sigil) {
        (item, None) => item,
        (Item::Spec(text, span), Some(sigil)) => Item::Spec(format!("{sigil}{text}"), span),
        (
            Item::Matrix {
                rows,
                exclude,
                span,
                ..
            },
            Some(sigil),
        ) => Item::Matrix {
            rows,
            exclude,
            sigil: Some(sigil),
            span,
        },
    }
}
