//! `[ecr]`: Amazon's registry.

use std::collections::BTreeSet;

use spack_format::yaml::Node;

use crate::registry::ecr::EcrRepositorySettings;

/// What the settings say about Amazon's registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EcrSettings {
    /// Registries that take ECR's tokens under another name than AWS gives: private endpoints, proxies.
    pub hosts: BTreeSet<String>,
    /// Whether `publish` makes repositories that are missing.
    pub create: bool,
    /// How it makes them.
    pub repository: EcrRepositorySettings,
}

impl EcrSettings {
    pub(super) fn read(root: &Node) -> Self {
        let Some(node) = root.get("ecr") else {
            return Self::default();
        };
        let is = |key: &str| node.get(key).and_then(Node::as_bool).unwrap_or(false);
        let hosts = node.get("hosts").and_then(Node::as_sequence);
        let tags = node.get("tags").and_then(Node::as_mapping);
        Self {
            hosts: hosts
                .unwrap_or_default()
                .iter()
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect(),
            create: is("create"),
            repository: EcrRepositorySettings {
                immutable: is("immutable"),
                scan_on_push: is("scan_on_push"),
                tags: tags
                    .into_iter()
                    .flat_map(|it| it.iter())
                    .filter_map(|it| Some((it.key.text.clone(), it.value.as_str()?.to_owned())))
                    .collect(),
            },
        }
    }
}
