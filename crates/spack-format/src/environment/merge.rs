//! How one scope of configuration joins a lower one. [Spack: `schema/__init__.py`, `merge_yaml`]

use crate::yaml::{Entry, KeyMark, Mapping, Node, ScalarKind, Style, Value};

/// `higher` over `lower`: mappings merge, items of lists come before those of the lower list that are not among them, anything
/// else replaces. Marks on the keys of `higher` change that ([`KeyMark`]). Spans keep telling where each part was written.
#[must_use]
pub fn merge(lower: &Node, higher: &Node) -> Node {
    merge_marked(lower, higher, KeyMark::Merge)
}

fn merge_marked(lower: &Node, higher: &Node, mark: KeyMark) -> Node {
    match (&lower.value, &higher.value) {
        _ if mark == KeyMark::Replace => higher.clone(),
        (Value::Mapping(low), Value::Mapping(high)) => {
            Node::new(higher.span, Value::Mapping(mappings(low, high)))
        }
        (Value::Sequence(low), Value::Sequence(high)) => {
            let rest = low
                .iter()
                .filter(|item| !high.iter().any(|other| other.same_value(item)))
                .cloned();
            let items = match mark {
                KeyMark::Append => rest.chain(high.iter().cloned()).collect(),
                _ => high.iter().cloned().chain(rest).collect(),
            };
            Node::new(higher.span, Value::Sequence(items))
        }
        (Value::Scalar(low), Value::Scalar(high))
            if low.kind == ScalarKind::String
                && high.kind == ScalarKind::String
                && mark != KeyMark::Merge =>
        {
            let text = match mark {
                KeyMark::Append => format!("{}{}", low.text, high.text),
                _ => format!("{}{}", high.text, low.text),
            };
            let scalar = crate::yaml::Scalar::string(text, Style::Plain);
            Node::new(higher.span, Value::Scalar(scalar))
        }
        _ => higher.clone(),
    }
}

fn mappings(low: &Mapping, high: &Mapping) -> Mapping {
    let joined = high.iter().map(|entry| match low.get(&entry.key.text) {
        Some(below) => Entry {
            key: entry.key.clone(),
            value: merge_marked(below, &entry.value, entry.key.mark),
        },
        None => entry.clone(),
    });
    let rest = low
        .iter()
        .filter(|entry| high.get(&entry.key.text).is_none())
        .cloned();
    Mapping {
        entries: joined.chain(rest).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse_strict;

    fn merged(lower: &str, higher: &str) -> Node {
        merge(
            &parse_strict(lower).expect("yaml"),
            &parse_strict(higher).expect("yaml"),
        )
    }

    fn same(lower: &str, higher: &str, result: &str) {
        let merged = merged(lower, higher);
        assert!(
            merged.same_value(&parse_strict(result).expect("yaml")),
            "{merged:?}"
        );
    }

    #[test]
    fn a_higher_scope_joins_a_lower_one_as_in_spack() {
        same(
            "{a: 1, b: {c: 1}}",
            "{b: {d: 2}, e: 3}",
            "{b: {d: 2, c: 1}, e: 3, a: 1}",
        );
        same("[a, b]", "[b, c]", "[b, c, a]");
        same("{a: [x]}", "{a: }", "{a: null}");
        same("{a: {b: 1}}", "{'a:': {c: 2}}", "{a: {c: 2}}");
        same(
            "{a: low, l: [1]}",
            "{a+: high, l+: [2]}",
            "{a: highlow, l: [2, 1]}",
        );
        same(
            "{a: low, l: [1, 2]}",
            "{a-: high, l-: [2]}",
            "{a: lowhigh, l: [1, 2]}",
        );
        same("{a: [x]}", "{a: text}", "{a: text}");
    }

    #[test]
    fn keys_of_the_higher_scope_come_first() {
        let node = merged("{x: 1, y: 1}", "{z: 1, x: 2}");
        let keys: Vec<_> = node
            .as_mapping()
            .expect("mapping")
            .iter()
            .map(|e| e.key.text.as_str())
            .collect();
        assert_eq!(keys, ["z", "x", "y"]);
    }
}
