//! Text to tree.
//!
//! The events of the parser are folded on a stack of our own, so that depth costs heap and is bounded,
//! and aliases are expanded where they stand, so that whoever reads the tree meets none.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::scalar::resolve;
use super::{
    Entry, Key, Mapping, Node, Scalar, ScalarKind, SourceId, Span, Style, Value, YamlError,
    YamlFault,
};

/// What is read at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of text. Environments are a few kilobytes; CI sections of large ones reach some hundred.
    pub bytes: usize,
    /// Levels of nesting. Spack's schemas need about ten.
    pub depth: usize,
    /// Nodes after aliases are expanded: what stops a few lines from becoming gigabytes.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            depth: 64,
            nodes: 500_000,
        }
    }
}

/// What came of a text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The tree; null for an empty text. After a syntax error, what was complete before it.
    pub root: Node,
    /// Every fault, in the order of the text.
    pub faults: Vec<YamlFault>,
    /// Whether the whole text was read. If not, keys may be absent that the author wrote.
    pub complete: bool,
}

/// Reads one document within the default [`Limits`].
#[must_use]
pub fn parse(text: &str, source: SourceId) -> Parsed {
    parse_bounded(text, source, Limits::default())
}

/// Reads one document, and takes any fault as an error.
///
/// # Errors
/// The first fault.
pub fn parse_strict(text: &str) -> Result<Node, YamlFault> {
    let parsed = parse(text, SourceId::default());
    match parsed.faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(parsed.root),
    }
}

/// Reads one document within limits.
#[must_use]
pub fn parse_bounded(text: &str, source: SourceId, limits: Limits) -> Parsed {
    let start = Span::new(source, 0, 0);
    if text.len() > limits.bytes || u32::try_from(text.len()).is_err() {
        let error = YamlError::TooLarge {
            size: text.len(),
            limit: limits.bytes,
        };
        return Parsed {
            root: Node::null(start),
            faults: vec![YamlFault { span: start, error }],
            complete: false,
        };
    }
    let mut builder = Builder {
        text,
        source,
        limits,
        offsets: Offsets::new(text),
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
        faults: Vec::new(),
    };
    let complete = builder.run();
    builder
        .faults
        .sort_by_key(|fault| (fault.span.start, fault.span.end));
    Parsed {
        root: builder.root.unwrap_or_else(|| Node::null(start)),
        faults: builder.faults,
        complete,
    }
}

/// Byte offsets of characters, remembered for every 32nd: the parser counts characters.
struct Offsets {
    every: Vec<usize>,
}

const STRIDE: usize = 32;

impl Offsets {
    fn new(text: &str) -> Self {
        Self {
            every: text
                .char_indices()
                .step_by(STRIDE)
                .map(|(at, _)| at)
                .collect(),
        }
    }

    fn byte(&self, text: &str, character: usize) -> usize {
        let Some(start) = self.every.get(character / STRIDE) else {
            return text.len();
        };
        text[*start..]
            .char_indices()
            .nth(character % STRIDE)
            .map_or(text.len(), |(at, _)| start + at)
    }
}

/// A list or mapping that is not closed yet.
struct Open {
    anchor: usize,
    start: usize,
    /// Nodes built before this one: the difference at the end is its size.
    nodes_before: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        keys: HashSet<String>,
        key: PendingKey,
        merges: Vec<Node>,
    },
}

enum PendingKey {
    None,
    Key(Key),
    /// `<<`
    Merge,
    /// A key with a fault: its value is read and dropped.
    Dropped,
}

struct Anchored {
    node: Node,
    nodes: usize,
}

struct Builder<'a> {
    text: &'a str,
    source: SourceId,
    limits: Limits,
    offsets: Offsets,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    root: Option<Node>,
    faults: Vec<YamlFault>,
}

/// Reading cannot go on; the fault is noted.
struct Stop;

