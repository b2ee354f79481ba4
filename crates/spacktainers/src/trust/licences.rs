//! Licences of packages, out of the recipes that Spack keeps in their archives.
//!
//! Spack archives members in order of their names, so that `.spack/` comes before what is installed: a recipe is found within
//! the first kilobytes. What was found is remembered by the archive's digest.
//!
//! Source: `lib/spack/spack/binary_distribution.py` and `lib/spack/spack/store.py` in Spack (`.spack/repos/<name>/packages/…`;
//! since 1.0 `.spack/repos/spack_repo/<name>/packages/…`).

use std::collections::BTreeMap;
use std::io::Read as _;

use oci_format::Digest;
use oci_format::layer::compression::Decoder;
use oci_format::layer::tar::TarReader;

use spack_format::concrete::ConcreteSpec;
use spack_format::dag_hash::DagHash;
use spack_format::prefix::Satisfies;

use super::licence::{Declared, declared_licences};
use crate::build::{Locked, Original};
use crate::content::Content;
use crate::local_cache::LocalCache;

/// The kind of record.
const KIND: &str = "licences-1";
/// Bytes that are decompressed in search of a recipe.
const FAR_ENOUGH: u64 = 64 << 20;
/// No recipe is longer.
const LONGEST_RECIPE: u64 = 4 << 20;

/// The licences of all packages whose recipes declare one that holds for them.
#[must_use]
pub fn licences(
    locked: &Locked<'_>,
    satisfies: &Satisfies<'_>,
    cache: &LocalCache,
) -> BTreeMap<DagHash, String> {
    let licence = |(spec, original): (&ConcreteSpec, &Original)| {
        let declared = declared(&original.name, &original.blob, &original.archive, cache);
        let holds = |it: &Declared| it.when.as_deref().is_none_or(|when| satisfies(spec, when));
        let licence = declared.into_iter().find(holds)?.licence;
        Some((original.hash, licence))
    };
    locked.originals().filter_map(licence).collect()
}

/// What the recipe in an archive declares; nothing where there is no recipe, or it cannot be read: then nothing is known.
fn declared(name: &str, blob: &Digest, archive: &Content, cache: &LocalCache) -> Vec<Declared> {
    let key = blob.hex();
    let known = cache.record(KIND, &key);
    if let Some(known) = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return known;
    }
    let found = recipe(name, archive).map(|text| declared_licences(&text));
    let found = found.unwrap_or_default();
    // Not remembered is only slower.
    if let Ok(bytes) = serde_json::to_vec(&found) {
        let _ = cache.put_record(KIND, &key, &bytes);
    }
    found
}

fn recipe(name: &str, archive: &Content) -> Option<String> {
    let module = name.replace('-', "_");
    let endings = [
        format!("/packages/{name}/package.py"),
        format!("/packages/{module}/package.py"),
        format!("/packages/_{module}/package.py"),
    ];
    let mut tar = TarReader::new(Decoder::new(archive.open(0).ok()?, FAR_ENOUGH).ok()?);
    let mut was_there = false;
    while let Ok(Some(member)) = tar.next_member() {
        let path = String::from_utf8_lossy(&member.entry.path).into_owned();
        let is_metadata = path.contains("/.spack/");
        if is_metadata && endings.iter().any(|it| path.ends_with(it)) {
            let mut text = String::new();
            member.take(LONGEST_RECIPE).read_to_string(&mut text).ok()?;
            return Some(text);
        }
        // Behind its metadata a package has nothing that we look for. The metadata of what it patched is no recipe.
        if was_there && !is_metadata {
            return None;
        }
        was_there |= is_metadata;
    }
    None
}
