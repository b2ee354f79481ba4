//! Labels, merged in Apptainer's order.
//!
//! ```text
//! image's labels ◄── facts of the build (replace)  ◄── %labels of the definition file (only where there is none, or with force)
//! ```
//!
//! Source: `apptainer/apptainer`, `internal/pkg/build/metadata.go`, `insertLabelsJSON` and `addBuildLabels`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use super::build_time::BuildTime;
use super::{BuildFacts, DefinitionParts};

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

const HELP_FILE: &str = "/.singularity.d/runscript.help";

/// What the build adds.
///
/// The `org.label-schema` keys replace those of the image, as they describe this file. The `org.opencontainers` keys, which
/// Apptainer adds from 1.5 on, do not: the image has usually said better.
pub(crate) fn add_build_labels(
    labels: &mut Labels,
    facts: &BuildFacts,
    definition: &DefinitionParts,
) {
    let time = BuildTime::from_unix(facts.time);
    let mut set = |key: &str, value: &str| labels.insert(key.to_owned(), value.to_owned());
    set("org.label-schema.schema-version", "1.0");
    set("org.label-schema.build-arch", &facts.arch);
    set("org.label-schema.build-date", &time.label());
    if let Some(version) = &facts.apptainer_version {
        set("org.label-schema.usage.apptainer.version", version);
    }
    if super::definition::given(definition.help.as_ref()).is_some() {
        set("org.label-schema.usage", HELP_FILE);
        set("org.label-schema.usage.apptainer.runscript.help", HELP_FILE);
    }
    for (key, value) in &definition.header {
        set(
            &format!("org.label-schema.usage.singularity.deffile.{key}"),
            value,
        );
    }
    let mut propose = |key: &str, value: &str| {
        labels
            .entry(format!("org.opencontainers.image.{key}"))
            .or_insert_with(|| value.to_owned());
    };
    propose("created", &time.rfc3339());
    propose("architecture", &facts.arch);
    if let Some(variant) = &facts.variant {
        propose("variant", variant);
    }
    if let Some((name, digest)) = &facts.base {
        propose("base.name", name);
        propose("base.digest", digest);
    }
}

/// Adds the labels of a definition file. Gives the keys that were there already and were kept.
pub(crate) fn add_definition_labels(
    labels: &mut Labels,
    definition: &DefinitionParts,
    force: bool,
) -> Vec<String> {
    let mut kept = Vec::new();
    for (key, value) in &definition.labels {
        if force || !labels.contains_key(key) {
            labels.insert(key.clone(), value.clone());
        } else {
            kept.push(key.clone());
        }
    }
    kept
}

/// A JSON object of strings as Apptainer writes it into files: indented by tabs, without a line break at the end, and with the
/// characters escaped that Go's `encoding/json` escapes, so that `grep` finds the same in both.
pub(crate) fn indented(labels: &Labels) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"\t"));
    // Text into memory: this cannot fail.
    let _ = labels.serialize(&mut serializer);
    let mut text = String::from_utf8(text).unwrap_or_default();
    // They stand in strings only.
    for (character, escaped) in GO_ESCAPES {
        if text.contains(character) {
            text = text.replace(character, escaped);
        }
    }
    text.into_bytes()
}

const GO_ESCAPES: [(char, &str); 5] = [
    ('<', "\\u003c"),
    ('>', "\\u003e"),
    ('&', "\\u0026"),
    ('\u{2028}', "\\u2028"),
    ('\u{2029}', "\\u2029"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_go_writes_them() {
        let labels = Labels::from([("a<b>".to_owned(), "c & \u{2028}\"é".to_owned())]);
        let text = String::from_utf8(indented(&labels)).unwrap();
        assert_eq!(
            text,
            "{\n\t\"a\\u003cb\\u003e\": \"c \\u0026 \\u2028\\\"é\"\n}"
        );
        assert_eq!(
            serde_json::from_str::<Labels>(&text).unwrap(),
            labels,
            "and mean the same"
        );
    }
}
