//! Tree against shape.

use super::{KeyShape, MapShape, Others, Shape, ShapeError, ShapeFault, TextShape};
use crate::yaml::{Key, Node, ScalarKind, Span, Value, nearest};

/// Every way in which `node` is not of `shape`, in the order of the text.
///
/// With `complete` unset the tree is the beginning of a text that could not be read to its end; keys that are missing are
/// then not told, for the author may have written them.
#[must_use]
pub fn check(node: &Node, shape: &Shape, complete: bool) -> Vec<ShapeFault> {
    let mut faults = Vec::new();
    walk(
        node,
        shape,
        At {
            key: None,
            span: node.span,
            complete,
        },
        &mut faults,
    );
    faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
    faults
}

/// Where in the tree we are.
#[derive(Clone, Copy)]
struct At<'a> {
    /// The last key above.
    key: Option<&'a str>,
    /// Where to point at when a value has no place of its own, as an empty one has not.
    span: Span,
    complete: bool,
}

fn walk(node: &Node, shape: &Shape, at: At<'_>, faults: &mut Vec<ShapeFault>) {
    match shape {
        Shape::Either(shapes) => either(node, shapes, at, faults),
        Shape::OrNull(_) if node.is_null() => {}
        Shape::OrNull(shape) => walk(node, shape, at, faults),
        _ if !accepts(shape, node) => wrong_type(node, std::slice::from_ref(shape), at, faults),
        Shape::Any | Shape::Null | Shape::String | Shape::StringOrNumber | Shape::Boolean => {}
        Shape::Text(text) => grammar(node, text, faults),
        Shape::Word(words) => word(node, words, at, faults),
        Shape::Integer(least, most) => range(node, *least, *most, at, faults),
        Shape::List(item) => {
            for member in node.as_sequence().unwrap_or_default() {
                let span = place_of(member, at.span);
                walk(member, item, At { span, ..at }, faults);
            }
        }
        Shape::Map(map) => mapping(node, map, at, faults),
    }
}

/// Of the alternatives of the right type, the one with the fewest faults.
fn either(node: &Node, shapes: &[Shape], at: At<'_>, faults: &mut Vec<ShapeFault>) {
    let mut best: Option<Vec<ShapeFault>> = None;
    for shape in shapes.iter().filter(|shape| accepts(shape, node)) {
        let mut found = Vec::new();
        walk(node, shape, at, &mut found);
        if best.as_ref().is_none_or(|least| found.len() < least.len()) {
            best = Some(found);
        }
    }
    match best {
        Some(found) => faults.extend(found),
        None => wrong_type(node, shapes, at, faults),
    }
}

/// Whether the node is of the type, whatever it holds. Words that are none of the allowed ones are let through if they
/// are text, so that they are reported as unknown words.
fn accepts(shape: &Shape, node: &Node) -> bool {
    match (shape, &node.value) {
        (Shape::Any, _) => true,
        (Shape::OrNull(shape), _) => node.is_null() || accepts(shape, node),
        (Shape::Either(shapes), _) => shapes.iter().any(|shape| accepts(shape, node)),
        (Shape::List(_), Value::Sequence(_)) | (Shape::Map(_), Value::Mapping(_)) => true,
        (_, Value::Scalar(scalar)) => match shape {
            Shape::Null => scalar.kind == ScalarKind::Null,
            Shape::String | Shape::Text(_) | Shape::Word(_) => scalar.kind == ScalarKind::String,
            Shape::StringOrNumber => {
                matches!(
                    scalar.kind,
                    ScalarKind::String | ScalarKind::Integer(_) | ScalarKind::Float(_)
                )
            }
            Shape::Boolean => matches!(scalar.kind, ScalarKind::Boolean(_)),
            Shape::Integer(..) => matches!(scalar.kind, ScalarKind::Integer(_)),
            _ => false,
        },
        _ => false,
    }
}

fn wrong_type(node: &Node, shapes: &[Shape], at: At<'_>, faults: &mut Vec<ShapeFault>) {
    let mut nouns: Vec<String> = Vec::new();
    shapes.iter().for_each(|shape| expected(shape, &mut nouns));
    nouns.dedup();
    let wants_text = shapes.iter().any(takes_text);
    let quote = node
        .scalar()
        .filter(|scalar| wants_text && scalar.kind != ScalarKind::Null)
        .map(|scalar| scalar.text.clone());
    faults.push(ShapeFault {
        span: place_of(node, at.span),
        error: ShapeError::WrongType {
            key: at.key.map(str::to_owned),
            expected: join_or(&nouns),
            found: found(node),
            quote,
        },
    });
}

fn takes_text(shape: &Shape) -> bool {
    match shape {
        Shape::String | Shape::Text(_) | Shape::StringOrNumber => true,
        Shape::OrNull(shape) => takes_text(shape),
        Shape::Either(shapes) => shapes.iter().any(takes_text),
        _ => false,
    }
}

