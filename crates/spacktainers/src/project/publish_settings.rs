//! `[publish.ENVIRONMENT]`: where the containers of an environment (sandbox, staging, production, …) go.

use std::collections::BTreeMap;

use spack_format::yaml::{Node, Span};

/// One environment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PublishSettings {
    /// Targets with `{name}`, `{version}` and `{arch}` for each container to fill in, and where each was written.
    pub targets: Vec<(String, Span)>,
}

/// All of them, by name.
pub(super) fn read(root: &Node) -> BTreeMap<String, PublishSettings> {
    let entries = root.get("publish").and_then(Node::as_mapping);
    entries
        .into_iter()
        .flat_map(|it| it.iter())
        .map(|entry| {
            let targets = entry.value.get("targets").and_then(Node::as_sequence);
            let targets = targets
                .unwrap_or_default()
                .iter()
                .filter_map(|node| Some((node.as_str()?.to_owned(), node.span)));
            let settings = PublishSettings {
                targets: targets.collect(),
            };
            (entry.key.text.clone(), settings)
        })
        .collect()
}
