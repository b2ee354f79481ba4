//! `[publish.ENVIRONMENT]`: where the containers of an environment (sandbox, staging, production, …) go.

use std::collections::BTreeMap;

use spack_format::yaml::{Node, Span};

/// One environment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PublishSettings {
    /// Targets with `{name}`, `{version}` and `{arch}` for each container to fill in, and where each was written.
    pub targets: Vec<(String, Span)>,
    /// The same for repositories that somebody has set up by hand: used only for what is built from the main branch, and
    /// only where the repository exists. Docker Hub is used like this.
    pub established: Vec<(String, Span)>,
    /// The branch that releases are made from, where the CI system or `main` and `master` are not right.
    pub main: Option<String>,
    /// Whether versions may get other content.
    pub replaces: bool,
}

impl PublishSettings {
    /// The templates of all targets.
    #[must_use]
    pub fn templates(&self) -> Vec<String> {
        let all = self.targets.iter().chain(&self.established);
        all.map(|(text, _)| text.clone()).collect()
    }
}

/// All of them, by name.
pub(super) fn read(root: &Node) -> BTreeMap<String, PublishSettings> {
    let entries = root.get("publish").and_then(Node::as_mapping);
    entries
        .into_iter()
        .flat_map(|it| it.iter())
        .map(|entry| {
            let texts = |key: &str| {
                let nodes = entry.value.get(key).and_then(Node::as_sequence);
                nodes
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|node| Some((node.as_str()?.to_owned(), node.span)))
                    .collect()
            };
            let main = entry.value.get("main").and_then(Node::as_str);
            let replace = entry.value.get("replace").and_then(Node::as_bool);
            let settings = PublishSettings {
                targets: texts("targets"),
                established: texts("established"),
                main: main.map(str::to_owned),
                replaces: replace.unwrap_or(false),
            };
            (entry.key.text.clone(), settings)
        })
        .collect()
}
