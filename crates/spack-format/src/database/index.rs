//! The index of a build cache.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DatabaseError, format_of};
use crate::concrete::{ConcreteSpec, JsonFault, read_node};
use crate::dag_hash::DagHash;

/// What a build cache (or a store) says that it holds.
///
/// Edges may lead to nodes without a record, and nothing here is verified: an index is a
/// convenience for finding candidates, and what is fetched is checked by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildCacheIndex {
    /// Records by hash, in the order of the file.
    pub records: IndexMap<DagHash, IndexRecord>,
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRecord {
    /// The node.
    pub spec: ConcreteSpec,
    /// Whether its binary is in the build cache. (Build dependencies have a record without.)
    pub in_build_cache: bool,
    /// In a store: where it is installed.
    pub path: Option<String>,
    /// In a store: whether it is installed.
    pub installed: bool,
    /// In a store: whether it was asked for, and not only needed by others.
    pub explicit: bool,
}

impl BuildCacheIndex {
    /// Reads the text of an index.
    ///
    /// # Errors
    /// When the text is no index, or of a version that is not known.
    pub fn parse(text: &str) -> Result<Self, DatabaseError> {
        let file: File<'_> = serde_json::from_str(text)
            .map_err(|error| DatabaseError::Json(JsonFault::within(text, text, &error)))?;
        let format = format_of(&file.database.version)?;
        let mut records = IndexMap::with_capacity(file.database.installs.len());
        for (key, record) in file.database.installs {
            let hash: DagHash = key.parse().map_err(|error| {
                let message = format!("the key of this record: {error}");
                DatabaseError::Json(JsonFault::at(text, record.spec.get(), message))
            })?;
            let spec = read_node(text, record.spec, format, Some(hash)).map_err(|source| {
                DatabaseError::Node {
                    key: key.into_owned(),
                    source,
                }
            })?;
            records.insert(
                hash,
                IndexRecord {
                    spec,
                    in_build_cache: record.in_buildcache,
                    // Old stores have the word for externals.
                    path: record.path.filter(|path| path != "None"),
                    installed: record.installed,
                    explicit: record.explicit,
                },
            );
        }
        Ok(Self { records })
    }

    /// The packages that a query of the cache offers: those with a binary, and externals.
    pub fn available(&self) -> impl Iterator<Item = &ConcreteSpec> {
        self.records
            .values()
            .filter(|record| record.in_build_cache || record.spec.is_external())
            .map(|record| &record.spec)
    }
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    database: Database<'a>,
}

#[derive(Deserialize)]
struct Database<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    installs: IndexMap<Cow<'a, str>, Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
    #[serde(default)]
    in_buildcache: bool,
    path: Option<String>,
    #[serde(default)]
    installed: bool,
    #[serde(default)]
    explicit: bool,
}
