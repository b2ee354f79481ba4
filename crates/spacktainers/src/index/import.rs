//! The text of an index into its compact form.

use std::collections::HashMap;
use std::io::{Read, Write as _};

use spack_format::concrete::{ConcreteSpec, Edge, VariantValue};
use spack_format::dag_hash::DagHash;
use spack_format::database::{StreamError, StreamedRecord, stream};

use super::error::IndexFault;
use super::table::{Row, TEXTS, deptypes_number};
use crate::local_cache::{BlobWriter, LocalCache};

/// Reads the text of an index to its end; the JSON of its specs goes into the local cache, the table is returned.
///
/// Of the text no more than one record is held at a time.
pub(super) fn import(reader: impl Read, cache: &LocalCache) -> Result<Vec<u8>, IndexFault> {
    let mut importer = Importer {
        texts: HashMap::new(),
        ordered_texts: Vec::new(),
        numbers: HashMap::new(),
        rows: Vec::new(),
        edges: Vec::new(),
        writer: cache.writer()?,
        written: 0,
    };
    importer.text("")?;
    stream(reader, |record| importer.take(&record)).map_err(|error| match error {
        StreamError::Database(error) => IndexFault::Database(error),
        StreamError::Taker(fault) => fault,
    })?;
    importer.finish()
}

struct Importer {
    texts: HashMap<Box<str>, u32>,
    ordered_texts: Vec<Box<str>>,
    /// The row of each hash that was seen, also of those that only edges name.
    numbers: HashMap<DagHash, u32>,
    rows: Vec<Row>,
    edges: Vec<[u32; 3]>,
    writer: BlobWriter,
    written: u64,
}

impl Importer {
    fn take(&mut self, record: &StreamedRecord) -> Result<(), IndexFault> {
        let spec = &record.spec;
        let number = self.number(spec.hash)?;
        let first = count(self.edges.len())?;
        let mut sorted: Vec<&Edge> = spec.edges.iter().collect();
        sorted.sort_by_key(|it| (&it.name, it.deptypes, &it.virtuals));
        for edge in sorted {
            let child = self.number(edge.hash)?;
            let virtuals = self.text(&edge.virtuals.join(","))?;
            self.edges
                .push([child, deptypes_number(edge.deptypes), virtuals]);
        }
        let arch = &spec.arch;
        let prefix = spec.external.as_ref().and_then(|it| it.path.as_deref());
        let row = Row {
            hash: spec.hash,
            texts: [
                self.text(&spec.name)?,
                self.text(&spec.version)?,
                self.text(&format!("{} {} {}", arch.platform, arch.os, arch.target))?,
                self.text(&variants(spec))?,
                self.text(&flags(spec))?,
                self.text(&spec.patches.join(","))?,
                self.text(spec.namespace.as_deref().unwrap_or_default())?,
                self.text(&compiler(spec))?,
                self.text(prefix.unwrap_or_default())?,
            ],
            has_edges: tells_edges(spec),
            edges: (first, count(self.edges.len())?),
            in_build_cache: record.in_build_cache,
            is_external: spec.is_external(),
            format: Some(spec.format),
            length: count(spec.raw.len())?,
            offset: self.written,
        };
        self.writer.write_all(spec.raw.as_bytes())?;
        self.written += spec.raw.len() as u64;
        if let Some(place) = self.rows.get_mut(number as usize) {
            *place = row;
        }
        Ok(())
    }

    fn number(&mut self, hash: DagHash) -> Result<u32, IndexFault> {
        if let Some(known) = self.numbers.get(&hash) {
            return Ok(*known);
        }
        let number = count(self.rows.len())?;
        self.numbers.insert(hash, number);
        self.rows.push(Row {
            hash,
            texts: [0; TEXTS],
            has_edges: true,
            edges: (0, 0),
            in_build_cache: false,
            is_external: false,
            format: None,
            length: 0,
            offset: 0,
        });
        Ok(number)
    }

    fn text(&mut self, text: &str) -> Result<u32, IndexFault> {
        if let Some(known) = self.texts.get(text) {
            return Ok(*known);
        }
        let number = count(self.ordered_texts.len())?;
        self.texts.insert(text.into(), number);
        self.ordered_texts.push(text.into());
        Ok(number)
    }

    fn finish(self) -> Result<Vec<u8>, IndexFault> {
        // An empty file is a blob as well.
        let (digest, _) = self.writer.finish()?;
        let mut out = Vec::new();
        for length in [self.ordered_texts.len(), self.rows.len(), self.edges.len()] {
            out.extend_from_slice(&(length as u64).to_le_bytes());
        }
        out.extend_from_slice(digest.as_bytes());
        for text in &self.ordered_texts {
            out.extend_from_slice(&count(text.len())?.to_le_bytes());
        }
        for text in &self.ordered_texts {
            out.extend_from_slice(text.as_bytes());
        }
        for row in &self.rows {
            row.write(&mut out);
        }
        for number in self.edges.iter().flatten() {
            out.extend_from_slice(&number.to_le_bytes());
        }
        Ok(out)
    }
}

fn count(length: usize) -> Result<u32, IndexFault> {
    u32::try_from(length).map_err(|_| IndexFault::TooMany)
}

fn variants(spec: &ConcreteSpec) -> String {
    let value = |value: &VariantValue| match value {
        VariantValue::Bool(value) => serde_json::Value::from(*value),
        VariantValue::Single(value) => serde_json::Value::from(value.as_str()),
        VariantValue::Multi(values) => serde_json::Value::from(values.as_slice()),
    };
    let all = spec.variants.iter();
    let all: serde_json::Map<_, _> = all.map(|(name, it)| (name.clone(), value(it))).collect();
    serde_json::Value::from(all).to_string()
}

fn flags(spec: &ConcreteSpec) -> String {
    let set = spec.flags.iter().filter(|(_, flags)| !flags.is_empty());
    let set: serde_json::Map<_, _> = set
        .map(|(kind, flags)| (kind.clone(), flags.as_slice().into()))
        .collect();
    if set.is_empty() {
        return String::new();
    }
    serde_json::Value::from(set).to_string()
}

/// The compiler of a node of an old format, or of one that was such once: `gcc@=12.2.0`.
fn compiler(spec: &ConcreteSpec) -> String {
    match (&spec.annotations, &spec.compiler) {
        (Some(annotations), _) => annotations.compiler.clone().unwrap_or_default(),
        (None, Some(compiler)) => format!("{}@={}", compiler.name, compiler.version),
        (None, None) => String::new(),
    }
}

/// Whether edges tell of direct dependencies.
fn tells_edges(spec: &ConcreteSpec) -> bool {
    let original = match &spec.annotations {
        Some(annotations) => annotations.original_specfile_version,
        None => spec.format.number(),
    };
    original >= 5 && !(spec.is_external() && spec.edges.is_empty())
}
