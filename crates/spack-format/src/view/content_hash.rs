//! The name of the directory that a view's root links to.

use data_encoding::BASE32_NOPAD;
use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use super::{ViewDescriptor, ViewLink};
use crate::concrete::ConcreteSpec;

impl ViewDescriptor {
    /// The directory in which the view's tree really lies: `<folder>/._<name>/<hash>`, where the
    /// hash is over the descriptor and over the hashes and prefixes of `specs`.
    ///
    /// Spack makes the view again if the name is another one, so a difference would cost a
    /// regeneration and nothing else. (It can differ where two specs have the same name: Spack
    /// then orders them by more than is looked at here.)
    #[must_use]
    pub fn real_root(
        &self,
        specs: &[&ConcreteSpec],
        prefix: &dyn Fn(&ConcreteSpec) -> String,
    ) -> String {
        let (folder, name) = self.root.rsplit_once('/').unwrap_or(("", &self.root));
        format!("{folder}/._{name}/{}", self.content_hash(specs, prefix))
    }

    fn content_hash(
        &self,
        specs: &[&ConcreteSpec],
        prefix: &dyn Fn(&ConcreteSpec) -> String,
    ) -> String {
        let mut sorted = specs.to_vec();
        sorted.sort_by_key(|spec| (&spec.name, &spec.namespace, &spec.version, spec.hash));
        let specs: Vec<Value> = sorted
            .iter()
            .map(|spec| json!([spec.hash.as_str(), prefix(spec)]))
            .collect();
        let text = json!({"descriptor": self.to_json(), "specs": specs}).to_string();
        BASE32_NOPAD
            .encode(&Sha1::digest(ascii(&text).as_bytes()))
            .to_ascii_lowercase()
    }

    fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut set = |key: &str, value: Value| out.insert(key.to_owned(), value);
        set("root", self.raw_root.as_str().into());
        if !self.projections.is_empty() {
            let entries = self.projections.entries();
            set(
                "projections",
                entries
                    .map(|(key, it)| (key.to_owned(), it.into()))
                    .collect::<Map<_, _>>()
                    .into(),
            );
        }
        if !self.select.is_empty() {
            set("select", self.select.clone().into());
        }
        if !self.exclude.is_empty() {
            set("exclude", self.exclude.clone().into());
        }
        set("link_type", self.link_type.name().into());
        if self.link != ViewLink::All {
            set("link", self.link.name().into());
        }
        out.into()
    }
}

/// Escapes what is not ASCII, as Python's `json` does. Such characters stand in strings only.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}
