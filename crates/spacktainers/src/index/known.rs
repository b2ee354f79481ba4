//! Specs of all indices in one compact form: texts as numbers, edges as numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use spack_format::concrete::{ConcreteSpec, DepTypes, NodeFormat};
use spack_format::dag_hash::DagHash;

/// A text that many specs share: names, versions, variants as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub(super) u32);

impl Symbol {
    /// Its place among all symbols, for tables beside [`KnownSpecs`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A spec of [`KnownSpecs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecId(pub(super) u32);

impl SpecId {
    /// The spec of this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Its place among all specs, for tables beside [`KnownSpecs`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What choosing needs of a spec.
#[derive(Debug, Clone, Copy)]
pub struct KnownSpec {
    /// Its DAG hash, as the index states it.
    pub hash: DagHash,
    /// The package's name.
    pub name: Symbol,
    /// Its version.
    pub version: Symbol,
    /// Platform, operating system and target, each after a blank.
    pub arch: Symbol,
    /// Variants, as a JSON object.
    pub variants: Symbol,
    /// Compiler flags, as a JSON object.
    pub flags: Symbol,
    /// Checksums of patches, with commas between.
    pub patches: Symbol,
    /// The namespace of the recipe; empty for none.
    pub namespace: Symbol,
    /// The compiler as a spec, where it is an attribute; else empty.
    pub compiler: Symbol,
    /// For externals: the prefix.
    pub prefix: Symbol,
    /// Whether edges tell of direct dependencies, which those of old formats and bare externals do not.
    pub has_edges: bool,
    /// Whether its binary is in a build cache.
    pub in_build_cache: bool,
    /// Whether Spack only points at it.
    pub is_external: bool,
    /// Whether a record was there, and not only an edge to it.
    pub is_recorded: bool,
    pub(super) format: NodeFormat,
    pub(super) edges: (u32, u32),
    pub(super) text: TextPlace,
}

/// Where the JSON of a spec lies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TextPlace {
    pub(super) file: u32,
    pub(super) length: u32,
    pub(super) offset: u64,
}

/// An edge.
#[derive(Debug, Clone, Copy)]
pub struct KnownEdge {
    /// The dependency.
    pub child: SpecId,
    /// What it is needed for.
    pub deptypes: DepTypes,
    /// The virtual packages that it stands for, with commas between.
    pub virtuals: Symbol,
}

/// All specs that indices name.
#[derive(Debug, Default)]
pub struct KnownSpecs {
    pub(super) specs: Vec<KnownSpec>,
    pub(super) edges: Vec<KnownEdge>,
    texts: Vec<Arc<str>>,
    symbols: HashMap<Arc<str>, Symbol>,
    by_hash: HashMap<DagHash, SpecId>,
    pub(super) files: Vec<Arc<File>>,
}

impl KnownSpecs {
    /// How many specs there are, those without a record included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// How many different texts there are; numbers of symbols are below.
    #[must_use]
    pub fn symbols(&self) -> usize {
        self.texts.len()
    }

    /// All specs, in the order of mirrors and their indices.
    pub fn iter(&self) -> impl Iterator<Item = (SpecId, &KnownSpec)> {
        (0..).map(SpecId).zip(&self.specs)
    }

    /// A spec.
    ///
    /// # Panics
    /// Never for ids of this value.
    #[must_use]
    pub fn get(&self, id: SpecId) -> &KnownSpec {
        &self.specs[id.index()]
    }

    /// The spec of this hash.
    #[must_use]
    pub fn find(&self, hash: &DagHash) -> Option<SpecId> {
        self.by_hash.get(hash).copied()
    }

    /// The edges of a spec.
    #[must_use]
    pub fn edges(&self, id: SpecId) -> &[KnownEdge] {
        let (start, end) = self.get(id).edges;
        self.edges
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    /// The text behind a number.
    #[must_use]
    pub fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol.0 as usize).map_or("", |text| &**text)
    }

    /// The number of a text, if some spec has it.
    #[must_use]
    pub fn symbol(&self, text: &str) -> Option<Symbol> {
        self.symbols.get(text).copied()
    }

    /// Reads the whole spec.
    ///
    /// # Errors
    /// When the file cannot be read, or what is there is not the spec: the local cache was damaged.
    pub fn read(&self, id: SpecId) -> io::Result<ConcreteSpec> {
        let spec = self.get(id);
        let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let file = self
            .files
            .get(spec.text.file as usize)
            .filter(|_| spec.is_recorded)
            .ok_or_else(|| damaged(format!("/{} has no text", spec.hash)))?;
        let mut bytes = vec![0; spec.text.length as usize];
        file.read_exact_at(&mut bytes, spec.text.offset)?;
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        let read = ConcreteSpec::from_json(&text, spec.format, Some(spec.hash))
            .map_err(|error| damaged(error.to_string()))?;
        if read.hash != spec.hash {
            return Err(damaged(format!(
                "/{} lies where /{} should",
                read.hash, spec.hash
            )));
        }
        Ok(read)
    }

    pub(super) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(known) = self.symbols.get(text) {
            return *known;
        }
        let symbol = Symbol(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.symbols.insert(text, symbol);
        symbol
    }

    pub(super) fn reserve(&mut self, specs: usize, edges: usize) {
        self.specs.reserve(specs);
        self.by_hash.reserve(specs);
        self.edges.reserve(edges);
    }

    /// The place of a hash, which is a new and empty one if it was not known.
    pub(super) fn place(&mut self, hash: DagHash, empty: Symbol) -> Option<SpecId> {
        if let Some(known) = self.by_hash.get(&hash) {
            return Some(*known);
        }
        let id = SpecId(u32::try_from(self.specs.len()).ok()?);
        self.by_hash.insert(hash, id);
        self.specs.push(KnownSpec {
            hash,
            name: empty,
            version: empty,
            arch: empty,
            variants: empty,
            flags: empty,
            patches: empty,
            namespace: empty,
            compiler: empty,
            prefix: empty,
            has_edges: true,
            in_build_cache: false,
            is_external: false,
            is_recorded: false,
            format: NodeFormat::V5,
            edges: (0, 0),
            text: TextPlace::default(),
        });
        Some(id)
    }
}