fn expected(shape: &Shape, nouns: &mut Vec<String>) {
    let noun = match shape {
        Shape::Any => "anything".to_owned(),
        Shape::Null => "null".to_owned(),
        Shape::String => "text".to_owned(),
        Shape::StringOrNumber => "text or a number".to_owned(),
        Shape::Text(text) => text.noun.to_owned(),
        Shape::Word([only]) => format!("`{only}`"),
        Shape::Word(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            format!("one of {}", words.join(", "))
        }
        Shape::Boolean => "true or false".to_owned(),
        Shape::Integer(..) => "a whole number".to_owned(),
        Shape::List(_) => "a list".to_owned(),
        Shape::Map(_) => "a mapping".to_owned(),
        Shape::OrNull(shape) => return expected(shape, nouns),
        Shape::Either(shapes) => return shapes.iter().for_each(|shape| expected(shape, nouns)),
    };
    if !nouns.contains(&noun) {
        nouns.push(noun);
    }
}

fn join_or(nouns: &[String]) -> String {
    match nouns {
        [] => "something else".to_owned(),
        [only] => only.clone(),
        [front @ .., last] => format!("{} or {last}", front.join(", ")),
    }
}

fn found(node: &Node) -> &'static str {
    match &node.value {
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Scalar(scalar) => match scalar.kind {
            ScalarKind::Null => "empty",
            ScalarKind::Boolean(_) => "true or false",
            ScalarKind::Integer(_) | ScalarKind::Float(_) => "a number",
            ScalarKind::Timestamp => "a date",
            ScalarKind::String => "text",
        },
    }
}

fn grammar(node: &Node, shape: &TextShape, faults: &mut Vec<ShapeFault>) {
    let Some(text) = node.as_str() else { return };
    if let Err(fault) = (shape.check)(text) {
        let range = clip(text, fault.range.clone());
        faults.push(ShapeFault {
            span: node.text_span(range),
            error: ShapeError::Text(fault),
        });
    }
}

/// A range that lies in the text, whatever was said.
fn clip(text: &str, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let end = range.end.min(text.len());
    range.start.min(end)..end
}

fn word(node: &Node, words: &'static [&'static str], at: At<'_>, faults: &mut Vec<ShapeFault>) {
    let Some(value) = node.as_str().filter(|value| !words.contains(value)) else {
        return;
    };
    faults.push(ShapeFault {
        span: place_of(node, at.span),
        error: ShapeError::UnknownWord {
            value: value.to_owned(),
            key: at.key.unwrap_or_default().to_owned(),
            nearest: nearest(value, words.iter().copied()),
            allowed: words.to_vec(),
        },
    });
}

fn range(node: &Node, least: i64, most: i64, at: At<'_>, faults: &mut Vec<ShapeFault>) {
    let Some(value) = node
        .as_integer()
        .filter(|value| !(least..=most).contains(value))
    else {
        return;
    };
    faults.push(ShapeFault {
        span: place_of(node, at.span),
        error: ShapeError::OutOfRange {
            key: at.key.unwrap_or_default().to_owned(),
            value,
            least,
            most,
        },
    });
}

fn mapping(node: &Node, shape: &'static MapShape, at: At<'_>, faults: &mut Vec<ShapeFault>) {
    let Some(map) = node.as_mapping() else { return };
    for entry in map.iter() {
        let span = place_of(&entry.value, entry.key.span);
        let below = At {
            key: Some(&entry.key.text),
            span,
            ..at
        };
        if let Some(known) = shape.keys.iter().find(|known| known.name == entry.key.text) {
            if let Some(instead) = known.outdated {
                let error = ShapeError::Outdated {
                    key: known.name,
                    place: shape.name,
                    instead,
                };
                faults.push(ShapeFault {
                    span: entry.key.span,
                    error,
                });
            }
            walk(&entry.value, &known.shape, below, faults);
            continue;
        }
        match &shape.others {
            Others::Refused => faults.push(unknown(&entry.key, shape)),
            Others::Anything => {}
            Others::Named(value) => walk(&entry.value, value, below, faults),
            Others::Texts(text, value) => {
                if let Err(fault) = (text.check)(&entry.key.text) {
                    faults.push(ShapeFault {
                        span: entry.key.span,
                        error: ShapeError::Text(fault),
                    });
                }
                walk(&entry.value, value, below, faults);
            }
        }
    }
    let absent = |key: &&KeyShape| key.required && map.get(key.name).is_none();
    for key in shape.keys.iter().filter(absent).filter(|_| at.complete) {
        // Point at the first key rather than at the whole mapping, which may be long.
        let span = map.entries.first().map_or(at.span, |entry| entry.key.span);
        let error = ShapeError::MissingKey {
            key: key.name,
            place: shape.name,
        };
        faults.push(ShapeFault { span, error });
    }
}

fn unknown(key: &Key, shape: &'static MapShape) -> ShapeFault {
    let known = || {
        shape
            .keys
            .iter()
            .filter(|known| known.outdated.is_none())
            .map(|known| known.name)
    };
    ShapeFault {
        span: key.span,
        error: ShapeError::UnknownKey {
            key: key.text.clone(),
            place: shape.name,
            nearest: nearest(&key.text, known()),
            known: known().collect(),
        },
    }
}

/// The place of a value; of the key for values without one.
fn place_of(node: &Node, fallback: Span) -> Span {
    if node.span.is_empty() {
        fallback
    } else {
        node.span
    }
}
