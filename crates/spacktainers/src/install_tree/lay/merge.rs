//! New records into the text of a store's database. Pure.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use spack_format::dag_hash::DagHash;

/// What each new record has edges to, each once.
pub(super) type Edges = HashMap<DagHash, Vec<DagHash>>;

/// A database, with what this does not look at as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    database: Database,
}

#[derive(Debug, Serialize, Deserialize)]
struct Database {
    version: String,
    installs: IndexMap<String, Fields>,
}

/// A record by its fields.
type Fields = IndexMap<String, Box<RawValue>>;

/// Why databases cannot be put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherVersion {
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl Index {
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// An empty database of the same version.
    pub(super) fn without_records(&self) -> Self {
        Self {
            database: Database {
                version: self.database.version.clone(),
                installs: IndexMap::new(),
            },
        }
    }

    pub(super) fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Whether the package lies in the store.
    pub(super) fn is_installed(&self, hash: &DagHash) -> bool {
        self.database
            .installs
            .get(hash.as_str())
            .is_some_and(|it| flag(it, "installed"))
    }

    /// Takes over the records of `new`. Records that are there stay as they are, but for packages that are installed now
    /// and were not, for packages that are asked for now and were not, and for how many records lead to them, which counts
    /// the edges of records that came. Says whether anything changed.
    ///
    /// Source: `Database._add` in `lib/spack/spack/database.py` of Spack.
    pub(super) fn merge(&mut self, new: Self, edges: &Edges) -> Result<bool, OtherVersion> {
        if new.database.version != self.database.version {
            return Err(OtherVersion {
                theirs: self.database.version.clone(),
                ours: new.database.version,
            });
        }
        let installs = &mut self.database.installs;
        let mut changed = false;
        let mut counts: HashMap<&DagHash, u64> = HashMap::new();
        for (key, mut record) in new.database.installs {
            let Some(known) = installs.get_mut(&key) else {
                let of_key = key.parse().ok().and_then(|hash: DagHash| edges.get(&hash));
                for target in of_key.into_iter().flatten() {
                    *counts.entry(target).or_default() += 1;
                }
                set(&mut record, "ref_count", &0);
                installs.insert(key, record);
                changed = true;
                continue;
            };
            if flag(&record, "installed") && !flag(known, "installed") {
                for field in ["installed", "path", "installation_time"] {
                    if let Some(value) = record.get(field) {
                        known.insert(field.to_owned(), value.clone());
                    }
                }
                changed = true;
            }
            if flag(&record, "explicit") && !flag(known, "explicit") {
                set(known, "explicit", &true);
                changed = true;
            }
        }
        for (key, count) in counts {
            if let Some(record) = installs.get_mut(key.as_str()) {
                let before: u64 = value(record, "ref_count").unwrap_or(0);
                set(record, "ref_count", &before.saturating_add(count));
            }
        }
        Ok(changed)
    }
}

fn value<T: for<'d> Deserialize<'d>>(record: &Fields, field: &str) -> Option<T> {
    serde_json::from_str(record.get(field)?.get()).ok()
}

fn flag(record: &Fields, field: &str) -> bool {
    value(record, field).unwrap_or(false)
}

fn set<T: Serialize>(record: &mut Fields, field: &str, value: &T) {
    // Numbers and flags can always be written.
    if let Ok(raw) = to_raw_value(value) {
        record.insert(field.to_owned(), raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(letter: &str) -> DagHash {
        letter.repeat(32).parse().expect("a hash")
    }

    fn index(records: &[(&str, u64, bool, bool)]) -> Index {
        let records: Vec<String> = records
            .iter()
            .map(|(letter, count, installed, explicit)| {
                format!(
                    "\"{}\":{{\"spec\":{{\"n\":1.50}},\"ref_count\":{count},\"path\":\"/{letter}\",\
                     \"installed\":{installed},\"explicit\":{explicit},\"more\":[1]}}",
                    hash(letter)
                )
            })
            .collect();
        let text = format!(
            "{{\"database\":{{\"version\":\"8\",\"installs\":{{{}}}}}}}",
            records.join(",")
        );
        Index::parse(&text).expect("an index")
    }

    #[test]
    fn records_come_and_what_leads_to_others_is_counted_once() {
        let mut tree = index(&[("a", 3, true, true), ("b", 1, false, false)]);
        // c needs a and b; b is installed now, and a is not asked for this time.
        let new = || {
            index(&[
                ("a", 1, true, false),
                ("b", 1, true, false),
                ("c", 0, true, true),
            ])
        };
        let edges = Edges::from([(hash("c"), vec![hash("a"), hash("b")])]);
        assert_eq!(tree.merge(new(), &edges), Ok(true));
        let expected = index(&[
            ("a", 4, true, true),
            ("b", 2, true, false),
            ("c", 0, true, true),
        ]);
        let text = |index: &Index| index.to_text().expect("text");
        assert_eq!(text(&tree), text(&expected));
        assert_eq!(tree.merge(new(), &edges), Ok(false));
        assert_eq!(text(&tree), text(&expected));
    }

    #[test]
    fn a_database_of_another_version_is_left_alone() {
        let mut tree = index(&[]);
        tree.database.version = "7".into();
        let refused = tree.merge(index(&[]), &Edges::new());
        assert_eq!(
            refused,
            Err(OtherVersion {
                theirs: "7".into(),
                ours: "8".into()
            })
        );
    }
}
