//! Spack's files.

use spack_format::build_cache::v3::Manifest as SpecManifest;
use spack_format::build_cache::{BinaryDistribution, SpecFile, clearsign, oci, parse_key_index};
use spack_format::database::BuildCacheIndex;
use spack_format::environment::{Environment, Machine, Manifest};
use spack_format::lockfile::SpackLockfile;
use spack_format::relocation::c_string::Strictness;
use spack_format::relocation::{FileKind, PrefixMap, c_string, elf, link, shebang, text as texts};
use spack_format::spec::{Spec, Virtuals, parse_specs};
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
                let _ = lock.runtime_closure();
                for node in lock.specs.iter() {
                    let _ = spack_format::dag_hash::verify(node);
                }
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
    ("relocation", relocation),
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
        let _ = (
            environment.user_specs(&Machine::default()),
            environment.views(),
            environment.install_tree(),
            environment.variable_changes(),
        );
    });
}

/// What is printed need not be readable again: Spack's own grammar has texts that it prints in a way that it cannot read
/// (a version that ends in a dash, say). It must not break anything.
fn spec(data: &[u8]) {
    text(data, |text| {
        drop(parse_specs(text));
        match Spec::parse(text) {
            Ok(spec) => {
                drop(Spec::parse(&spec.to_string()));
                let _ = spec.satisfies(&spec, &Virtuals::default());
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
            drop(Version::parse(&version.to_string()));
            assert!(version.cmp(&version).is_eq());
        }
        drop(VersionList::parse(text));
    });
}

/// A file that moves to a shorter and to a longer place: texts and strings give the same in pieces as at once, strings keep
/// their length, and an ELF file has the size that its changes say.
fn relocation(data: &[u8]) {
    let _ = (
        FileKind::of(data),
        shebang::wrap(data, "/a/rather/long/root/bin/sbang"),
    );
    for new in ["/n", "/a/new/place/that/is/longer"] {
        let Ok(map) = PrefixMap::new([("/old/a", format!("{new}/a")), ("/old", new.to_owned())])
        else {
            unreachable!("both are absolute");
        };
        let _ = link::relocate(&map, data);
        let whole = texts::relocate(&map, data, texts::Rule::AsSpack);
        let mut pieces = Vec::new();
        let mut replacer = texts::TextReplacer::new(&map, texts::Rule::AsSpack);
        let mut out = |piece: &[u8]| -> Result<(), ()> {
            pieces.extend_from_slice(piece);
            Ok(())
        };
        for piece in data.chunks(7) {
            let _ = replacer.push(piece, &mut out);
        }
        let _ = replacer.finish(&mut out);
        assert_eq!(whole.as_deref().unwrap_or(data), pieces);
        if let Ok(Some(strings)) = c_string::relocate(&map, data, Strictness::Refuse) {
            assert_eq!(strings.len(), data.len(), "nothing moves in a binary");
        }
        if let Ok(changes) = elf::relocate(&map, data, &|part| part.len() % 2 == 0) {
            let size = changes.new_size(data.len() as u64);
            assert_eq!(changes.apply(data.to_vec()).len() as u64, size);
        }
    }
}
