//! The compact form of one index, written once and decoded in each run.
//!
//! ```text
//! u64 ×3            numbers of texts, specs and edges
//! 32 bytes          SHA-256 of the file with the JSON of the specs
//! u32 × texts       length of each text; then the texts
//! 88 bytes × specs  hash; name, version, arch, variants, flags, patches, namespace, compiler, prefix (numbers of texts);
//!                   first edge, one past the last; marks; JSON: length, offset
//! 12 bytes × edges  dependency (by number), deptypes, virtuals
//! ```
//!
//! All numbers are little-endian. The record that holds it has a checksum; what does not add up nevertheless is damaged
//! and is made again from the index.

use std::fs::File;
use std::str::FromStr as _;
use std::sync::Arc;

use oci_format::Digest;
use spack_format::concrete::{DepTypes, NodeFormat};
use spack_format::dag_hash::DagHash;

use super::error::IndexFault;
use super::known::{KnownEdge, KnownSpecs, SpecId, Symbol, TextPlace};
use crate::content::Content;
use crate::local_cache::LocalCache;

pub(super) const SPEC_BYTES: usize = 32 + 14 * 4;
pub(super) const EDGE_BYTES: usize = 12;

/// How many texts a record names.
pub(super) const TEXTS: usize = 9;

const IN_BUILD_CACHE: u32 = 1;
const EXTERNAL: u32 = 2;
const RECORDED: u32 = 4;
const HAS_EDGES: u32 = 8;
/// The number of the node format starts at this bit.
const FORMAT_BIT: u32 = 8;

/// A record as it is written.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) hash: DagHash,
    /// Numbers of texts, in the order of the table.
    pub(super) texts: [u32; TEXTS],
    pub(super) has_edges: bool,
    pub(super) edges: (u32, u32),
    pub(super) in_build_cache: bool,
    pub(super) is_external: bool,
    pub(super) format: Option<NodeFormat>,
    pub(super) length: u32,
    pub(super) offset: u64,
}

impl Row {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.hash.as_str().as_bytes());
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let flags = flag(self.in_build_cache, IN_BUILD_CACHE)
            | flag(self.is_external, EXTERNAL)
            | flag(self.format.is_some(), RECORDED)
            | flag(self.has_edges, HAS_EDGES)
            | self.format.map_or(0, |it| it.number() << FORMAT_BIT);
        let rest = [
            self.edges.0,
            self.edges.1,
            flags | (u32::try_from(self.offset >> 32).unwrap_or(0) << 16),
            self.length,
            (self.offset & u64::from(u32::MAX)) as u32,
        ];
        for number in self.texts.iter().chain(&rest) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// Takes the specs of a table into `known`. Those that are known already stay as they are.
pub(super) fn decode(
    bytes: &[u8],
    cache: &LocalCache,
    known: &mut KnownSpecs,
) -> Result<(), IndexFault> {
    decode_or_nothing(bytes, cache, known).ok_or(IndexFault::Damaged)
}

/// The digest of the file with the JSON of the specs.
pub(super) fn texts_digest(bytes: &[u8]) -> Option<Digest> {
    Some(Digest::from_bytes(bytes.get(24..56)?.try_into().ok()?))
}

fn decode_or_nothing(bytes: &[u8], cache: &LocalCache, known: &mut KnownSpecs) -> Option<()> {
    let mut reader = Reader(bytes);
    let texts = reader.count()?;
    let specs = reader.count()?;
    let edges = reader.count()?;
    reader.take(32)?;
    let digest = texts_digest(bytes)?;
    let Content::File { path, .. } = cache.blob(&digest)? else {
        return None;
    };
    let file = u32::try_from(known.files.len()).ok()?;
    known.files.push(Arc::new(File::open(path).ok()?));

    let lengths = reader.take(texts.checked_mul(4)?)?;
    let mut symbols = Vec::with_capacity(texts);
    for length in numbers(lengths) {
        let text = reader.take(length as usize)?;
        symbols.push(known.intern(std::str::from_utf8(text).ok()?));
    }
    let rows = reader.take(specs.checked_mul(SPEC_BYTES)?)?;
    let edge_rows = reader.take(edges.checked_mul(EDGE_BYTES)?)?;
    known.reserve(specs, edges);
    let empty = known.intern("");

    let mut ids: Vec<SpecId> = Vec::with_capacity(specs);
    for row in rows.chunks_exact(SPEC_BYTES) {
        let hash = DagHash::from_str(std::str::from_utf8(row.get(..32)?).ok()?).ok()?;
        ids.push(known.place(hash, empty)?);
    }
    for (row, id) in rows.chunks_exact(SPEC_BYTES).zip(&ids) {
        let mut fields = numbers(row.get(32..)?);
        let mut next = || fields.next();
        let symbol = |number: u32| symbols.get(number as usize).copied();
        let mut texts = [empty; TEXTS];
        for text in &mut texts {
            *text = symbol(next()?)?;
        }
        let (first, last) = (next()? as usize, next()? as usize);
        let (flags, length, offset) = (next()?, next()?, next()?);
        if flags & RECORDED == 0 {
            continue;
        }
        let spec = known.specs.get_mut(id.index())?;
        spec.in_build_cache |= flags & IN_BUILD_CACHE != 0;
        if spec.is_recorded {
            continue;
        }
        spec.is_recorded = true;
        spec.is_external = flags & EXTERNAL != 0;
        spec.format = NodeFormat::from_number(flags >> FORMAT_BIT & 0xff)?;
        spec.has_edges = flags & HAS_EDGES != 0;
        [
            spec.name,
            spec.version,
            spec.arch,
            spec.variants,
            spec.flags,
            spec.patches,
            spec.namespace,
            spec.compiler,
            spec.prefix,
        ] = texts;
        spec.text = TextPlace {
            file,
            length,
            offset: u64::from(offset) | u64::from(flags >> 16) << 32,
        };
        let start = u32::try_from(known.edges.len()).ok()?;
        let own = edge_rows.get(first.checked_mul(EDGE_BYTES)?..last.checked_mul(EDGE_BYTES)?)?;
        for edge in own.chunks_exact(EDGE_BYTES) {
            let mut fields = numbers(edge);
            let child = *ids.get(fields.next()? as usize)?;
            let deptypes = deptypes(fields.next()?);
            let virtuals: Symbol = symbol(fields.next()?)?;
            known.edges.push(KnownEdge {
                child,
                deptypes,
                virtuals,
            });
        }
        let end = u32::try_from(known.edges.len()).ok()?;
        known.specs.get_mut(id.index())?.edges = (start, end);
    }
    Some(())
}

const DEPTYPES: [(DepTypes, u32); 4] = [
    (DepTypes::LINK, 1),
    (DepTypes::RUN, 2),
    (DepTypes::BUILD, 4),
    (DepTypes::TEST, 8),
];

pub(super) fn deptypes_number(deptypes: DepTypes) -> u32 {
    let set = DEPTYPES.iter().filter(|(bit, _)| deptypes.contains(*bit));
    set.fold(0, |all, (_, number)| all | number)
}

fn deptypes(number: u32) -> DepTypes {
    let set = DEPTYPES.iter().filter(|(_, bit)| number & bit != 0);
    set.fold(DepTypes::NONE, |all, (bit, _)| all | *bit)
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes
        .chunks_exact(4)
        .map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap_or_default()))
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of things that take a byte each at least.
    fn count(&mut self) -> Option<usize> {
        let number = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        usize::try_from(number)
            .ok()
            .filter(|it| *it <= self.0.len())
    }
}
