//! Answers compared with those that real Spack gave.
//!
//! Rows are JSON objects, one a line. Of abstract specs ([`Replay::abstract_rows`]):
//!
//! ```text
//! {"kind": "parse", "text": …, "canonical": …}   or   {"kind": "parse", "text": …, "error": "SpecTokenizationError"}
//! {"kind": "pair", "left": …, "right": …, "satisfies": …, "intersects": …}         and, if asked, "constrained": …
//! {"kind": "version", "left": …, "right": …, "less": …, "equal": …}
//! {"kind": "range", "version": …, "range": …, "in": …}
//! ```
//!
//! Of concrete specs ([`Replay::concrete_rows`]):
//!
//! ```text
//! {"lock": …, "hash": …, "constraint": …, "canonical": …, "satisfies": …, "intersects": …}
//! ```

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{ConcreteIndex, Scratch, Spec, SpecFault, Virtuals};
use crate::concrete::ConcreteSpecs;
use crate::dag_hash::DagHash;
use crate::version::{Version, VersionList};

/// What came of comparing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// How many answers were compared and how many were the same, by kind of question.
    pub tallies: BTreeMap<&'static str, Tally>,
    /// The answers that were not the same.
    pub differences: Vec<Difference>,
}

/// How many answers were compared, and how many were the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Equal answers.
    pub agree: usize,
    /// All answers.
    pub total: usize,
}

/// An answer that is not Spack's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line of the row, from 1.
    pub line: usize,
    /// The kind of question.
    pub kind: &'static str,
    /// The question.
    pub question: String,
    /// Spack's answer.
    pub expected: String,
    /// Ours.
    pub found: String,
}

/// A row that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct RowError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Tally {
    /// The share of equal answers, from 0 to 1; 1 if nothing was compared.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn share(self) -> f64 {
        match self.total {
            0 => 1.0,
            total => self.agree as f64 / total as f64,
        }
    }
}

