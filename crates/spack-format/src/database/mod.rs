//! Databases: what a store holds, and what a build cache holds.
//!
//! ```text
//! <root>/.spack-db/index.json        a store's, written here      StoreIndex
//! v3/manifests/index/..., index.json a build cache's, read here   BuildCacheIndex, or one by one: stream
//!                                    and written                 CacheIndexBuilder
//!
//! {"database": {"version": "8", "installs": {HASH: {"spec": NODE, "ref_count": N, ...}}}}
//! ```
//!
//! Source: `lib/spack/spack/database.py` in Spack.

mod cache_index;
mod index;
mod store;
mod stream;

use crate::concrete::{JsonFault, NodeError, NodeFormat};

pub use cache_index::CacheIndexBuilder;
pub use index::{BuildCacheIndex, IndexRecord};
pub use store::StoreIndex;
pub use stream::{StreamError, StreamedRecord, stream};

/// Where the database of a store lies, below its root.
pub const INDEX_PATH: &str = ".spack-db/index.json";

/// The database version that goes with a node format.
const fn version_of(format: NodeFormat) -> Option<u32> {
    match format {
        NodeFormat::V2 => None,
        NodeFormat::V3 => Some(6),
        NodeFormat::V4 => Some(7),
        NodeFormat::V5 => Some(8),
    }
}

/// The node format that goes with the version that a database states.
fn format_of(version: &str) -> Result<NodeFormat, DatabaseError> {
    match version {
        "6" => Ok(NodeFormat::V3),
        "7" => Ok(NodeFormat::V4),
        "8" => Ok(NodeFormat::V5),
        other => Err(DatabaseError::Version(other.chars().take(20).collect())),
    }
}

/// Why a text is not an index that can be read, or an index cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// Not JSON, or of another shape.
    #[error("{0}")]
    Json(JsonFault),
    /// A version that is not known.
    #[error("database version `{0}` cannot be read: 6, 7 and 8 can (Spack 0.17 and later)")]
    Version(String),
    /// A record that cannot be read.
    #[error("record {key}: {source}")]
    Node {
        /// The key of the record.
        key: String,
        /// What is wrong.
        source: NodeError,
    },
    /// Nodes of a format that no database of a Spack in use can hold.
    #[error(
        "a database cannot be written from nodes of format {0}: concretize with Spack 0.18 or later"
    )]
    Format(u32),
}
