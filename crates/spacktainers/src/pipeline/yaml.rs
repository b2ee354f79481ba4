//! YAML as people would write it: block style, short lists in one line, texts in quotes only where they need them.

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Yaml {
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
    /// Texts in one line: `[a, b]`.
    Line(Vec<String>),
    /// Values below each other.
    List(Vec<Yaml>),
    /// Keys with values.
    Map(Map),
}

/// Keys with values, in the order in which they were put in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Map {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    comment: String,
    key: String,
    value: Yaml,
}

impl Map {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The same with one more entry.
    pub(super) fn with(mut self, key: impl Into<String>, value: impl Into<Yaml>) -> Self {
        self.put(key, value);
        self
    }

    /// The same with a comment above the last entry.
    pub(super) fn comment(mut self, text: &str) -> Self {
        if let Some(last) = self.entries.last_mut() {
            last.comment = text.to_owned();
        }
        self
    }

    /// One more entry.
    pub(super) fn put(&mut self, key: impl Into<String>, value: impl Into<Yaml>) {
        self.entries.push(Entry {
            comment: String::new(),
            key: key.into(),
            value: value.into(),
        });
    }

    /// Another value for a key that is there.
    pub(super) fn replace(&mut self, key: &str, value: impl Into<Yaml>) {
        if let Some(entry) = self.entries.iter_mut().find(|it| it.key == key) {
            entry.value = value.into();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The text of a whole file below `head`, a comment. An empty line stands before each entry of the first level.
    pub(super) fn file(&self, head: &str) -> String {
        let mut text = String::new();
        comment(&mut text, 0, head);
        for entry in &self.entries {
            text.push('\n');
            self::entry(&mut text, 0, entry);
        }
        text
    }
}

impl From<Map> for Yaml {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Yaml {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Yaml {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<Vec<String>> for Yaml {
    fn from(texts: Vec<String>) -> Self {
        Self::Line(texts)
    }
}

impl From<Vec<Yaml>> for Yaml {
    fn from(values: Vec<Yaml>) -> Self {
        Self::List(values)
    }
}

fn indent(text: &mut String, depth: usize) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn comment(text: &mut String, depth: usize, comment: &str) {
    for line in comment.lines() {
        indent(text, depth);
        text.push_str("# ");
        text.push_str(line);
        text.push('\n');
    }
}

fn entry(text: &mut String, depth: usize, entry: &Entry) {
    comment(text, depth, &entry.comment);
    indent(text, depth);
    text.push_str(&scalar(&entry.key));
    text.push(':');
    value(text, depth, &entry.value);
}

/// A value behind a key at this depth.
fn value(text: &mut String, depth: usize, value: &Yaml) {
    match value {
        Yaml::Map(map) if map.is_empty() => text.push_str(" {}\n"),
        Yaml::List(list) if list.is_empty() => text.push_str(" []\n"),
        Yaml::Map(map) => {
            text.push('\n');
            map.entries.iter().for_each(|it| entry(text, depth + 1, it));
        }
        Yaml::List(list) => {
            text.push('\n');
            list.iter().for_each(|it| item(text, depth + 1, it));
        }
        other => {
            text.push(' ');
            text.push_str(&short(other));
            text.push('\n');
        }
    }
}

fn item(text: &mut String, depth: usize, value: &Yaml) {
    let mut below = String::new();
    match value {
        Yaml::Map(map) if !map.is_empty() => {
            map.entries
                .iter()
                .for_each(|it| entry(&mut below, depth + 1, it));
        }
        other => {
            indent(&mut below, depth + 1);
            below.push_str(&short(other));
            below.push('\n');
        }
    }
    // The first line begins with the dash instead of two blanks.
    indent(text, depth);
    text.push_str("- ");
    text.push_str(below.trim_start());
}

/// What fits in one line.
fn short(value: &Yaml) -> String {
    match value {
        Yaml::Bool(value) => value.to_string(),
        Yaml::Number(value) => value.to_string(),
        Yaml::Text(text) => scalar(text),
        Yaml::Line(texts) => {
            let texts: Vec<String> = texts.iter().map(|it| scalar(it)).collect();
            format!("[{}]", texts.join(", "))
        }
        Yaml::List(values) => {
            let values: Vec<String> = values.iter().map(short).collect();
            format!("[{}]", values.join(", "))
        }
        Yaml::Map(map) => {
            let entry = |it: &Entry| format!("{}: {}", scalar(&it.key), short(&it.value));
            let entries: Vec<String> = map.entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A text, in quotes if readers of YAML 1.1 or 1.2 would take it for something else.
fn scalar(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_./-$+=@()".contains(c);
    let first = text.chars().next();
    let starts = first.is_some_and(|c| c.is_ascii_alphabetic() || "_./$".contains(c));
    let inner = text.chars().all(|c| is_word(c) || c == ' ') && !text.ends_with(' ');
    let is_plain = starts && inner && !means_something(text);
    if is_plain {
        return text.to_owned();
    }
    // Single quotes take everything but line ends as it is.
    if text.contains(['"', '\\']) && !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c).min(0xff))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Words that are no texts, and what looks like a number.
fn means_something(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "off", "null", "y", "n", "nil"];
    let is_word = WORDS.iter().any(|it| text.eq_ignore_ascii_case(it));
    is_word || text.starts_with("..") || text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_like_written_by_hand() {
        let job = Map::new()
            .with("stage", "build")
            .with("needs", vec!["a".to_owned(), "b c".to_owned()])
            .with(
                "script",
                vec![Yaml::from("run --to \"$X\""), Yaml::from("then it")],
            )
            .comment("what it does")
            .with(
                "rules",
                vec![Yaml::from(
                    Map::new().with("if", "$A == \"b\"").with("when", "never"),
                )],
            )
            .with("variables", Map::new());
        let text = Map::new()
            .with("on", "push")
            .with("job one", job)
            .file("Generated.");
        assert_eq!(
            text,
            "# Generated.\n\non: push\n\njob one:\n  stage: build\n  needs: [a, b c]\n  # what it does\n  script:\n    \
             - 'run --to \"$X\"'\n    - then it\n  rules:\n    - if: '$A == \"b\"'\n      when: never\n  variables: {}\n"
        );
    }

    #[test]
    fn what_means_something_else_is_quoted_and_comes_back() {
        let texts = [
            "",
            "yes",
            "No",
            "1.10",
            "-x",
            "a: b",
            "x #y",
            "[1]",
            "*",
            "ö",
            "a\nb\t\"c\"\\",
            "inf",
            "0x1f",
            "~",
            " a",
            "a ",
        ];
        for text in texts {
            let file = Map::new().with("key", text).file("");
            let node = spack_format::yaml::parse_strict(&file).expect("YAML");
            assert_eq!(
                node.get("key").and_then(|it| it.as_str()),
                Some(text),
                "{file}"
            );
        }
    }
}