impl Builder<'_> {
    /// Whether the whole text was read.
    fn run(&mut self) -> bool {
        let text = self.text;
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0;
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) => {
                    self.syntax(&error);
                    self.close_all();
                    return false;
                }
            };
            let range = self.offsets.byte(text, span.start.index())
                ..self.offsets.byte(text, span.end.index());
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents > 1 {
                    self.fault(range, YamlError::SecondDocument);
                    return false;
                }
                continue;
            }
            if self.event(event, range).is_err() {
                self.close_all();
                return false;
            }
        }
        true
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(text.into_owned(), style, tag.as_deref(), range.clone());
                self.count(1, &range)?;
                self.finish(node, anchor, 1);
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", &range);
                self.open(anchor, range, Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", &range);
                let content = Content::Mapping {
                    entries: Vec::new(),
                    keys: HashSet::new(),
                    key: PendingKey::None,
                    merges: Vec::new(),
                };
                self.open(anchor, range, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range),
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    self.fault(range, YamlError::AliasOfItself);
                    return Err(Stop);
                };
                let (node, nodes) = (anchored.node.clone(), anchored.nodes);
                self.count(nodes, &range)?;
                self.place(node);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, range: Range<usize>, content: Content) -> Result<(), Stop> {
        if self.stack.len() >= self.limits.depth {
            let limit = self.limits.depth;
            self.fault(range, YamlError::TooDeep { limit });
            return Err(Stop);
        }
        let nodes_before = self.nodes;
        self.count(1, &range)?;
        self.stack.push(Open {
            anchor,
            start: range.start,
            nodes_before,
            content,
        });
        Ok(())
    }

    /// Closes the innermost list or mapping. `range` covers the bracket in the flow style and nothing in the block
    /// style, where a collection ends with its last member.
    fn close(&mut self, range: Range<usize>) {
        let Some(open) = self.stack.pop() else { return };
        let flow_end = if range.is_empty() {
            open.start
        } else {
            range.end
        };
        let nodes = self.nodes - open.nodes_before;
        let node = match open.content {
            Content::Sequence(items) => {
                let end = items
                    .last()
                    .map_or(open.start, |item| item.span.end as usize)
                    .max(flow_end);
                Node::new(self.span(open.start..end), Value::Sequence(items))
            }
            Content::Mapping {
                mut entries,
                mut keys,
                merges,
                ..
            } => {
                let end = entries
                    .last()
                    .map_or(open.start, |entry| {
                        entry.value.span.end.max(entry.key.span.end) as usize
                    })
                    .max(flow_end);
                let span = self.span(open.start..end);
                for merged in merges {
                    self.merge(merged, &mut entries, &mut keys);
                }
                Node::new(span, Value::Mapping(Mapping { entries }))
            }
        };
        self.finish(node, open.anchor, nodes);
    }

    /// `<<`: keys of the merged mappings that are not there yet.
    fn merge(&mut self, merged: Node, entries: &mut Vec<Entry>, keys: &mut HashSet<String>) {
        match merged.value {
            Value::Mapping(mapping) => {
                for entry in mapping.entries {
                    if keys.insert(entry.key.text.clone()) {
                        entries.push(entry);
                    }
                }
            }
            Value::Sequence(items) if items.iter().all(|item| item.as_mapping().is_some()) => {
                for item in items {
                    self.merge(item, entries, keys);
                }
            }
            Value::Scalar(_) | Value::Sequence(_) => {
                self.faults.push(YamlFault {
                    span: merged.span,
                    error: YamlError::MergeOfNoMapping,
                });
            }
        }
    }

    /// After a fault that ends the reading: what is complete is kept.
    fn close_all(&mut self) {
        while let Some(open) = self.stack.last_mut() {
            let end = match &mut open.content {
                Content::Sequence(items) => items.last().map(|item| item.span.end),
                Content::Mapping { entries, .. } => {
                    entries.last().map(|entry| entry.value.span.end)
                }
            };
            let end = end.map_or(open.start, |end| end as usize);
            self.close(end..end);
        }
    }

    fn finish(&mut self, node: Node, anchor: usize, nodes: usize) {
        if anchor != 0 {
            self.anchors.insert(
                anchor,
                Anchored {
                    node: node.clone(),
                    nodes,
                },
            );
        }
        self.place(node);
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node) {
        let Some(open) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        let (entries, keys, pending, merges) = match &mut open.content {
            Content::Sequence(items) => {
                items.push(node);
                return;
            }
            Content::Mapping {
                entries,
                keys,
                key,
                merges,
            } => (entries, keys, key, merges),
        };
        match std::mem::replace(pending, PendingKey::None) {
            PendingKey::Key(key) => entries.push(Entry { key, value: node }),
            PendingKey::Merge => merges.push(node),
            PendingKey::Dropped => {}
            PendingKey::None => match &node.value {
                Value::Scalar(scalar) if scalar.text == "<<" && scalar.style == Style::Plain => {
                    *pending = PendingKey::Merge;
                }
                Value::Scalar(scalar) => {
                    let key = Key::new(&scalar.text, node.span);
                    if keys.insert(key.text.clone()) {
                        *pending = PendingKey::Key(key);
                    } else {
                        let first = entries.iter().find(|entry| entry.key.text == key.text);
                        let at = first.map_or(0, |entry| entry.key.span.start as usize);
                        let first_line = line_of(self.text, at);
                        self.faults.push(YamlFault {
                            span: node.span,
                            error: YamlError::DuplicateKey {
                                key: key.text,
                                first_line,
                            },
                        });
                        *pending = PendingKey::Dropped;
                    }
                }
                Value::Sequence(_) | Value::Mapping(_) => {
                    self.faults.push(YamlFault {
                        span: node.span,
                        error: YamlError::KeyIsNotText,
                    });
                    *pending = PendingKey::Dropped;
                }
            },
        }
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: Range<usize>,
    ) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let kind = match tag {
            None if style == Style::Plain => resolve(&text),
            None => ScalarKind::String,
            Some(tag) => self.tagged(tag, &text, &range),
        };
        let written = &self.text[range.clone()];
        let inner = if style == Style::Quoted { 1 } else { 0 };
        let verbatim = written
            .get(inner..written.len().saturating_sub(inner))
            .filter(|inside| !inside.is_empty() && *inside == text)
            .and_then(|_| u32::try_from(range.start + inner).ok());
        let mut node = Node::new(
            self.span(range),
            Value::Scalar(Scalar { text, kind, style }),
        );
        node.verbatim = verbatim;
        node
    }

    fn tagged(&mut self, tag: &Tag, text: &str, range: &Range<usize>) -> ScalarKind {
        let name = tag.to_string();
        let natural = resolve(text);
        if tag.handle == "!" && tag.suffix.is_empty() {
            return ScalarKind::String;
        }
        if !tag.is_yaml_core_schema() {
            self.fault(range.clone(), YamlError::UnknownTag { tag: name });
            return natural;
        }
        let fits = match (tag.suffix.as_str(), natural) {
            ("str", _) => return ScalarKind::String,
            #[expect(clippy::cast_precision_loss, reason = "that is what the tag asks for")]
            ("float", ScalarKind::Integer(number)) => return ScalarKind::Float(number as f64),
            ("int", ScalarKind::Integer(_))
            | ("float", ScalarKind::Float(_))
            | ("bool", ScalarKind::Boolean(_))
            | ("null", ScalarKind::Null)
            | ("timestamp", ScalarKind::Timestamp) => true,
            _ => false,
        };
        if !fits {
            self.fault(range.clone(), YamlError::TagMismatch { tag: name });
        }
        natural
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, expected: &str, range: &Range<usize>) {
        let Some(tag) = tag else { return };
        let plain = tag.handle == "!" && tag.suffix.is_empty();
        if !(plain || tag.is_yaml_core_schema() && tag.suffix == expected) {
            self.fault(
                range.clone(),
                YamlError::UnknownTag {
                    tag: tag.to_string(),
                },
            );
        }
    }

    fn count(&mut self, nodes: usize, range: &Range<usize>) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes {
            let limit = self.limits.nodes;
            self.fault(range.clone(), YamlError::TooManyNodes { limit });
            return Err(Stop);
        }
        Ok(())
    }

    fn syntax(&mut self, error: &ScanError) {
        let at = self.offsets.byte(self.text, error.marker().index());
        let end = self.text[at..]
            .chars()
            .next()
            .filter(|c| *c != '\n')
            .map_or(at, |c| at + c.len_utf8());
        let hint = hint(self.text, at, error.info());
        self.fault(
            at..end,
            YamlError::Syntax {
                message: error.info().to_owned(),
                hint,
            },
        );
    }

    fn fault(&mut self, range: Range<usize>, error: YamlError) {
        let span = self.span(range);
        self.faults.push(YamlFault { span, error });
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::from_range(self.source, range)
    }
}

/// The usual mistakes in Spack's files, told by what stands at and before the fault.
fn hint(text: &str, at: usize, message: &str) -> Option<String> {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let value = text[at..]
        .split(['\n', '#'])
        .next()
        .unwrap_or_default()
        .trim();
    if matches!(
        value.as_bytes().first(),
        Some(b'@' | b'%' | b'`' | b'*' | b'&' | b'!')
    ) && value.len() < 80
    {
        let quoted = value.trim_end_matches([',', ']', '}']);
        return Some(format!(
            "a value that begins with `{}` must be in quotes: \"{quoted}\"",
            &value[..1]
        ));
    }
    if line
        .bytes()
        .take_while(u8::is_ascii_whitespace)
        .any(|byte| byte == b'\t')
    {
        return Some("indent with blanks: YAML allows no tabs".to_owned());
    }
    if message.contains("mapping values") || message.contains("simple key") {
        return Some("check the indentation, and that a blank follows every `:`; text that holds `: ` must be in quotes".to_owned());
    }
    if message.contains("quoted") {
        return Some("a closing quote is missing".to_owned());
    }
    if message.contains("indent") || message.contains("block") {
        return Some("keys and list items of one level must begin in the same column".to_owned());
    }
    None
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}
