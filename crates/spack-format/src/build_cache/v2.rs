//! Layouts 1 and 2: everything named by architecture, compiler, name, version and hash.
//!
//! Source: `URLBuildcacheEntryV2` in `lib/spack/spack/url_buildcache.py` of Spack 1.1;
//! `tarball_name`, `tarball_directory_name` in `binary_distribution.py` of Spack 0.21.

use super::Fingerprint;
use crate::concrete::{ConcreteSpec, ConcreteSpecs};
use crate::prefix::{compiler_of, polite_filename};

/// Where the index lies.
pub const INDEX_PATH: &str = "build_cache/index.json";
/// Where the 64 hexadecimal digits of its sha256 lie. May be missing.
pub const INDEX_HASH_PATH: &str = "build_cache/index.json.hash";
/// Where the list of keys lies.
pub const KEY_INDEX_PATH: &str = "build_cache/_pgp/index.json";

/// The path of a public key.
#[must_use]
pub fn key_path(fingerprint: &Fingerprint) -> String {
    format!("build_cache/_pgp/{fingerprint}.pub")
}

/// The paths of one package under one name of its compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The clear-signed spec file. Looked for first.
    pub signed_spec: String,
    /// The unsigned spec file.
    pub unsigned_spec: String,
    /// The tarball.
    pub tarball: String,
}

/// The paths at which a package may lie, the likeliest first: under its compiler, and then under
/// `none-none`, as Spack 1.x names what has none. `specs` holds the package's dependencies, of
/// which the compiler may be one.
#[must_use]
pub fn candidates(spec: &ConcreteSpec, specs: &ConcreteSpecs) -> Vec<Paths> {
    let none = || ("none".to_owned(), "none".to_owned());
    let compiler = compiler_of(spec, specs).unwrap_or_else(none);
    let mut compilers = vec![compiler];
    if compilers.first() != Some(&none()) {
        compilers.push(none());
    }
    compilers
        .iter()
        .map(|(name, version)| paths(spec, name, version))
        .collect()
}

fn paths(spec: &ConcreteSpec, compiler: &str, compiler_version: &str) -> Paths {
    let ConcreteSpec {
        name,
        version,
        arch,
        hash,
        ..
    } = spec;
    let compiler = format!("{compiler}-{compiler_version}");
    let stem = polite_filename(&format!("{arch}-{compiler}-{name}-{version}-{hash}"));
    let folder = [
        component(&arch.to_string()),
        component(&compiler),
        component(&format!("{name}-{version}")),
    ]
    .join("/");
    Paths {
        signed_spec: format!("build_cache/{stem}.spec.json.sig"),
        unsigned_spec: format!("build_cache/{stem}.spec.json"),
        tarball: format!("build_cache/{folder}/{stem}.spack"),
    }
}

/// Each of these components has a dash within, so none of them can be `..`.
fn component(text: &str) -> String {
    polite_filename(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concrete::test_specs;

    #[test]
    fn a_package_lies_under_its_compiler_or_under_none() {
        let specs = test_specs::small();
        let spec = test_specs::named(&specs, "app");
        let stem = format!("linux-debian12-x86_64_v3-gcc-12.2.0-app-2.0-{}", spec.hash);
        let found = candidates(spec, &specs);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].signed_spec,
            format!("build_cache/{stem}.spec.json.sig")
        );
        assert_eq!(
            found[0].unsigned_spec,
            format!("build_cache/{stem}.spec.json")
        );
        assert_eq!(
            found[0].tarball,
            format!("build_cache/linux-debian12-x86_64_v3/gcc-12.2.0/app-2.0/{stem}.spack")
        );
        assert!(found[1].tarball.contains("/none-none/"));
        // Nothing compiles an external.
        assert_eq!(
            candidates(test_specs::named(&specs, "libc"), &specs).len(),
            1
        );
    }
}
