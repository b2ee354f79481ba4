//! GitHub's expressions, as far as workflows of ours have them: paths with `.*`, texts, `!`, `==`, `!=`, `&&`, `||`,
//! parentheses, and a few functions. Source: GitHub's documentation, "Evaluate expressions in workflows and actions".

use serde_json::{Map, Value, json};

/// A text with all of its `${{ … }}` filled in.
pub(super) fn fill(text: &str, contexts: &Map<String, Value>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (inner, behind) = after.split_once("}}").expect("an end");
        filled.push_str(before);
        filled.push_str(&as_text(&parse(inner, contexts)));
        rest = behind;
    }
    filled + rest
}

/// The value of a text that is one expression, with or without `${{ }}`; other texts stand for themselves.
pub(super) fn evaluate(text: &str, contexts: &Map<String, Value>) -> Value {
    match text
        .strip_prefix("${{")
        .and_then(|it| it.strip_suffix("}}"))
    {
        Some(inner) if !inner.contains("${{") => parse(inner, contexts),
        _ => json!(fill(text, contexts)),
    }
}

pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(it) => it.as_f64() != Some(0.0),
        Value::String(it) => !it.is_empty(),
        _ => true,
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(it) => it.clone(),
        other => other.to_string(),
    }
}

fn parse(text: &str, contexts: &Map<String, Value>) -> Value {
    let mut reader = Reader {
        rest: text.trim(),
        contexts,
        is_needed: true,
    };
    let value = reader.either();
    assert!(
        reader.rest.is_empty(),
        "`{}` is left of `{text}`",
        reader.rest
    );
    value
}

struct Reader<'a> {
    rest: &'a str,
    contexts: &'a Map<String, Value>,
    /// Whether the value counts: what stands behind `false &&` is read and not looked at.
    is_needed: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        if let Some(rest) = rest {
            self.rest = rest.trim_start();
        }
        rest.is_some()
    }

    /// A value that counts if `is_needed`.
    fn only_if(&mut self, is_needed: bool, read: fn(&mut Self) -> Value) -> Value {
        let before = self.is_needed;
        self.is_needed &= is_needed;
        let value = read(self);
        self.is_needed = before;
        value
    }

    fn either(&mut self) -> Value {
        let mut value = self.both();
        while self.take("||") {
            let other = self.only_if(!is_true(&value), Self::both);
            value = if is_true(&value) { value } else { other };
        }
        value
    }

    fn both(&mut self) -> Value {
        let mut value = self.equal();
        while self.take("&&") {
            let other = self.only_if(is_true(&value), Self::equal);
            value = if is_true(&value) { other } else { value };
        }
        value
    }

    fn equal(&mut self) -> Value {
        let value = self.not();
        match (self.take("=="), self.take("!=")) {
            (true, _) => json!(value == self.not()),
            (_, true) => json!(value != self.not()),
            _ => value,
        }
    }

    fn not(&mut self) -> Value {
        match self.take("!") {
            true => json!(!is_true(&self.not())),
            false => self.value(),
        }
    }

    fn value(&mut self) -> Value {
        if self.take("(") {
            let value = self.either();
            assert!(self.take(")"), "`)` is missing before `{}`", self.rest);
            return value;
        }
        if let Some(rest) = self.rest.strip_prefix('\'') {
            let (text, rest) = rest.split_once('\'').expect("an end of the text");
            self.rest = rest.trim_start();
            return json!(text);
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if self.take("(") {
            return self.call(name);
        }
        match name {
            "true" => json!(true),
            "false" => json!(false),
            "null" => Value::Null,
            _ => self.path(name),
        }
    }

    fn path(&self, path: &str) -> Value {
        let mut parts = path.split('.');
        let first = parts.next().expect("a name");
        let context = self
            .contexts
            .get(first)
            .unwrap_or_else(|| panic!("there is no context `{first}`"));
        let mut values = vec![context.clone()];
        let mut is_list = false;
        for part in parts {
            values = match part {
                "*" => {
                    is_list = true;
                    values
                        .iter()
                        .flat_map(|it| match it {
                            Value::Array(items) => items.clone(),
                            Value::Object(map) => map.values().cloned().collect(),
                            _ => Vec::new(),
                        })
                        .collect()
                }
                _ => values
                    .iter()
                    .map(|it| it.get(part).cloned().unwrap_or_default())
                    .collect(),
            };
        }
        match is_list {
            true => values.into(),
            false => values.pop().unwrap_or_default(),
        }
    }

    fn call(&mut self, name: &str) -> Value {
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.either());
            self.take(",");
        }
        if !self.is_needed {
            return Value::Null;
        }
        match (name, arguments.as_slice()) {
            ("always", []) => json!(true),
            ("cancelled", []) => json!(false),
            ("fromJSON" | "fromJson", [text]) => serde_json::from_str(&as_text(text))
                .unwrap_or_else(|error| panic!("fromJSON of `{text}`: {error}")),
            ("contains", [Value::Array(items), item]) => json!(items.contains(item)),
            ("contains", [text, part]) => json!(as_text(text).contains(&as_text(part))),
            _ => panic!(
                "there is no function `{name}` of {} arguments here",
                arguments.len()
            ),
        }
    }
}
