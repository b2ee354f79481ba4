//! Archives of packages into those that an image has: slimmed, stripped, relocated, compressed anew.
//!
//! ```text
//! archive ──► members ──► [`Selection`] ──► strip ──► [`Rules`] ──► new archive, in the local cache
//!               │          leaves out       symbols   other prefix       │
//!               │                              └────► debug archive      └─ scanned, as if a stranger had made it
//!               └─ [`Chain`]: all that decides the bytes, and with the blob's digest the key to find them again
//! ```
//!
//! One pass: each member is read once, goes through the chain, and is compressed. What is left out is never relocated, and symbols
//! go before paths are changed: text of debuggers needs no room for a longer prefix. Nothing but the file at hand is in memory,
//! and that only if it is a program or Spack lists it as one to relocate.
//!
//! A new archive is an archive like any other: a layer of its own, or packed with others. Each is made once, by
//! [`transform_all`]; where nothing comes of the chain, the blob of the cache stays the layer.

mod all;
mod error;
mod pass;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use oci_format::Digest;

use super::compress::Compress;
use super::relocate::Rules;
use super::slim::{Glob, Selection};
use super::strip::{self, Symbols};

pub use all::{Archive, SymbolReport, TransformJob, Transformed, transform_all};
pub use error::TransformError;
pub use pass::{NoDebug, Passed, pass};

/// What is done to an archive, in this order.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// What is left out.
    pub slim: Option<Selection>,
    /// What becomes of symbols.
    pub strip: Option<StripRules>,
    /// Which prefixes change.
    pub relocate: Option<Rules>,
    /// The compression that the archive has to have; none: as it is, or gzip if it is written anew.
    pub compress: Option<Compress>,
}

/// Which programs lose their symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripRules {
    /// What becomes of them.
    pub symbols: Symbols,
    /// Programs and libraries that keep theirs.
    pub keep: Vec<Glob>,
}

impl Chain {
    /// Relocation and nothing else.
    #[must_use]
    pub fn relocation(rules: Rules) -> Self {
        Self {
            relocate: Some(rules),
            ..Self::default()
        }
    }

    /// Whether an archive of this compression stays as it is.
    #[must_use]
    pub fn is_empty(&self, compression: &str) -> bool {
        !self.changes_members() && self.is_compressed_so(compression)
    }

    fn changes_members(&self) -> bool {
        self.slim.is_some() || self.strip.is_some() || self.relocate.is_some()
    }

    fn is_compressed_so(&self, compression: &str) -> bool {
        self.compress.is_none_or(|it| it.name() == compression)
    }

    /// What the result depends on besides the archive, which `blob` names.
    #[must_use]
    pub fn key(&self, blob: &Digest) -> String {
        // Writing to memory does not fail.
        let mut text = format!("{blob}\n");
        if let Some(slim) = &self.slim {
            text.push_str("slim\n");
            slim.write_key(&mut text);
        }
        if let Some(StripRules { symbols, keep }) = &self.strip {
            let _ = writeln!(text, "strip {} {}", strip::VERSION, symbols.as_str());
            for glob in keep {
                let _ = writeln!(text, "{:?}", glob.as_str());
            }
        }
        if let Some(relocate) = &self.relocate {
            text.push_str("relocate\n");
            relocate.write_key(&mut text);
        }
        let compress = self.compress.unwrap_or_default();
        let _ = writeln!(text, "compress {}", compress.key());
        Digest::of(text.as_bytes()).hex()
    }
}
