//! The database of a store.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::{DatabaseError, version_of};
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};
use crate::dag_hash::DagHash;

/// What is needed to write the database of a store that Spack did not fill.
///
/// The text is the same for the same values, whatever the order in which packages were put into
/// the store.
pub struct StoreIndex<'a> {
    /// All nodes.
    pub specs: &'a ConcreteSpecs,
    /// The packages that lie in the store. Externals need not be named.
    pub installed: &'a HashSet<DagHash>,
    /// Those of them that were asked for: the roots of the environment.
    pub explicit: &'a HashSet<DagHash>,
    /// The prefix of a package, in the store or where it would be.
    pub prefix: &'a dyn Fn(&ConcreteSpec) -> Option<String>,
    /// When they were installed, in seconds since 1970.
    pub installation_time: u64,
}

impl StoreIndex<'_> {
    /// The text of `index.json`.
    ///
    /// Packages that are not installed but were needed to build those that are have records too,
    /// as after an installation from a build cache: so every edge leads to a record, nodes can be
    /// written as they are, and `spack install` on top finds the same DAGs again.
    ///
    /// # Errors
    /// When the nodes are of a format that no database in use can hold.
    pub fn to_text(&self) -> Result<String, DatabaseError> {
        let roots: Vec<DagHash> = self
            .specs
            .iter()
            .filter(|spec| self.installed.contains(&spec.hash))
            .map(|spec| spec.hash)
            .collect();
        let records = self.specs.closure(roots, DepTypes::ALL);
        let version = match records.iter().map(|spec| spec.format).max() {
            // An empty store is one of the newest version.
            None => 8,
            Some(format) => {
                version_of(format).ok_or_else(|| DatabaseError::Format(format.number()))?
            }
        };
        let ref_counts = ref_counts(&records);
        let mut out = format!("{{\"database\":{{\"version\":\"{version}\",\"installs\":{{");
        for (index, spec) in records.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let ref_count = ref_counts.get(&spec.hash).copied().unwrap_or_default();
            self.write_record(&mut out, spec, ref_count);
        }
        out.push_str("}}}");
        Ok(out)
    }

    fn write_record(&self, out: &mut String, spec: &ConcreteSpec, ref_count: usize) {
        let path = match &spec.external {
            Some(external) => external.path.clone(),
            None => (self.prefix)(spec),
        };
        let path = serde_json::Value::from(path);
        let installed = spec.is_external() || self.installed.contains(&spec.hash);
        let explicit = self.explicit.contains(&spec.hash);
        // Writing to a String does not fail.
        let _ = write!(
            out,
            "\"{}\":{{\"spec\":{},\"ref_count\":{ref_count},\"path\":{path},\
             \"installed\":{installed},\"explicit\":{explicit},\
             \"installation_time\":{}.0,\"deprecated_for\":null}}",
            spec.hash, spec.raw, self.installation_time
        );
    }
}

/// How many records have an edge, of whatever type, to each.
fn ref_counts(records: &[&ConcreteSpec]) -> HashMap<DagHash, usize> {
    let mut counts = HashMap::new();
    for spec in records {
        let below: HashSet<DagHash> = spec.edges.iter().map(|edge| edge.hash).collect();
        for hash in below {
            *counts.entry(hash).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;
    use crate::database::BuildCacheIndex;

    #[test]
    fn what_was_needed_to_build_is_recorded_as_not_installed() {
        let specs = test_specs::small();
        let hash = |name| test_specs::named(&specs, name).hash;
        let installed = HashSet::from([hash("lib"), hash("tool")]);
        let index = StoreIndex {
            specs: &specs,
            installed: &installed,
            explicit: &HashSet::from([hash("tool")]),
            prefix: &|spec| Some(format!("/s/\"{}\"", spec.name)),
            installation_time: 7,
        };
        let text = index.to_text().expect("text");
        assert!(
            text.starts_with("{\"database\":{\"version\":\"8\",\"installs\":{"),
            "{text}"
        );
        assert!(text.contains("\"ref_count\":1,\"path\":\"/s/\\\"lib\\\"\",\"installed\":true"));
        assert!(text.contains("\"installation_time\":7.0,"));
        let read = BuildCacheIndex::parse(&text).expect("an index");
        let names: Vec<_> = read
            .records
            .values()
            .map(|it| it.spec.name.as_str())
            .collect();
        assert_eq!(names, ["libc", "lib", "tool"]);
        assert!(read.records[&hash("tool")].explicit && !read.records[&hash("lib")].explicit);
        assert_eq!(read.records[&hash("libc")].path.as_deref(), Some("/usr"));

        let only_app = HashSet::from([hash("app")]);
        let text = StoreIndex {
            installed: &only_app,
            ..index
        }
        .to_text()
        .expect("text");
        let read = BuildCacheIndex::parse(&text).expect("an index");
        assert!(!read.records[&hash("lib")].installed && read.records[&hash("app")].installed);
        assert_eq!(read.records.len(), 5);
    }
}
