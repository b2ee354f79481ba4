//! `config:install_tree`: where packages lie.

use super::Environment;
use crate::yaml::{Node, Span};

/// What an environment says about the install tree; absent parts are unsaid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstallTreeSection {
    /// The root as written, with variables such as `$spack` unresolved.
    pub root: Option<(String, Span)>,
    /// Characters to pad the root to. `true` means as many as the system allows, which is 0 here: only Spack knows.
    pub padded_length: Option<u32>,
    /// Format strings by spec, in order.
    pub projections: Vec<(String, String)>,
    /// Characters of the hash in prefixes.
    pub install_hash_length: Option<u32>,
}

impl Environment {
    /// `config:install_tree` and `config:install_hash_length`.
    #[must_use]
    pub fn install_tree(&self) -> InstallTreeSection {
        let Some(config) = self.section("config") else {
            return InstallTreeSection::default();
        };
        let tree = config.get("install_tree");
        let number = |node: &Node| {
            node.as_integer()
                .and_then(|number| u32::try_from(number).ok())
        };
        let root = tree.and_then(|tree| tree.get("root").or(Some(tree)));
        InstallTreeSection {
            root: root.and_then(|node| Some((node.as_str()?.to_owned(), node.span))),
            padded_length: tree
                .and_then(|tree| tree.get("padded_length"))
                .and_then(number),
            projections: tree
                .and_then(|tree| tree.get("projections"))
                .map(pairs)
                .unwrap_or_default(),
            install_hash_length: config.get("install_hash_length").and_then(number),
        }
    }
}

/// Keys and texts of a mapping, in order.
pub(super) fn pairs(node: &Node) -> Vec<(String, String)> {
    node.as_mapping()
        .into_iter()
        .flat_map(|mapping| mapping.iter())
        .filter_map(|entry| Some((entry.key.text.clone(), entry.value.as_str()?.to_owned())))
        .collect()
}
