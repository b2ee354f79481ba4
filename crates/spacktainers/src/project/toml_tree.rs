//! TOML as the same tree with places that YAML is read into, so that one mechanism checks both.

use spack_format::yaml::{
    Entry, Key, KeyMark, Mapping, Node, Scalar, ScalarKind, SourceId, Span, Style, Value,
};
use toml_edit::{Document, Item, TableLike};

use crate::diagnostic::Diagnostic;

/// The tree of a text, or why it is no TOML.
pub(super) fn parse(text: &str, source: SourceId) -> Result<Node, Diagnostic> {
    let document = Document::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        Diagnostic::error(
            Span::from_range(source, span),
            format!("this is not valid TOML: {}", first_line(error.message())),
        )
        .label("here")
    })?;
    Ok(Node::new(
        Span::from_range(source, 0..0),
        Value::Mapping(table(document.as_table(), source)),
    ))
}

fn first_line(message: &str) -> String {
    message.trim().replace('\n', ", ")
}

fn table(table: &dyn TableLike, source: SourceId) -> Mapping {
    let entries = table
        .iter()
        .filter_map(|(name, item)| {
            let place = table
                .key(name)
                .and_then(toml_edit::Key::span)
                .unwrap_or(0..0);
            let place = Span::from_range(source, place);
            // Built by hand: in TOML a key that ends in a colon is no instruction to merge.
            let key = Key {
                text: name.to_owned(),
                mark: KeyMark::Merge,
                span: place,
            };
            Some(Entry {
                key,
                value: node(item, place, source)?,
            })
        })
        .collect();
    Mapping { entries }
}

/// A value. One that was written in several places (a table with dotted keys) is where its key is.
fn node(item: &Item, key: Span, source: SourceId) -> Option<Node> {
    let span = item
        .span()
        .map_or(key, |range| Span::from_range(source, range));
    let value = match item {
        Item::None => return None,
        Item::Table(it) => return Some(Node::new(key, Value::Mapping(table(it, source)))),
        Item::ArrayOfTables(tables) => Value::Sequence(
            tables
                .iter()
                .map(|it| {
                    let span = it
                        .span()
                        .map_or(key, |range| Span::from_range(source, range));
                    Node::new(span, Value::Mapping(table(it, source)))
                })
                .collect(),
        ),
        Item::Value(it) => self::value(it, source),
    };
    let mut node = Node::new(span, value);
    // One quote before the text, where the text is written as it is.
    if let Value::Scalar(scalar) = &node.value
        && scalar.kind == ScalarKind::String
        && usize::try_from(span.end - span.start).is_ok_and(|len| len == scalar.text.len() + 2)
    {
        node.verbatim = Some(span.start + 1);
    }
    Some(node)
}

fn value(value: &toml_edit::Value, source: SourceId) -> Value {
    let scalar = |text: String, kind| {
        Value::Scalar(Scalar {
            text,
            kind,
            style: Style::Plain,
        })
    };
    match value {
        toml_edit::Value::String(it) => {
            Value::Scalar(Scalar::string(it.value().clone(), Style::Quoted))
        }
        toml_edit::Value::Integer(it) => {
            scalar(it.value().to_string(), ScalarKind::Integer(*it.value()))
        }
        toml_edit::Value::Float(it) => {
            scalar(it.value().to_string(), ScalarKind::Float(*it.value()))
        }
        toml_edit::Value::Boolean(it) => {
            scalar(it.value().to_string(), ScalarKind::Boolean(*it.value()))
        }
        toml_edit::Value::Datetime(it) => scalar(it.value().to_string(), ScalarKind::Timestamp),
        toml_edit::Value::Array(items) => Value::Sequence(
            items
                .iter()
                .filter_map(|it| {
                    let span = it
                        .span()
                        .map_or_else(Span::default, |range| Span::from_range(source, range));
                    node(&Item::Value(it.clone()), span, source).map(|node| Node { span, ..node })
                })
                .collect(),
        ),
        toml_edit::Value::InlineTable(it) => Value::Mapping(table(it, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_know_where_they_were_written() {
        let text = "a = \"x y\"\n[b.c]\nd = [1, \"zwei\"]\n[[e]]\nf = true\n";
        let root = parse(text, SourceId(3)).expect("TOML");
        let written = |node: &Node| text[node.span.range()].to_owned();
        assert_eq!(written(root.get("a").expect("a")), "\"x y\"");
        let list = root
            .at(&["b", "c", "d"])
            .and_then(Node::as_sequence)
            .expect("a list");
        assert_eq!(
            list.iter().map(written).collect::<Vec<_>>(),
            ["1", "\"zwei\""]
        );
        assert_eq!(text[list[1].text_span(0..2).range()].to_owned(), "zw");
        let tables = root.get("e").and_then(Node::as_sequence).expect("tables");
        assert_eq!(tables[0].get("f").and_then(Node::as_bool), Some(true));
        assert_eq!(tables[0].span.source, SourceId(3));
        let key = &root
            .as_mapping()
            .and_then(|it| it.entry("b"))
            .expect("b")
            .key;
        assert_eq!(text[key.span.range()].to_owned(), "b");
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_place() {
        let text = "a = 1\nb = = 2\n";
        let fault = parse(text, SourceId(0)).expect_err("no TOML");
        let place = fault.place.expect("a place").range();
        assert!(text[..place.start].starts_with("a = 1\n"), "{fault:?}");
    }
}
