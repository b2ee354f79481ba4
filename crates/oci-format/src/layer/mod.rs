//! Layers: tar streams of file changes.
//!
//! [`entry::Entry`] is one member of a layer as we think of it; [`tar`] reads and writes streams of
//! them; [`compression`] tells gzip, zstd and plain tar apart and opens each;
//! [`whiteout`] is how a layer removes what lies below it; [`merge`] applies layers one over the other
//! to a tree in memory.

pub mod compression;
pub mod entry;
pub mod merge;
pub mod tar;
pub mod whiteout;

pub use entry::{Entry, EntryKind};
