//! What a build cache has.

use std::collections::BTreeMap;

use spack_format::build_cache::v3;
use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;

use super::catalog::Catalog;
use super::error::{CacheError, CacheFault};

/// A package in a build cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its version. Of packages that are not in the index, as file names have it: `/` and the like are `_`.
    pub version: String,
    /// Its DAG hash.
    pub hash: DagHash,
    /// `platform-os-target`, where the index says so.
    pub arch: Option<String>,
    /// Whether the index has it, so that plain Spack sees it.
    pub is_indexed: bool,
}

impl Listed {
    /// A package that the index has.
    pub(super) fn of_index(spec: &ConcreteSpec) -> Self {
        Self {
            name: spec.name.clone(),
            version: spec.version.clone(),
            hash: spec.hash,
            arch: Some(spec.arch.to_string()),
            is_indexed: true,
        }
    }
}

/// All packages of a build cache, by name, version and hash: those that it has, whatever its index says; those of the index
/// where nothing else can be known.
///
/// # Errors
/// When the mirror fails, or its index is none.
pub async fn list(catalog: &Catalog) -> Result<Vec<Listed>, CacheError> {
    let about = CacheError::about(format!("cannot list {}", catalog.url()));
    listed(catalog).await.map_err(about)
}

async fn listed(catalog: &Catalog) -> Result<Vec<Listed>, CacheFault> {
    let index = catalog.index().await?;
    let mut known: BTreeMap<DagHash, Listed> = index
        .iter()
        .flat_map(|index| index.records.values())
        .filter(|record| record.in_build_cache)
        .map(|record| {
            let listed = Listed::of_index(&record.spec);
            (listed.hash, listed)
        })
        .collect();
    if index.is_none() && matches!(catalog, Catalog::Indexed(_)) {
        return Err(CacheFault::NoList);
    }
    let mut all: Vec<Listed> = match catalog {
        Catalog::Indexed(_) => known.into_values().collect(),
        Catalog::Listed(_) => catalog
            .manifests()
            .await?
            .iter()
            .filter_map(|key| {
                let listed = by_name(key)?;
                Some(known.remove(&listed.hash).unwrap_or(listed))
            })
            .collect(),
    };
    all.sort();
    Ok(all)
}

/// What the name of a manifest tells: `v3/manifests/spec/NAME/NAME-VERSION-HASH.spec.manifest.json`.
fn by_name(key: &str) -> Option<Listed> {
    let hash = v3::hash_of_spec_manifest(key)?;
    let below = key.strip_prefix(v3::SPEC_MANIFESTS_FOLDER)?;
    let (name, file) = below.strip_prefix('/')?.split_once('/')?;
    let stem = file.strip_suffix(".spec.manifest.json")?;
    let version = stem
        .strip_prefix(name)?
        .strip_prefix('-')?
        .strip_suffix(hash.as_str())?
        .strip_suffix('-')?;
    Some(Listed {
        name: name.to_owned(),
        version: version.to_owned(),
        hash,
        arch: None,
        is_indexed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_version_and_hash() {
        let hash = "v2xkvre6nnz5uxaywvclfmfndak7xmmy";
        let key = format!("v3/manifests/spec/a-b/a-b-1.0-rc1-{hash}.spec.manifest.json");
        let listed = by_name(&key).expect("a package");
        assert_eq!(
            (listed.name.as_str(), listed.version.as_str()),
            ("a-b", "1.0-rc1")
        );
        assert_eq!(listed.hash.as_str(), hash);
        assert_eq!(by_name("v3/manifests/spec/a/b.json"), None);
    }
}
