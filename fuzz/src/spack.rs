//! Spack's files.

use spack_format::build_cache::v3::Manifest as SpecManifest;
use spack_format::build_cache::{BinaryDistribution, SpecFile, clearsign, oci, parse_key_index};
use spack_format::database::BuildCacheIndex;
use spack_format::environment::{Environment, Machine, Manifest};
use spack_format::lockfile::SpackLockfile;
use spack_format::spec::{Spec, parse_specs};
use spack_format::version::{Version, VersionList};
use spack_format::yaml::SourceId;

use crate::{Target, text};

pub(crate) const TARGETS: &[Target] = &[
    ("yaml", |data| {
        text(data, |text| {
            drop(spack_format::yaml::parse(text, SourceId(0)))
        })
    }),
    ("environment", environment),
    ("spec", spec),
    ("version", version),
    ("lockfile", |data| {
        text(data, |text| {
            if let Ok(lock) = SpackLockfile::parse(text) {
                lock.runtime_closure();
                lock.specs
                    .iter()
                    .for_each(|node| drop(spack_format::dag_hash::verify(node)));
            }
        });
    }),
    ("spec-manifest", |data| {
        text(data, |text| drop(SpecManifest::parse(text)))
    }),
    ("spec-file", |data| {
        text(data, |text| drop(SpecFile::parse(text)))
    }),
    ("spack-image", |data| {
        text(data, |text| {
            drop(oci::PackageConfig::parse(text));
            drop(oci::PackageManifest::parse(text));
        });
    }),
    ("clear-signed", |data| {
        text(data, |text| drop(clearsign::split(text)))
    }),
    ("binary-distribution", |data| {
        text(data, |text| drop(BinaryDistribution::parse(text)))
    }),
    ("key-index", |data| {
        text(data, |text| drop(parse_key_index(text)))
    }),
    ("database", |data| {
        text(data, |text| drop(BuildCacheIndex::parse(text)))
    }),
];

fn environment(data: &[u8]) {
    text(data, |text| {
        let manifest = Manifest::parse(text, SourceId(0));
        for fault in &manifest.faults {
            assert!(
                fault.span.range().end <= text.len(),
                "a fault lies in its text"
            );
            let _ = (
                fault.error.to_string(),
                fault.error.label(),
                fault.error.hint(),
            );
        }
        let environment = Environment::new(&manifest, []);
        environment.user_specs(&Machine::default());
        environment.views();
        environment.install_tree();
        environment.variable_changes();
    });
}

fn spec(data: &[u8]) {
    text(data, |text| {
        drop(parse_specs(text));
        match Spec::parse(text) {
            // What asks for nothing (`*`, `@:`) is printed as nothing; printing twice changes no more.
            Ok(spec) => {
                let printed = spec.to_string();
                if let Ok(again) = Spec::parse(&printed) {
                    let twice = again.to_string();
                    let last =
                        Spec::parse(&twice).map_or_else(|_| String::new(), |it| it.to_string());
                    assert_eq!(last, twice);
                } else {
                    assert!(
                        printed.is_empty(),
                        "what was printed can be read: `{printed}`"
                    );
                }
            }
            Err(fault) => {
                assert!(fault.range.start <= fault.range.end && fault.range.end <= text.len())
            }
        }
    });
}

fn version(data: &[u8]) {
    text(data, |text| {
        if let Ok(version) = Version::parse(text) {
            assert_eq!(Version::parse(&version.to_string()).ok(), Some(version));
        }
        drop(VersionList::parse(text));
    });
}