impl Replay {
    /// Nothing compared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Tally {
        let all = self.tallies.values();
        all.fold(Tally::default(), |sum, it| Tally {
            agree: sum.agree + it.agree,
            total: sum.total + it.total,
        })
    }

    /// Compares rows about abstract specs.
    ///
    /// # Errors
    /// At the first row that is none.
    pub fn abstract_rows(&mut self, text: &str) -> Result<(), RowError> {
        let virtuals = Virtuals::builtin();
        for row in rows(text) {
            let row = row?;
            match row.text("kind")? {
                "parse" => self.parse(&row)?,
                "pair" => self.pair(&row, &virtuals)?,
                "version" => self.version(&row)?,
                "range" => self.range(&row)?,
                other => return Err(row.error(format!("`{other}` is not a kind of question"))),
            }
        }
        Ok(())
    }

    /// Compares rows about concrete specs, which lie in these locks.
    ///
    /// # Errors
    /// At the first row that is none, or whose lock or node is not there.
    pub fn concrete_rows(
        &mut self,
        text: &str,
        locks: &HashMap<String, ConcreteSpecs>,
    ) -> Result<(), RowError> {
        let indexes: HashMap<&str, ConcreteIndex<'_>> = locks
            .iter()
            .map(|(name, specs)| (name.as_str(), ConcreteIndex::new(specs)))
            .collect();
        let mut scratch = Scratch::default();
        for row in rows(text) {
            let row = row?;
            let (lock, hash) = (row.text("lock")?, row.text("hash")?);
            let hash: DagHash = hash.parse().map_err(|error| row.error(error))?;
            let node = indexes
                .get(lock)
                .and_then(|index| Some((index, index.node(&hash)?)));
            let Some((index, node)) = node else {
                return Err(row.error(format!("there is no {hash} in {lock}")));
            };
            let constraint = row.text("constraint")?;
            let question = format!("{lock}/{hash}: {constraint}");
            let spec = spec(constraint);
            let printed = spec
                .as_ref()
                .map_or_else(ToString::to_string, ToString::to_string);
            self.compare(
                &row,
                "canonical",
                constraint,
                row.text("canonical")?,
                &printed,
            );
            let satisfied = match &spec {
                Ok(spec) => index.satisfies(node, spec, &mut scratch).to_string(),
                Err(fault) => fault.to_string(),
            };
            // For concrete specs the two are one question.
            for kind in ["satisfies", "intersects"] {
                let expected = row.flag(kind)?.to_string();
                self.compare(&row, kind, &question, &expected, &satisfied);
            }
        }
        Ok(())
    }

    fn parse(&mut self, row: &Row) -> Result<(), RowError> {
        let text = row.text("text")?;
        let expected = match row.value.get("canonical") {
            Some(_) => row.text("canonical")?,
            None => row.text("error")?,
        };
        let found = match spec(text) {
            Ok(spec) => spec.to_string(),
            Err(fault) => fault.error.spack_exception().to_owned(),
        };
        self.compare(row, "parse", text, expected, &found);
        Ok(())
    }

    fn pair(&mut self, row: &Row, virtuals: &Virtuals) -> Result<(), RowError> {
        let (left, right) = (row.text("left")?, row.text("right")?);
        let question = format!("{left}  <  {right}");
        let expected = format!("{} {}", row.flag("satisfies")?, row.flag("intersects")?);
        let (found, constrained) = match (spec(left), spec(right)) {
            (Ok(left), Ok(right)) => (
                format!(
                    "{} {}",
                    left.satisfies(&right, virtuals),
                    left.intersects(&right, virtuals)
                ),
                constrained(left, &right),
            ),
            (Err(fault), _) | (_, Err(fault)) => (fault.to_string(), fault.to_string()),
        };
        self.compare(row, "pair", &question, &expected, &found);
        if row.value.get("constrained").is_some() {
            let expected = row.text("constrained")?;
            self.compare(row, "constrained", &question, expected, &constrained);
        }
        Ok(())
    }

    fn version(&mut self, row: &Row) -> Result<(), RowError> {
        let (left, right) = (row.text("left")?, row.text("right")?);
        let expected = format!("{} {}", row.flag("less")?, row.flag("equal")?);
        let found = match (Version::parse(left), Version::parse(right)) {
            (Ok(left), Ok(right)) => format!("{} {}", left < right, left == right),
            (Err(error), _) | (_, Err(error)) => error.to_string(),
        };
        let question = format!("{left} < {right}");
        self.compare(row, "version", &question, &expected, &found);
        Ok(())
    }

    fn range(&mut self, row: &Row) -> Result<(), RowError> {
        let (version, range) = (row.text("version")?, row.text("range")?);
        let expected = row.flag("in")?.to_string();
        let found = match (Version::parse(version), VersionList::parse(range)) {
            (Ok(version), Ok(range)) => range.contains(&version).to_string(),
            (Err(error), _) | (_, Err(error)) => error.to_string(),
        };
        let question = format!("{version} in {range}");
        self.compare(row, "range", &question, &expected, &found);
        Ok(())
    }

    fn compare(
        &mut self,
        row: &Row,
        kind: &'static str,
        question: &str,
        expected: &str,
        found: &str,
    ) {
        let tally = self.tallies.entry(kind).or_default();
        tally.total += 1;
        if expected == found {
            tally.agree += 1;
        } else {
            self.differences.push(Difference {
                line: row.line,
                kind,
                question: question.to_owned(),
                expected: expected.to_owned(),
                found: found.to_owned(),
            });
        }
    }
}

/// What Python's `Spec(text)` is: unlike the parser itself it takes a blank text, for a spec that asks for nothing.
fn spec(text: &str) -> Result<Spec, SpecFault> {
    if text.trim().is_empty() {
        return Ok(Spec::default());
    }
    Spec::parse(text)
}

fn constrained(mut left: Spec, right: &Spec) -> String {
    match left.constrain(right) {
        Ok(()) => left.to_string(),
        Err(contradiction) => contradiction.to_string(),
    }
}

struct Row {
    line: usize,
    value: Value,
}

fn rows(text: &str) -> impl Iterator<Item = Result<Row, RowError>> + '_ {
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, it)| !it.trim().is_empty());
    lines.map(|(line, text)| match serde_json::from_str(text) {
        Ok(value) => Ok(Row { line, value }),
        Err(error) => Err(RowError {
            line,
            message: error.to_string(),
        }),
    })
}

impl Row {
    fn text(&self, key: &str) -> Result<&str, RowError> {
        let value = self.value.get(key).and_then(Value::as_str);
        value.ok_or_else(|| self.error(format!("`{key}` is missing, or is no text")))
    }

    fn flag(&self, key: &str) -> Result<bool, RowError> {
        let value = self.value.get(key).and_then(Value::as_bool);
        value.ok_or_else(|| self.error(format!("`{key}` is missing, or is no boolean")))
    }

    fn error(&self, message: impl ToString) -> RowError {
        RowError {
            line: self.line,
            message: message.to_string(),
        }
    }
}
