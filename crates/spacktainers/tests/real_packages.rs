//! Packages that real Spack made: the demo's, which are part of the project, and larger ones where they are at hand.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use oci_format::Digest;
use spacktainers::content::Content;
use spacktainers::layer::{PackageRecord, scan};
use spacktainers::libraries::{Needs, check, glibc_floor};

/// Every package archive below `blobs/`, scanned.
fn packages(cache: &Path) -> Vec<PackageRecord> {
    let mut pending = vec![cache.join("blobs/sha256")];
    let mut records = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).expect("a build cache").flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let digest =
                Digest::from_hex(&entry.file_name().to_string_lossy()).expect("named by digest");
            let len = entry.metadata().expect("a file").len();
            if is_tar_in_gzip(&path) {
                let content = Content::File {
                    path: path.clone(),
                    offset: 0,
                    len,
                };
                records.push(
                    scan(&content, &digest, len)
                        .unwrap_or_else(|error| panic!("{}: {error:?}", path.display())),
                );
            }
        }
    }
    records.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    records
}

/// Spec files are JSON in gzip; archives are tar in gzip.
fn is_tar_in_gzip(path: &Path) -> bool {
    let mut start = [0; 1];
    let file = fs::File::open(path).expect("opens");
    flate2::read::GzDecoder::new(file)
        .read_exact(&mut start)
        .is_ok()
        && start != *b"{"
}

fn missing(records: &[PackageRecord]) -> Vec<String> {
    let needs: Vec<_> = records
        .iter()
        .map(|record| {
            let prefix = record.prefix.as_deref().expect("full paths");
            Needs {
                package: prefix,
                prefix,
                record,
            }
        })
        .collect();
    assert!(glibc_floor(&needs).is_some_and(|version| version.starts_with("2.")));
    let mut libraries: Vec<String> = check(&[], &needs)
        .missing
        .into_iter()
        .map(|it| it.library)
        .collect();
    libraries.sort();
    libraries.dedup();
    libraries
}

#[test]
fn the_packages_of_the_demo_need_nothing_but_the_c_library() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/cache");
    let records = packages(&demo);
    assert!(records.len() >= 4, "{} packages", records.len());
    for library in missing(&records) {
        assert!(
            [
                "libc.so.6",
                "libm.so.6",
                "/lib64/ld-linux-x86-64.so.2",
                "ld-linux-x86-64.so.2"
            ]
            .contains(&library.as_str()),
            "{library} is in no package of the demo"
        );
    }
}

#[test]
fn nano_as_built_on_a_machine_with_libmagic_needs_libmagic() {
    let fixtures = std::env::var_os("SPACKTAINERS_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let cache = fixtures.join("caches/small-v3");
    if !cache.is_dir() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no fixtures at {}",
            fixtures.display()
        );
        return;
    }
    let records = packages(&cache);
    assert_eq!(records.len(), 12);
    assert!(records.iter().all(PackageRecord::is_layer));
    assert!(missing(&records).contains(&"libmagic.so.1".to_owned()));
}
