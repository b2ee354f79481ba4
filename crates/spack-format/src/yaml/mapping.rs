//! Mappings: ordered, with text keys that know their place and their mark.

use super::{Node, Span};

/// Keys and values in the order in which they were written. No key is there twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapping {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// A key without its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub text: String,
    /// How the value joins one of a lower scope.
    pub mark: KeyMark,
    /// Where it was written, with quotes and mark.
    pub span: Span,
}

/// How a value joins the value of the same key in a lower configuration scope.
/// [Spack: `config.py`, `_process_dict_keyname_overrides`]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyMark {
    /// `key:` — mappings merge, lists and their lower items join, scalars replace.
    #[default]
    Merge,
    /// `key::` — replaces wholly.
    Replace,
    /// `key+:` — strings are put in front of the lower string.
    Prepend,
    /// `key-:` — lists and strings are put after the lower one.
    Append,
}

impl Key {
    /// Splits the mark from a key as written. A key that ends in a colon and holds an `@` is a spec
    /// with an open version range, not a key with a mark.
    #[must_use]
    pub fn new(written: &str, span: Span) -> Self {
        let (text, mark) = match written.as_bytes() {
            [_, .., b':'] if !written.contains('@') => {
                (&written[..written.len() - 1], KeyMark::Replace)
            }
            [_, .., b'+'] => (&written[..written.len() - 1], KeyMark::Prepend),
            [_, .., b'-'] => (&written[..written.len() - 1], KeyMark::Append),
            _ => (written, KeyMark::Merge),
        };
        Self {
            text: text.to_owned(),
            mark,
            span,
        }
    }
}

impl Mapping {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.text == key)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}
